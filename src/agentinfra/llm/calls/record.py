"""The record of one call: everything that is said of it gathers here and is written once."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import msgspec

from agentinfra.llm.calls.telemetry import LLMTelemetry, line_of, log
from agentinfra.observability import semconv
from agentinfra.observability.traces.spans import UnrecordedSpan
from agentinfra.observability.tracing import Span, start_span

if TYPE_CHECKING:
    from agentinfra._mechanics.clock import Clock
    from agentinfra.llm.policy.call import Call
    from agentinfra.results import Usage

__all__ = ["CallRecord", "Outcome"]


class Outcome(msgspec.Struct, kw_only=True):
    """How a call ended, as far as anybody can say.

    Attributes:
        usage: The tokens to book; None books nothing.
        cost: What they cost; None where nobody knows.
        model: The model as the server names it.
        response_id: The answer's id.
        finish_reason: Why the model stopped.
        degraded: Why it is less than was asked for.
        output: The answer, as spans have it.
        error: What it failed with, None where it did not.
        left: Whether the caller left a stream on purpose.
    """

    usage: Usage | None = None
    cost: Decimal | None = None
    model: str | None = None
    response_id: str | None = None
    finish_reason: str | None = None
    degraded: str | None = None
    output: str | None = None
    error: BaseException | None = None
    left: bool = False

    @property
    def name(self) -> str:
        """The outcome as metrics name it."""
        if self.left:
            return "left"
        if self.error is None:
            return "ok"
        cancelled = isinstance(self.error, asyncio.CancelledError | GeneratorExit)
        return "cancelled" if cancelled else type(self.error).__name__

    @property
    def failed(self) -> bool:
        """Whether it is an error: not where the caller left, or was cancelled."""
        return isinstance(self.error, Exception) and not self.left


class CallRecord:
    """What a call leaves behind: a span with its events, series, and one line of the log.

    A context manager around the work; what it ends with is said to `close` once, else the
    exception that leaves the block is.

    Args:
        telemetry: Where it is written.
        call: The call; what happens on its way gathers there.
        model: The model the caller asked for.
        component: What counts its failure: ``chat``, ``embeddings`` or ``structured``.
        clock: Where time comes from.
    """

    __slots__ = ("_call", "_clock", "_closed", "_component", "_of", "_telemetry", "model", "span")

    def __init__(
        self,
        telemetry: LLMTelemetry,
        call: Call,
        *,
        model: str,
        component: str,
        clock: Clock,
    ) -> None:
        self.model = model
        self._telemetry = telemetry
        self._call = call
        self._component = component
        self._clock = clock
        self._closed = False
        if telemetry.observed:
            self._of = telemetry.of(model, call.operation)
            self.span: Span = start_span(self._of.span, self._of.attributes, kind="client")
            telemetry.in_flight.inc()
        else:
            self.span = UnrecordedSpan()
        call.span = self.span

    @property
    def trace_id(self) -> str | None:
        """The trace it belongs to."""
        return self.span.trace_id or None

    def __enter__(self) -> Self:
        self.span.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc is not None:
            self.close(Outcome(error=exc))
        # Whether the block failed has been said above, in our own words: leaving it by a
        # cancellation is no error of the span.
        self.span.__exit__(None, None, None)

    def first_token(self) -> None:
        """Record that a stream's first content has come."""
        if self._telemetry.observed:
            latency = self._clock.now() - self._call.started
            self._of.first_token.observe(latency, self._exemplar)

    @property
    def _exemplar(self) -> str:
        """The trace to show beside a time, empty where nobody could look it up."""
        return self.span.trace_id if self.span.exported else ""

    def close(self, outcome: Outcome) -> None:
        """Write all of it; a second time does nothing."""
        if self._closed:
            return
        self._closed = True
        telemetry, call = self._telemetry, self._call
        if not telemetry.observed:
            return
        latency = self._clock.now() - call.started
        telemetry.in_flight.dec()
        self._of.ended(outcome.name, latency, self._exemplar)
        if outcome.usage is not None:
            booked = call.target.model if call.target is not None else self.model
            telemetry.book(booked, call.operation, outcome.usage, outcome.cost)
        if self.span.recording:
            self._write_span(outcome)
        if outcome.failed:
            assert outcome.error is not None  # noqa: S101 - it has failed
            telemetry.failure(self._component)
            self.span.fail(outcome.error)
            log.error(
                "llm.call_failed",
                operation=call.operation,
                model=self.model,
                error=line_of(outcome.error),
                latency=round(latency, 4),
                attempts=call.attempts,
            )
        elif outcome.usage is not None:
            log.info(
                "llm.call_finished",
                operation=call.operation,
                model=outcome.model or self.model,
                prompt_tokens=outcome.usage.prompt_tokens,
                completion_tokens=outcome.usage.completion_tokens,
                cost_usd=outcome.cost,
                latency=round(latency, 4),
                attempts=call.attempts,
            )

    def _write_span(self, outcome: Outcome) -> None:
        call, usage = self._call, outcome.usage
        said = _answered(outcome)
        if call.target is not None:  # the server that answered, or was asked last
            said |= call.target.endpoint.profile.attributes
        if call.attempts != 1:
            said[semconv.ATTEMPTS] = call.attempts
        if call.waited:
            said[semconv.WAIT] = call.waited
        if usage is not None:
            said |= _spent(usage, outcome.cost, generates=call.operation != "embeddings")
        self.span.set_all(said)


def _answered(outcome: Outcome) -> dict[str, Any]:
    """Return what a span says of the answer, as far as there is one."""
    said: dict[str, Any] = {}
    if outcome.model is not None:
        said[semconv.RESPONSE_MODEL] = outcome.model
    if outcome.response_id is not None:
        said[semconv.RESPONSE_ID] = outcome.response_id
    if outcome.finish_reason is not None:
        said[semconv.RESPONSE_FINISH_REASONS] = [outcome.finish_reason]
    if outcome.degraded is not None:
        said[semconv.DEGRADED] = outcome.degraded
    if outcome.name != "ok":
        said[semconv.OUTCOME] = outcome.name
    if outcome.output is not None:
        said[semconv.OUTPUT_MESSAGES] = outcome.output
    return said


def _spent(usage: Usage, cost: Decimal | None, *, generates: bool) -> dict[str, Any]:
    """Return what a span says of tokens and money; what is nought of the rarer ones is left out."""
    said: dict[str, Any] = {semconv.INPUT_TOKENS: usage.prompt_tokens}
    if generates:
        said[semconv.OUTPUT_TOKENS] = usage.completion_tokens
    if usage.cached_tokens:
        said[semconv.CACHED_TOKENS] = usage.cached_tokens
    if usage.cache_write_tokens:
        said[semconv.CACHE_WRITE_TOKENS] = usage.cache_write_tokens
    if usage.reasoning_tokens:
        said[semconv.REASONING_TOKENS] = usage.reasoning_tokens
    if usage.estimated:
        said[semconv.USAGE_ESTIMATED] = True
    if cost is not None:
        said[semconv.COST_USD] = float(cost)
    return said
