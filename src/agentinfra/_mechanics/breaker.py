"""A circuit breaker: stops asking a server that fails, and asks again carefully."""

from __future__ import annotations

from collections import deque
from typing import Literal, TypeAlias

from agentinfra._mechanics.clock import SYSTEM_CLOCK, Clock

__all__ = ["Admission", "BreakerState", "CircuitBreaker"]

BreakerState: TypeAlias = Literal["closed", "open", "half-open"]


class CircuitBreaker:
    """Counts the last outcomes and opens when too many of them are failures.

    Closed, everything is let through. Open, nothing is until the cool-down is over. Half-open,
    one probe at a time is: its success closes the breaker, its failure opens it for twice as
    long. (Nygard, "Release It!", stability patterns; the count-based window of resilience4j.)

    Synchronous; one event loop.

    Args:
        window: Outcomes looked back on.
        minimum: Outcomes needed before it may open.
        ratio: Share of failures at which it opens.
        cool_down: Seconds it stays open the first time.
        longest: Seconds it stays open at most.
        clock: Where time comes from.
    """

    def __init__(
        self,
        *,
        window: int = 20,
        minimum: int = 5,
        ratio: float = 0.5,
        cool_down: float = 5.0,
        longest: float = 60.0,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._outcomes: deque[bool] = deque(maxlen=window)
        self._minimum = minimum
        self._ratio = ratio
        self._first_cool_down = cool_down
        self._longest = longest
        self._clock = clock
        self._cool_down = cool_down
        self._opened_at: float | None = None
        self._probe: Admission | None = None
        self._generation = 0

    @property
    def state(self) -> BreakerState:
        """What it does with the next request."""
        if self._opened_at is None:
            return "closed"
        return "half-open" if self.retry_after == 0.0 else "open"

    @property
    def retry_after(self) -> float:
        """Seconds until a probe may be sent, 0.0 when one may be sent now."""
        if self._opened_at is None:
            return 0.0
        return max(0.0, self._opened_at + self._cool_down - self._clock.now())

    def admit(self) -> Admission | None:
        """Return leave to send one request, which has to be ended; None when there is none."""
        if self._opened_at is None:
            return Admission(self, self._generation)
        if self.retry_after > 0.0 or self._probe is not None:
            return None
        self._probe = Admission(self, self._generation)
        return self._probe

    def _end(self, admission: Admission, *, ok: bool | None) -> None:
        if admission is self._probe:
            self._probe = None
            if ok is not None:
                self._judge_probe(ok=ok)
        elif ok is not None and admission.generation == self._generation:
            self._outcomes.append(ok)
            if not ok and self._too_many_failures():
                self._open(self._first_cool_down)

    def _judge_probe(self, *, ok: bool) -> None:
        if ok:
            self._opened_at = None
            self._outcomes.clear()
            self._generation += 1
        else:
            self._open(min(self._longest, self._cool_down * 2))

    def _open(self, cool_down: float) -> None:
        self._opened_at = self._clock.now()
        self._cool_down = cool_down
        # Requests let through before this moment say nothing about the time after it.
        self._generation += 1

    def _too_many_failures(self) -> bool:
        total = len(self._outcomes)
        return total >= self._minimum and self._outcomes.count(False) >= self._ratio * total


class Admission:
    """Leave to send one request."""

    __slots__ = ("_breaker", "generation")

    def __init__(self, breaker: CircuitBreaker, generation: int) -> None:
        self._breaker: CircuitBreaker | None = breaker
        self.generation = generation

    def end(self, *, ok: bool | None) -> None:
        """Say how it went; a second call does nothing.

        Args:
            ok: True when the server answered, False when it failed, None when nobody can tell
                (a cancellation, a rate limit).
        """
        breaker, self._breaker = self._breaker, None
        if breaker is not None:
            breaker._end(self, ok=ok)  # noqa: SLF001 - the two are one mechanism
