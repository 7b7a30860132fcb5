"""A completion as server-sent events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from agentinfra.results import ToolCall
from agentinfra.testing.apis.chat import Completion, call_body, usage_body, words

__all__ = ["DONE", "chunk_payloads", "event"]

DONE = b"data: [DONE]\n\n"
_ARGUMENTS_PIECE = 16


def event(payload: bytes) -> bytes:
    """Return one server-sent event."""
    return b"data: " + payload + b"\n\n"


def chunk_payloads(
    completion: Completion,
    *,
    include_usage: bool,
    usage: bool = True,
    choices: bool = True,
    reasoning_key: str | None = None,
) -> list[dict[str, Any]]:
    """Return the chunks of the stream; ``[DONE]`` is not among them.

    Args:
        completion: What to send.
        include_usage: Whether the client asked for a usage chunk; every other chunk then has a
            null usage, as OpenAI sends it.
        usage: False leaves the usage chunk out though it was asked for.
        choices: False sends chunks without choices.
        reasoning_key: The field of a delta that holds what the model thought.
    """
    head = {
        "id": completion.id,
        "object": "chat.completion.chunk",
        "created": completion.created,
        "model": completion.model,
        "service_tier": "default",
    }
    tail = {"usage": None} if include_usage else {}
    made = [[choice] for choice in _choices(completion, reasoning_key)] if choices else [[]]
    sent = [{**head, "choices": choice, **tail} for choice in made]
    if include_usage and usage:
        sent.append({**head, "choices": [], "usage": usage_body(completion.usage)})
    return sent


def _choices(completion: Completion, key: str | None) -> Iterator[dict[str, Any]]:
    for place in range(completion.choices):
        for delta in _deltas(completion, key):
            yield _choice(place, delta, None)
    for place in range(completion.choices):
        yield _choice(place, {}, completion.finish_reason)


def _choice(place: int, delta: dict[str, Any], reason: str | None) -> dict[str, Any]:
    return {"index": place, "delta": delta, "logprobs": None, "finish_reason": reason}


def _deltas(completion: Completion, reasoning_key: str | None) -> Iterator[dict[str, Any]]:
    silent = completion.text is None
    yield {"role": "assistant", "content": None if silent else "", "refusal": None}
    if reasoning_key and completion.reasoning:
        for piece in words(completion.reasoning):
            yield {reasoning_key: piece}
    key = "refusal" if completion.refusal is not None and silent else "content"
    for piece in completion.pieces():
        yield {key: piece}
    yield from _call_deltas(completion.calls)


def _call_deltas(calls: Iterable[ToolCall]) -> Iterator[dict[str, Any]]:
    for place, call in enumerate(calls):
        opened = call_body(call)
        opened["function"]["arguments"] = ""
        yield {"tool_calls": [{"index": place, **opened}]}
        for start in range(0, len(call.arguments), _ARGUMENTS_PIECE):
            piece = call.arguments[start : start + _ARGUMENTS_PIECE]
            yield {"tool_calls": [{"index": place, "function": {"arguments": piece}}]}
