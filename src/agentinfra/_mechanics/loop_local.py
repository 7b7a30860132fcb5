"""Values that belong to one event loop, as a thread-local belongs to a thread."""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

__all__ = ["LoopLocal"]

T = TypeVar("T")


class LoopLocal(Generic[T]):
    """At most one value for each event loop; a loop that is gone takes its value along.

    Reading from a loop without a value, or outside of any loop, gives None.
    """

    __slots__ = ("_values",)

    def __init__(self) -> None:
        self._values: WeakKeyDictionary[asyncio.AbstractEventLoop, T] = WeakKeyDictionary()

    def get(self) -> T | None:
        """Return the running loop's value."""
        loop = asyncio._get_running_loop()  # noqa: SLF001 - documented, and raises nothing
        return None if loop is None else self._values.get(loop)

    def set(self, value: T) -> None:
        """Give the running loop its value.

        Raises:
            RuntimeError: No loop is running in this thread.
        """
        self._values[asyncio.get_running_loop()] = value

    def discard(self, value: T) -> None:
        """Take the value away from whichever loop has it."""
        for loop, held in list(self._values.items()):
            if held is value:
                self._values.pop(loop, None)
