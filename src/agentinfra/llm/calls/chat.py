"""Chat calls from reservation to result, whole and streamed."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from agentinfra.errors import BudgetExceededError
from agentinfra.llm.calls.stream import LLMStream
from agentinfra.llm.dialects.assembly import Assembly
from agentinfra.llm.dialects.codec import ChatBody, decode_chat, encode, tool_calls_of, usage_of
from agentinfra.llm.money.budget import Reservation, active_budgets, reserve
from agentinfra.llm.wire.open_stream import OpenStream
from agentinfra.llm.wire.sdk import raw_response
from agentinfra.observability import semconv
from agentinfra.results import LLMResponse, Usage

if TYPE_CHECKING:
    from agentinfra._mechanics.clock import Clock
    from agentinfra._mechanics.inflight import Work
    from agentinfra.llm.calls.telemetry import LLMTelemetry
    from agentinfra.llm.dialects.request import ChatRequest
    from agentinfra.llm.policy.dispatch import Call, Dispatcher
    from agentinfra.llm.wire.endpoint import Target
    from agentinfra.llm.wire.transport import Reply
    from agentinfra.observability.tracing import Span

__all__ = ["ChatCalls"]

PATH = "/chat/completions"


class ChatCalls:
    """Makes chat calls for a client."""

    def __init__(self, dispatcher: Dispatcher, telemetry: LLMTelemetry, *, clock: Clock) -> None:
        self._dispatcher = dispatcher
        self._telemetry = telemetry
        self._clock = clock

    async def complete(
        self, request: ChatRequest, call: Call, targets: Sequence[Target]
    ) -> LLMResponse:
        """Return a whole answer."""
        reservation = self._reserve(request, targets)
        cost: Decimal | None = None
        try:
            with self._span(request) as span:
                try:
                    reply, body = await self._dispatcher.run(
                        call, targets, partial(self._send, request, call), _read, hedge=True
                    )
                except BaseException as error:
                    self._telemetry.failed(span, "chat", model=request.model, error=error)
                    raise
                response = self._response(reply, body, request, call, span)
                cost = response.cost_usd
                self._record(span, response, call.waited)
                return response
        finally:
            reservation.settle(cost)

    async def stream(
        self, request: ChatRequest, call: Call, targets: Sequence[Target], work: Work
    ) -> LLMStream:
        """Return a streamed answer whose first content has come."""
        try:
            reservation = self._reserve(request, targets)
        except BaseException:
            work.end()
            raise
        span = self._span(request)
        try:
            source = await self._dispatcher.run(
                call, targets, partial(self._open_stream, request, call), _as_it_is
            )
        except BaseException as error:  # noqa: BLE001 - it is raised again below
            with span:
                self._telemetry.failed(span, "chat", model=request.model, error=error)
            reservation.settle(None)
            work.end()
            raise work.told(error)  # noqa: B904 - the error itself, or one that names it
        self._telemetry.first_token(request.model, self._clock.now() - call.started)
        return LLMStream(
            source,
            model=request.model,
            finish=partial(self._end_stream, request, call, span, source, reservation),
            work=work,
        )

    def _reserve(self, request: ChatRequest, targets: Sequence[Target]) -> Reservation:
        if not active_budgets():
            return reserve(request.model, None)
        worst: Decimal | None = Decimal(0)
        for target in targets:
            rates = target.endpoint.prices.rates(target.model, request.payload.get("service_tier"))
            if rates is None or worst is None:
                worst = None
                continue
            most = rates.at_most(request.most_prompt_tokens, request.most_completion_tokens)
            most *= 2 if self._dispatcher.hedges and not request.stream else 1
            worst = max(worst, most)
        try:
            return reserve(request.model, worst)
        except BudgetExceededError:
            self._telemetry.refused([budget.name for budget in active_budgets()])
            raise

    def _span(self, request: ChatRequest) -> Span:
        payload = request.payload
        span = self._telemetry.started(
            "chat",
            request.model,
            {
                semconv.REQUEST_MAX_TOKENS: payload.get("max_tokens"),
                semconv.REQUEST_TEMPERATURE: payload.get("temperature"),
                semconv.REQUEST_STREAM: True if request.stream else None,
            },
        )
        if self._telemetry.capture_content:
            span.set(semconv.INPUT_MESSAGES, _input_messages(payload["messages"]))
        return span

    def _send(self, request: ChatRequest, call: Call, target: Target) -> Awaitable[Reply]:
        return target.endpoint.post(
            PATH,
            request.body_for(target.model),
            model=target.model,
            headers={"Idempotency-Key": call.key},
            deadline=call.deadline,
            patience=call.patience,
        )

    def _open_stream(
        self, request: ChatRequest, call: Call, target: Target
    ) -> Awaitable[OpenStream]:
        return target.endpoint.stream(
            PATH,
            request.body_for(target.model),
            model=target.model,
            headers={"Idempotency-Key": call.key},
            deadline=call.deadline,
            patience=call.patience,
        )

    def _response(
        self, reply: Reply, body: ChatBody, request: ChatRequest, call: Call, span: Span
    ) -> LLMResponse:
        choice = body.choices[0]
        usage = usage_of(body.usage) or _estimate(request, choice.message.content or "")
        cost = self._cost(call, body.model, usage, body.service_tier)
        if call.hedged and cost is not None:
            cost += self._lost(call, request)
        return LLMResponse(
            text=choice.message.content or choice.message.refusal or "",
            tool_calls=tool_calls_of(choice.message),
            model=body.model or request.model,
            usage=usage,
            cost_usd=cost,
            finish_reason=choice.finish_reason,
            attempts=call.attempts,
            latency=self._clock.now() - call.started,
            degraded=call.fallback,
            request_id=reply.headers.get("x-request-id"),
            trace_id=span.trace_id or None,
            _raw=partial(raw_response, reply.body),
        )

    def _end_stream(
        self,
        request: ChatRequest,
        call: Call,
        span: Span,
        source: OpenStream,
        reservation: Reservation,
        assembly: Assembly,
        error: BaseException | None,
    ) -> LLMResponse:
        characters = request.most_prompt_tokens
        usage = assembly.usage or assembly.estimated_usage(characters)
        response = LLMResponse(
            text=assembly.text,
            tool_calls=assembly.tool_calls,
            model=assembly.model or request.model,
            usage=usage,
            cost_usd=self._cost(call, assembly.model, usage, assembly.service_tier),
            finish_reason=assembly.finish_reason,
            attempts=call.attempts,
            latency=self._clock.now() - call.started,
            degraded=call.fallback if error is None else f"the stream broke: {error}",
            request_id=source.headers.get("x-request-id"),
            trace_id=span.trace_id or None,
        )
        reservation.settle(response.cost_usd)
        with span:  # entered only now, so that the log line carries its ids
            if error is None:
                self._record(span, response, call.waited)
            else:
                self._telemetry.book(response.model, "chat", usage, response.cost_usd)
                self._telemetry.failed(span, "chat", model=request.model, error=error)
        return response

    def _record(self, span: Span, response: LLMResponse, waited: float) -> None:
        if waited:
            span.set(semconv.WAIT, waited)
        if self._telemetry.capture_content:
            span.set(semconv.OUTPUT_MESSAGES, _output_messages(response))
        self._telemetry.finished(span, "chat", response)

    def _cost(
        self, call: Call, answered: str | None, usage: Usage, tier: str | None
    ) -> Decimal | None:
        target = call.target
        if target is None:
            return None
        prices = target.endpoint.prices
        # A deployment or an alias may be priced under the name the server answers with.
        cost = prices.cost(target.model, usage, tier)
        return prices.cost(answered, usage, tier) if cost is None and answered else cost

    def _lost(self, call: Call, request: ChatRequest) -> Decimal:
        """Return about what cancelled second requests cost: the prompt, which was read."""
        rates = call.target and call.target.endpoint.prices.rates(call.target.model)
        usage = _estimate(request, "")
        return rates.cost(usage) * call.hedged if rates else Decimal(0)


def _read(reply: Reply) -> tuple[Reply, ChatBody]:
    return reply, decode_chat(reply.body)


def _as_it_is(source: OpenStream) -> OpenStream:
    return source


def _estimate(request: ChatRequest, text: str) -> Usage:
    assembly = Assembly()
    prompt = assembly.estimated_usage(request.most_prompt_tokens)
    completion = -(-len(text) // 4)
    return Usage(
        prompt_tokens=prompt.prompt_tokens,
        completion_tokens=completion,
        total_tokens=prompt.prompt_tokens + completion,
        estimated=True,
    )


def _input_messages(messages: Sequence[Mapping[str, Any]]) -> str:
    return encode(
        [
            {
                "role": message["role"],
                "parts": [{"type": "text", "content": message.get("content")}],
            }
            for message in messages
        ]
    ).decode()


def _output_messages(response: LLMResponse) -> str:
    return encode(
        [
            {
                "role": "assistant",
                "parts": [{"type": "text", "content": response.text}],
                "finish_reason": response.finish_reason or "error",
            }
        ]
    ).decode()
