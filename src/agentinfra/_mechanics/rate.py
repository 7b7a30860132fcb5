"""What is left of a server's rate limit, as far as its answers tell."""

from __future__ import annotations

from agentinfra._mechanics.clock import Clock

__all__ = ["ServerBucket"]

_ROUNDING = 0.99

_NEGLIGIBLE = 1e-6
"""What of a unit is not waited for: rounding leaves as much of a wait that is over, and a wait for
that may be too short for the clock to move at all."""

_FRESH = 0.3
"""Seconds for which what a server said remains is true enough where others use it too."""

_CAUTION = 0.7
"""What part of it is, where those who share it have all just begun."""

WINDOW = 60.0
"""Seconds a limit is for, where the server does not say when it resets."""


class ServerBucket:
    """A server's token bucket, seen from here.

    What the server says remains is what it had when it answered; what was sent meanwhile is
    taken off. Unknown until the server has said something: then everything fits.

    Attributes:
        limit: The bucket's size; None while it is unknown.
    """

    __slots__ = (
        "_at",
        "_clock",
        "_heard",
        "_level",
        "_rate",
        "_remaining",
        "_share",
        "_used",
        "_wanted",
        "limit",
    )

    def __init__(self, clock: Clock) -> None:
        self.limit: float | None = None
        self._share = 1.0
        self._wanted = 0.0
        # What the server said last, when, and what was used of it.
        self._remaining = 0.0
        self._heard = float("-inf")
        self._used = 0.0
        self._clock = clock
        self._level = 0.0
        self._rate = 0.0
        self._at = clock.now()

    def share(self, part: float, *, first: bool = False) -> None:
        """Take a part of it for one's own, from now on; the rest is for others.

        Args:
            part: Above 0, at most 1.
            first: Whether the part until now was a guess, for a moment.
        """
        self._refill()
        if self._level > 0:  # what is owed stays owed
            self._level *= part / self._share
        fresh = self._clock.now() - self._heard <= _FRESH
        if part > self._share and (first or fresh):
            believed = self._remaining * (_CAUTION if first else 1.0)
            self._level = max(self._level, believed * part - self._used)
        self._rate *= part / self._share
        self._share = part

    def take(self, amount: float) -> None:
        """Take off what is being sent, from a bucket whose size is known."""
        self._refill()
        self._level -= amount
        self._used += amount

    def seconds_until(self, amount: float) -> float:
        """Return how long to wait until so much fits; 0.0 when it does now."""
        if self.limit is None:
            return 0.0
        self._refill()
        # More than the whole bucket never fits: let it go when the bucket is full.
        wanted = min(amount, self.limit)
        # Who waits for more than fits into the own part gathers it over time.
        self._wanted = wanted
        short = wanted - self._level
        if short <= _NEGLIGIBLE:
            return 0.0
        return short / self._rate if self._rate > 0 else WINDOW

    def told(
        self, *, limit: float | None, remaining: float, reset: float | None, on_the_way: float
    ) -> None:
        """Take in what an answer said.

        Args:
            limit: The bucket's size; None where the server does not say it.
            remaining: What it held when the server answered.
            reset: Seconds until it is full again; None where the server does not say it.
            on_the_way: What has been sent and not answered yet.
        """
        first = self.limit is None
        self._refill()
        self.limit = limit or max(self.limit or 0.0, remaining, 1.0)
        missing = self.limit - remaining
        if reset and missing > 0:
            self._rate = self._share * missing / reset
        elif self._rate == 0.0:
            self._rate = self._share * self.limit / WINDOW
        # Servers round down. Our own count is kept where it agrees with what they say, since the
        # part of a unit that rounding takes would be waited for again after each answer.
        self._remaining, self._used, self._heard = remaining, on_the_way, self._at
        least = remaining * self._share - on_the_way
        if first:
            self._level = least
        elif self._level < least:
            # What others have sent and the server has not counted yet, or are saving up for,
            # looks free: all that share the bucket would take it. So each follows slowly, the
            # more of them there are; at once where it is alone.
            self._level += (least - self._level) * self._share**2
        else:
            self._level = min(self._level, least + _ROUNDING * self._share)

    def empty(self) -> None:
        """Take in that the server refused for lack of room."""
        if self.limit is not None:
            self._refill()
            self._level = min(self._level, 0.0)

    def _refill(self) -> None:
        now = self._clock.now()
        if self.limit is not None:
            most = max(self.limit * self._share, self._wanted)
            self._level = min(most, self._level + (now - self._at) * self._rate)
        self._at = now
