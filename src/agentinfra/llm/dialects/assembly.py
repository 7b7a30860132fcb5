"""Putting the pieces of a streamed answer together."""

from __future__ import annotations

from dataclasses import dataclass

from agentinfra.errors import LLMStatusError
from agentinfra.llm.dialects.codec import ChunkBody, Message, usage_of
from agentinfra.llm.dialects.failures import status_error
from agentinfra.results import ToolCall, Usage

__all__ = ["Assembly", "StreamChunk", "ToolCallDelta", "estimate_tokens"]

CHARACTERS_PER_TOKEN = 4
"""OpenAI's rule of thumb for English text; used only where no server reported usage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallDelta:
    """A piece of a tool call: its place, and what is new of its id, name and arguments."""

    index: int
    id: str | None
    name: str | None
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamChunk:
    """One piece of a streamed answer.

    Attributes:
        text: The new text, often a token; empty where the piece has none.
        tool_calls: The new pieces of tool calls.
        finish_reason: Why the model stopped, on the last piece of a choice.
        index: The choice this belongs to; 0 unless ``n`` was given.
    """

    text: str = ""
    tool_calls: tuple[ToolCallDelta, ...] = ()
    finish_reason: str | None = None
    index: int = 0

    def __bool__(self) -> bool:
        return bool(self.text or self.tool_calls or self.finish_reason)


class Assembly:
    """The answer so far, of the first choice."""

    __slots__ = ("_calls", "_text", "finish_reason", "id", "model", "service_tier", "usage")

    def __init__(self) -> None:
        self._text: list[str] = []
        self._calls: dict[int, list[str]] = {}
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self.model: str | None = None
        self.id: str | None = None
        self.service_tier: str | None = None

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._text)

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls so far, in order; the last one's arguments may be incomplete."""
        return tuple(
            ToolCall(id=parts[0], name=parts[1], arguments="".join(parts[2:]))
            for _, parts in sorted(self._calls.items())
        )

    def add(self, body: ChunkBody) -> list[StreamChunk]:
        """Take in one piece and return what is new in it for the caller.

        Raises:
            LLMStatusError: The piece is an error event.
        """
        if body.error is not None:
            raise _event_error(body.error)
        if body.usage is not None:
            self.usage = usage_of(body.usage)
        self.model = body.model or self.model
        self.id = body.id or self.id
        self.service_tier = body.service_tier or self.service_tier
        chunks = []
        for choice in body.choices:
            delta = choice.delta
            chunk = StreamChunk(
                text=(delta.content or delta.refusal or "") if delta is not None else "",
                tool_calls=_deltas(delta) if delta is not None and delta.tool_calls else (),
                finish_reason=choice.finish_reason,
                index=choice.index,
            )
            if chunk:
                chunks.append(chunk)
                if chunk.index == 0:
                    self._keep(chunk)
        return chunks

    def estimated_usage(self, prompt_characters: int) -> Usage:
        """Return what the call used, by our estimate, where the server did not say."""
        prompt = prompt_characters // CHARACTERS_PER_TOKEN + 1
        arguments = sum(len(call.arguments) for call in self.tool_calls)
        completion = estimate_tokens(self.text) + arguments // CHARACTERS_PER_TOKEN
        return Usage(
            prompt_tokens=prompt,
            completion_tokens=completion,
            total_tokens=prompt + completion,
            estimated=True,
        )

    def _keep(self, chunk: StreamChunk) -> None:
        if chunk.text:
            self._text.append(chunk.text)
        for delta in chunk.tool_calls:
            parts = self._calls.setdefault(delta.index, ["", ""])
            parts[0] = delta.id or parts[0]
            parts[1] = delta.name or parts[1]
            if delta.arguments:
                parts.append(delta.arguments)
        self.finish_reason = chunk.finish_reason or self.finish_reason


def estimate_tokens(text: str) -> int:
    """Return about how many tokens a text has."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def _deltas(delta: Message) -> tuple[ToolCallDelta, ...]:
    return tuple(
        ToolCallDelta(
            index=call.index,
            id=call.id,
            name=call.function.name if call.function else None,
            arguments=(call.function.arguments or "") if call.function else "",
        )
        for call in delta.tool_calls or ()
    )


def _event_error(error: object) -> LLMStatusError:
    body = error if isinstance(error, dict) else {"message": str(error)}
    status = body.get("status") or body.get("code")
    return status_error(status if isinstance(status, int) else 0, {}, body)
