"""A streamed answer of Chat Completions, put together from its events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentinfra.llm.dialects.answer import Answer, StreamChunk
from agentinfra.llm.dialects.chat.merging import Merged, said_by
from agentinfra.llm.dialects.chat.reading import ChatSource, choice_of, read_chat, reason_of
from agentinfra.llm.dialects.chat.shapes import (
    ChunkBody,
    ChunkChoice,
    Delta,
    decode_chunk,
    usage,
)
from agentinfra.llm.dialects.encoding import REFUSED, decode
from agentinfra.llm.dialects.failures import error_in, hidden_error
from agentinfra.llm.dialects.toolcalls import CallPieces
from agentinfra.llm.dialects.usage import usage_of
from agentinfra.llm.dialects.values import as_list, as_mapping, count, plain
from agentinfra.results import ToolCall, Usage

__all__ = ["ChatAssembly"]


class _Turn:
    """One choice so far."""

    __slots__ = ("calls", "finish_reason", "reasoning", "refusal", "text")

    def __init__(self) -> None:
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.refusal: list[str] = []
        self.calls = CallPieces()
        self.finish_reason: str | None = None


class ChatAssembly:
    """The answer so far; see ``Assembly``.

    Args:
        choices: How many choices were asked for.
    """

    def __init__(self, choices: int = 1) -> None:
        self.usage: Usage | None = None
        self.place: int | None = None
        self._first = _Turn()
        self._turns = {0: self._first}
        self._wanted = choices
        self._finished = 0
        self._merged = Merged()
        self._model: str | None = None
        self._id: str | None = None
        self._tier: str | None = None
        self._taken: Answer | None = None

    @property
    def whole(self) -> bool:
        """Whether every choice has its finish reason."""
        return self._finished >= self._wanted

    @property
    def text(self) -> str:
        """The text so far, of the first choice."""
        return "".join(self._first.text)

    @property
    def reasoning(self) -> str:
        """The thoughts so far, of the first choice."""
        return "".join(self._first.reasoning)

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls so far; the last one's arguments may be incomplete."""
        return self._first.calls.calls

    def add(self, data: bytes) -> list[StreamChunk]:
        """Take in one event; see ``Assembly``."""
        try:
            body = decode_chunk(data)
        except REFUSED:
            return self._add_unusual(data)
        if body.error is not None or len(body.choices) > 1:
            # Several choices in one event are rare, and one of them may need a second look.
            return self._add_unusual(data)
        if not body.choices:
            self._keep(data, body)
            return []
        choice = body.choices[0]
        delta = choice.delta
        if choice.error is not None or choice.message is not None or choice.text is not None:
            return self._add_unusual(data)
        if delta is not None and delta.function_call is not None:
            return self._add_unusual(data)
        self._keep(data, body)
        if delta is None:
            chunk = StreamChunk(finish_reason=self._reason(choice), index=choice.index)
        elif choice.index == 0 and choice.finish_reason is None and (text := _text_alone(delta)):
            # Nearly every event there is.
            self._first.text.append(text)
            return [StreamChunk(text=text)]
        else:
            chunk = self._piece(choice, delta)
        if not chunk:
            return []
        self._take(self._turn(chunk.index), chunk)
        return [chunk]

    def take_whole(self, data: bytes) -> list[StreamChunk]:
        """Take in a whole answer that came in place of a stream; see ``Assembly``."""
        answer = read_chat(data, {})
        self._taken, self.usage = answer, answer.usage
        chunks = []
        for choice in answer.source.choices if answer.source else ():
            turn = self._turn(choice.index)
            deltas = tuple(
                turn.calls.place_of(place, call.id, call.name, call.arguments, call.kind)
                for place, call in enumerate(choice.tool_calls)
            )
            chunk = StreamChunk(
                text=choice.text,
                reasoning=choice.reasoning,
                refusal=choice.refusal or "",
                tool_calls=deltas,
                audio=as_mapping(choice.message.get("audio")) or None,
                finish_reason=choice.finish_reason,
                index=choice.index,
            )
            self._take(turn, chunk)
            chunks.append(chunk)
        self._finished = self._wanted
        return chunks

    def answer(self) -> Answer:
        """Return what came, as far as it came."""
        if self._taken is not None:
            return self._taken
        first = self._first
        return Answer(
            text="".join(first.text),
            reasoning="".join(first.reasoning),
            refusal="".join(first.refusal) or None,
            tool_calls=first.calls.calls if first.calls else (),
            finish_reason=first.finish_reason,
            usage=self.usage,
            model=self._model,
            id=self._id,
            service_tier=self._tier,
            source=_Streamed(self._merged),
        )

    def _piece(self, choice: ChunkChoice, delta: Delta) -> StreamChunk:
        if delta.tool_calls or delta.audio or delta.refusal:
            turn = self._turn(choice.index)
            # Before the reason is asked for: calls may come in the piece that ends them.
            deltas = _deltas(turn, delta) if delta.tool_calls else ()
            return StreamChunk(
                text=delta.content or "",
                reasoning=delta.reasoning_content or delta.reasoning or "",
                refusal=delta.refusal or "",
                tool_calls=deltas,
                audio=delta.audio or None,
                finish_reason=self._reason(choice),
                index=choice.index,
            )
        return StreamChunk(
            text=delta.content or "",
            reasoning=delta.reasoning_content or delta.reasoning or "",
            finish_reason=choice.finish_reason and self._reason(choice),
            index=choice.index,
        )

    def _reason(self, choice: ChunkChoice) -> str | None:
        """Return why a choice ends; None where it goes on."""
        turn = self._turns.get(choice.index)
        return reason_of(choice.finish_reason, called=turn is not None and bool(turn.calls))

    def _keep(self, data: bytes, body: ChunkBody) -> None:
        """Keep an event of the usual shape, and what it says of the answer."""
        self._merged.keep(data)
        if self._id is None:
            self._id = body.id
        self._model = body.model or self._model
        self._tier = body.service_tier or self._tier
        if body.usage is not None:
            self.usage = usage(body.usage) or self.usage

    def _take(self, turn: _Turn, chunk: StreamChunk) -> None:
        if chunk.text:
            turn.text.append(chunk.text)
        if chunk.reasoning:
            turn.reasoning.append(chunk.reasoning)
        if chunk.refusal:
            turn.refusal.append(chunk.refusal)
        if chunk.finish_reason:
            self._finished += turn.finish_reason is None
            turn.finish_reason = chunk.finish_reason

    def _turn(self, index: int) -> _Turn:
        turn = self._turns.get(index)
        if turn is None:
            turn = self._turns[index] = _Turn()
        return turn

    def _add_unusual(self, data: bytes) -> list[StreamChunk]:
        """Take in an event field by field."""
        found = decode(data)
        if isinstance(found, list) and len(found) == 1:
            found = found[0]
        if (error := error_in(found)) is not None:
            raise hidden_error(error, {})
        self._merged.keep(data)
        body = as_mapping(found)
        self.usage = usage_of(body.get("usage")) or self.usage
        self._model = plain(body.get("model")) or self._model
        self._id = plain(body.get("id")) or self._id
        self._tier = plain(body.get("service_tier")) or self._tier
        chunks = []
        for place, given in enumerate(as_list(body.get("choices"))):
            chunk = self._unusual(place, as_mapping(given))
            if chunk:
                chunks.append(chunk)
        return chunks

    def _unusual(self, place: int, given: Mapping[str, Any]) -> StreamChunk | None:
        index = count(given.get("index"))
        turn = self._turn(place if index is None else index)
        choice = choice_of(said_by(given, begun=bool(turn.text)), place)
        if choice is None:
            return None
        pieces = as_list(choice.message.get("tool_calls"))
        if not pieces and (older := as_mapping(choice.message.get("function_call"))):
            pieces = [{"index": 0, "function": older}]
        deltas = tuple(turn.calls.add(piece) for piece in pieces)
        chunk = StreamChunk(
            text=choice.text,
            reasoning=choice.reasoning,
            refusal=choice.refusal or "",
            tool_calls=deltas,
            audio=as_mapping(choice.message.get("audio")) or None,
            finish_reason=reason_of(choice.finish_reason, called=bool(turn.calls)),
            index=choice.index,
        )
        self._take(turn, chunk)
        return chunk


def _text_alone(delta: Delta) -> str | None:
    """Return the text of a piece that brings nothing else."""
    if delta.tool_calls or delta.reasoning_content or delta.reasoning:
        return None
    return None if delta.refusal or delta.audio else delta.content


def _deltas(turn: _Turn, delta: Delta) -> Any:
    """Return the pieces of calls of a piece of the usual shape, each with its call's place."""
    return tuple(
        turn.calls.place_of(
            call.index,
            call.id or "",
            (call.function and call.function.name) or "",
            (call.function and call.function.arguments) or "",
        )
        if call.custom is None
        else turn.calls.add({"index": call.index, "id": call.id, "custom": call.custom})
        for call in delta.tool_calls or ()
    )


class _Streamed(ChatSource):
    """A streamed answer, merged when somebody asks."""

    __slots__ = ("_merged",)

    def __init__(self, merged: Merged) -> None:
        super().__init__()
        self._merged = merged

    @property
    def data(self) -> Mapping[str, Any]:
        """The answer as one body."""
        return self._merged.data()
