"""What a caller asked for, checked, before any dialect has put it into its words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

import msgspec

from agentinfra._types import Messages
from agentinfra.errors import ConfigurationError
from agentinfra.llm.dialects.options import checked_headers, checked_options, extra
from agentinfra.llm.dialects.usage import CHARACTERS_PER_TOKEN
from agentinfra.llm.dialects.values import count
from agentinfra.llm.dialects.weighing import NOTHING, Attached, attached_to

__all__ = [
    "OUTPUT",
    "Api",
    "Forms",
    "Seen",
    "TextRequest",
    "limit_in",
    "resumed",
    "text_request",
]

Api: TypeAlias = Literal["chat", "responses"]
"""Which of OpenAI's two APIs for texts."""

ROLES = ("system", "developer", "user", "assistant", "tool", "function")

_PICTURE = 1_000
"""Tokens of a picture, about: what is estimated where a server reports no usage."""

_OURS = frozenset(("extra_headers", "extra_query", "extra_body", "cache", "unsupported"))
"""Options that are said to the client."""

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}

_LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
"""How the APIs name the tokens an answer may have."""

OUTPUT = "output"
"""Where a turn that the Responses API gave keeps its items, to be sent back as they came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What some messages hold.

    Attributes:
        plain: Whether every message is text alone.
        items: Whether there are items of the Responses API among them.
        turns: Whether there are turns that are not sent back to Chat Completions as they are.
    """

    plain: bool
    items: bool
    turns: bool


_TEXT_ALONE = Seen(plain=True, items=False, turns=False)


class Forms(Protocol):
    """The ways in which one request can be put, for endpoints that do not take the first."""

    @property
    def names(self) -> tuple[str, ...]:
        """The forms, the one that is best in front."""
        ...

    def said(self, form: str) -> tuple[Messages, dict[str, Any]]:
        """Return messages and parameters in a form."""
        ...


class TextRequest(msgspec.Struct, kw_only=True):
    """One call for a text on its way.

    Attributes:
        messages: The conversation as OpenAI's chat has it.
        model: The model asked for.
        options: Every other parameter, those that are None left out.
        stream: Whether the answer comes in pieces.
        seen: What the messages hold.
        limit: How many tokens the answer may have; 0 where the call does not say.
        lenient: Whether what the model refuses is left out; None is as the endpoint's settings say.
        asks_usage: False where the caller has said ``stream_options=None``.
        headers: Headers of this call alone.
        query: Query parameters of this call alone.
        extra_body: Fields of the body, of this call alone, whatever the dialect.
        forms: The ways in which it can be put; None where there is one only.
        form: The one it is in.
        unfit: Forms that were refused for what this very request says in them.
        keep: Seconds its answer may be kept and given again; 0 where the call does not ask for it.
        resumes: The id of a response that is asked for again, in place of a new one.
        api: The API it goes to, as it was put last.
        ready: For whom it was put so, and what was known of them.
        body: The body that was encoded last; empty for a response that is asked for again.
        encoded_for: Whom that is for.
        size: Bytes of the first body that was encoded.
    """

    messages: Sequence[Mapping[str, Any]]
    model: str
    options: dict[str, Any]
    stream: bool
    seen: Seen
    limit: int = 0
    asks_usage: bool = True
    lenient: bool | None = None
    headers: Mapping[str, str] | None = None
    query: Mapping[str, Any] | None = None
    extra_body: Mapping[str, Any] | None = None
    forms: Forms | None = None
    form: str = ""
    unfit: frozenset[str] = frozenset()
    keep: float = 0.0
    resumes: str = ""
    api: Api = "chat"
    ready: tuple[Any, ...] = ()
    body: bytes = b""
    encoded_for: tuple[Any, ...] = ()
    size: int = 0

    def take(self, form: str) -> None:
        """Put it in another form."""
        if self.forms is None or form == self.form:
            return
        self.messages, self.options = self.forms.said(form)
        self.form = form
        self.encoded_for = self.ready = ()

    @property
    def attached(self) -> Attached:
        """What the messages hold beside text."""
        return NOTHING if self.seen.plain else attached_to(self.messages)

    @property
    def likely_prompt_tokens(self) -> int:
        """What the prompt has, about."""
        if self.seen.plain:
            return self.size // CHARACTERS_PER_TOKEN + 1
        attached = self.attached
        text = max(0, self.size - attached.inline) // CHARACTERS_PER_TOKEN
        return text + attached.pictures * _PICTURE + attached.sound // 4 + 1

    @property
    def rate_tokens(self) -> float:
        """What the call counts in a rate limit, about.

        OpenAI takes the larger of the output limit and the estimated prompt ("How to handle rate
        limits", OpenAI Cookbook).
        """
        return float(max(self.limit, self.likely_prompt_tokens))


