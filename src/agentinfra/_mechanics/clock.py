"""Time as something that is handed in, so that tests can hold it still."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

__all__ = ["SYSTEM_CLOCK", "Alarm", "Clock", "SystemClock"]


class Alarm(Protocol):
    """A function that is going to be called."""

    def cancel(self) -> None:
        """Do not call it."""
        ...


class Clock(Protocol):
    """Where time comes from. Seconds everywhere."""

    def now(self) -> float:
        """Return a monotonic time; only differences mean something."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; a cancellation ends the wait at once."""
        ...

    def timeout_at(self, when: float | None) -> asyncio.Timeout:
        """Return a context manager that cancels its block at ``now() == when``; None never does.

        The block's cancellation leaves it as ``TimeoutError``.
        """
        ...

    def call_at(self, when: float, callback: Callable[[], None]) -> Alarm:
        """Call a function at ``now() == when``, or soon where that has passed."""
        ...


class SystemClock:
    """The clock of the machine and of the running event loop."""

    __slots__ = ()

    now = staticmethod(time.monotonic)
    sleep = staticmethod(asyncio.sleep)

    def timeout_at(self, when: float | None) -> asyncio.Timeout:
        """Return a timeout of the running loop; see `Clock`."""
        return asyncio.timeout(None if when is None else when - self.now())

    def call_at(self, when: float, callback: Callable[[], None]) -> Alarm:
        """Return a timer of the running loop; see `Clock`."""
        return asyncio.get_running_loop().call_later(when - self.now(), callback)


SYSTEM_CLOCK: Clock = SystemClock()
