"""Calls for texts from reservation to result, whole and streamed, in either API."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from agentinfra._mechanics.closing import cancel_and_wait
from agentinfra.errors import BudgetExceededError
from agentinfra.llm.calls.messages import input_messages, output_messages, tool_definitions
from agentinfra.llm.calls.record import CallRecord, Outcome
from agentinfra.llm.calls.sending import TextSender
from agentinfra.llm.calls.stream import LLMStream, Settlement
from agentinfra.llm.dialects.usage import estimated
from agentinfra.llm.money.budget import Reservation, active_budgets, reserve
from agentinfra.llm.wire.sdk import raw_answer
from agentinfra.observability import semconv
from agentinfra.results import LLMResponse, Usage

if TYPE_CHECKING:
    from agentinfra._mechanics.clock import Clock
    from agentinfra._mechanics.inflight import Work
    from agentinfra.llm.calls.telemetry import LLMTelemetry
    from agentinfra.llm.dialects.answer import Answer, Assembly
    from agentinfra.llm.dialects.request import TextRequest
    from agentinfra.llm.policy.call import Call
    from agentinfra.llm.policy.dispatch import Dispatcher
    from agentinfra.llm.wire.endpoint import Target
    from agentinfra.llm.wire.open_stream import OpenStream

__all__ = ["ChatCalls"]


class ChatCalls:
    """Makes calls for texts for a client."""

    def __init__(self, dispatcher: Dispatcher, telemetry: LLMTelemetry, *, clock: Clock) -> None:
        self._dispatcher = dispatcher
        self._sender = TextSender()
        self._telemetry = telemetry
        self._clock = clock
        self._leaving: set[asyncio.Task[None]] = set()

    async def complete(
        self,
        request: TextRequest,
        call: Call,
        targets: Sequence[Target],
        *,
        component: str = "chat",
    ) -> LLMResponse:
        """Return a whole answer."""
        self._prepare(request, call, targets)
        with self._record(request, call, component) as record:
            reservation = self._reserve(request, call, targets)
            cost: Decimal | None = None
            try:
                got = await self._dispatcher.run(
                    call, targets, partial(self._sender.send, request, call), hedge=True
                )
                response = self._response(got.headers, got.answer, request, call, record)
                cost = response.cost_usd
                if self._telemetry.observed:
                    record.close(self._outcome(response))
                return response
            finally:
                reservation.settle(cost)

    async def stream(
        self, request: TextRequest, call: Call, targets: Sequence[Target], work: Work
    ) -> LLMStream:
        """Return a streamed answer whose first content has come."""
        record: CallRecord | None = None
        reservation: Reservation | None = None
        try:
            self._prepare(request, call, targets)
            record = self._record(request, call, "chat")
            reservation = self._reserve(request, call, targets)
            source = await self._dispatcher.run(
                call, targets, partial(self._sender.open, request, call)
            )
        except BaseException as error:  # noqa: BLE001 - it is raised again below
            if record is not None:
                with record:
                    record.close(Outcome(error=error))
            if reservation is not None:
                reservation.settle(None)
            work.end()
            raise work.told(error)  # noqa: B904 - the error itself, or one that names it
        record.first_token()
        settle = partial(self._end_stream, request, call, record, source, reservation)
        settlement = Settlement(source, settle, work, self._leaving)
        # Not the stream's own method: held here, a stream that its caller drops would stay.
        work.held(settlement.leave)
        return LLMStream(settlement, model=request.model)

    async def aclose(self) -> None:
        """Wait for the connections of streams that nobody holds any more."""
        await cancel_and_wait(*self._leaving)

    def _prepare(self, request: TextRequest, call: Call, targets: Sequence[Target]) -> None:
        """Encode the first body: its size is what reservation and pace go by."""
        call.target = targets[0]  # a call that is refused before it is sent has a server, too
        if request.resumes:
            return
        request.size = len(self._sender.prepare(request, targets[0]))
        call.tokens = request.rate_tokens

    def _reserve(self, request: TextRequest, call: Call, targets: Sequence[Target]) -> Reservation:
        if not active_budgets() or request.resumes:
            return reserve(request.model, Decimal(0))
        worst: Decimal | None = Decimal(0)
        for target in targets:
            rates = target.endpoint.prices.rates(target.model, request.options.get("service_tier"))
            if rates is None or worst is None:
                worst = None
                continue
            most = rates.at_most(request.most_prompt_tokens, request.most_completion_tokens)
            most *= 2 if self._dispatcher.hedges and not request.stream else 1
            worst = max(worst, most)
        try:
            return reserve(request.model, worst)
        except BudgetExceededError:
            names = [budget.name for budget in active_budgets()]
            call.note(semconv.EVENT_BUDGET_REFUSED, {semconv.BUDGETS: names})
            self._telemetry.refused(names)
            raise

    def _record(self, request: TextRequest, call: Call, component: str) -> CallRecord:
        options = request.options
        record = CallRecord(
            self._telemetry,
            call,
            model=request.model,
            component=component,
            clock=self._clock,
        )
        if self._telemetry.observed:
            record.span.set_all(
                {
                    semconv.REQUEST_MAX_TOKENS: request.limit or None,
                    semconv.REQUEST_TEMPERATURE: _double(options.get("temperature")),
                    semconv.REQUEST_STREAM: True if request.stream else None,
                }
            )
        if self._telemetry.capture_content:
            record.span.set(semconv.INPUT_MESSAGES, input_messages(request.messages))
            if tools := options.get("tools"):
                record.span.set(semconv.TOOL_DEFINITIONS, tool_definitions(tools))
        return record

    def _response(
        self,
        headers: Mapping[str, str],
        answer: Answer,
        request: TextRequest,
        call: Call,
        record: CallRecord,
        *,
        degraded: str | None = None,
    ) -> LLMResponse:
        if answer.unfinished:  # of a response that goes on there, nothing is to be paid yet
            return self._begun(headers, answer, request, call, record)
        usage = answer.usage or self._estimate(request, answer)
        if answer.source is not None and answer.source.api == "responses" and call.target:
            call.target.endpoint.lessons.heard(call.target.model, usage)
        cost = self._cost(call, answer.model, usage, answer.service_tier)
        if call.hedged and cost is not None:
            cost += self._lost(call, request)
        return LLMResponse(
            text=answer.text,
            reasoning=answer.reasoning,
            refusal=answer.refusal,
            tool_calls=answer.tool_calls,
            model=answer.model or request.model,
            usage=usage,
            cost_usd=cost,
            finish_reason=answer.finish_reason,
            attempts=call.attempts,
            latency=self._clock.now() - call.started,
            degraded=degraded or call.fallback,
            request_id=headers.get("x-request-id"),
            response_id=answer.id,
            trace_id=record.trace_id,
            _source=answer.source,
            _vendor=raw_answer,
        )

    def _begun(
        self,
        headers: Mapping[str, str],
        answer: Answer,
        request: TextRequest,
        call: Call,
        record: CallRecord,
    ) -> LLMResponse:
        """Return a response that its endpoint is still working on."""
        return LLMResponse(
            text=answer.text,
            model=answer.model or request.model,
            usage=answer.usage or Usage(),
            cost_usd=None,
            finish_reason=None,
            attempts=call.attempts,
            latency=self._clock.now() - call.started,
            degraded="it is not finished: wait for it with wait_for(response_id)",
            request_id=headers.get("x-request-id"),
            response_id=answer.id,
            trace_id=record.trace_id,
            _source=answer.source,
            _vendor=raw_answer,
        )

    def _end_stream(
        self,
        request: TextRequest,
        call: Call,
        record: CallRecord,
        source: OpenStream,
        reservation: Reservation,
        assembly: Assembly,
        error: BaseException | None,
    ) -> LLMResponse:
        """Book a stream that is over, in whatever way; the one place where it is."""
        left = isinstance(error, GeneratorExit)
        why = f"the stream broke: {error}" if error is not None else None
        response = self._response(
            source.headers, assembly.answer(), request, call, record, degraded=why
        )
        reservation.settle(response.cost_usd)
        with record:  # entered only now, so that the log line carries its ids
            outcome = self._outcome(response)
            outcome.error, outcome.left = error, left
            record.close(outcome)
        return response

    def _outcome(self, response: LLMResponse) -> Outcome:
        captured = self._telemetry.capture_content
        return Outcome(
            usage=response.usage if response.usage.total_tokens else None,
            cost=response.cost_usd,
            model=response.model,
            response_id=response.response_id,
            finish_reason=response.finish_reason,
            degraded=response.degraded,
            output=output_messages(response.choices) if captured else None,
        )

    def _estimate(self, request: TextRequest, answer: Answer) -> Usage:
        arguments = (call.arguments for call in answer.tool_calls)
        said = (answer.text, answer.reasoning, answer.refusal or "", *arguments)
        return estimated(request.most_prompt_tokens, *said)

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

    def _lost(self, call: Call, request: TextRequest) -> Decimal:
        """Return about what cancelled second requests cost: the prompt, which was read."""
        rates = call.target and call.target.endpoint.prices.rates(call.target.model)
        usage = estimated(request.most_prompt_tokens)
        return rates.cost(usage) * call.hedged if rates else Decimal(0)


def _double(value: Any) -> Any:
    """Return a whole number as the fraction that the conventions want."""
    return float(value) if type(value) is int else value
