"""A streamed answer of the Responses API, put together from its typed events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from agentinfra.errors import LLMError
from agentinfra.llm.dialects.answer import Answer, StreamChunk
from agentinfra.llm.dialects.encoding import REFUSED, decode
from agentinfra.llm.dialects.failures import error_in, hidden_error
from agentinfra.llm.dialects.responses.reading import (
    ResponseSource,
    failure_in,
    read_response,
    read_usual,
    response_of,
)
from agentinfra.llm.dialects.toolcalls import CallPieces
from agentinfra.llm.dialects.usage import usage_of
from agentinfra.llm.dialects.values import as_list, as_mapping, count, plain
from agentinfra.results import ToolCall, Usage

__all__ = ["ResponseAssembly"]

_TEXT = "response.output_text.delta"
_REFUSAL = "response.refusal.delta"
_ARGUMENTS = ("response.function_call_arguments.delta", "response.custom_tool_call_input.delta")
_REASONING = ("response.reasoning_summary_text.delta", "response.reasoning_text.delta")
_STATES = frozenset(("response.created", "response.in_progress", "response.queued"))
_ENDS = frozenset(("response.completed", "response.incomplete", "response.done"))
_FAILED = ("response.failed", "error")
_REPEATS = frozenset(
    (
        "response.content_part.added",
        "response.content_part.done",
        "response.output_text.done",
        "response.refusal.done",
        "response.reasoning_summary_text.done",
        "response.reasoning_text.done",
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_part.done",
        "response.function_call_arguments.done",
        "response.custom_tool_call_input.done",
    )
)
"""Events that say again what deltas have said; the items at their ends hold it all."""


class _Usual(msgspec.Struct, kw_only=True, gc=False):
    """An event that brings a piece of text, as nearly all do, or the response."""

    type: str
    delta: str | None = None
    response: msgspec.Raw = msgspec.Raw()
    sequence_number: int | None = None
    output_index: int = 0
    summary_index: int = 0
    error: Any = None


_decode = msgspec.json.Decoder(_Usual).decode


class ResponseAssembly:
    """The answer so far; see ``Assembly``."""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.place: int | None = None
        self.whole = False
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._refusal: list[str] = []
        self._calls = CallPieces()
        self._thought = -1
        self._items: dict[int, Mapping[str, Any]] = {}
        self._state: dict[str, Any] = {}
        self._answer: Answer | None = None
        self._by_type: dict[str, Callable[[Mapping[str, Any]], list[StreamChunk]]] = {
            "response.output_item.added": self._item_added,
            "response.output_item.done": self._item_done,
            **dict.fromkeys(_STATES, self._in_state),
            **dict.fromkeys(_ENDS, self._ended),
            **dict.fromkeys(_REPEATS, self._repeated),
        }

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._text)

    @property
    def reasoning(self) -> str:
        """The thoughts so far."""
        return "".join(self._reasoning)

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls so far; the last one's arguments may be incomplete."""
        return self._calls.calls

    def add(self, data: bytes) -> list[StreamChunk]:
        """Take in one event; see ``Assembly``."""
        try:
            event = _decode(data)
        except REFUSED:
            return self._add_other(data)
        if event.error is not None:
            return self._add_other(data)
        if event.sequence_number is not None:
            self.place = event.sequence_number
        piece = event.delta
        if piece is not None:
            if event.type == _TEXT:
                self._text.append(piece)
                return [StreamChunk(text=piece)]
            return self._piece(event, piece) or self._add_other(data)
        if event.type in _REPEATS:
            return []
        response = bytes(event.response)
        if response and event.type in _STATES:
            self._state.update(as_mapping(decode(response)))
            return []
        if event.type in _ENDS and (answer := read_usual(response, self._state)):
            return self._take(answer, repeat=False)
        return self._add_other(data)

    def take_whole(self, data: bytes) -> list[StreamChunk]:
        """Take in a whole answer that came in place of a stream; see ``Assembly``."""
        return self._take(read_response(data, {}))

    def answer(self) -> Answer:
        """Return what came, as far as it came."""
        if self._answer is not None:
            return self._answer
        data = {**self._state, "output": [self._items[at] for at in sorted(self._items)]}
        return Answer(
            text=self.text,
            reasoning=self.reasoning,
            refusal="".join(self._refusal) or None,
            tool_calls=self._calls.calls if self._calls else (),
            usage=self.usage,
            model=plain(self._state.get("model")) or None,
            id=plain(self._state.get("id")) or None,
            service_tier=plain(self._state.get("service_tier")) or None,
            source=ResponseSource(data) if self._items else None,
        )

    def _piece(self, event: _Usual, piece: str) -> list[StreamChunk]:
        if event.type in _ARGUMENTS:
            delta = self._calls.place_of(event.output_index, "", "", piece)
            return [StreamChunk(tool_calls=(delta,))]
        if event.type in _REASONING:
            new = event.summary_index != self._thought and self._reasoning
            self._thought = event.summary_index
            text = f"\n\n{piece}" if new else piece
            self._reasoning.append(text)
            return [StreamChunk(reasoning=text)]
        if event.type == _REFUSAL:
            self._refusal.append(piece)
            return [StreamChunk(refusal=piece)]
        return []

    def _add_other(self, data: bytes) -> list[StreamChunk]:
        event = as_mapping(decode(data))
        self.place = count(event.get("sequence_number")) or self.place
        kind = plain(event.get("type"))
        if kind in _FAILED:
            raise hidden_error(_why(event), {})
        if (error := error_in(event)) is not None:
            raise hidden_error(error, {})
        if (known := self._by_type.get(kind)) is not None:
            return known(event)
        if kind.endswith(".delta") and kind in (_TEXT, _REFUSAL, *_ARGUMENTS, *_REASONING):
            return self._odd_piece(kind, event)
        # Searches, code, pictures, annotations: for who wants to show them.
        return [StreamChunk(event=event)] if event else []

    def _odd_piece(self, kind: str, event: Mapping[str, Any]) -> list[StreamChunk]:
        """Take in a piece one of whose fields is of another type than usual."""
        piece = plain(event.get("delta"))
        if kind == _TEXT:
            self._text.append(piece)
            return [StreamChunk(text=piece)] if piece else []
        usual = _Usual(
            type=kind,
            output_index=count(event.get("output_index")) or 0,
            summary_index=count(event.get("summary_index")) or 0,
        )
        return self._piece(usual, piece)

    def _item_added(self, event: Mapping[str, Any]) -> list[StreamChunk]:
        item = as_mapping(event.get("item"))
        kind = plain(item.get("type"))
        at = count(event.get("output_index"))
        if kind in ("function_call", "custom_tool_call"):
            delta = self._calls.place_of(
                at,
                plain(item.get("call_id")),
                plain(item.get("name")),
                plain(item.get("arguments") or item.get("input")),
                "custom" if kind == "custom_tool_call" else "function",
            )
            return [StreamChunk(tool_calls=(delta,))]
        return [] if kind in ("message", "reasoning") else [StreamChunk(event=event)]

    def _item_done(self, event: Mapping[str, Any]) -> list[StreamChunk]:
        item = as_mapping(event.get("item"))
        at = count(event.get("output_index"))
        self._items[len(self._items) if at is None else at] = item
        known = plain(item.get("type")) in (
            "message",
            "reasoning",
            "function_call",
            "custom_tool_call",
        )
        return [] if known else [StreamChunk(event=event)]

    def _in_state(self, event: Mapping[str, Any]) -> list[StreamChunk]:
        self._state.update(as_mapping(event.get("response")))
        return []

    def _repeated(self, event: Mapping[str, Any]) -> list[StreamChunk]:
        del event
        return []

    def _ended(self, event: Mapping[str, Any]) -> list[StreamChunk]:
        response = dict(as_mapping(event.get("response")))
        if not as_list(response.get("output")) and self._items:
            response["output"] = [self._items[at] for at in sorted(self._items)]
        merged = {**self._state, **response}
        merged["status"] = plain(response.get("status")) or plain(event.get("type"))[9:]
        if (error := failure_in(merged)) is not None:
            raise hidden_error(error, {})
        try:
            answer = response_of(merged, {})
        except LLMError:
            self.usage = usage_of(merged.get("usage")) or self.usage  # it was paid for
            raise
        return self._take(answer, repeat=False)

    def _take(self, answer: Answer, *, repeat: bool = True) -> list[StreamChunk]:
        """Take the whole answer; what no piece has said yet is handed out now."""
        self.whole = True
        self.usage = answer.usage or self.usage
        text = "" if self._text and not repeat else answer.text
        calls = () if self._calls else answer.tool_calls
        deltas = tuple(
            self._calls.place_of(place, call.id, call.name, call.arguments, call.kind)
            for place, call in enumerate(calls)
        )
        chunk = StreamChunk(
            text=text,
            reasoning="" if self._reasoning else answer.reasoning,
            refusal="" if self._refusal else answer.refusal or "",
            tool_calls=deltas,
            finish_reason=answer.finish_reason,
        )
        self._text += [text] if text else []
        self._reasoning += [chunk.reasoning] if chunk.reasoning else []
        self._refusal += [chunk.refusal] if chunk.refusal else []
        self._answer = self._completed(answer)
        return [chunk]

    def _completed(self, answer: Answer) -> Answer:
        """Return the answer at the end; some servers leave out of it what their events said."""
        answer.text = answer.text or self.text
        answer.reasoning = answer.reasoning or self.reasoning
        answer.tool_calls = answer.tool_calls or self._calls.calls
        answer.usage = answer.usage or self.usage
        if answer.tool_calls and answer.finish_reason == "stop":
            answer.finish_reason = "tool_calls"
        return answer


def _why(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the error object of a failure's event."""
    inner = as_mapping(event.get("response"))
    for place in (inner, event):
        error = place.get("error")
        if isinstance(error, Mapping) and error:
            return error
        if isinstance(error, str) and error:
            return {"message": error}
    return {"message": "the response failed", "code": "server_error", **event}
