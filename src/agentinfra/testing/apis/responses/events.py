"""A response as the typed events of its stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from agentinfra.testing.apis.chat import words
from agentinfra.testing.apis.responses.body import unfinished

__all__ = ["error_event", "response_events"]

_ARGUMENTS_PIECE = 16
_LAST = {
    "completed": "response.completed",
    "incomplete": "response.incomplete",
    "failed": "response.failed",
}


def response_events(response: dict[str, Any], pieces: Sequence[str]) -> list[bytes]:
    """Return the stream of a response.

    Args:
        response: The finished response.
        pieces: The pieces in which its text goes out.
    """
    begun = unfinished(response, "in_progress")
    payloads: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
    ]
    for place, item in enumerate(response["output"]):
        payloads += _item(item, place, pieces)
    payloads.append({"type": _LAST[response["status"]], "response": response})
    return [
        event({**payload, "sequence_number": number}) for number, payload in enumerate(payloads)
    ]


def event(payload: dict[str, Any]) -> bytes:
    """Return one event with its name."""
    name = str(payload["type"]).encode()
    return b"event: " + name + b"\ndata: " + orjson.dumps(payload) + b"\n\n"


def error_event(error: dict[str, Any], number: int) -> bytes:
    """Return the event of an error in a stream."""
    told = {key: error.get(key) for key in ("code", "message", "param")}
    return event({"type": "error", **told, "sequence_number": number})


def _item(item: dict[str, Any], place: int, pieces: Sequence[str]) -> Iterator[dict[str, Any]]:
    begun = {**item}
    if "status" in begun:
        begun["status"] = "in_progress"
    inner: Iterator[dict[str, Any]]
    if item["type"] == "function_call":
        begun["arguments"] = ""
        inner = _arguments(item)
    elif item["type"] == "reasoning":
        begun["summary"] = []
        inner = _summary(item)
    else:
        begun["content"] = []
        inner = _content(item, pieces)
    yield {"type": "response.output_item.added", "output_index": place, "item": begun}
    for payload in inner:
        yield {**payload, "item_id": item["id"], "output_index": place}
    yield {"type": "response.output_item.done", "output_index": place, "item": item}


def _arguments(item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    kind = "response.function_call_arguments"
    text = item["arguments"]
    for start in range(0, len(text), _ARGUMENTS_PIECE):
        yield {"type": f"{kind}.delta", "delta": text[start : start + _ARGUMENTS_PIECE]}
    yield {"type": f"{kind}.done", "name": item["name"], "arguments": text}


def _summary(item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    kind = "response.reasoning_summary"
    for place, part in enumerate(item["summary"]):
        at = {"summary_index": place}
        yield {"type": f"{kind}_part.added", "part": {**part, "text": ""}, **at}
        for piece in words(part["text"]):
            yield {"type": f"{kind}_text.delta", "delta": piece, **at}
        yield {"type": f"{kind}_text.done", "text": part["text"], **at}
        yield {"type": f"{kind}_part.done", "part": part, **at}


def _content(item: dict[str, Any], pieces: Sequence[str]) -> Iterator[dict[str, Any]]:
    (part,) = item["content"]
    at = {"content_index": 0}
    key = "refusal" if part["type"] == "refusal" else "text"
    kind = f"response.{part['type']}"
    more: dict[str, Any] = {} if key == "refusal" else {"logprobs": []}
    yield {"type": "response.content_part.added", "part": {**part, key: ""}, **at}
    for piece in pieces:
        yield {"type": f"{kind}.delta", "delta": piece, **at, **more}
    yield {"type": f"{kind}.done", key: part[key], **at, **more}
    yield {"type": "response.content_part.done", "part": part, **at}
