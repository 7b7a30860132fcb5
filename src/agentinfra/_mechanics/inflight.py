"""What a resource is doing at this moment, so that leaving can wait for it."""

from __future__ import annotations

import asyncio
from types import TracebackType

from agentinfra._mechanics.closing import settle

__all__ = ["InFlight", "Work"]


class InFlight:
    """Counts pieces of work under way, and knows the tasks that do them.

    Synchronous but for :meth:`drain`; one event loop.
    """

    __slots__ = ("_changed", "_work")

    def __init__(self) -> None:
        self._work: dict[Work, asyncio.Task[object] | None] = {}
        self._changed: asyncio.Event | None = None

    def __len__(self) -> int:
        return len(self._work)

    def begin(self) -> Work:
        """Register a piece of work of the running task; it ends with ``Work.end()``."""
        work = Work(self)
        self._work[work] = asyncio.current_task()
        return work

    def end(self, work: Work) -> None:
        """Take a piece of work off the list; a second time does nothing."""
        self._work.pop(work, None)
        if self._changed is not None:
            self._changed.set()

    async def drain(self, *, timeout: float, leaving: asyncio.Task[object] | None = None) -> int:
        """Wait until nothing is under way, then cancel what still is.

        A cancellation of the caller ends the wait at once.

        Args:
            timeout: Seconds to wait before cancelling.
            leaving: A task whose work is neither waited for nor cancelled: the one that leaves.

        Returns:
            How many tasks had to be cancelled.
        """
        end = asyncio.get_running_loop().time() + timeout
        while self._others(leaving):
            self._changed = asyncio.Event()
            try:
                async with asyncio.timeout_at(end):
                    await self._changed.wait()
            except TimeoutError:
                break
            finally:
                self._changed = None
        late = self._others(leaving)
        for task in late:
            task.cancel("the runtime is stopping")
        await settle(*late, timeout=timeout)
        return len(late)

    def _others(self, leaving: asyncio.Task[object] | None) -> set[asyncio.Task[object]]:
        return {
            task
            for task in self._work.values()
            if task is not None and task is not leaving and not task.done()
        }


class Work:
    """One piece of work under way; a context manager, or ended by hand."""

    __slots__ = ("_owner",)

    def __init__(self, owner: InFlight) -> None:
        self._owner = owner

    def end(self) -> None:
        """Say that it is over."""
        self._owner.end(self)

    def __enter__(self) -> Work:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._owner.end(self)
