"""Values that belong to one event loop, as a thread-local belongs to a thread."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Generic, TypeVar
from weakref import WeakSet

__all__ = ["LoopLocal"]

T = TypeVar("T")

_NUMBERS = count()


class LoopLocal(Generic[T]):
    """At most one value for each event loop; a loop that is gone takes its value along.

    Reading from a loop without a value, or outside of any loop, gives None.
    """

    __slots__ = ("_loops", "_name")

    def __init__(self) -> None:
        # The loop itself holds its value. A table here would keep every loop for ever whose value
        # leads back to it, as a runtime's does: one that was never left, on a loop long closed.
        self._name = f"_agentinfra_local_{next(_NUMBERS)}"
        self._loops: WeakSet[asyncio.AbstractEventLoop] = WeakSet()

    def get(self) -> T | None:
        """Return the running loop's value."""
        # Documented, and raises nothing where no loop runs.
        loop = asyncio._get_running_loop()  # noqa: SLF001
        value: T | None = getattr(loop, self._name, None)
        return value

    def set(self, value: T) -> None:
        """Give the running loop its value.

        Raises:
            RuntimeError: No loop is running in this thread.
        """
        loop = asyncio.get_running_loop()
        setattr(loop, self._name, value)
        self._loops.add(loop)

    def discard(self, value: T) -> None:
        """Take the value away from whichever loop has it."""
        for loop in tuple(self._loops):
            if getattr(loop, self._name, None) is value:
                delattr(loop, self._name)
                self._loops.discard(loop)
