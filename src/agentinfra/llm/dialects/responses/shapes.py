"""The usual shape of a response, typed: only the fields the client uses are decoded.

What does not fit these, by one field of the wrong type even, is read field by field instead.
"""

from __future__ import annotations

from typing import Any

import msgspec

from agentinfra.llm.dialects.odd_usage import Count, OddUsage
from agentinfra.llm.dialects.usage import usage_of
from agentinfra.results import ToolCall, Usage

__all__ = ["UsualResponse", "call_of", "decode_response", "is_plain", "usage"]


class _Struct(msgspec.Struct, kw_only=True, gc=False):
    pass


class _InputDetails(_Struct):
    cached_tokens: int | None = 0
    cache_write_tokens: int | None = 0


class _OutputDetails(_Struct):
    reasoning_tokens: int | None = 0


class UsageBody(OddUsage):
    """The ``usage`` object."""

    input_tokens: Count
    output_tokens: Count
    total_tokens: Count
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None


class _Part(_Struct):
    type: str
    text: str | None = None


class Item(_Struct):
    """One item of the output."""

    type: str
    content: list[_Part] | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None


class UsualResponse(_Struct):
    """A response of the usual shape."""

    status: str
    output: list[Item]
    id: str | None = None
    model: str | None = None
    usage: UsageBody | None = None
    service_tier: str | None = None
    error: Any = None
    incomplete_details: Any = None


decode_response = msgspec.json.Decoder(UsualResponse).decode


def is_plain(usual: UsualResponse) -> bool:
    """Whether a response is finished, of text and calls alone, and needs no second look."""
    if usual.status != "completed" or usual.error is not None:
        return False
    if usual.incomplete_details is not None or not usual.output:
        return False
    for item in usual.output:
        if item.type == "message":
            if not item.content or any(part.type != "output_text" for part in item.content):
                return False
        elif item.type != "function_call" or not item.call_id or item.arguments is None:
            return False
    return True


def call_of(item: Item) -> ToolCall:
    """Return the call of an item that is one."""
    return ToolCall(id=item.call_id or "", name=item.name or "", arguments=item.arguments or "")


def usage(body: UsageBody | None) -> Usage | None:
    """Return the usage of the usual shape; one with words of a server's own is read by them."""
    if body is None:
        return None
    sent, made = body.input_tokens_details, body.output_tokens_details
    cached = (sent.cached_tokens or 0) if sent else 0
    written = (sent.cache_write_tokens or 0) if sent else 0
    thought = (made.reasoning_tokens or 0) if made else 0
    total = body.input_tokens + body.output_tokens
    if (
        not total
        or body.total_tokens != total
        or thought > body.output_tokens
        or cached + written > body.input_tokens
        or body.is_odd
    ):
        return usage_of(msgspec.to_builtins(body))
    return Usage(
        prompt_tokens=body.input_tokens,
        completion_tokens=body.output_tokens,
        total_tokens=body.total_tokens,
        cached_tokens=cached,
        cache_write_tokens=written,
        reasoning_tokens=thought,
    )