def text_request(
    messages: Messages, model: str, options: dict[str, Any], *, stream: bool
) -> TextRequest:
    """Check a request.

    Args:
        messages: The conversation, oldest first.
        model: The model.
        options: Every other parameter; those that are None, and an empty list of tools, are left
            out. ``extra_headers``, ``extra_query`` and ``extra_body`` are the openai package's.
        stream: Whether to stream.

    Raises:
        ConfigurationError: The messages are not a non-empty list of messages with a role, or an
            option cannot be sent.
    """
    checked, seen = _checked(messages)
    given = checked_options(options)
    if "tools" in given and not given["tools"]:
        del given["tools"]  # OpenAI refuses an empty list
        given.pop("tool_choice", None)
        given.pop("parallel_tool_calls", None)
    request = TextRequest(
        messages=checked,
        model=model,
        options=given,
        stream=stream,
        seen=seen,
        limit=limit_in(given),
        asks_usage=options.get("stream_options", True) is not None,
    )
    if not _OURS.isdisjoint(given):
        _take_ours(request, given)
    return request


def _take_ours(request: TextRequest, given: dict[str, Any]) -> None:
    """Take out of the options what is said to the client, not to the model."""
    if "extra_headers" in given:
        request.headers = checked_headers(extra(given, "extra_headers"))
    if "extra_query" in given:
        request.query = extra(given, "extra_query")
    if "extra_body" in given:
        request.extra_body = extra(given, "extra_body")
    if "cache" in given:
        request.keep = _seconds(given.pop("cache"))
    if "unsupported" in given:
        request.lenient = _lenient(given.pop("unsupported"))


def limit_in(options: Mapping[str, Any]) -> int:
    """Return the tokens an answer may have at most; 0 where nothing says so."""
    most = 0
    for name in _LIMITS:
        if name in options:
            most = max(most, count(options[name]) or 0)
    return most


def resumed(response_id: str, model: str, query: Mapping[str, Any], *, stream: bool) -> TextRequest:
    """Return the request for a response that the endpoint holds.

    Raises:
        ConfigurationError: There is no id.
    """
    if not response_id:
        raise ConfigurationError("there is no response_id: give that of a response that was stored")
    return TextRequest(
        messages=(),
        model=model,
        options={},
        stream=stream,
        seen=_TEXT_ALONE,
        query=query,
        resumes=response_id,
    )


def _lenient(value: Any) -> bool:
    if value not in ("refuse", "drop"):
        raise ConfigurationError(f"unsupported is {value!r}: use 'refuse' or 'drop'")
    return bool(value == "drop")


def _seconds(value: Any) -> float:
    """Return how long to keep an answer: seconds, or a number with s, m, h or d behind it."""
    try:
        unit = _UNITS[value[-1]] if isinstance(value, str) else 1.0
        seconds = float(value[:-1] if isinstance(value, str) else value) * unit
    except (KeyError, IndexError, TypeError, ValueError):
        seconds = 0.0
    if isinstance(value, bool) or not 0.0 < seconds < float("inf"):
        raise ConfigurationError(
            f"cache is {value!r:.80}: give seconds, or text like '30m' or '1h'"
        )
    return seconds


def _checked(messages: Messages) -> tuple[Messages, Seen]:
    """Return the messages as mappings, and what is among them."""
    given: Any = messages
    if type(given) is not list and (
        isinstance(given, str | Mapping) or not isinstance(given, Sequence)
    ):
        raise ConfigurationError(
            f"messages must be a list of {{'role', 'content'}} mappings, not "
            f"{type(messages).__name__}: wrap the text in [{{'role': 'user', 'content': ...}}]"
        )
    if not given:
        raise ConfigurationError("messages is empty: give at least one message")
    plain, items, turns = True, False, False
    for index, message in enumerate(given):
        if type(message) is not dict:
            return _checked([_mapping(message) for message in given])
        role = message.get("role")
        if role not in ROLES:
            _is_item(index, message)
            items, plain = True, False
        elif role == "assistant":
            turns = turns or OUTPUT in message or "audio" in message
        content = message.get("content")  # none where the model called tools
        if type(content) is not str and content is not None:
            plain = False
            if isinstance(content, bytes | bytearray):
                raise ConfigurationError(f"messages[{index}] has bytes for content: decode them")
    if plain and not turns:
        return given, _TEXT_ALONE
    return given, Seen(plain=plain, items=items, turns=turns)


def _is_item(index: int, message: Mapping[str, Any]) -> None:
    if "role" in message or not isinstance(message.get("type"), str):
        raise ConfigurationError(
            f"messages[{index}] has the role {message.get('role')!r}: use one of {', '.join(ROLES)}"
        )


def _mapping(message: Any) -> dict[str, Any]:
    """Return a message as a dict; those out of the openai package are pydantic models."""
    if isinstance(message, Mapping):
        return dict(message)
    if type(message).__module__.startswith("langchain_core."):
        raise ConfigurationError(
            f"a message is LangChain's {type(message).__name__}: convert the messages with "
            "langchain_core.messages.convert_to_openai_messages"
        )
    if hasattr(message, "model_dump"):
        return message.model_dump(exclude_none=True)  # type: ignore[no-any-return]
    raise ConfigurationError(
        f"a message is {type(message).__name__}, not a mapping: "
        "write {'role': 'user', 'content': ...}"
    )
