"""Structured output: asked for in the best way a model takes, judged, and put right once more."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import msgspec

from agentinfra._types import Messages
from agentinfra.errors import (
    BadRequestError,
    ConfigurationError,
    LLMError,
    OutputCutOffError,
    StructuredOutputError,
)
from agentinfra.llm.dialects.request import TextRequest, text_request
from agentinfra.llm.policy.patience import CONFIGURED
from agentinfra.llm.structured.plan import Plan, Worded, chosen
from agentinfra.llm.structured.reading import MisfitError, values_of
from agentinfra.llm.structured.repair import Kept, Spent, complaint, kept_of
from agentinfra.llm.structured.tools import Tool, tool_of
from agentinfra.llm.structured.verdict import Verdict, ended, output_of, verdict_of
from agentinfra.observability.logging import get_logger

if TYPE_CHECKING:
    from agentinfra._mechanics.clock import Clock
    from agentinfra.llm.calls.stream import LLMStream
    from agentinfra.llm.policy.call import Call
    from agentinfra.results import LLMResponse

__all__ = ["Asking", "StructuredCalls", "Transport"]

log = get_logger("agentinfra.llm")

_KEPT_PLANS: Final = 256
_OF_CALLS: Final = ("timeout", "deadline", "tenant")
_NOT_HERE: Final = {
    "background": "wait for its reply, and read it with extract_json",
    "stream": "use structured_stream",
}
_FAILED_TO_WRITE: Final = frozenset({"tool_use_failed", "json_validate_failed"})
"""Codes by which an endpoint (Groq) says that it refuses what its own model wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transport:
    """Makes calls for texts.

    Attributes:
        whole: Returns a whole answer.
        streamed: Returns a stream whose first content has come.
        begin: Begins a call: its deadline, the timeout of an attempt, its tenant.
    """

    whole: Callable[[TextRequest, Call], Awaitable[LLMResponse]]
    streamed: Callable[[TextRequest, Call], Awaitable[LLMStream]]
    begin: Callable[[Any, Any, str], Call]


@dataclass(slots=True, kw_only=True)
class Asking:
    """One structured call under way: its rounds, what they cost, what is right already.

    Attributes:
        plan: What is asked for.
        messages: The conversation so far, complaints included.
        options: The parameters of every request.
        timing: What the caller said of timeouts, and for whom it is.
        rounds: How often what does not fit may still go back.
        call: The round under way.
        request: Its request.
        spent: What all rounds have cost.
        kept: The right calls of the round before.
        repaired: How often something went back.
    """

    plan: Plan
    messages: list[Any]
    options: Mapping[str, Any]
    timing: Mapping[str, Any]
    rounds: int
    call: Call
    request: TextRequest
    spent: Spent
    kept: Kept | None = None
    repaired: int = 0

    @property
    def form(self) -> str:
        """The form the model answered in."""
        return self.request.form


