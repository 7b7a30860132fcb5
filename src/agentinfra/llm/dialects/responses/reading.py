"""Reading a whole answer of the Responses API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from agentinfra.errors import LLMResponseError
from agentinfra.llm.dialects.answer import Answer
from agentinfra.llm.dialects.encoding import REFUSED, decode
from agentinfra.llm.dialects.failures import error_in, hidden_error
from agentinfra.llm.dialects.request import OUTPUT
from agentinfra.llm.dialects.responses.shapes import (
    call_of,
    decode_response,
    is_plain,
    usage,
)
from agentinfra.llm.dialects.usage import usage_of, with_searches
from agentinfra.llm.dialects.values import (
    as_arguments,
    as_list,
    as_mapping,
    first_text,
    joined,
    plain,
)
from agentinfra.results import Choice, ToolCall

__all__ = ["ResponseSource", "failure_in", "read_response", "read_usual", "response_of"]

_CALLS = {"function_call": "function", "custom_tool_call": "custom"}
_UNFINISHED = frozenset({"queued", "in_progress"})


def read_response(body: bytes, headers: Mapping[str, str]) -> Answer:
    """Read an answer: the usual shape at once, any other field by field.

    Raises:
        LLMStatusError: It is an error, wherever that hides.
        LLMResponseError: It is not an answer.
    """
    if (answer := read_usual(body)) is not None:
        return answer
    data = decode(body)
    if isinstance(data, list) and len(data) == 1:
        data = data[0]
    return response_of(data, headers)


def read_usual(body: bytes, before: Mapping[str, Any] | None = None) -> Answer | None:
    """Read an answer of the usual shape; None where it needs a second look.

    Args:
        body: The answer.
        before: Fields that came before it, and are its own where it does not say them again.
    """
    try:
        usual = decode_response(body)
    except REFUSED:
        return None
    if not is_plain(usual):
        return None
    texts = [part.text or "" for item in usual.output for part in item.content or ()]
    calls = tuple(call_of(item) for item in usual.output if item.type == "function_call")
    return Answer(
        text="".join(texts),
        tool_calls=calls,
        finish_reason="tool_calls" if calls else "stop",
        usage=usage(usual.usage),
        model=usual.model,
        id=usual.id,
        service_tier=usual.service_tier,
        source=ResponseSource(before, body=body),
    )


def response_of(data: Any, headers: Mapping[str, str]) -> Answer:
    """Read an answer that has been decoded.

    Raises:
        LLMStatusError: It is an error.
        LLMResponseError: There is nothing in it.
    """
    if (error := failure_in(data)) is not None:
        raise hidden_error(error, headers)
    body = as_mapping(data)
    source = ResponseSource(body)
    choice = source.choices[0]
    said = choice.text or choice.tool_calls or choice.refusal or choice.reasoning
    if not said and not body.get("status") and not as_list(body.get("output")):
        raise LLMResponseError(
            "the endpoint sent something that is not an answer: it has no output",
            body=str(data)[:500],
        )
    return Answer(
        text=choice.text,
        reasoning=choice.reasoning,
        refusal=choice.refusal,
        tool_calls=choice.tool_calls,
        finish_reason=choice.finish_reason,
        usage=with_searches(usage_of(body.get("usage")), body.get("output")),
        model=plain(body.get("model")) or None,
        id=plain(body.get("id")) or None,
        service_tier=plain(body.get("service_tier")) or None,
        source=source,
        unfinished=plain(body.get("status")) in _UNFINISHED,
    )


def failure_in(data: Any) -> Mapping[str, Any] | None:
    """Return the error of a response, None where it has none."""
    if (error := error_in(data)) is not None:
        return error
    body = as_mapping(data)
    if plain(body.get("status")) == "failed":
        return {"message": "the response failed, and does not say why", "code": "server_error"}
    return None


class ResponseSource:
    """A whole answer of this API.

    Args:
        data: What is decoded of it already.
        body: The rest, or all of it, as it came: decoded only where somebody asks.
    """

    api = "responses"

    def __init__(self, data: Mapping[str, Any] | None = None, *, body: bytes = b"") -> None:
        self._data = data or {}
        self._body = body

    @property
    def data(self) -> Mapping[str, Any]:
        """The answer as it came."""
        if self._body:
            self._data = {**self._data, **as_mapping(decode(self._body))}
            self._body = b""
        return self._data

    @cached_property
    def choices(self) -> tuple[Choice, ...]:
        """The one choice there is."""
        items = [as_mapping(item) for item in as_list(self.data.get("output"))]
        text = "".join(map(_text, items)) or joined(self.data.get("output_text"))
        refusal = "".join(map(_refusal, items)) or None
        calls = tuple(_call(item) for item in items if plain(item.get("type")) in _CALLS)
        choice = Choice(
            index=0,
            text=text,
            reasoning="\n\n".join(filter(None, map(_reasoning, items))),
            refusal=refusal,
            tool_calls=calls,
            finish_reason=_finish_reason(self.data, calls),
            message=_message(text, refusal, calls, items, self.data.get("output")),
        )
        return (choice,)


def _text(item: Mapping[str, Any]) -> str:
    if plain(item.get("type")) not in ("message", "") or _thinks(item):
        return ""
    return joined(item.get("content"))


def _thinks(item: Mapping[str, Any]) -> bool:
    return plain(item.get("type")) == "reasoning"


def _refusal(item: Mapping[str, Any]) -> str:
    parts = map(as_mapping, as_list(item.get("content")))
    return "".join(plain(part.get("refusal")) for part in parts)


def _reasoning(item: Mapping[str, Any]) -> str:
    if not _thinks(item):
        return ""
    parts = first_text(item, "summary", "content")
    if isinstance(parts, str):
        return parts
    texts = (plain(as_mapping(part).get("text")) for part in as_list(parts))
    return "\n\n".join(filter(None, texts))


def _call(item: Mapping[str, Any]) -> ToolCall:
    kind = _CALLS[plain(item.get("type"))]
    given = item.get("input") if kind == "custom" else item.get("arguments")
    return ToolCall(
        id=plain(first_text(item, "call_id", "id")),
        name=plain(item.get("name")),
        arguments=as_arguments(given),
        kind=kind,
    )


def _finish_reason(data: Mapping[str, Any], calls: Sequence[ToolCall]) -> str | None:
    """Return why it ended, in the words of Chat Completions."""
    status = plain(data.get("status"))
    if status in _UNFINISHED:
        return None
    reason = plain(as_mapping(data.get("incomplete_details")).get("reason"))
    if status == "incomplete" or reason:
        return "length" if reason in ("max_output_tokens", "max_tokens", "") else reason
    if status == "cancelled":
        return status
    return "tool_calls" if calls else "stop"


def _message(
    text: str,
    refusal: str | None,
    calls: Sequence[ToolCall],
    items: Sequence[Mapping[str, Any]],
    output: Any,
) -> dict[str, Any]:
    """Return the turn as Chat has it, with the items this API wants back beside it."""
    message: dict[str, Any] = {"role": "assistant", "content": text or None}
    if refusal:
        message["refusal"] = refusal
    if calls:
        message["tool_calls"] = [_sent(call) for call in calls]
    notes = [note for item in items for note in _annotations(item)]
    if notes:
        message["annotations"] = notes
    if isinstance(output, list) and output:
        message[OUTPUT] = output
    return message


def _sent(call: ToolCall) -> dict[str, Any]:
    if call.kind == "custom":
        custom = {"name": call.name, "input": call.arguments}
        return {"id": call.id, "type": "custom", "custom": custom}
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


def _annotations(item: Mapping[str, Any]) -> Sequence[Any]:
    parts = map(as_mapping, as_list(item.get("content")))
    return [note for part in parts for note in as_list(part.get("annotations"))]
