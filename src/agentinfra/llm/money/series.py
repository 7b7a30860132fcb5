"""Accounts in the metrics: the first so many by name, all others as one."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from agentinfra.observability import semconv

if TYPE_CHECKING:
    from agentinfra.llm.money.budget import Budget
    from agentinfra.observability.metrics import Metrics

__all__ = ["AccountSeries"]

_OTHERS = "other"


class AccountSeries:
    """Gives accounts their series: keys are people's, and may be millions.

    Args:
        metrics: Where they are.
        named: How many accounts have a name there.
    """

    def __init__(self, metrics: Metrics, named: int) -> None:
        self._metrics = metrics
        self._named = named
        self._names: set[tuple[str, str]] = set()

    def show(self, budget: Budget, per: str) -> None:
        """Have what a budget spends counted, and what it has left shown where it has a name."""
        if len(self._names) < self._named:
            self._names.add((budget.name, per))
        labels = self._labels(budget, per)
        remaining = None
        if labels[0] == budget.name:
            remaining = self._metrics.gauge(semconv.LLM_BUDGET_REMAINING, *labels)
        budget.show(self._metrics.counter(semconv.LLM_BUDGET_SPENT, *labels), remaining)

    def warned(self, budget: Budget, per: str, share: Decimal) -> None:
        """Count a warning."""
        labels = self._labels(budget, per)
        self._metrics.counter(semconv.LLM_BUDGET_WARNINGS, *labels, f"{share:f}").inc()

    def _labels(self, budget: Budget, per: str) -> tuple[str, str]:
        return (budget.name if (budget.name, per) in self._names else _OTHERS), per
