"""One load for many callers who want the same thing at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from agentinfra.errors import ClosedError

__all__ = ["SingleFlight"]

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Coalesces concurrent loads of one key into one task that no caller owns.

    A cancelled caller never cancels the others; when the last caller has gone, the load is
    cancelled. A failure reaches every waiter and is not remembered.
    """

    __slots__ = ("_closed", "_flights", "_tasks", "_waiting")

    def __init__(self) -> None:
        self._flights: dict[Hashable, asyncio.Task[T]] = {}
        self._tasks: set[asyncio.Task[T]] = set()  # flights, and abandoned loads winding down
        self._waiting: dict[Hashable, int] = {}
        self._closed = False

    def __len__(self) -> int:
        return len(self._flights)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._flights

    async def run(self, key: Hashable, load: Callable[[], Awaitable[T]]) -> T:
        """Return what ``load`` gives, run once for all callers that are waiting for ``key``.

        The load runs in a copy of the first caller's context.

        Raises:
            ClosedError: The load was cancelled, by :meth:`aclose` or from inside, and the caller
                was not.
        """
        task = self._flights.get(key)
        if task is None or task.done():  # ended, and its callback has yet to run
            task = asyncio.create_task(_call(load), name=f"single-flight {key!r:.40}")
            self._flights[key] = task
            self._tasks.add(task)
            self._waiting[key] = 0
            task.add_done_callback(lambda done: self._landed(key, done))
        self._waiting[key] += 1
        try:
            await asyncio.wait({task})
        finally:
            self._leave(key, task)
        if task.cancelled():
            # Of the load, not of the caller: a CancelledError would end a task nobody cancelled.
            why = (
                "it was closed meanwhile" if self._closed else "the load was cancelled from inside"
            )
            raise ClosedError(f"the shared load of {key!r:.40} did not end: {why}")
        return task.result()

    async def aclose(self) -> None:
        """Cancel the loads under way and wait for them; their callers are told ClosedError."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _leave(self, key: Hashable, task: asyncio.Task[T]) -> None:
        if self._flights.get(key) is not task:
            return
        self._waiting[key] -= 1
        if self._waiting[key] == 0 and not task.done():
            task.cancel()
            # A caller that comes while the cancelled load winds down starts a new one.
            self._forget(key)

    def _landed(self, key: Hashable, task: asyncio.Task[T]) -> None:
        self._tasks.discard(task)
        if self._flights.get(key) is task:
            self._forget(key)
        if not task.cancelled():
            task.exception()

    def _forget(self, key: Hashable) -> None:
        del self._flights[key]
        del self._waiting[key]


async def _call(load: Callable[[], Awaitable[T]]) -> T:
    return await load()
