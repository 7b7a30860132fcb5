"""What a resource is doing at this moment, so that leaving can wait for it, or end it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType

from agentinfra._mechanics.closing import settle
from agentinfra.errors import ClosedError

__all__ = ["InFlight", "Work"]


class InFlight:
    """Counts pieces of work under way, and knows the tasks that do them.

    Synchronous but for `give_up_held` and `drain`; one event loop.
    """

    __slots__ = ("_changed", "_work")

    def __init__(self) -> None:
        self._work: dict[Work, None] = {}
        self._changed: asyncio.Event | None = None

    def __len__(self) -> int:
        return len(self._work)

    def begin(self) -> Work:
        """Register a piece of work of the running task; it ends with ``Work.end()``."""
        work = Work(self, asyncio.current_task())
        self._work[work] = None
        return work

    def end(self, work: Work) -> None:
        """Take a piece of work off the list; a second time does nothing."""
        self._work.pop(work, None)
        if self._changed is not None:
            self._changed.set()

    def held(self, leaving: asyncio.Task[object] | None) -> list[Work]:
        """Return the work nobody is going to end in time: the leaving task's, and ended tasks'.

        It is suspended in a generator that was not exhausted, or in a block that is left only
        after this one. Waiting for it would be waiting for oneself. The newest comes first.
        """
        return [
            work
            for work in reversed(self._work)
            if work.task is not None and (work.task is leaving or work.task.done())
        ]

    def is_busy(self, leaving: asyncio.Task[object] | None) -> bool:
        """Return whether another task than the leaving one has work under way."""
        return bool(self._others(leaving))

    async def give_up_held(self, leaving: asyncio.Task[object] | None) -> None:
        """Give back what such work holds.

        Raises:
            Exception: What giving back the first one that failed raised; all were tried.
        """
        failure: Exception | None = None
        for work in self.held(leaving):
            self.end(work)
            try:
                await work.give_up()
            except Exception as error:  # noqa: BLE001 - the others are given back all the same
                failure = failure or error
        if failure is not None:
            raise failure

    async def drain(
        self, *, until: float, wind_down: float, leaving: asyncio.Task[object] | None = None
    ) -> int:
        """Wait until nothing is under way, then cancel what still is.

        A cancellation of the caller ends the wait at once. Whoever is cancelled here is told
        `ClosedError` where the work ends: it did not ask for a cancellation.

        Args:
            until: When to cancel, by the loop's time.
            wind_down: When to stop waiting for what was cancelled.
            leaving: A task whose work is neither waited for nor cancelled: the one that leaves.

        Returns:
            How many tasks had to be cancelled.
        """
        while self._others(leaving):
            self._changed = asyncio.Event()
            try:
                async with asyncio.timeout_at(until):
                    await self._changed.wait()
            except TimeoutError:
                break
            finally:
                self._changed = None
        late = self._others(leaving)
        for task in late:
            for work in self._work:
                work.tell(task)
            task.cancel("the runtime is stopping")
        await settle(*late, timeout=max(0.0, wind_down - asyncio.get_running_loop().time()))
        return len(late)

    def _others(self, leaving: asyncio.Task[object] | None) -> set[asyncio.Task[object]]:
        return {
            work.task
            for work in self._work
            if work.task is not None and work.task is not leaving and not work.task.done()
        }


class Work:
    """One piece of work under way; a context manager, or ended by hand."""

    __slots__ = ("_before", "_cut_off", "_give_up", "_owner", "task")

    def __init__(self, owner: InFlight, task: asyncio.Task[object] | None) -> None:
        self._owner = owner
        self._give_up: Callable[[], Awaitable[object]] | None = None
        self._before: int | None = None
        self._cut_off = False
        self.task = task

    def held(self, give_up: Callable[[], Awaitable[object]]) -> None:
        """Say how what the work holds is given back where its task leaves without ending it."""
        self._give_up = give_up

    async def give_up(self) -> None:
        """Give back what it holds."""
        if self._give_up is not None:
            await self._give_up()

    def tell(self, task: asyncio.Task[object]) -> None:
        """Note that a task is about to be cancelled by whoever leaves."""
        if self.task is task and self._before is None:
            self._before = task.cancelling()

    def end(self) -> None:
        """Say that it is over."""
        self._owner.end(self)
        if self._before is not None and self.task is not None:
            # As asyncio.Timeout does it: a cancellation that somebody else asked for goes first.
            self._cut_off = self.task.uncancel() <= self._before
            self._before = None

    def told(self, error: BaseException) -> BaseException:
        """Return what the caller is told of an error that ended the work: our own word for ours.

        Called after `end`.
        """
        if not (self._cut_off and isinstance(error, asyncio.CancelledError)):
            return error
        closed = ClosedError(
            "this was under way when its runtime was left, and did not end in time"
        )
        closed.__cause__ = error
        return closed

    def __enter__(self) -> Work:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end()
        if exc is not None and (told := self.told(exc)) is not exc:
            raise told
