"""Reading a whole answer of Chat Completions, of whatever shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentinfra.errors import LLMResponseError
from agentinfra.llm.dialects.answer import Answer
from agentinfra.llm.dialects.chat.shapes import UsualBody, calls_of, decode_whole, usage
from agentinfra.llm.dialects.encoding import REFUSED, decode
from agentinfra.llm.dialects.failures import error_in, hidden_error
from agentinfra.llm.dialects.toolcalls import call_of
from agentinfra.llm.dialects.usage import usage_of
from agentinfra.llm.dialects.values import (
    as_list,
    as_mapping,
    count,
    first_text,
    joined,
    plain,
    reasoning_in,
)
from agentinfra.results import Choice, ToolCall

__all__ = ["ChatSource", "answer_of", "choice_of", "read_chat", "reason_of"]


def read_chat(body: bytes, headers: Mapping[str, str]) -> Answer:
    """Read an answer: the usual shape at once, any other field by field.

    Raises:
        LLMStatusError: It is an error, wherever that hides.
        LLMResponseError: It is not an answer.
    """
    try:
        usual = decode_whole(body)
    except REFUSED:
        return answer_of(decode(body), headers)
    if not _is_plain(usual):
        return answer_of(decode(body), headers)
    choice = usual.choices[0]
    message = choice.message
    calls = calls_of(message) if message.tool_calls else ()
    return Answer(
        text=message.content or "",
        reasoning=message.reasoning_content or message.reasoning or "",
        refusal=message.refusal or None,
        tool_calls=calls,
        finish_reason=reason_of(choice.finish_reason, called=bool(calls)),
        usage=usage(usual.usage),
        model=usual.model,
        id=usual.id,
        service_tier=usual.service_tier,
        source=ChatSource(body),
    )


def _is_plain(usual: UsualBody) -> bool:
    """Whether nothing in an answer of the usual shape needs a second look."""
    if len(usual.choices) != 1 or usual.error is not None:
        return False
    choice = usual.choices[0]
    message = choice.message
    if choice.error is not None or message.function_call is not None:
        return False
    if message.tool_calls:
        return all(call.function is not None for call in message.tool_calls)
    return bool(message.content or choice.finish_reason)


def answer_of(data: Any, headers: Mapping[str, str], source: ChatSource | None = None) -> Answer:
    """Read an answer field by field.

    Raises:
        LLMStatusError: It is an error.
        LLMResponseError: There is nothing in it.
    """
    if isinstance(data, list) and len(data) == 1:
        data = data[0]
    if (error := error_in(data)) is not None:
        raise hidden_error(error, headers)
    body = as_mapping(data)
    source = source or ChatSource(data=body)
    choices = source.choices
    if not choices:
        raise LLMResponseError(
            "the endpoint sent something that is not an answer: it has no choices",
            body=str(data)[:500],
        )
    first = choices[0]
    return Answer(
        text=first.text,
        reasoning=first.reasoning,
        refusal=first.refusal,
        tool_calls=first.tool_calls,
        finish_reason=first.finish_reason,
        usage=usage_of(body.get("usage")),
        model=plain(body.get("model")) or None,
        id=plain(body.get("id")) or None,
        service_tier=plain(body.get("service_tier")) or None,
        source=source,
    )


def choice_of(given: Any, place: int) -> Choice | None:
    """Return a choice however a server writes it; None where there is nothing in it."""
    body = as_mapping(given)
    message = as_mapping(body.get("message")) or as_mapping(body.get("delta"))
    if not message:
        said = first_text(body, "message", "text", "content")
        message = {"role": "assistant", "content": joined(said)} if said is not None else {}
    calls = _calls(message)
    choice = Choice(
        index=place if (index := count(body.get("index"))) is None else index,
        text=joined(message.get("content")),
        reasoning=_reasoning(message),
        refusal=_refusal(message),
        tool_calls=calls,
        finish_reason=reason_of(plain(body.get("finish_reason")) or None, called=bool(calls)),
        message=_turn(message),
    )
    return choice if _says_something(choice, message) else None


def reason_of(reason: str | None, *, called: bool) -> str | None:
    """Return why a model stopped; one that asks for a tool did so for that.

    Gemini says ``stop`` of every call, OpenAI of those that ``tool_choice`` names.
    """
    return "tool_calls" if called and reason == "stop" else reason


def _says_something(choice: Choice, message: Mapping[str, Any]) -> bool:
    said = choice.text or choice.tool_calls or choice.refusal or choice.reasoning
    return bool(said or choice.finish_reason or message.get("audio") or message.get("images"))


def _turn(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return the message as it came, with what makes it one that can be sent back."""
    turn = dict(message)
    turn["role"] = plain(turn.get("role")) or "assistant"
    turn.setdefault("content", None)
    return turn


def _reasoning(message: Mapping[str, Any]) -> str:
    given = first_text(message, "reasoning_content", "reasoning", "thinking")
    return joined(given) or reasoning_in(message.get("content"))


def _refusal(message: Mapping[str, Any]) -> str | None:
    if said := joined(message.get("refusal")):
        return said
    parts = [part for part in as_list(message.get("content")) if isinstance(part, Mapping)]
    return "".join(plain(part.get("refusal")) for part in parts) or None


def _calls(message: Mapping[str, Any]) -> tuple[ToolCall, ...]:
    calls = [call_of(given) for given in as_list(message.get("tool_calls"))]
    found = [call for call in calls if call.id or call.name or call.arguments]
    if not found and (older := as_mapping(message.get("function_call"))):
        call = call_of(older)
        found = [ToolCall(id=call.name, name=call.name, arguments=call.arguments)]
    return tuple(found)


class ChatSource:
    """A whole answer, read further only where somebody asks."""

    __slots__ = ("_body", "_choices", "_data")

    api = "chat"

    def __init__(self, body: bytes = b"", data: Mapping[str, Any] | None = None) -> None:
        self._body = body
        self._data = data
        self._choices: tuple[Choice, ...] | None = None

    @property
    def data(self) -> Mapping[str, Any]:
        """The answer as it came."""
        if self._data is None:
            found = decode(self._body)
            self._data = as_mapping(found[0] if isinstance(found, list) and found else found)
        return self._data

    @property
    def choices(self) -> tuple[Choice, ...]:
        """Every choice, by its index."""
        if self._choices is None:
            self._choices = _choices_in(self.data)
        return self._choices


def _choices_in(data: Mapping[str, Any]) -> tuple[Choice, ...]:
    given = as_list(data.get("choices"))
    if not given and (alone := data.get("message")) is not None:
        given = [{"message": alone, "finish_reason": data.get("done_reason")}]
    found = [choice_of(choice, place) for place, choice in enumerate(given)]
    return tuple(sorted((c for c in found if c is not None), key=lambda c: c.index))
