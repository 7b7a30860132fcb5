"""Values out of a reply: of every call, or of its text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agentinfra.errors import JSONExtractionError
from agentinfra.jsontext.extract import extract_judged
from agentinfra.llm.dialects.encoding import encode
from agentinfra.llm.structured.schemas import TruncatedError
from agentinfra.results import ToolCall

if TYPE_CHECKING:
    from agentinfra.llm.structured.plan import Plan
    from agentinfra.llm.structured.tools import Tool
    from agentinfra.results import LLMResponse

__all__ = ["MisfitError", "values_of", "with_value"]

_MADE_UP = "call_0"
"""The id of a call that was made in words: no endpoint has given it one."""


class MisfitError(Exception):
    """A reply has no value that fits.

    Attributes:
        wrong: What is wrong, one line each, by the place of the call; of a text by 0.
        truncated: Whether a value ends before it should.
        heeded: Whether the model did what the form asked for, only not well.
    """

    def __init__(
        self,
        wrong: Mapping[int, tuple[str, ...]],
        *,
        truncated: bool = False,
        heeded: bool = True,
    ) -> None:
        self.wrong = wrong
        self.truncated = truncated
        self.heeded = heeded
        super().__init__("; ".join(self.lines[:3]))

    @property
    def lines(self) -> tuple[str, ...]:
        """Everything that is wrong."""
        return tuple(line for lines in self.wrong.values() for line in lines)


def values_of(reply: LLMResponse, plan: Plan, form: str) -> LLMResponse:
    """Return a reply with the values of its calls, or of its text.

    Raises:
        MisfitError: There are none that fit.
    """
    if reply.tool_calls:
        return _of_calls(reply, plan)
    if plan.choice == "none":
        return reply
    if not plan.called:
        return _of_answer(reply, plan)
    if not plan.forced:
        return reply if form.startswith("tools") else _of_words(reply, plan)
    return _of_text(reply, plan)


def _of_calls(reply: LLMResponse, plan: Plan) -> LLMResponse:
    if not plan.called:  # the caller's own tools, beside an answer that is to fit
        return reply
    calls: list[ToolCall] = []
    wrong: dict[int, tuple[str, ...]] = {}
    truncated = False
    for place, call in enumerate(reply.tool_calls):
        tool = plan.named(call.name)
        if tool is None:
            names = ", ".join(tool.name for tool in plan.offered)
            wrong[place] = (f"there is no tool {call.name!r}: call one of {names}",)
            continue
        try:
            calls.append(with_value(call, tool.parse(call.arguments)))
        except JSONExtractionError as error:
            wrong[place] = error.errors or (str(error),)
            truncated = truncated or isinstance(error, TruncatedError)
    if wrong:
        raise MisfitError(wrong, truncated=truncated)
    made = tuple(calls)
    return replace(reply, text=made[0].arguments, tool_calls=made, parsed=made[0].parsed)


def with_value(call: ToolCall, value: Any) -> ToolCall:
    """Return a call with its value; written out, as dataclasses' ``replace`` costs more."""
    return ToolCall(
        id=call.id, name=call.name, arguments=call.arguments, kind=call.kind, parsed=value
    )


def _of_answer(reply: LLMResponse, plan: Plan) -> LLMResponse:
    text, value = _read(plan.tools[0], reply.text)
    return replace(reply, text=text, parsed=value)


def _of_text(reply: LLMResponse, plan: Plan) -> LLMResponse:
    """Return a call that was made in words, since one has to be made."""
    if len(plan.offered) == 1:
        tool = plan.offered[0]
        try:
            text, value = _read(tool, reply.text)
        except MisfitError:
            if (call := _call_in(reply, plan)) is None:
                raise
            return call
        made = ToolCall(id=_MADE_UP, name=tool.name, arguments=text, parsed=value)
        return replace(reply, text=text, tool_calls=(made,), parsed=value)
    call = _call_in(reply, plan)
    if call is None:
        raise MisfitError({0: _no_call(reply, plan)}, heeded=False)
    return call


def _of_words(reply: LLMResponse, plan: Plan) -> LLMResponse:
    """Return the call in a text, or its words where it has none: either is an answer."""
    if (call := _call_in(reply, plan)) is not None:
        return call
    try:
        return replace(reply, text=extract_judged(reply.text, plan.words).value)
    except JSONExtractionError:
        return reply


def _call_in(reply: LLMResponse, plan: Plan) -> LLMResponse | None:
    """Return the call that a text makes by name, None where it makes none."""
    try:
        tool, given = extract_judged(reply.text, plan.calls).value
    except JSONExtractionError:
        return None
    arguments = given if isinstance(given, str) else encode(given).decode()
    try:
        value = tool.parse(arguments)
    except JSONExtractionError as error:
        raise MisfitError({0: error.errors or (str(error),)}) from error
    made = ToolCall(
        id=_MADE_UP, name=tool.name, arguments=arguments, kind=tool.loose["type"], parsed=value
    )
    return replace(reply, text=arguments, tool_calls=(made,), parsed=value)


def _no_call(reply: LLMResponse, plan: Plan) -> tuple[str, ...]:
    try:
        extract_judged(reply.text, plan.calls)
    except JSONExtractionError as error:
        return error.errors or (str(error),)
    return ()


def _read(tool: Tool, text: str) -> tuple[str, Any]:
    """Return the JSON of a value in a text, and the value."""
    if tool.schema is None:
        return text, text
    try:
        found = tool.schema.read(text)
    except JSONExtractionError as error:
        lines = error.errors or (str(error),)
        truncated = isinstance(error, TruncatedError)
        # Lines that begin with a place in the value are of JSON that there was.
        heeded = truncated or any(line.startswith("$") for line in lines)
        raise MisfitError({0: lines}, truncated=truncated, heeded=heeded) from error
    if not found.repaired:
        return found.source, found.value
    return encode(found.plain).decode(), found.value  # what was repaired is no JSON as it stands
