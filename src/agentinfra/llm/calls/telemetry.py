"""What a model call leaves behind: counters, a span and one log line.

Children of metrics are looked up once for each model, so that a call touches only them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from agentinfra.observability import semconv
from agentinfra.observability.logging import get_logger
from agentinfra.observability.tracing import Span, start_span

if TYPE_CHECKING:
    from agentinfra.observability.metrics import Counter, Metrics
    from agentinfra.results import LLMResponse, Usage

__all__ = ["LLMTelemetry"]

log = get_logger("agentinfra.llm")


class _OfModel:
    """The metric children of one model, and what its spans begin with."""

    def __init__(
        self, metrics: Metrics, model: str, operation: str, common: Mapping[str, Any]
    ) -> None:
        tokens = semconv.LLM_TOKENS
        self.prompt = metrics.counter(tokens, model, "prompt")
        self.completion = metrics.counter(tokens, model, "completion")
        self.total = metrics.counter(tokens, model, "total")
        self.cached = metrics.counter(tokens, model, "cached")
        self.reasoning = metrics.counter(tokens, model, "reasoning")
        self.cost = metrics.counter(semconv.LLM_COST, model)
        self.unknown = metrics.counter(semconv.LLM_UNKNOWN_PRICES, model)
        self.latency = metrics.histogram(semconv.LLM_LATENCY, model, operation)
        self.first_token = metrics.histogram(semconv.LLM_FIRST_TOKEN, model)
        self.ok = metrics.counter(semconv.LLM_CALLS, model, "ok")
        self.attempts = metrics.counter(semconv.LLM_ATTEMPTS, model, "ok")
        self.outcomes: dict[str, Counter] = {}
        self.span = f"{operation} {model}"
        self.attributes = {
            **common,
            semconv.OPERATION: operation,
            semconv.REQUEST_MODEL: model,
        }


class LLMTelemetry:
    """Records model calls.

    Args:
        metrics: Where counters live.
        base_url: The endpoint, for the span.
        capture_content: Whether messages and answers go into spans.
    """

    def __init__(
        self, metrics: Metrics, *, base_url: str | None, provider: str, capture_content: bool
    ) -> None:
        self._metrics = metrics
        self._models: dict[tuple[str, str], _OfModel] = {}
        self._warned: set[str] = set()
        self._in_flight = metrics.gauge(semconv.LLM_IN_FLIGHT)
        self._wait = metrics.histogram(semconv.LLM_WAIT, "pace")
        self._failures = metrics.counter(semconv.LLM_FAILURES, "llm")
        address = urlsplit(base_url or "https://api.openai.com/v1")
        self.capture_content = capture_content
        self._common: dict[str, Any] = {
            semconv.PROVIDER: provider,
            semconv.SERVER_ADDRESS: address.hostname or "",
            semconv.SERVER_PORT: address.port or (443 if address.scheme == "https" else 80),
        }

    def started(self, operation: str, model: str, attributes: Mapping[str, Any]) -> Span:
        """Open the span of a call, as ``{operation} {model}``; the caller ends it."""
        self._in_flight.inc()
        known = self._of(model, operation)
        span = start_span(known.span, known.attributes, kind="client")
        for name, value in attributes.items():
            if value is not None:
                span.set(name, value)
        return span

    def attempted(self, model: str, operation: str, outcome: str) -> None:
        """Count one request sent."""
        if outcome == "ok":
            self._of(model, operation).attempts.inc()
        else:
            self._metrics.counter(semconv.LLM_ATTEMPTS, model, outcome).inc()

    def waited(self, seconds: float) -> None:
        """Record that a request was held back for the endpoint's limits."""
        self._wait.observe(seconds)

    def retrying(self, model: str, error: Exception, attempt: int) -> None:
        """Say that a request failed and is going to be sent again or elsewhere."""
        log.warning("llm.attempt_failed", model=model, attempt=attempt, error=_line(error))

    def first_token(self, model: str, seconds: float) -> None:
        """Record when a stream's first content came."""
        self._of(model, "chat").first_token.observe(seconds)

    def refused(self, budgets: Sequence[str]) -> None:
        """Count a call that its budgets did not let out."""
        for name in budgets:
            self._metrics.counter(semconv.LLM_BUDGET_REFUSALS, name).inc()
        log.warning("llm.budget_refused", budgets=list(budgets))

    def finished(self, span: Span, operation: str, response: LLMResponse) -> None:
        """Record a chat call that gave an answer."""
        span.set_all(
            {
                semconv.OUTPUT_TOKENS: response.usage.completion_tokens,
                semconv.RESPONSE_FINISH_REASONS: [response.finish_reason or "unknown"],
                semconv.DEGRADED: response.degraded,
            }
        )
        self.answered(
            span,
            operation,
            model=response.model,
            usage=response.usage,
            cost=response.cost_usd,
            latency=response.latency,
            attempts=response.attempts,
        )

    def answered(
        self,
        span: Span,
        operation: str,
        *,
        model: str,
        usage: Usage,
        cost: Decimal | None,
        latency: float,
        attempts: int,
    ) -> None:
        """Record a call that gave what was asked for."""
        self._in_flight.dec()
        counters = self._of(model, operation)
        counters.ok.inc()
        counters.latency.observe(latency)
        self.book(model, operation, usage, cost)
        span.set_all(
            {
                semconv.RESPONSE_MODEL: model,
                semconv.INPUT_TOKENS: usage.prompt_tokens,
                semconv.COST_USD: None if cost is None else float(cost),
                semconv.ATTEMPTS: None if attempts == 1 else attempts,
            }
        )
        log.info(
            "llm.call_finished",
            operation=operation,
            model=model,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            cost_usd=cost,
            latency=round(latency, 4),
            attempts=attempts,
        )

    def failed(self, span: Span, operation: str, *, model: str, error: BaseException) -> None:
        """Record a call that ended in an error or a cancellation."""
        self._in_flight.dec()
        outcome = type(error).__name__
        counters = self._of(model, operation)
        if outcome not in counters.outcomes:
            counters.outcomes[outcome] = self._metrics.counter(semconv.LLM_CALLS, model, outcome)
        counters.outcomes[outcome].inc()
        span.fail(error)
        if isinstance(error, Exception):
            self._failures.inc()
            log.error("llm.call_failed", operation=operation, model=model, error=_line(error))

    def book(self, model: str, operation: str, usage: Usage, cost: Decimal | None) -> None:
        """Add tokens and money to the counters."""
        counters = self._of(model, operation)
        counters.prompt.inc(usage.prompt_tokens)
        counters.completion.inc(usage.completion_tokens)
        counters.total.inc(usage.total_tokens)
        if usage.cached_tokens:
            counters.cached.inc(usage.cached_tokens)
        if usage.reasoning_tokens:
            counters.reasoning.inc(usage.reasoning_tokens)
        if cost is not None:
            counters.cost.inc(float(cost))
            return
        counters.unknown.inc()
        if model not in self._warned:
            self._warned.add(model)
            log.warning("llm.price_unknown", model=model, fix="set Settings.llm.prices")

    def _of(self, model: str, operation: str) -> _OfModel:
        try:
            return self._models[model, operation]
        except KeyError:
            made = _OfModel(self._metrics, model, operation, self._common)
            self._models[model, operation] = made
            return made


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
