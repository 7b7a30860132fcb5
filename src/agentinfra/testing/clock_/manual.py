"""A clock that stands still until a test moves it."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import TypeAlias

from agentinfra._mechanics.clock import Alarm

__all__ = ["ManualClock"]


class ManualClock:
    """Virtual time for code that takes a clock: sleeps and timeouts end when a test says so.

    One event loop. Hand it to what takes a ``clock`` argument and move it with :meth:`advance`.

    Example:
        .. code-block:: python

            clock = ManualClock()
            async with AsyncLLMClient(settings, clock=clock) as llm:
                call = asyncio.create_task(llm.chat_completion(messages))
                await clock.sleepers(1)   # the call waits before its second attempt
                await clock.advance(2.0)  # two seconds pass at once
    """

    def __init__(self, start: float = 1000.0) -> None:
        self._now = start
        self._order = count()
        self._due: list[tuple[float, int, _Due]] = []
        self._arrived = asyncio.Event()

    def now(self) -> float:
        """Return the virtual time in seconds."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has been moved this far."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._push(self._now + seconds, future)
        await future

    def timeout_at(self, when: float | None) -> asyncio.Timeout:
        """Return a timeout that expires when the clock is moved past ``when``."""
        timeout = asyncio.timeout(None)
        if when is not None:
            self._push(when, timeout)
        return timeout

    def call_at(self, when: float, callback: Callable[[], None]) -> Alarm:
        """Call a function when the clock is moved past ``when``."""
        alarm = _Alarm(callback)
        self._push(when, alarm)
        return alarm

    @property
    def sleeping(self) -> int:
        """How many sleeps are waiting."""
        return sum(isinstance(item, asyncio.Future) and not item.done() for _, _, item in self._due)

    async def sleepers(self, number: int) -> None:
        """Wait until at least this many sleeps are waiting."""
        while self.sleeping < number:
            self._arrived.clear()
            await self._arrived.wait()

    async def advance(self, seconds: float) -> None:
        """Move the clock, ending in order what is due on the way, and let the woken tasks run."""
        end = self._now + seconds
        while self._due and self._due[0][0] <= end:
            when, _, item = heapq.heappop(self._due)
            self._now = max(self._now, when)
            _wake(item)
            await asyncio.sleep(0)
        self._now = end
        await asyncio.sleep(0)

    def _push(self, when: float, item: _Due) -> None:
        heapq.heappush(self._due, (when, next(self._order), item))
        self._arrived.set()


class _Alarm:
    """A function to be called, unless it is cancelled."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self._callback = None

    def ring(self) -> None:
        if self._callback is not None:
            self._callback()


_Due: TypeAlias = asyncio.Future[None] | asyncio.Timeout | _Alarm


def _wake(item: _Due) -> None:
    if isinstance(item, _Alarm):
        item.ring()
        return
    if isinstance(item, asyncio.Future):
        if not item.done():
            item.set_result(None)
        return
    with suppress(RuntimeError):  # raised where the block it guarded is over
        item.reschedule(asyncio.get_running_loop().time())
