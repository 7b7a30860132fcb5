"""Where calls leave their traces: series by model, spans, and lines of the log.

Children of metrics are looked up once for each model, so that a call touches only them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from agentinfra.observability import semconv
from agentinfra.observability.logging import get_logger

if TYPE_CHECKING:
    from agentinfra.observability.metrics import Counter, Histogram, Metrics
    from agentinfra.results import Usage

__all__ = ["LLMTelemetry", "OfModel"]

log = get_logger("agentinfra.llm")

COMPONENTS = ("chat", "embeddings", "structured")


class OfModel:
    """The metric children of one model, and what its spans begin with."""

    def __init__(self, metrics: Metrics, model: str, operation: str) -> None:
        tokens = semconv.LLM_TOKENS
        self.prompt = metrics.counter(tokens, model, "prompt")
        self.completion = metrics.counter(tokens, model, "completion")
        self.total = metrics.counter(tokens, model, "total")
        self.cached = metrics.counter(tokens, model, "cached")
        self.cache_write = metrics.counter(tokens, model, "cache_write")
        self.reasoning = metrics.counter(tokens, model, "reasoning")
        self.cost = metrics.counter(semconv.LLM_COST, model)
        self.unknown = metrics.counter(semconv.LLM_UNKNOWN_PRICES, model)
        tokens_of_call = semconv.LLM_CALL_TOKENS
        self.input = metrics.histogram(tokens_of_call, model, operation, "input")
        self.output = metrics.histogram(tokens_of_call, model, operation, "output")
        self.first_token = metrics.histogram(semconv.LLM_FIRST_TOKEN, model)
        self.attempts = metrics.counter(semconv.LLM_ATTEMPTS, model, "ok")
        self.span = f"{operation} {model}"
        self.attributes = {semconv.OPERATION: operation, semconv.REQUEST_MODEL: model}
        self._metrics, self._model, self._operation = metrics, model, operation
        self._ended: dict[str, tuple[Counter, Histogram]] = {}
        self._series("ok")

    def ended(self, outcome: str, latency: float, trace_id: str = "") -> None:
        """Count a call by how it ended, and its time, with the trace it can be looked at in."""
        calls, took = self._ended.get(outcome) or self._series(outcome)
        calls.inc()
        took.observe(latency, trace_id)

    def _series(self, outcome: str) -> tuple[Counter, Histogram]:
        made = self._ended[outcome] = (
            self._metrics.counter(semconv.LLM_CALLS, self._model, outcome),
            self._metrics.histogram(semconv.LLM_LATENCY, self._model, self._operation, outcome),
        )
        return made


class LLMTelemetry:
    """Where model calls are recorded.

    Args:
        metrics: Where counters live.
        capture_content: Whether messages and answers go into spans.
        observed: False records nothing at all, for programs that want every microsecond.
    """

    def __init__(self, metrics: Metrics, *, capture_content: bool, observed: bool = True) -> None:
        self.observed = observed
        self.capture_content = capture_content and observed
        self._metrics = metrics
        self._models: dict[tuple[str, str], OfModel] = {}
        self._warned: set[str] = set()
        self.in_flight = metrics.gauge(semconv.LLM_IN_FLIGHT)
        self._waits = {
            reason: metrics.histogram(semconv.LLM_WAIT, reason) for reason in ("pace", "retry")
        }
        # Made at once: a series that begins with its first failure hides that failure from rates.
        self._failures = {
            component: metrics.counter(semconv.LLM_FAILURES, component) for component in COMPONENTS
        }

    def expect(
        self, models: Iterable[tuple[str, str]], servers: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """Begin the series of models at 0: a rate does not see the value one begins with.

        Args:
            models: What is asked of it, and the model.
            servers: What spans say of the server of each model.
        """
        self._metrics.servers.update(servers)
        if self.observed:
            for operation, model in models:
                self.of(model, operation)

    def attempted(self, model: str, operation: str, outcome: str) -> None:
        """Count one request sent."""
        if not self.observed:
            return
        if outcome == "ok":
            self.of(model, operation).attempts.inc()
        else:
            self._metrics.counter(semconv.LLM_ATTEMPTS, model, outcome).inc()

    def waited(self, reason: str, seconds: float) -> None:
        """Record that a request was held back."""
        if self.observed:
            self._waits[reason].observe(seconds)

    def retrying(self, model: str, error: Exception, attempt: int) -> None:
        """Say that a request failed and is going to be sent again or elsewhere."""
        if self.observed:
            log.warning("llm.attempt_failed", model=model, attempt=attempt, error=line_of(error))

    def refused(self, budgets: Sequence[str]) -> None:
        """Count a call that its budgets did not let out."""
        if not self.observed:
            return
        for name in budgets:
            self._metrics.counter(semconv.LLM_BUDGET_REFUSALS, name).inc()
        log.warning("llm.budget_refused", budgets=list(budgets))

    def failure(self, component: str) -> None:
        """Count a call that ended in an error."""
        if self.observed:
            self._failures[component].inc()

    def book(self, model: str, operation: str, usage: Usage, cost: Decimal | None) -> None:
        """Add tokens and money to the counters."""
        counters = self.of(model, operation)
        counters.prompt.inc(usage.prompt_tokens)
        counters.completion.inc(usage.completion_tokens)
        counters.total.inc(usage.total_tokens)
        counters.input.observe(usage.prompt_tokens)
        if operation != "embeddings":
            counters.output.observe(usage.completion_tokens)
        if usage.cached_tokens:
            counters.cached.inc(usage.cached_tokens)
        if usage.cache_write_tokens:
            counters.cache_write.inc(usage.cache_write_tokens)
        if usage.reasoning_tokens:
            counters.reasoning.inc(usage.reasoning_tokens)
        if cost is not None:
            counters.cost.inc(cost)
            return
        counters.unknown.inc()
        if model not in self._warned:
            self._warned.add(model)
            log.warning("llm.price_unknown", model=model, fix="set Settings.llm.prices")

    def of(self, model: str, operation: str) -> OfModel:
        """Return the children of a model."""
        try:
            return self._models[model, operation]
        except KeyError:
            made = self._models[model, operation] = OfModel(self._metrics, model, operation)
            return made


def line_of(error: BaseException) -> str:
    """Return an error on one line."""
    return f"{type(error).__name__}: {error}"
