"""What a semantic cache counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from agentinfra.observability.semconv import CACHE_SEMANTIC, CACHE_SEMANTIC_FALSE

if TYPE_CHECKING:
    from agentinfra.cache.semantic.evidence import Audits
    from agentinfra.observability.metrics import Counter, Gauge, Metrics

__all__ = ["SemanticOutcome", "SemanticTally"]

SemanticOutcome: TypeAlias = Literal[
    "hit",
    "unproven",
    "guarded",
    "alone",
    "audited",
    "false",
    "unjudged",
    "switched_off",
    "error",
]

_OUTCOMES: tuple[SemanticOutcome, ...] = get_args(SemanticOutcome)


class SemanticTally:
    """Counts the lookups of one semantic cache, for its health and for metrics.

    Args:
        cache: The cache's name, a label of its metrics.
    """

    __slots__ = ("_cache", "_counters", "_rates", "counts")

    def __init__(self, cache: str) -> None:
        self._cache = cache
        self._counters: dict[SemanticOutcome, Counter] = {}
        self._rates: tuple[Gauge, Gauge, Gauge] | None = None
        self.counts: dict[SemanticOutcome, int] = dict.fromkeys(_OUTCOMES, 0)

    def bind(self, metrics: Metrics) -> None:
        """Count into these metrics too, from now on."""
        self._counters = {
            outcome: metrics.counter(CACHE_SEMANTIC, self._cache, outcome) for outcome in _OUTCOMES
        }
        estimate, low, high = (
            metrics.gauge(CACHE_SEMANTIC_FALSE, self._cache, bound)
            for bound in ("estimate", "low", "high")
        )
        self._rates = (estimate, low, high)

    def count(self, outcome: SemanticOutcome) -> None:
        """Add one."""
        self.counts[outcome] += 1
        if (counter := self._counters.get(outcome)) is not None:
            counter.inc()

    def audited(self, *, right: bool) -> None:
        """Add an audited hit."""
        self.count("audited")
        if not right:
            self.count("false")

    def rate(self, audits: Audits) -> None:
        """Say what share of the hits is false."""
        if self._rates is not None:
            for gauge, value in zip(
                self._rates, (audits.rate, audits.low, audits.high), strict=True
            ):
                gauge.set(value)
