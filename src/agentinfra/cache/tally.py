"""What a cache counts: for its own statistics, and for the metrics page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from agentinfra.observability.semconv import CACHE_ENTRIES, CACHE_OPERATIONS

if TYPE_CHECKING:
    from agentinfra.observability.metrics import Counter, Gauge, Metrics

__all__ = ["Outcome", "Tally"]

Outcome: TypeAlias = Literal["hit", "miss", "set", "eviction", "expiration", "coalesced", "error"]

_OUTCOMES: tuple[Outcome, ...] = (
    "hit",
    "miss",
    "set",
    "eviction",
    "expiration",
    "coalesced",
    "error",
)


class Tally:
    """Counts the outcomes of one cache's operations.

    Args:
        cache: The cache's name, a label of its metrics.
    """

    __slots__ = ("_cache", "_counters", "_entries", "counts")

    def __init__(self, cache: str) -> None:
        self._cache = cache
        self._counters: dict[Outcome, Counter] = {}
        self._entries: Gauge | None = None
        self.counts: dict[Outcome, int] = dict.fromkeys(_OUTCOMES, 0)

    def bind(self, metrics: Metrics) -> None:
        """Count into these metrics too, from now on."""
        self._counters = {
            outcome: metrics.counter(CACHE_OPERATIONS, self._cache, outcome)
            for outcome in _OUTCOMES
        }
        self._entries = metrics.gauge(CACHE_ENTRIES, self._cache)

    def count(self, outcome: Outcome) -> None:
        """Add one."""
        self.counts[outcome] += 1
        if (counter := self._counters.get(outcome)) is not None:
            counter.inc()

    def entries(self, number: int) -> None:
        """Say how many entries are held now."""
        if self._entries is not None:
            self._entries.set(number)
