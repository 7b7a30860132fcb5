"""The check around a block."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from collections.abc import Callable, Collection
from types import TracebackType
from typing import Self

from agentinfra.testing.leaks.resources import Found, Snapshot, leaks_since
from agentinfra.testing.leaks.sites import Sites
from agentinfra.testing.leaks.unheard import Unheard

__all__ = ["LeakCheck", "assert_no_leaks"]

_ROUNDS = 20
_PAUSE = 0.005
_LOOKS = 8
"""Looks that what is ending gets at least: on a busy machine a single one may outlast the grace."""


class LeakCheck:
    """Compares the process before and after a block.

    A context manager, which gives things on their way out a little time to go: ``async with`` on
    a loop, ``with`` in code without one. Where there is no block to put around: `start`, later
    `check`.
    """

    def __init__(self, *, grace: float = 0.5, ignore: Collection[str] = ()) -> None:
        self._grace = grace
        self._ignore = tuple(ignore)
        self._before: Snapshot | None = None
        self._sites = Sites()
        self._unheard = Unheard()
        self._thaw: Callable[[], object] | None = None

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            await self.settle()
            self.check()
            return
        if isinstance(error, asyncio.CancelledError | GeneratorExit):
            self.stop()
            return  # whoever cancels wants to go on; nothing may be awaited here
        await self.settle()
        if found := self._found():
            error.add_note(_told(found))
        self.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        end = time.monotonic() + self._grace
        while self._found() and time.monotonic() < end:
            time.sleep(_PAUSE)  # threads and processes go on; tasks of this thread's loop cannot
        if error is None:
            self.check()
            return
        if found := self._found():
            error.add_note(_told(found))
        self.stop()

    def start(self) -> None:
        """Remember what there is."""
        alone = not gc.get_freeze_count()
        # What is frozen is not listed, and would be taken for new later on.
        gc.unfreeze()
        self._before = Snapshot()
        self._unheard.start(self._before.has)
        if alone:
            # What is there is left out of every later look, and its garbage stays where it is.
            gc.freeze()
            self._thaw = weakref.finalize(self, gc.unfreeze)
        self._sites.start()

    def leaks(self) -> list[str]:
        """Return what is there now and was not at the start, by name."""
        return [str(found) for found in self._found()]

    async def settle(self) -> None:
        """Give what is ending some turns of the loop, and at most ``grace`` seconds."""
        for _ in range(_ROUNDS):
            await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        end, looks = loop.time() + self._grace, _LOOKS if self._grace else 0
        while self._found() and (looks > 0 or loop.time() < end):
            looks -= 1
            await asyncio.sleep(_PAUSE)  # nothing tells when they end

    def check(self) -> None:
        """Compare.

        Raises:
            AssertionError: Something is left; the message names all of it.
        """
        found = self._found()
        self.stop()
        if found:
            raise AssertionError(_told(found))

    def stop(self) -> None:
        """Note no more who makes what; `check` and leaving the block do it themselves."""
        self._sites.stop()
        self._unheard.stop()
        if self._thaw is not None:
            self._thaw()

    def _found(self) -> list[Found]:
        if self._before is None:
            raise RuntimeError("the leak check has not started; call start() or enter it")
        found = self._look(self._before)
        if found:
            # What only a circle of references holds is on its way out.
            gc.collect()
            found = self._look(self._before)
        return found

    def _look(self, before: Snapshot) -> list[Found]:
        found = sorted({*leaks_since(before, self._sites), *self._unheard.found}, key=str)
        return [leak for leak in found if not any(part in str(leak) for part in self._ignore)]


def _told(found: Collection[Found]) -> str:
    return f"{len(found)} leaked: " + "; ".join(map(str, found))


def assert_no_leaks(*, grace: float = 0.5, ignore: Collection[str] = ()) -> LeakCheck:
    """Return a check that a block leaves nothing behind.

    Found are tasks, failed tasks nobody awaited, coroutines never awaited, async generators in the
    middle, timers, threads, files, sockets, child processes, HTTP clients left open, slots of
    pools and semaphores, signal handlers and fields bound to the log's context; each is named with
    the line that made it. What a runtime, client, pool or server that was open before keeps for
    itself is none of the block's, nor are the threads of the loop's default executor and anyio's.

    A block that raises keeps its own error; what it left is a note on it.

    Args:
        grace: Seconds to wait at most for things that are ending; 0 waits a few turns of the loop.
        ignore: Parts of names that may stay.

    Example:
        async with assert_no_leaks():
            async with InfraRuntime() as rt:
                ...
    """
    return LeakCheck(grace=grace, ignore=ignore)
