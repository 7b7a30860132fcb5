"""A reply that cannot be sent is refused where it is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from agentinfra.errors import ConfigurationError
from agentinfra.results import ToolCall, Usage
from agentinfra.testing.replies import FunctionCall, RawReply, Reply, ReplyLike

__all__ = ["check_reply", "check_scriptable", "pieces_of"]

_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "text": str,
    "tool_calls": Sequence,
    "finish_reason": (str, type(None)),
    "usage": (Usage, type(None)),
    "chunks": Sequence,
    "delay": (int, float),
    "chunk_delay": (int, float),
    "refusal": (str, type(None)),
    "reasoning": str,
    "failure": (str, type(None)),
    "headers": Mapping,
}


def check_scriptable(given: Any, where: str) -> ReplyLike:
    """Return what was given when it is a reply or makes one.

    Raises:
        ConfigurationError: It is neither, or a reply that cannot be sent.
    """
    if callable(given) and not isinstance(given, type):
        return given  # type: ignore[no-any-return]
    return check_reply(given, where)


def check_reply(given: Any, where: str) -> Reply | RawReply:
    """Return the reply that was given; a text becomes one.

    Raises:
        ConfigurationError: It is no reply, or one that cannot be sent.
    """
    if isinstance(given, str):
        return Reply(text=given)
    if not isinstance(given, Reply | RawReply):
        raise _bad(where, f"{given!r:.200} is no reply; give a text, a Reply or a function")
    if isinstance(given, RawReply):
        _check_raw(given, where)
    else:
        _check_fields(given, where)
    _check_headers(given.headers, where)
    return given


def _check_fields(reply: Reply, where: str) -> None:
    for name, kinds in _KINDS.items():
        value = getattr(reply, name)
        texts = name in ("tool_calls", "chunks") and isinstance(value, str | bytes)
        if texts or isinstance(value, bool) or not isinstance(value, kinds):
            raise _bad(where, f"{name}={value!r:.200} cannot be sent")
    if reply.delay < 0 or reply.chunk_delay < 0:
        raise _bad(where, "a delay below 0")
    for chunk in reply.chunks:
        if not isinstance(chunk, str):
            raise _bad(where, f"the chunk {chunk!r:.200} is no text")
    for call in reply.tool_calls:
        _check_call(call, where)


def _check_call(call: Any, where: str) -> None:
    if not isinstance(call, FunctionCall | ToolCall):
        raise _bad(where, f"{call!r:.200} is no FunctionCall")
    for text in (call.name, call.id):
        if not isinstance(text, str):
            raise _bad(where, f"{text!r:.200} in {call!r:.200} has to be a text")
    if isinstance(call.arguments, str):
        return
    try:
        orjson.dumps(dict(call.arguments))
    except (TypeError, ValueError) as error:
        message = f"the arguments {call.arguments!r:.200} are no JSON object ({error})"
        raise _bad(where, message) from error


def _check_raw(reply: RawReply, where: str) -> None:
    if reply.status not in range(200, 600):
        raise _bad(where, f"status={reply.status!r}: give a number from 200 to 599")
    try:
        pieces_of(reply)
    except (TypeError, ValueError) as error:
        raise _bad(where, f"the body {reply.body!r:.200} cannot be sent ({error})") from error


def pieces_of(reply: RawReply) -> bytes | list[bytes]:
    """Return a raw body as bytes, or as pieces where it was given in pieces."""
    body = reply.body
    if isinstance(body, bytes):
        return body
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, Mapping):
        return orjson.dumps(dict(body))
    if body and all(isinstance(piece, str | bytes) for piece in body):
        return [piece.encode() if isinstance(piece, str) else bytes(piece) for piece in body]
    return orjson.dumps(list(body))


def _check_headers(headers: Any, where: str) -> None:
    for name, value in headers.items():
        for text in (name, value):
            if not isinstance(text, str) or "\n" in text or "\r" in text:
                raise _bad(where, f"the header {name!r}: {value!r:.200} cannot be sent")


def _bad(where: str, why: str) -> ConfigurationError:
    return ConfigurationError(f"{where}: {why}")
