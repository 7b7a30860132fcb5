"""One absolute point in time that travels down a call, in place of a chain of time-outs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentinfra._mechanics.clock import SYSTEM_CLOCK, Clock

if TYPE_CHECKING:
    import asyncio

__all__ = ["Deadline"]


class Deadline:
    """The latest moment a call may end.

    Args:
        seconds: From now; None means the call may take as long as it likes.
        clock: Where time comes from.
    """

    __slots__ = ("_clock", "at")

    def __init__(self, seconds: float | None, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self.at = None if seconds is None else clock.now() + seconds

    @property
    def passed(self) -> bool:
        """Whether it has come."""
        return self.at is not None and self._clock.now() >= self.at

    def remaining(self) -> float | None:
        """Return the seconds left, 0.0 when it has passed, None when there is no end."""
        return None if self.at is None else max(0.0, self.at - self._clock.now())

    def allows(self, seconds: float) -> bool:
        """Return whether a wait of this long would end before the deadline."""
        return self.at is None or self._clock.now() + seconds < self.at

    def timeout(self, at_most: float | None = None) -> asyncio.Timeout:
        """Return a timeout for one step: the deadline, or ``at_most`` seconds if that is sooner."""
        return self._clock.timeout_at(self.within(at_most))

    def within(self, at_most: float | None) -> float | None:
        """Return when a step ends that may take ``at_most`` seconds, None when it may take all."""
        if at_most is None:
            return self.at
        end = self._clock.now() + at_most
        return end if self.at is None else min(self.at, end)
