"""What every text dialect ends in: one answer, whole or in pieces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

if TYPE_CHECKING:
    from agentinfra.results import AnswerSource, ToolCall, Usage

__all__ = ["Answer", "Assembly", "StreamChunk", "ToolCallDelta"]


class ToolCallDelta(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A piece of a tool call: its place, and what is new of its id, name and arguments."""

    index: int
    id: str | None
    name: str | None
    arguments: str


class StreamChunk(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One piece of a streamed answer.

    Attributes:
        text: The new text, often a token; empty where the piece has none.
        reasoning: What the model thinks, as far as its endpoint shows it.
        refusal: New text of a refusal.
        tool_calls: The new pieces of tool calls.
        audio: A piece of sound as the endpoint sends it (``data`` in base64, ``transcript``).
        finish_reason: Why the model stopped, on the last piece of a choice.
        index: The choice this belongs to; 0 unless ``n`` was given.
        event: An event of the Responses API that says something else, as it came: a search, a
            piece of code, a picture on its way, an annotation.
    """

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    tool_calls: tuple[ToolCallDelta, ...] = ()
    audio: Mapping[str, Any] | None = None
    finish_reason: str | None = None
    index: int = 0
    event: Mapping[str, Any] | None = None

    def __bool__(self) -> bool:
        return bool(
            self.text
            or self.tool_calls
            or self.finish_reason
            or self.reasoning
            or self.refusal
            or self.audio
            or self.event
        )


class Answer(msgspec.Struct, kw_only=True):
    """An answer of any dialect: its first choice, and where the rest can be read.

    Attributes:
        text: The text.
        reasoning: What the model thought, as far as it is shown.
        refusal: Why it would not answer, None where it did.
        tool_calls: The calls it asks for.
        finish_reason: Why it stopped, in the words of Chat Completions.
        usage: What the server reported, None where it reported nothing.
        model: The model as the server names it.
        id: The answer's id.
        service_tier: The tier it was served in.
        source: The whole of it.
        unfinished: Whether the endpoint is still working on it (``background``).
    """

    text: str = ""
    reasoning: str = ""
    refusal: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None
    usage: Usage | None = None
    model: str | None = None
    id: str | None = None
    service_tier: str | None = None
    source: AnswerSource | None = None
    unfinished: bool = False


class Assembly(Protocol):
    """Puts the pieces of one streamed answer together."""

    @property
    def whole(self) -> bool:
        """Whether everything the model said has come, though bookkeeping may follow."""
        ...

    @property
    def text(self) -> str:
        """The text so far, of the first choice."""
        ...

    @property
    def reasoning(self) -> str:
        """The thoughts so far, of the first choice."""
        ...

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls so far; the last one's arguments may be incomplete."""
        ...

    @property
    def usage(self) -> Usage | None:
        """The usage, once the server has reported it."""
        ...

    @property
    def place(self) -> int | None:
        """The number of the last event, where the endpoint numbers them."""
        ...

    def add(self, data: bytes) -> list[StreamChunk]:
        """Take in one event and return what is new in it for the caller.

        Raises:
            LLMStatusError: The event is an error.
            LLMResponseError: It cannot be read.
        """
        ...

    def take_whole(self, data: bytes) -> list[StreamChunk]:
        """Take in a whole answer that came in place of a stream, as one piece a choice.

        Raises:
            LLMStatusError: It is an error.
            LLMResponseError: It cannot be read.
        """
        ...

    def answer(self) -> Answer:
        """Return what came, as far as it came."""
        ...
