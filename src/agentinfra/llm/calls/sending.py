"""Putting a request to an endpoint: in its dialect, and another way where it says so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from urllib.parse import quote

from agentinfra.errors import BadRequestError
from agentinfra.llm.calls.replaying import WrittenDown
from agentinfra.llm.dialects.chat.dialect import ChatDialect
from agentinfra.llm.dialects.responses.dialect import ResponsesDialect
from agentinfra.llm.wire.endpoint import Sending
from agentinfra.observability import semconv

if TYPE_CHECKING:
    from agentinfra.llm.calls.bill import Bill
    from agentinfra.llm.dialects.answer import Answer
    from agentinfra.llm.dialects.dialect import Dialect
    from agentinfra.llm.dialects.request import TextRequest
    from agentinfra.llm.policy.call import Call
    from agentinfra.llm.wire.endpoint import Target
    from agentinfra.llm.wire.open_stream import OpenStream

__all__ = ["Replied", "TextSender"]

T = TypeVar("T")


class Replied(NamedTuple):
    """A whole answer, the headers it came with, and what it was read from."""

    headers: Mapping[str, str]
    answer: Answer
    api: str
    body: bytes


DIALECTS: dict[str, Dialect] = {"chat": ChatDialect(), "responses": ResponsesDialect()}

_UNREASONED = "the model answers without reasoning: its endpoint takes no tools otherwise"
_OTHER_WAYS = 6
"""Times a refusal may teach how to put one request before it is an error."""


class TextSender:
    """Sends requests for texts."""

    def prepare(self, request: TextRequest, target: Target) -> Dialect:
        """Put a request into the words of its target, unless it is in them already.

        Raises:
            ConfigurationError: It cannot be said in the target's dialect, or not to its model.
        """
        lessons = target.endpoint.lessons
        # While a request waits for its turn, another one's refusal may teach another way.
        ready = (target, lessons.learned, lessons.forms.learned)
        if request.ready == ready:
            return DIALECTS[request.api]
        if request.forms is not None:
            request.take(lessons.forms.best(request, target.model))
        request.api = lessons.api(request, target.model)
        dialect = DIALECTS[request.api]
        speech = lessons.speech(request, target.model)
        body_of = (request.api, target.model, speech)
        if request.encoded_for != body_of and not request.resumes:
            request.body = dialect.body(request, target.model, speech)
            request.encoded_for = body_of
        request.ready = ready
        return dialect

    async def send(
        self, request: TextRequest, call: Call, bill: Bill[TextRequest], target: Target
    ) -> Replied:
        """Send a request and return its answer.

        Raises:
            BudgetExceededError: It would be one more to pay for, and there is too little left.
            LLMError: It failed, and its refusals taught no other way.
        """
        dialect = self.prepare(request, target)
        await bill.begin(target)
        try:
            try:
                got = await self._ask(request, call, target, dialect)
            except BadRequestError as error:
                got = await self._otherwise(request, call, target, self._ask, dialect, error)
        except BaseException as error:
            bill.failed(target, error)
            raise
        if call.hedged:
            bill.answered(target, got)
        return got

    async def open(
        self, request: TextRequest, call: Call, bill: Bill[TextRequest], target: Target
    ) -> OpenStream:
        """Send a request and return its stream, whose first content has come.

        Raises:
            BudgetExceededError: It would be one more to pay for, and there is too little left.
            LLMError: It failed, and its refusals taught no other way.
        """
        dialect = self.prepare(request, target)
        await bill.begin(target)
        try:
            try:
                return await self._begin(request, call, target, dialect)
            except BadRequestError as error:
                return await self._otherwise(request, call, target, self._begin, dialect, error)
        except BaseException as error:
            bill.failed(target, error)
            raise

    async def _ask(
        self, request: TextRequest, call: Call, target: Target, dialect: Dialect
    ) -> Replied:
        reply = await target.endpoint.send(self._sending(request, call, target, dialect))
        answer = dialect.read(reply.body, reply.headers)
        return Replied(reply.headers, answer, dialect.name, reply.body)

    async def _begin(
        self, request: TextRequest, call: Call, target: Target, dialect: Dialect
    ) -> OpenStream:
        sending = self._sending(request, call, target, dialect)
        assembly = dialect.assembly(request)
        if request.keep:
            assembly = WrittenDown(dialect.name, assembly)
        return await target.endpoint.stream(sending, assembly)

    async def _otherwise(
        self,
        request: TextRequest,
        call: Call,
        target: Target,
        send: Callable[[TextRequest, Call, Target, Dialect], Awaitable[T]],
        dialect: Dialect,
        refusal: BadRequestError,
    ) -> T:
        """Send a refused request another way, as far as its refusals teach one.

        Raises:
            BadRequestError: The first refusal: where nothing helped, it says most.
        """
        lessons, error = target.endpoint.lessons, refusal
        for _ in range(_OTHER_WAYS):
            if not lessons.learn(error, request, target.model, dialect.name):
                break
            call.attempts += 1
            said = {semconv.API: dialect.name, "refusal": str(error)[:300]}
            call.note(semconv.EVENT_OTHER_API, said)
            dialect = self.prepare(request, target)
            try:
                return await send(request, call, target, dialect)
            except BadRequestError as another:
                error = another
        if error is refusal:
            raise refusal
        raise refusal from error

    def _sending(
        self, request: TextRequest, call: Call, target: Target, dialect: Dialect
    ) -> Sending:
        headers = {"Idempotency-Key": call.key}
        if target.endpoint.profile.propagate and call.span is not None and call.span.trace_id:
            headers["traceparent"] = call.span.traceparent
        if dialect.name == "chat" and _goes_without_reasoning(request, target):
            call.fallback = call.fallback or _UNREASONED
        if request.headers:
            headers.update(request.headers)
        return Sending(
            operation=dialect.name,
            model=target.model,
            body=request.body,
            headers=headers,
            query=request.query,
            below=f"/{quote(request.resumes, safe='')}" if request.resumes else "",
            method="GET" if request.resumes else "POST",
            deadline=call.deadline,
            patience=call.patience,
        )


def _goes_without_reasoning(request: TextRequest, target: Target) -> bool:
    """Whether the endpoint's lesson, not the caller, takes the model's reasoning."""
    options = request.options
    if not options.get("tools") or "reasoning_effort" in options:
        return False
    return target.endpoint.lessons.speech(request, target.model).tools_without_reasoning
