"""Calls for texts from reservation to result, whole and streamed, in either API."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from agentinfra._mechanics.closing import cancel_and_wait
from agentinfra.errors import BudgetExceededError, ConfigurationError
from agentinfra.llm.calls.bill import Bill
from agentinfra.llm.calls.messages import input_messages, output_messages, tool_definitions
from agentinfra.llm.calls.record import CallRecord, Outcome
from agentinfra.llm.calls.replaying import Replay, WrittenDown
from agentinfra.llm.calls.replies import Kept
from agentinfra.llm.calls.sending import Replied, TextSender
from agentinfra.llm.calls.stream import LLMStream, Settlement
from agentinfra.llm.calls.worst import worst_cost
from agentinfra.llm.dialects.usage import cost_in_headers, estimated
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
    from agentinfra.protocols import ReplyCache

__all__ = ["ChatCalls"]


class ChatCalls:
    """Makes calls for texts for a client."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        telemetry: LLMTelemetry,
        *,
        replies: ReplyCache | None,
        clock: Clock,
    ) -> None:
        self._dispatcher = dispatcher
        self._replies = replies
        self._sender = TextSender()
        self._telemetry = telemetry
        self._clock = clock
        self._leaving: set[asyncio.Task[None]] = set()
        self._keeping: set[asyncio.Task[None]] = set()

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
        kept = self._kept(request, call, targets)
        with self._record(request, call, component) as record:
            if kept is not None and (known := await kept.answer()) is not None:
                response = self._again(self._response({}, known, request, call, record))
                record.close(self._outcome(response))
                return response
            bill = await self._held(request, call, targets)
            cost: Decimal | None = None
            try:
                send = partial(self._sender.send, request, call, bill)
                got = await self._dispatcher.run(call, targets, send, hedge=True)
                if len(bill.answers) > 1:
                    self._pay_for_the_other(bill, got)
                response = self._response(got.headers, got.answer, request, call, record, bill)
                cost = self._owed(response, call, bill)
                if self._telemetry.observed:
                    record.close(self._outcome(response))
            except BaseException as error:
                record.close(self._nothing(error, request, bill))
                raise
            finally:
                bill.settle(cost)
        if kept is not None:
            await kept.keep(response, got.api, [got.body])
        return response

    async def stream(
        self, request: TextRequest, call: Call, targets: Sequence[Target], work: Work
    ) -> LLMStream:
        """Return a streamed answer whose first content has come."""
        record: CallRecord | None = None
        bill: Bill[TextRequest] | None = None
        try:
            self._prepare(request, call, targets)
            kept = self._kept(request, call, targets)
            record = self._record(request, call, "chat")
            source: OpenStream | Replay | None = None
            if kept is not None:
                if self._keeping:  # a stream that has just ended may be the one
                    await asyncio.wait(set(self._keeping))
                source = await kept.replay(request)
            if source is None:
                bill = await self._held(request, call, targets)
                source = await self._dispatcher.run(
                    call, targets, partial(self._sender.open, request, call, bill)
                )
        except BaseException as error:  # noqa: BLE001 - it is raised again below
            if record is not None:
                with record:
                    record.close(self._nothing(error, request, bill))
            if bill is not None:
                bill.settle(None)
            work.end()
            raise work.told(error)  # noqa: B904 - the error itself, or one that names it
        record.first_token()
        settle = partial(self._end_stream, request, call, record, source, bill, kept)
        settlement = Settlement(source, settle, work, self._leaving)
        # Not the stream's own method: held here, a stream that its caller drops would stay.
        work.held(settlement.leave)
        return LLMStream(settlement, model=request.model)

    async def aclose(self) -> None:
        """Close what streams that nobody holds any more have left."""
        await cancel_and_wait(*self._leaving, *self._keeping)

    def _prepare(self, request: TextRequest, call: Call, targets: Sequence[Target]) -> None:
        """Encode the first body: its size is what reservation and pace go by."""
        call.target = targets[0]  # a call that is refused before it is sent has a server, too
        if request.resumes:
            return
        self._sender.prepare(request, targets[0])
        request.size = len(request.body)
        call.tokens = request.rate_tokens

    async def _held(
        self, request: TextRequest, call: Call, targets: Sequence[Target]
    ) -> Bill[TextRequest]:
        """Return the call's bill, on which the most that its first request costs is held."""
        bill = Bill(request.model, request, worst_cost, _prompt_cost, until=call.until)
        if not bill.budgets:
            return bill
        worst: Decimal | None = Decimal(0)
        for target in () if request.resumes else targets:
            most = worst_cost(request, target)
            worst = None if worst is None or most is None else max(worst, most)
        try:
            await bill.hold(worst)
        except BudgetExceededError:
            names = [budget.name for budget in bill.budgets]
            call.note(semconv.EVENT_BUDGET_REFUSED, {semconv.BUDGETS: names})
            self._telemetry.refused(names)
            raise
        return bill

    def _record(self, request: TextRequest, call: Call, component: str) -> CallRecord:
        options = request.options
        record = CallRecord(
            self._telemetry,
            call,
            model=request.model,
            component=component,
            clock=self._clock,
        )
        if record.span.recording:
            if request.limit:
                record.span.set(semconv.REQUEST_MAX_TOKENS, request.limit)
            if (temperature := options.get("temperature")) is not None:
                record.span.set(semconv.REQUEST_TEMPERATURE, _double(temperature))
            if request.stream:
                record.span.set(semconv.REQUEST_STREAM, value=True)
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
        bill: Bill[TextRequest] | None = None,
        *,
        degraded: str | None = None,
    ) -> LLMResponse:
        if answer.unfinished:  # of a response that goes on there, nothing is to be paid yet
            return self._begun(headers, answer, request, call, record)
        usage = answer.usage or self._estimate(request, answer)
        if answer.source is not None and answer.source.api == "responses" and call.target:
            call.target.endpoint.lessons.heard(call.target.model, usage)
        cost = self._cost(request, call, answer, headers, usage)
        if bill is not None and bill.lost and cost is not None:
            cost += bill.lost
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
        source: OpenStream | Replay,
        bill: Bill[TextRequest] | None,
        kept: Kept | None,
        assembly: Assembly,
        error: BaseException | None,
    ) -> LLMResponse:
        """Book a stream that is over, in whatever way; the one place where it is."""
        left = isinstance(error, GeneratorExit)
        why = f"the stream broke: {error}" if error is not None else None
        response = self._response(
            source.headers, assembly.answer(), request, call, record, bill, degraded=why
        )
        if isinstance(source, Replay):
            response = self._again(response)
        if bill is not None:
            bill.settle(self._owed(response, call, bill))
            if kept is not None and isinstance(assembly, WrittenDown) and source.complete:
                self._behind(kept.keep(response, assembly.api, assembly.events))
        with record:  # entered only now, so that the log line carries its ids
            outcome = self._outcome(response)
            outcome.error, outcome.left = error, left
            record.close(outcome)
        return response

    def _kept(self, request: TextRequest, call: Call, targets: Sequence[Target]) -> Kept | None:
        if not request.keep or request.resumes:
            return None
        if self._replies is None:
            raise ConfigurationError(
                "cache was asked for, and this client has none: use a runtime's, or give replies="
            )
        return Kept(self._replies, request, call, targets[0])

    def _again(self, response: LLMResponse) -> LLMResponse:
        """Return an answer that was paid for before."""
        return replace(response, cost_usd=Decimal(0), cached=True)

    def _behind(self, work: Coroutine[Any, Any, None]) -> None:
        """Do what the reader of a stream does not wait for."""
        task = asyncio.get_running_loop().create_task(work, name="keep stream")
        self._keeping.add(task)
        task.add_done_callback(self._keeping.discard)

    def _outcome(self, response: LLMResponse) -> Outcome:
        captured = self._telemetry.capture_content
        booked = response.usage.total_tokens and not response.cached
        return Outcome(
            usage=response.usage if booked else None,
            cost=response.cost_usd,
            model=response.model,
            response_id=response.response_id,
            finish_reason=response.finish_reason,
            degraded=response.degraded,
            output=output_messages(response.choices) if captured else None,
        )

    def _nothing(
        self, error: BaseException, request: TextRequest, bill: Bill[TextRequest] | None
    ) -> Outcome:
        """Return how a call without an answer ended, with what its requests cost all the same."""
        if bill is None or not bill.lost:
            return Outcome(error=error)
        return Outcome(error=error, usage=estimated(request.likely_prompt_tokens), cost=bill.lost)

    def _estimate(self, request: TextRequest, answer: Answer) -> Usage:
        choices = (answer.source and answer.source.choices) or (answer,)
        said = [
            text
            for choice in choices
            for text in (
                choice.text,
                choice.reasoning,
                choice.refusal or "",
                *(call.arguments for call in choice.tool_calls),
            )
        ]
        return estimated(request.likely_prompt_tokens, *said)

    def _cost(
        self,
        request: TextRequest,
        call: Call,
        answer: Answer,
        headers: Mapping[str, str],
        usage: Usage,
    ) -> Decimal | None:
        target = call.target
        if target is None:
            return None
        prices = target.endpoint.prices
        tier = answer.service_tier or request.options.get("service_tier")
        if usage.reported_cost is None and (said := cost_in_headers(headers)) is not None:
            usage = replace(usage, reported_cost=said)
        # A deployment or an alias may be priced under the name the server answers with.
        cost = prices.cost(target.model, usage, tier)
        answered = answer.model
        return prices.cost(answered, usage, tier) if cost is None and answered else cost

    def _owed(self, response: LLMResponse, call: Call, bill: Bill[TextRequest]) -> Decimal | None:
        """Return what budgets book: where an answer's price is unknown, as the request's was not.

        An endpoint may name a tier nobody has a price of, after it took a request that had one.
        """
        if response.cost_usd is not None or not bill.budgets or call.target is None:
            return response.cost_usd
        if response.finish_reason is None and not response.usage.total_tokens:
            return None  # it has only begun
        rates = call.target.endpoint.prices.rates(call.target.model)
        return None if rates is None else rates.cost(response.usage)

    def _pay_for_the_other(self, bill: Bill[TextRequest], got: Replied) -> None:
        """Owe for what answered in the same moment as the answer that was taken."""
        for target, other in bill.answers:
            if other is not got and other.answer.usage is not None:
                cost = target.endpoint.prices.cost(target.model, other.answer.usage)
                bill.lost += cost or Decimal(0)


def _prompt_cost(request: TextRequest, target: Target) -> Decimal:
    """Return about what a request costs that nobody answered: its prompt, which was read."""
    rates = target.endpoint.prices.rates(target.model)
    return rates.cost(estimated(request.likely_prompt_tokens)) if rates else Decimal(0)


def _double(value: Any) -> Any:
    """Return a whole number as the fraction that the conventions want."""
    return float(value) if type(value) is int else value