class StructuredCalls:
    """Makes calls whose answer has to fit a schema.

    Args:
        transport: Makes the calls.
        model: The model of calls that name none.
        misfit: Told of output that is no value in the end.
        clock: Where time comes from.
    """

    def __init__(
        self, transport: Transport, *, model: str, misfit: Callable[[], None], clock: Clock
    ) -> None:
        self._transport = transport
        self._model = model
        self._misfit = misfit
        self._clock = clock
        # What has been worked out: the schemas of a plan cost more than the rest of a call.
        self._works: OrderedDict[Any, tuple[Any, Plan]] = OrderedDict()

    def plan(self, given: Sequence[Any], choice: Any, *, called: bool = True) -> Plan:
        """Return the plan for some tools, or for an answer of one schema.

        Raises:
            ConfigurationError: There are no tools, or one is none.
        """
        key = (called, _key(choice), *map(_key, given))
        found = self._works.get(key)
        if found is not None:
            self._works.move_to_end(key)
            return found[1]
        tools = tuple(tool_of(tool) for tool in given)
        plan = Plan(tools=tools, choice=chosen(tools, choice) if called else None, called=called)
        for tool in plan.tools:
            if tool.loose_because:
                log.info("llm.schema_not_strict", schema=tool.name, because=tool.loose_because)
        # Held along with the plan: the key of what cannot be hashed is its identity.
        self._works[key] = (tuple(given), plan)
        if len(self._works) > _KEPT_PLANS:
            self._works.popitem(last=False)
        return plan

    async def call(
        self, messages: Messages, plan: Plan, *, rounds: int, options: Mapping[str, Any]
    ) -> LLMResponse:
        """Return a response whose calls, or whose answer, fit their schemas.

        Raises:
            StructuredOutputError: They do not, or are refused, filtered or cut off.
            LLMError: A request failed.
        """
        return await self._rounds(self.begun(messages, plan, rounds=rounds, options=options))

    async def stream(
        self, messages: Messages, plan: Plan, *, rounds: int, options: Mapping[str, Any]
    ) -> tuple[LLMStream, Asking]:
        """Return a stream of an answer that is to fit, and the call it belongs to."""
        asking = self.begun(messages, plan, rounds=rounds, options=options)
        asking.request.stream = True
        return await self._transport.streamed(asking.request, asking.call), asking

    async def finished(self, answer: LLMResponse, asking: Asking) -> LLMResponse:
        """Return a response that fits, out of one that was streamed."""
        return self.judged(answer, asking) or await self._rounds(asking)

    async def _rounds(self, asking: Asking) -> LLMResponse:
        reply: LLMResponse | None = None
        try:
            while reply is None:
                try:
                    answer = await self._transport.whole(asking.request, asking.call)
                except BadRequestError as error:
                    if not self._wrote_badly(error, asking):
                        raise
                    self._again(asking, [])
                else:
                    reply = self.judged(answer, asking)
        except LLMError as error:
            if not isinstance(error, StructuredOutputError):
                asking.spent.told(error)
            raise
        return reply

    def begun(
        self, messages: Messages, plan: Plan, *, rounds: int, options: Mapping[str, Any]
    ) -> Asking:
        """Return a call whose first request is ready to be sent."""
        if rounds < 0:
            raise ConfigurationError(f"repair_rounds is {rounds}: give 0 or more")
        for name, instead in _NOT_HERE.items():
            if options.get(name):
                raise ConfigurationError(f"a structured call takes no {name}: {instead}")
        timing = {name: options[name] for name in _OF_CALLS if name in options}
        rest = {name: value for name, value in options.items() if name not in _OF_CALLS}
        request = self._request(messages, plan, rest)
        call = self._transport.begin(
            timing.get("deadline", CONFIGURED),
            timing.get("timeout", CONFIGURED),
            timing.get("tenant", ""),
        )
        return Asking(
            plan=plan,
            messages=list(request.messages),
            options=rest,
            rounds=rounds,
            call=call,
            request=request,
            spent=Spent(call.started),
            timing=timing,
        )

    def _request(self, messages: Messages, plan: Plan, options: Mapping[str, Any]) -> TextRequest:
        given = dict(options)
        model = str(given.pop("model", None) or self._model)
        request = text_request(messages, model, given, stream=False)
        request.forms = Worded(plan, request.messages, request.options)
        return request

    # -- judging

    def judged(self, answer: LLMResponse, asking: Asking) -> LLMResponse | None:
        """Return a reply with its values; None where there is to be another round.

        Raises:
            StructuredOutputError: There are no values, and no rounds left.
        """
        reply = asking.spent.with_all(answer, self._clock.now())
        verdict = verdict_of(reply)
        if (error := ended(verdict, reply)) is not None:
            self._misfit()
            raise error
        try:
            fitting = values_of(reply, asking.plan, asking.form)
        except MisfitError as misfit:
            in_words = verdict is not Verdict.CALLED and asking.form.startswith("tools")
            if in_words or not misfit.heeded:
                _tell_lessons(asking, heeded=False)
            if misfit.truncated and reply.finish_reason is None:
                self._misfit()
                raise OutputCutOffError(
                    "the answer ends before its value does",
                    text=output_of(reply),
                    errors=misfit.lines,
                    reply=reply,
                ) from misfit
            if in_words:
                self._ask_otherwise(asking)
            else:
                self._put_right(reply, misfit, asking)
            return None
        heeded = reply.tool_calls or not asking.form.startswith("tools")
        if heeded and not asking.repaired:  # by itself, not because it was told in words
            _tell_lessons(asking, heeded=True)
        if asking.kept is not None:
            fitting = asking.kept.beside(fitting)
        return _noted(fitting, asking)

    def _ask_otherwise(self, asking: Asking) -> None:
        """Ask in the next form, this once, since the model answered in words where it was to call.

        Which is no repair: the endpoint may have no tools, and the words are no draft of a call.
        """
        forms = asking.plan.forms
        asking.request.unfit |= {form for form in forms if form.startswith("tools")}
        self._again(asking, [])

    def _put_right(self, reply: LLMResponse, misfit: MisfitError, asking: Asking) -> None:
        """Prepare the next round, with what is wrong with this one.

        Raises:
            StructuredOutputError: There is none left.
        """
        if asking.rounds == 0:
            self._misfit()
            raise StructuredOutputError(
                f"the model's output does not fit its schema after {asking.repaired} "
                f"repair round(s): {'; '.join(misfit.lines[:3])}",
                text=output_of(reply),
                errors=misfit.lines,
                reply=reply,
            ) from misfit
        asking.rounds -= 1
        asking.repaired += 1
        asking.kept = kept_of(reply, misfit, asking.plan) or asking.kept
        log.warning("llm.output_repaired", model=reply.model, errors=list(misfit.lines))
        self._again(asking, complaint(reply, misfit, asking.plan))

    def _wrote_badly(self, error: BadRequestError, asking: Asking) -> bool:
        """Whether the endpoint refused what its model wrote, so that it may write once more."""
        if error.code not in _FAILED_TO_WRITE or asking.rounds == 0:
            return False
        asking.rounds -= 1
        asking.repaired += 1
        log.warning("llm.output_repaired", model=asking.request.model, errors=[str(error)])
        return True

    def _again(self, asking: Asking, more: Sequence[Any]) -> None:
        """Make the next round's request: one deadline holds for all of them."""
        asking.messages += more
        unfit = asking.request.unfit
        asking.request = self._request(asking.messages, asking.plan, asking.options)
        asking.request.unfit = unfit
        deadline = asking.call.deadline.remaining()
        asking.call = self._transport.begin(
            deadline, asking.timing.get("timeout", CONFIGURED), asking.timing.get("tenant", "")
        )


def _tell_lessons(asking: Asking, *, heeded: bool) -> None:
    """Tell the endpoint that answered whether its model heeded the form."""
    target = asking.call.target
    if target is not None:
        forms = target.endpoint.lessons.forms
        (forms.heeded if heeded else forms.ignored)(asking.form, target.model)


def _noted(reply: LLMResponse, asking: Asking) -> LLMResponse:
    """Say where a value was asked for in less than the best way."""
    best = asking.plan.forms[0].partition(" ")[0]
    kind = asking.form.partition(" ")[0]
    if kind == best or reply.degraded:
        return reply
    return replace(
        reply, degraded=f"the model's server takes no {best} here: answered in mode {kind}"
    )


def _key(given: Any) -> Any:
    """Return what tells two schemas apart: what a dict says, else what it is."""
    if isinstance(given, Mapping):
        try:
            return msgspec.json.encode(given)
        except (TypeError, ValueError, RecursionError) as error:
            raise ConfigurationError(f"{given!r:.80} is no JSON: {error}") from error
    if isinstance(given, Tool):
        return id(given)
    try:
        hash(given)
    except TypeError:
        return id(given)
    return given
