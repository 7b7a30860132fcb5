"""What a cache counts: for its own statistics, and for the metrics page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from agentinfra.observability.semconv import CACHE_ENTRIES, CACHE_OPERATIONS

if TYPE_CHECKING:
    from agentinfra.observability.metrics import Counter, Gauge, Metrics

__all__ = ["Outcome", "Tally"]

Outcome: TypeAlias = Literal[
    "hit",
    "stale",
    "miss",
    "set",
    "eviction",
    "expiration",
    "refused",
    "coalesced",
    "refresh_failed",
    "error",
]

_OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


class Tally:
    """Counts the outcomes of one cache's operations.

    Args:
        cache: The cache's name, a label of its metrics.
    """

    __slots__ = ("_cache", "_counters", "_entries", "_hits", "counts", "hits")

    def __init__(self, cache: str) -> None:
        self._cache = cache
        self._counters: dict[Outcome, Counter] = {}
        self._hits: Counter | None = None
        self._entries: Gauge | None = None
        self.counts: dict[Outcome, int] = dict.fromkeys(_OUTCOMES, 0)
        self.hits = 0

    def bind(self, metrics: Metrics) -> None:
        """Count into these metrics too, from now on."""
        self._counters = {
            outcome: metrics.counter(CACHE_OPERATIONS, self._cache, outcome)
            for outcome in _OUTCOMES
        }
        self._hits = self._counters["hit"]
        self._entries = metrics.gauge(CACHE_ENTRIES, self._cache)

    def hit(self) -> None:
        """Add a hit: the way every answer from memory takes, hence its own."""
        self.hits += 1
        if self._hits is not None:
            self._hits.inc()

    def count(self, outcome: Outcome, number: int = 1) -> None:
        """Add one, or as many as are said."""
        self.counts[outcome] += number
        if (counter := self._counters.get(outcome)) is not None:
            counter.inc(number)

    def entries(self, number: int) -> None:
        """Say how many entries are held now."""
        if self._entries is not None:
            self._entries.set(number)
