"""What the server is told to answer, and the order in which it is told."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from agentinfra.results import ToolCall, Usage

__all__ = ["Answerer", "FunctionCall", "Playbook", "Reply", "ReplyLike"]


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
    """One answer of the server.

    Attributes:
        text: The message's text.
        tool_calls: The functions it calls, in order.
        finish_reason: Why it stops; None: ``tool_calls`` where it calls, else ``stop``.
        usage: The tokens it reports; None: the server's own count.
        chunks: The pieces of the text as a stream sends them; empty: one piece a word.
        delay: Seconds before the first byte.
        chunk_delay: Seconds between the chunks of a stream; 0 sends them in one burst.
        refusal: The refusal sent in place of a text.
    """

    text: str = ""
    tool_calls: Sequence[FunctionCall | ToolCall] = ()
    finish_reason: str | None = None
    usage: Usage | None = None
    chunks: Sequence[str] = ()
    delay: float = 0.0
    chunk_delay: float = 0.0
    refusal: str | None = None

    @classmethod
    def calling(cls, name: str, **arguments: Any) -> Reply:
        """Return a reply that calls one function."""
        return cls(tool_calls=(FunctionCall(name=name, arguments=arguments),))


Answerer: TypeAlias = "Callable[[dict[str, Any]], Reply | str | Awaitable[Reply | str]]"
ReplyLike: TypeAlias = "Reply | str | Answerer"
Matcher: TypeAlias = "Callable[[dict[str, Any]], bool] | str"


class Playbook:
    """Decides who answers a chat request: the script, then the rules, then the default.

    Belongs to one server; not for sharing between loops.
    """

    def __init__(self, default: Answerer) -> None:
        self._default = default
        self._script: deque[ReplyLike] = deque()
        self._rules: list[tuple[Matcher, ReplyLike]] = []

    def script(self, *replies: ReplyLike) -> None:
        """Append replies, each for one request."""
        self._script.extend(replies)

    def on(self, matcher: Matcher, reply: ReplyLike) -> None:
        """Answer every request the matcher accepts; the first rule that matches answers."""
        self._rules.append((matcher, reply))

    def clear(self) -> None:
        """Forget the script and the rules."""
        self._script.clear()
        self._rules.clear()

    @property
    def told(self) -> bool:
        """Whether there is a script or a rule, so that the same request can get other replies."""
        return bool(self._script or self._rules)

    @property
    def pending(self) -> int:
        """Scripted replies that no request has taken yet."""
        return len(self._script)

    async def reply_to(self, body: dict[str, Any]) -> Reply:
        """Return the reply for a request, taking it from the script when there is one."""
        chosen = self._choose(body)
        reply = chosen if isinstance(chosen, Reply | str) else chosen(body)
        if isinstance(reply, Reply):
            return reply
        if isinstance(reply, str):
            return Reply(text=reply)
        answer = await reply
        return answer if isinstance(answer, Reply) else Reply(text=answer)

    def _choose(self, body: dict[str, Any]) -> ReplyLike:
        if self._script:
            return self._script.popleft()
        for matcher, reply in self._rules:
            if _matches(matcher, body):
                return reply
        return self._default


def _matches(matcher: Matcher, body: dict[str, Any]) -> bool:
    if callable(matcher):
        return bool(matcher(body))
    return matcher.casefold() in last_user_text(body["messages"]).casefold()


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
    return "\n".join(part["text"] for part in content or () if isinstance(part.get("text"), str))
