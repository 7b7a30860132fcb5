"""A completion as server-sent events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from agentinfra.results import ToolCall
from agentinfra.testing.completion import Completion, call_body, usage_body

__all__ = ["DONE", "event", "events"]

DONE = b"data: [DONE]\n\n"
_ARGUMENTS_PIECE = 16


def event(payload: bytes) -> bytes:
    """Return one server-sent event."""
    return b"data: " + payload + b"\n\n"


def events(
    completion: Completion, *, include_usage: bool, usage: bool = True, choices: bool = True
) -> list[bytes]:
    """Return the whole stream, one item a chunk, ``[DONE]`` last.

    Args:
        completion: What to send.
        include_usage: Whether the client asked for a usage chunk; every other chunk then has a
            null usage, as OpenAI sends it.
        usage: False leaves the usage chunk out though it was asked for.
        choices: False sends chunks without choices.
    """
    head = orjson.dumps(
        {
            "id": completion.id,
            "object": "chat.completion.chunk",
            "created": completion.created,
            "model": completion.model,
            "service_tier": "default",
        }
    )[:-1]
    tail = b',"usage":null}' if include_usage else b"}"
    bodies = _choices(completion) if choices else iter([b"[]"])
    sent = [event(head + b',"choices":' + body + tail) for body in bodies]
    if include_usage and usage:
        counted = orjson.dumps(usage_body(completion.usage))
        sent.append(event(head + b',"choices":[],"usage":' + counted + b"}"))
    sent.append(DONE)
    return sent


def _choices(completion: Completion) -> Iterator[bytes]:
    for place in range(completion.choices):
        for delta in _deltas(completion):
            yield _choice(place, delta, None)
    for place in range(completion.choices):
        yield _choice(place, {}, completion.finish_reason)


def _choice(place: int, delta: dict[str, Any], reason: str | None) -> bytes:
    return orjson.dumps(
        [{"index": place, "delta": delta, "logprobs": None, "finish_reason": reason}]
    )


def _deltas(completion: Completion) -> Iterator[dict[str, Any]]:
    silent = completion.text is None
    yield {"role": "assistant", "content": None if silent else "", "refusal": None}
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
