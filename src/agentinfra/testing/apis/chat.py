"""From a reply to what goes out: ids, limits and stop sequences applied, tokens counted."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from agentinfra.results import ToolCall, Usage
from agentinfra.testing.apis.tokens import CHARACTERS_PER_TOKEN, count_prompt, count_text
from agentinfra.testing.replies import FunctionCall, Reply

__all__ = ["Completion", "call_body", "complete", "response_payload", "usage_body", "words"]

_WORD = re.compile(r"\s*\S+|\s+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """One answered chat request.

    Attributes:
        id: The completion's id.
        model: The model it names.
        created: Unix time in whole seconds.
        text: The text, None where it only calls tools or refuses.
        refusal: The refusal, None where there is none.
        calls: The tool calls, their arguments as JSON text.
        chunks: The pieces of the text as they were scripted, empty where they were not.
        finish_reason: Why it stops.
        choices: How many equal choices it has.
        reasoning: What the model thought; sent only by the servers that send it.
        usage: The tokens it reports.
    """

    id: str
    model: str
    created: int
    text: str | None
    refusal: str | None
    calls: tuple[ToolCall, ...]
    chunks: Sequence[str]
    finish_reason: str
    choices: int
    reasoning: str
    usage: Usage

    def pieces(self) -> Sequence[str]:
        """Return the text (or the refusal) as a stream sends it."""
        text = self.text or self.refusal or ""
        return cut(self.chunks, len(text)) if self.chunks else words(text)


def complete(reply: Reply, body: Mapping[str, Any], *, index: int, model: str) -> Completion:
    """Return the completion that a reply becomes for a request.

    Args:
        reply: What to answer.
        body: The request, checked.
        index: The request's place in the ledger; the ids are made of it.
        model: The model to name.
    """
    text = _stopped(reply.text or "".join(reply.chunks), body.get("stop"))
    calls = _numbered(reply.tool_calls, index) if reply.tool_calls else ()
    reason = reply.finish_reason or ("tool_calls" if calls else "stop")
    generated = _generated(text, calls, reply.refusal)
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    if limit is not None and generated > limit:
        reason = "length"
        text, calls = _shortened(text, calls, limit * CHARACTERS_PER_TOKEN)
        generated = _generated(text, calls, reply.refusal)
    choices = body.get("n") or 1
    usage = _usage(reply, body, generated * choices)
    return Completion(
        id=f"chatcmpl-{index:024d}",
        model=model,
        created=int(time.time()),
        text=text if text or not (calls or reply.refusal) else None,
        refusal=reply.refusal,
        calls=calls,
        chunks=reply.chunks,
        finish_reason=reason,
        choices=choices,
        reasoning=reply.reasoning,
        usage=usage,
    )


def words(text: str) -> list[str]:
    """Return a text in the pieces in which it is streamed."""
    return _WORD.findall(text)


def response_payload(
    completion: Completion, *, usage: bool = True, choices: bool = True
) -> dict[str, Any]:
    """Return the completion as the body of a response without a stream."""
    message: dict[str, Any] = {
        "role": "assistant",
        "content": completion.text,
        "refusal": completion.refusal,
        "annotations": [],
    }
    if completion.calls:
        message["tool_calls"] = [call_body(call) for call in completion.calls]
    payload: dict[str, Any] = {
        "id": completion.id,
        "object": "chat.completion",
        "created": completion.created,
        "model": completion.model,
        "choices": [
            {
                "index": place,
                "message": message,
                "logprobs": None,
                "finish_reason": completion.finish_reason,
            }
            for place in range(completion.choices if choices else 0)
        ],
        "service_tier": "default",
    }
    if usage:
        payload["usage"] = usage_body(completion.usage)
    return payload


def call_body(call: ToolCall) -> dict[str, Any]:
    """Return a tool call as a message holds it."""
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


def usage_body(usage: Usage) -> dict[str, Any]:
    """Return a usage as a response holds it."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "audio_tokens": usage.audio_prompt_tokens,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": usage.audio_completion_tokens,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _usage(reply: Reply, body: Mapping[str, Any], generated: int) -> Usage:
    usage = reply.usage
    if usage is None:
        prompt = count_prompt(body)
        return Usage(
            prompt_tokens=prompt, completion_tokens=generated, total_tokens=prompt + generated
        )
    if usage.total_tokens:
        return usage
    total = usage.prompt_tokens + usage.completion_tokens
    return dataclasses.replace(usage, total_tokens=total)


def _stopped(text: str, stop: str | Sequence[str] | None) -> str:
    if not stop:
        return text
    ends = [text.find(mark) for mark in ([stop] if isinstance(stop, str) else stop) if mark]
    return text[: min((end for end in ends if end >= 0), default=len(text))]


def _generated(text: str, calls: Sequence[ToolCall], refusal: str | None) -> int:
    tokens = count_text(text)
    if refusal:
        tokens += count_text(refusal)
    for call in calls:
        tokens += count_text(call.name) + count_text(call.arguments)
    return tokens


def _shortened(
    text: str, calls: tuple[ToolCall, ...], room: int
) -> tuple[str, tuple[ToolCall, ...]]:
    text = text[:room]
    room -= len(text)
    kept: list[ToolCall] = []
    for call in calls:
        room -= len(call.name)
        if room <= 0:
            break
        kept.append(dataclasses.replace(call, arguments=call.arguments[:room]))
        room -= len(call.arguments)
    return text, tuple(kept)


def _numbered(calls: Sequence[FunctionCall | ToolCall], index: int) -> tuple[ToolCall, ...]:
    return tuple(
        ToolCall(
            id=call.id or f"call_{index:018d}_{place:04d}",
            name=call.name,
            arguments=_as_text(call.arguments),
        )
        for place, call in enumerate(calls)
    )


def _as_text(arguments: Mapping[str, Any] | str) -> str:
    return arguments if isinstance(arguments, str) else orjson.dumps(dict(arguments)).decode()


def cut(chunks: Sequence[str], length: int) -> list[str]:
    pieces: list[str] = []
    for chunk in chunks:
        if length <= 0:
            break
        pieces.append(chunk[:length])
        length -= len(chunk)
    return pieces
