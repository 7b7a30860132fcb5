"""A clock that stands still until a test moves it, or moves by itself when all tasks wait."""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import Callable
from typing import Final

from agentinfra._mechanics.clock import Alarm
from agentinfra.testing.clock.stillness import places, settled
from agentinfra.testing.clock.timeline import Entry, Expiry, Ring, Sleep, Timeline
from agentinfra.testing.clock.watch import Watch

__all__ = ["ManualClock"]

QUIET: Final = 0.02
"""Real seconds without any movement after which tasks are taken to wait for time alone."""

_LOOK: Final = 0.0005


class ManualClock:
    """Virtual time for code that takes a clock: sleeps and timeouts end when a test says so.

    Hand it to what takes a ``clock`` argument, and move it with `advance`; or let it move
    itself: with ``auto_advance`` time jumps to the next sleep or timeout whenever every task
    waits, so that a story of many waits is over in milliseconds. Loops of other threads may sleep
    on it too. Sleeps whose tasks are cancelled, timeouts whose blocks are over and alarms that are
    cancelled leave nothing behind.

    Args:
        start: The time it begins with, in seconds.
        auto_advance: Whether time jumps when every task waits.
        quiet: Real seconds in which nothing moves, after which a task that waits for something
            other than the clock (a socket, a thread) is taken to wait for time as well.

    Example:
        ```python
        clock = ManualClock()
        async with AsyncLLMClient(settings, clock=clock) as llm:
            call = asyncio.create_task(llm.chat_completion(messages))
            await clock.sleepers(1)     # the call waits before its second attempt
            await clock.advance(3600)   # an hour passes, with all the attempts in it
        ```
    """

    def __init__(
        self, start: float = 1000.0, *, auto_advance: bool = False, quiet: float = QUIET
    ) -> None:
        self._timeline = Timeline(start)
        self._auto = auto_advance
        self._quiet = quiet
        self._watches: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Watch] = (
            weakref.WeakKeyDictionary()
        )

    def __repr__(self) -> str:
        return f"<ManualClock at {self._timeline.now:g} s, {len(self._timeline.waiting)} waiting>"

    @property
    def auto_advance(self) -> bool:
        """Whether time jumps to the next sleep or timeout when every task waits."""
        return self._auto

    @property
    def sleeping(self) -> int:
        """How many sleeps are waiting."""
        return self._timeline.sleeping

    def now(self) -> float:
        """Return the virtual time in seconds."""
        return self._timeline.now

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has been moved this far.

        Raises:
            AssertionError: Every task waits for the clock, and nobody is left to move it.
        """
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        entry = Sleep(self._timeline.now + seconds)
        self._add(entry)
        try:
            await entry.future
        finally:
            self._timeline.drop(entry)

    def timeout_at(self, when: float | None) -> asyncio.Timeout:
        """Return a timeout that expires when the clock is moved to ``when``."""
        if when is not None and when <= self._timeline.now:
            return asyncio.timeout(0)
        timeout = asyncio.timeout(None)
        if when is not None:
            self._add(Expiry(when, timeout, self._timeline.drop))
        return timeout

    def call_at(self, when: float, callback: Callable[[], None]) -> Alarm:
        """Call a function when the clock is moved to ``when``, or soon where that has passed."""
        if when <= self._timeline.now:
            return asyncio.get_running_loop().call_soon(callback)
        entry = Ring(when, callback, self._timeline.drop)
        self._add(entry)
        return entry

    async def sleepers(self, number: int, *, timeout: float | None = 5.0) -> None:
        """Wait until at least this many sleeps are waiting.

        Raises:
            TimeoutError: There are not so many within ``timeout`` real seconds (None: waits for
                ever); the message says how many there are.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while self.sleeping < number:
            if end is not None and time.monotonic() > end:
                message = f"{self.sleeping} of {number} sleeps wait on the clock after {timeout} s"
                raise TimeoutError(message)
            await asyncio.sleep(_LOOK)

    async def advance(self, seconds: float) -> None:
        """Let time pass: in order, with everything that begins and ends on the way.

        After each sleep or timeout that ends, the tasks run until they wait again, so that one
        call passes sleeps that follow one another, with requests between them.

        Raises:
            ValueError: It would have to go back.
        """
        _check(seconds)
        end = self._timeline.now + seconds
        await settled(places(asyncio.all_tasks()), self._timeline.ends, quiet=0.0)
        while self._timeline.waiting and self._timeline.waiting[0].when <= end:
            before = places(asyncio.all_tasks())
            self._timeline.pass_to(self._timeline.waiting[0].when)
            await settled(before, self._timeline.ends, quiet=self._quiet)
        self._timeline.pass_to(end)

    def shift(self, seconds: float) -> None:
        """Let time pass at once; what is due ends when the loop runs next.

        Raises:
            ValueError: It would have to go back.
        """
        _check(seconds)
        self._timeline.pass_to(self._timeline.now + seconds)

    def _add(self, entry: Entry) -> None:
        self._timeline.add(entry)
        watch = self._watches.get(entry.loop)
        if watch is None:
            watch = Watch(self._timeline, auto=self._auto, quiet=self._quiet)
            self._watches[entry.loop] = watch
        watch.go_on()


def _check(seconds: float) -> None:
    if not seconds >= 0:
        raise ValueError(f"time goes on and not back: {seconds!r} seconds cannot pass")
