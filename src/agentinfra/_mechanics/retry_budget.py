"""A bound on retries over all calls, so that clients do not multiply an outage."""

from __future__ import annotations

from agentinfra._mechanics.clock import SYSTEM_CLOCK, Clock

__all__ = ["RetryBudget"]


class RetryBudget:
    """Each call pays in a fraction of a retry; each retry takes out a whole one.

    In steady failure the extra load is at most ``ratio``. A small trickle by time lets a client
    that makes few calls retry them (Finagle's RetryBudget is built the same way).

    Args:
        ratio: Retries for each call, in the long run.
        reserve: Retries there are at the start, and at most.
        per_second: Retries paid in by time.
        clock: Where time comes from.
    """

    __slots__ = ("_balance", "_clock", "_last", "_per_second", "_ratio", "_reserve")

    def __init__(
        self,
        *,
        ratio: float = 0.1,
        reserve: float = 10.0,
        per_second: float = 0.1,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._ratio = ratio
        self._reserve = reserve
        self._per_second = per_second
        self._clock = clock
        self._balance = reserve
        self._last = clock.now()

    @property
    def balance(self) -> float:
        """Retries that could be made now."""
        return self._balance

    def deposit(self) -> None:
        """Pay in for a call that is being made."""
        self._balance = min(self._reserve, self._balance + self._ratio)

    def withdraw(self) -> bool:
        """Take out one retry; False, and nothing taken, when there is none."""
        now = self._clock.now()
        paid_in = (now - self._last) * self._per_second
        self._balance, self._last = min(self._reserve, self._balance + paid_in), now
        if self._balance < 1.0:
            return False
        self._balance -= 1.0
        return True
