"""The wire's JSON, typed: what goes out is encoded once, what comes in is decoded to structs.

Only the fields the client uses are declared; the rest of a body is skipped while it is parsed.
"""

from __future__ import annotations

from typing import Any

import msgspec

from agentinfra.errors import ConfigurationError, LLMResponseError
from agentinfra.results import ToolCall, Usage

__all__ = [
    "ChatBody",
    "Choice",
    "ChunkBody",
    "EmbeddingBody",
    "decode_chat",
    "decode_chunk",
    "decode_embeddings",
    "encode",
    "usage_of",
]


class _Struct(msgspec.Struct, kw_only=True, gc=False):
    pass


class _PromptDetails(_Struct):
    cached_tokens: int | None = 0
    audio_tokens: int | None = 0


class _CompletionDetails(_Struct):
    reasoning_tokens: int | None = 0
    audio_tokens: int | None = 0


class UsageBody(_Struct):
    """The ``usage`` object."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None


class _Function(_Struct):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(_Struct):
    index: int = 0
    id: str | None = None
    function: _Function | None = None


class Message(_Struct):
    """The message of a choice, or the delta of one."""

    content: str | None = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None


class Choice(_Struct):
    """One choice of an answer."""

    index: int = 0
    message: Message = msgspec.field(default_factory=Message)
    finish_reason: str | None = None


class ChatBody(_Struct):
    """An answer to a chat call."""

    choices: list[Choice]
    id: str | None = None
    model: str | None = None
    usage: UsageBody | None = None
    service_tier: str | None = None


class ChunkChoice(_Struct):
    """One choice of a piece of a stream."""

    index: int = 0
    delta: Message | None = None
    finish_reason: str | None = None


class ChunkBody(_Struct):
    """One piece of a streamed answer; ``error`` is an error event."""

    choices: list[ChunkChoice] = msgspec.field(default_factory=list)
    id: str | None = None
    model: str | None = None
    usage: UsageBody | None = None
    error: Any = None
    service_tier: str | None = None


class _Embedding(_Struct):
    # Bytes where the server sends base64, which is decoded along with the JSON: four times as fast.
    embedding: bytes | list[float]
    index: int = 0


class EmbeddingBody(_Struct):
    """An answer to an embeddings call."""

    data: list[_Embedding]
    model: str | None = None
    usage: UsageBody | None = None


_encode = msgspec.json.Encoder(enc_hook=lambda value: _plain(value)).encode
_decode_chat = msgspec.json.Decoder(ChatBody).decode
_decode_chunk = msgspec.json.Decoder(ChunkBody).decode
_decode_embeddings = msgspec.json.Decoder(EmbeddingBody).decode


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):  # a pydantic model, one of the openai package's for instance
        return value.model_dump(mode="json", exclude_none=True)
    raise TypeError(f"{type(value).__name__} is not JSON")


def encode(value: Any) -> bytes:
    """Encode what goes out.

    Raises:
        ConfigurationError: It cannot be written as JSON.
    """
    try:
        return _encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"the request cannot be written as JSON: {error}") from error


def decode_chat(body: bytes) -> ChatBody:
    """Decode an answer to a chat call.

    Raises:
        LLMResponseError: It is not one.
    """
    try:
        answer = _decode_chat(body)
    except msgspec.MsgspecError as error:
        raise _malformed(body, error) from error
    if not answer.choices:
        raise _malformed(body, "it has no choices")
    return answer


def decode_chunk(data: bytes) -> ChunkBody:
    """Decode one piece of a stream.

    Raises:
        LLMResponseError: It is not one.
    """
    try:
        return _decode_chunk(data)
    except msgspec.MsgspecError as error:
        raise _malformed(data, error) from error


def decode_embeddings(body: bytes) -> EmbeddingBody:
    """Decode an answer to an embeddings call.

    Raises:
        LLMResponseError: It is not one.
    """
    try:
        return _decode_embeddings(body)
    except msgspec.MsgspecError as error:
        raise _malformed(body, error) from error


def _malformed(body: bytes, why: object) -> LLMResponseError:
    return LLMResponseError(
        f"the endpoint sent something that is not an answer: {why}",
        body=body[:500].decode("utf-8", "replace"),
    )


def usage_of(body: UsageBody | None) -> Usage | None:
    """Return the usage a server reported, None when it reported none."""
    if body is None:
        return None
    prompt, completion = body.prompt_tokens_details, body.completion_tokens_details
    return Usage(
        prompt_tokens=body.prompt_tokens,
        completion_tokens=body.completion_tokens,
        total_tokens=body.total_tokens or body.prompt_tokens + body.completion_tokens,
        cached_tokens=(prompt.cached_tokens or 0) if prompt else 0,
        reasoning_tokens=(completion.reasoning_tokens or 0) if completion else 0,
        audio_prompt_tokens=(prompt.audio_tokens or 0) if prompt else 0,
        audio_completion_tokens=(completion.audio_tokens or 0) if completion else 0,
    )


def tool_calls_of(message: Message) -> tuple[ToolCall, ...]:
    """Return the functions a whole message asks for."""
    return tuple(
        ToolCall(
            id=call.id or "",
            name=(call.function and call.function.name) or "",
            arguments=(call.function and call.function.arguments) or "",
        )
        for call in message.tool_calls or ()
    )
