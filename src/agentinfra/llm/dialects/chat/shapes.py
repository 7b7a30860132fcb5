"""The usual shape of Chat Completions, typed: only the fields the client uses are decoded.

What does not fit these, by one field of the wrong type even, is read field by field instead.
"""

from __future__ import annotations

from typing import Any

import msgspec

from agentinfra.llm.dialects.odd_usage import Count, OddUsage
from agentinfra.llm.dialects.usage import usage_of
from agentinfra.results import ToolCall, Usage

__all__ = [
    "ChunkBody",
    "ChunkChoice",
    "Delta",
    "UsualBody",
    "calls_of",
    "decode_chunk",
    "decode_whole",
    "usage",
]


class _Struct(msgspec.Struct, kw_only=True, gc=False):
    pass


class _PromptDetails(_Struct):
    cached_tokens: int | None = 0
    cache_write_tokens: int | None = 0
    audio_tokens: int | None = 0
    image_tokens: int | None = 0


class _CompletionDetails(_Struct):
    reasoning_tokens: int | None = 0
    audio_tokens: int | None = 0
    image_tokens: int | None = 0


_UNTOLD = (None, _PromptDetails(), _CompletionDetails())
"""Details that say nothing: those of most answers."""


class UsageBody(OddUsage):
    """The ``usage`` object."""

    prompt_tokens: Count
    completion_tokens: Count
    total_tokens: Count
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None


class _Function(_Struct):
    name: str | None = None
    arguments: str | None = None


class _Call(_Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None
    custom: dict[str, Any] | None = None


class Delta(_Struct):
    """The message of a choice, or a piece of one."""

    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[_Call] | None = None
    function_call: _Function | None = None
    audio: dict[str, Any] | None = None


class _Choice(_Struct):
    message: Delta
    index: int = 0
    finish_reason: str | None = None
    error: Any = None


class UsualBody(_Struct):
    """An answer of the usual shape."""

    choices: list[_Choice]
    id: str | None = None
    model: str | None = None
    usage: UsageBody | None = None
    service_tier: str | None = None
    error: Any = None


class ChunkChoice(_Struct):
    """One choice of a piece; ``message`` and ``text`` stand where some put what they say."""

    index: int = 0
    delta: Delta | None = None
    finish_reason: str | None = None
    error: Any = None
    message: Any = None
    text: Any = None


class ChunkBody(_Struct):
    """A piece of a stream of the usual shape."""

    choices: list[ChunkChoice]
    id: str | None = None
    model: str | None = None
    usage: UsageBody | None = None
    service_tier: str | None = None
    error: Any = None


decode_whole = msgspec.json.Decoder(UsualBody).decode
decode_chunk = msgspec.json.Decoder(ChunkBody).decode


def usage(body: UsageBody | None) -> Usage | None:
    """Return the usage of the usual shape; one with words of a server's own is read by them."""
    if body is None:
        return None
    total = body.prompt_tokens + body.completion_tokens
    if not total or body.total_tokens != total or body.is_odd:
        return usage_of(msgspec.to_builtins(body))
    prompt, completion = body.prompt_tokens_details, body.completion_tokens_details
    if prompt in _UNTOLD and completion in _UNTOLD:
        return Usage(
            prompt_tokens=body.prompt_tokens,
            completion_tokens=body.completion_tokens,
            total_tokens=body.total_tokens,
        )
    thought = (completion.reasoning_tokens or 0) if completion else 0
    cached = (prompt.cached_tokens or 0) if prompt else 0
    written = (prompt.cache_write_tokens or 0) if prompt else 0
    if thought > body.completion_tokens or cached + written > body.prompt_tokens:
        return usage_of(msgspec.to_builtins(body))
    return Usage(
        prompt_tokens=body.prompt_tokens,
        completion_tokens=body.completion_tokens,
        total_tokens=body.total_tokens,
        cached_tokens=cached,
        cache_write_tokens=written,
        reasoning_tokens=thought,
        audio_prompt_tokens=(prompt.audio_tokens or 0) if prompt else 0,
        audio_completion_tokens=(completion.audio_tokens or 0) if completion else 0,
        image_prompt_tokens=(prompt.image_tokens or 0) if prompt else 0,
        image_completion_tokens=(completion.image_tokens or 0) if completion else 0,
    )


def calls_of(message: Delta) -> tuple[ToolCall, ...]:
    """Return the calls a whole message of the usual shape asks for."""
    return tuple(
        ToolCall(
            id=call.id or "",
            name=(call.function and call.function.name) or "",
            arguments=(call.function and call.function.arguments) or "",
        )
        for call in message.tool_calls or ()
    )
