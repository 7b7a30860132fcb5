"""Values that belong to one event loop, as a thread-local belongs to a thread."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Generic, TypeVar
from weakref import ref

__all__ = ["LoopLocal"]

T = TypeVar("T")


class LoopLocal(Generic[T]):
    """At most one value for each event loop; a loop that is gone takes its value along.

    Reading from a loop without a value, or outside of any loop, gives None.
    """

    __slots__ = ("_loops", "_values")

    def __init__(self) -> None:
        # By the loop's id: a lookup by weak reference costs ten times as much. A loop that is gone
        # is forgotten before another one can have its id.
        self._values: dict[int, T] = {}
        self._loops: dict[int, ref[asyncio.AbstractEventLoop]] = {}

    def get(self) -> T | None:
        """Return the running loop's value."""
        loop = asyncio._get_running_loop()  # noqa: SLF001 - documented, and raises nothing
        return self._values.get(id(loop))

    def set(self, value: T) -> None:
        """Give the running loop its value.

        Raises:
            RuntimeError: No loop is running in this thread.
        """
        loop = asyncio.get_running_loop()
        self._values[id(loop)] = value
        self._loops[id(loop)] = ref(loop, partial(self._drop, id(loop)))

    def discard(self, value: T) -> None:
        """Take the value away from whichever loop has it."""
        for key, held in list(self._values.items()):
            if held is value:
                self._drop(key)

    def _drop(self, key: int, _: object = None) -> None:
        self._values.pop(key, None)
        self._loops.pop(key, None)
