"""What the server can be told to answer, as values."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from agentinfra.results import ToolCall, Usage

__all__ = [
    "Answerer",
    "FunctionCall",
    "Matcher",
    "RawReply",
    "Reply",
    "ReplyLike",
    "last_user_text",
    "text_of",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionCall:
    """A tool call the server makes.

    Attributes:
        name: The function's name.
        arguments: The arguments; a string is sent as it is, so it may be broken JSON.
        id: The call's id; an empty one is made up.
    """

    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict)
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer of the server, whichever API asks.

    Attributes:
        text: The message's text.
        tool_calls: The functions it calls, in order.
        finish_reason: Why it stops; None: ``tool_calls`` where it calls, else ``stop``. A
            Responses object is ``incomplete`` for ``length`` and ``content_filter``.
        usage: The tokens it reports; None: the server's own count.
        chunks: The pieces of the text as a stream sends them; empty: one piece a word.
        delay: Seconds before the first byte.
        chunk_delay: Seconds between the chunks of a stream; 0 sends them in one burst.
        refusal: The refusal sent in place of a text.
        reasoning: What the model thought: a reasoning item of the Responses API, and the
            ``reasoning_content`` of the chat endpoints that send one.
        failure: The message of a failure in the middle: a Responses object that is ``failed``, an
            error event in a stream of chat, else a plain error.
        headers: Headers to send with it.
    """

    text: str = ""
    tool_calls: Sequence[FunctionCall | ToolCall] = ()
    finish_reason: str | None = None
    usage: Usage | None = None
    chunks: Sequence[str] = ()
    delay: float = 0.0
    chunk_delay: float = 0.0
    refusal: str | None = None
    reasoning: str = ""
    failure: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def calling(cls, name: str, /, **arguments: Any) -> Reply:
        """Return a reply that calls one function."""
        return cls(tool_calls=(FunctionCall(name=name, arguments=arguments),))


@dataclass(frozen=True, slots=True, kw_only=True)
class RawReply:
    """One answer of the server down to its bytes.

    Attributes:
        body: A mapping or a list is sent as JSON, text and bytes as they are. A list of bytes or
            texts is sent piece by piece, as a stream is.
        status: The HTTP status.
        headers: Headers to send with it; a content type here takes the place of the usual one.
        delay: Seconds before the first byte.
        chunk_delay: Seconds between the pieces.
    """

    body: Mapping[str, Any] | Sequence[Any] | str | bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    chunk_delay: float = 0.0


Answered: TypeAlias = "Reply | RawReply | str"
Answerer: TypeAlias = "Callable[[dict[str, Any]], Answered | Awaitable[Answered]]"
ReplyLike: TypeAlias = "Answered | Answerer"
Matcher: TypeAlias = "Callable[[dict[str, Any]], bool] | str"


def last_user_text(messages: Sequence[Mapping[str, Any]]) -> str:
    """Return the text of the last user message, empty when there is none."""
    for message in reversed(messages):
        if message.get("role") == "user":
            return text_of(message)
    return ""


def text_of(message: Mapping[str, Any]) -> str:
    """Return a message's text; text parts are joined by newlines, other parts are left out."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = [part for part in content if isinstance(part, dict)]
    return "\n".join(part["text"] for part in parts if isinstance(part.get("text"), str))
