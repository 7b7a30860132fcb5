"""What a caller asked for, checked, before any dialect has put it into its words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentinfra._types import Messages
from agentinfra.errors import ConfigurationError

__all__ = ["IMAGE_TOKENS", "TextRequest", "text_request"]

ROLES = ("system", "developer", "user", "assistant", "tool", "function")

MESSAGE_OVERHEAD = 8
"""Tokens a message costs beside its text, at most (OpenAI's cookbook counts 3, and 1 a name)."""

IMAGE_TOKENS = 50_000
"""Tokens one image costs at worst: 1,445 for a high-detail picture of the gpt-4o family, times 33
for its mini models (OpenAI, "Images and vision", calculating costs)."""

OUTPUT_TOKENS = 16_384
"""Completion tokens reserved for a call that names no limit: the output limit of gpt-4o-mini."""

_LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")


@dataclass(slots=True, kw_only=True)
class TextRequest:
    """One call for a text on its way.

    Attributes:
        messages: The conversation as OpenAI's chat has it.
        model: The model asked for.
        options: Every other parameter, those that are None left out.
        stream: Whether the answer comes in pieces.
        plain: Whether every message is text alone.
        items: Whether there are items of the Responses API among the messages.
        asks_usage: False where the caller has said ``stream_options=None``.
        headers: Headers of this call alone.
        query: Query parameters of this call alone.
        extra_body: Fields of the body, of this call alone, whatever the dialect.
        bodies: What was encoded, by whom it is for.
        size: Bytes of the first body that was encoded.
    """

    messages: Sequence[Mapping[str, Any]]
    model: str
    options: dict[str, Any]
    stream: bool
    plain: bool = True
    items: bool = False
    asks_usage: bool = True
    lenient: bool | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    bodies: dict[tuple[Any, ...], bytes] = field(default_factory=dict)
    size: int = 0

    @property
    def most_prompt_tokens(self) -> int:
        """No tokenizer makes more of the messages than this.

        Byte-level BPE makes at most one token of each byte; pictures count by another measure.
        """
        if self.plain:
            return self.size + MESSAGE_OVERHEAD * len(self.messages)
        return _weight(self.messages) + _weight(self.options.get("tools"))

    @property
    def most_completion_tokens(self) -> int:
        """What the model may generate at most, over all choices."""
        limit = next((self.options[n] for n in _LIMITS if self.options.get(n)), OUTPUT_TOKENS)
        return int(limit) * int(self.options.get("n") or 1)

    @property
    def rate_tokens(self) -> float:
        """What the call counts in a rate limit, about.

        OpenAI takes the larger of the output limit and the estimated prompt ("How to handle rate
        limits", OpenAI Cookbook).
        """
        asked = next((self.options[n] for n in _LIMITS if self.options.get(n)), 0)
        return float(max(asked, self.most_prompt_tokens // 4, 1))


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
        ConfigurationError: The messages are not a non-empty list of messages with a role.
    """
    checked, plain, items = _checked(messages)
    asks_usage = options.get("stream_options", True) is not None
    given = {name: value for name, value in options.items() if value is not None}
    if "tools" in given and not given["tools"]:
        del given["tools"]  # OpenAI refuses an empty list
        given.pop("tool_choice", None)
        given.pop("parallel_tool_calls", None)
    request = TextRequest(
        messages=checked,
        model=model,
        options=given,
        stream=stream,
        plain=plain,
        items=items,
        asks_usage=asks_usage,
    )
    if "extra_headers" in given:
        request.headers = _extra(given, "extra_headers")
    if "extra_query" in given:
        request.query = _extra(given, "extra_query")
    if "extra_body" in given:
        request.extra_body = _extra(given, "extra_body")
    if "unsupported" in given:
        request.lenient = _lenient(given.pop("unsupported"))
    return request


def _lenient(value: Any) -> bool:
    if value not in ("refuse", "drop"):
        raise ConfigurationError(f"unsupported is {value!r}: use 'refuse' or 'drop'")
    return bool(value == "drop")


def _extra(options: dict[str, Any], name: str) -> Mapping[str, Any]:
    value = options.pop(name)
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{name} is {type(value).__name__}: give a mapping")
    return value


def _checked(messages: Messages) -> tuple[Messages, bool, bool]:
    """Return the messages as mappings, whether all have plain text, and whether some are items."""
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
    plain, items = True, False
    for index, message in enumerate(given):
        if type(message) is not dict:
            return _checked([_mapping(message) for message in given])
        if message.get("role") not in ROLES:
            if "role" in message or not isinstance(message.get("type"), str):
                raise ConfigurationError(
                    f"messages[{index}] has the role {message.get('role')!r}: "
                    f"use one of {', '.join(ROLES)}"
                )
            items, plain = True, False
        content = message.get("content")  # none where the model called tools
        plain = plain and (content is None or type(content) is str)
    return given, plain, items


def _mapping(message: Any) -> dict[str, Any]:
    """Return a message as a dict; those out of the openai package are pydantic models."""
    if isinstance(message, Mapping):
        return dict(message)
    if hasattr(message, "model_dump"):
        return message.model_dump(exclude_none=True)  # type: ignore[no-any-return]
    raise ConfigurationError(
        f"a message is {type(message).__name__}, not a mapping: "
        "write {'role': 'user', 'content': ...}"
    )


def _weight(value: Any) -> int:
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode("utf-8", "replace"))
    if isinstance(value, Mapping):
        if value.get("type") in ("image_url", "input_image"):
            return IMAGE_TOKENS
        return sum(len(str(key)) + 2 + _weight(item) for key, item in value.items())
    if isinstance(value, Sequence):
        return sum(MESSAGE_OVERHEAD + _weight(item) for item in value)
    return 8 if value is not None else 0
