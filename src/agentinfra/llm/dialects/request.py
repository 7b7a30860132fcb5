"""What a caller asked for, checked and put into the shape OpenAI takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentinfra._types import Messages
from agentinfra.errors import ConfigurationError
from agentinfra.llm.dialects.codec import encode

__all__ = ["IMAGE_TOKENS", "ChatRequest", "chat_request"]

ROLES = ("system", "developer", "user", "assistant", "tool", "function")

MESSAGE_OVERHEAD = 8
"""Tokens a message costs beside its text, at most (OpenAI's cookbook counts 3, and 1 a name)."""

IMAGE_TOKENS = 50_000
"""Tokens one image costs at worst: 1,445 for a high-detail picture of the gpt-4o family, times 33
for its mini models (OpenAI, "Images and vision", calculating costs)."""

OUTPUT_TOKENS = 16_384
"""Completion tokens reserved for a call that names no limit: the output limit of gpt-4o-mini."""


@dataclass(slots=True, kw_only=True)
class ChatRequest:
    """One chat call on its way.

    Attributes:
        payload: What is sent, the model included.
        body: The same as JSON.
        most_prompt_tokens: No tokenizer makes more of the messages than this.
        most_completion_tokens: What the model may generate at most, over all choices.
    """

    payload: dict[str, Any]
    body: bytes
    most_prompt_tokens: int
    most_completion_tokens: int

    @property
    def model(self) -> str:
        """The model asked for."""
        return str(self.payload["model"])

    @property
    def stream(self) -> bool:
        """Whether the answer comes in pieces."""
        return bool(self.payload.get("stream"))

    @property
    def rate_tokens(self) -> float:
        """What the call counts in a rate limit, about.

        OpenAI takes the larger of the output limit and the estimated prompt ("How to handle rate
        limits", OpenAI Cookbook).
        """
        asked = self.payload.get("max_completion_tokens") or self.payload.get("max_tokens") or 0
        return float(max(asked, self.most_prompt_tokens // 4, 1))

    def body_for(self, model: str) -> bytes:
        """Return the body for a model that may be another one."""
        if model == self.payload["model"]:
            return self.body
        return encode({**self.payload, "model": model})


def chat_request(
    messages: Messages, model: str, options: Mapping[str, Any], *, stream: bool
) -> ChatRequest:
    """Build a request.

    Args:
        messages: The conversation, oldest first.
        model: The model.
        options: Every other parameter; those that are None are left out.
        stream: Whether to stream; the usage is asked for along with it.

    Raises:
        ConfigurationError: The messages are not a non-empty list of messages with a role.
    """
    messages, plain = _checked(messages)
    payload: dict[str, Any] = {"model": model, "messages": messages}
    payload |= {name: value for name, value in options.items() if value is not None}
    if stream:
        payload["stream"] = True
        payload["stream_options"] = {"include_usage": True, **payload.get("stream_options", {})}
    limit = payload.get("max_completion_tokens") or payload.get("max_tokens") or OUTPUT_TOKENS
    body = encode(payload)
    return ChatRequest(
        payload=payload,
        body=body,
        # Byte-level BPE makes at most one token of each byte; pictures count by another measure.
        most_prompt_tokens=(
            len(body) + MESSAGE_OVERHEAD * len(messages)
            if plain
            else _weight(messages) + _weight(payload.get("tools"))
        ),
        most_completion_tokens=limit * (payload.get("n") or 1),
    )


def _checked(messages: Messages) -> tuple[Messages, bool]:
    """Return the messages as mappings, and whether all of them have plain text."""
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
    plain = True
    for index, message in enumerate(given):
        if type(message) is not dict:
            return _checked([_mapping(message) for message in given])
        if message.get("role") not in ROLES:
            raise ConfigurationError(
                f"messages[{index}] has the role {message.get('role')!r}: "
                f"use one of {', '.join(ROLES)}"
            )
        content = message.get("content")  # none where the model called tools
        plain = plain and (content is None or type(content) is str)
    return given, plain


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
        if value.get("type") == "image_url":
            return IMAGE_TOKENS
        return sum(len(str(key)) + 2 + _weight(item) for key, item in value.items())
    if isinstance(value, Sequence):
        return sum(MESSAGE_OVERHEAD + _weight(item) for item in value)
    return 8 if value is not None else 0
