"""The ways a server can fail, as values.

Each function returns a `Fault` to hand to ``OpenAIServer.fail``. They come in kinds:

* answers in place of the real one: `status`, `rate_limited`, `quota_exceeded`,
  `server_error`, `unauthorized`, `context_length`, `content_filter`,
  `html_body`
* no answer: `hang`, `disconnect_before_headers`, `connection_reset`
* the real answer, damaged on its way: `slow`, `disconnect_mid_body`,
  `malformed_body`, `wrong_content_type`
* the real answer with something missing: `missing_usage`, `empty_choices`,
  `filtered_answer`
* a stream that breaks: `truncated_stream`, `disconnect_mid_stream`,
  `stalled_stream`, `malformed_chunk`, `error_event_in_stream`
* anything else, said in steps on the wire: `on_wire` of `wait`, `send`,
  `garble`, `stall`, `close` and `reset`

A stream fault that meets a request without a stream does the nearest thing to the body:
the last five become a body that is cut short, a disconnection in its middle, a body that stops
coming, broken JSON and a plain error. ``disconnect_mid_body`` cuts a stream in the middle of a
chunk.

A fault that only slows an answer (`slow`) or mislabels it (`wrong_content_type`) meets
a request together with one that decides what it is answered; two that decide meet one request
after the other, unless `together` makes them one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from agentinfra.errors import ConfigurationError
from agentinfra.testing.faults.kinds import (
    Answer,
    Change,
    Damage,
    Fault,
    OnWire,
    Silence,
    Step,
    StreamBreak,
    Together,
    error_body,
)

__all__ = [
    "Answer",
    "Change",
    "Damage",
    "Fault",
    "OnWire",
    "Silence",
    "Step",
    "StreamBreak",
    "Together",
    "close",
    "connection_reset",
    "content_filter",
    "context_length",
    "disconnect_before_headers",
    "disconnect_mid_body",
    "disconnect_mid_stream",
    "empty_choices",
    "error_event_in_stream",
    "error_in_body",
    "filtered_answer",
    "garble",
    "hang",
    "html_body",
    "malformed_body",
    "malformed_chunk",
    "missing_usage",
    "on_wire",
    "quota_exceeded",
    "rate_limited",
    "reset",
    "send",
    "server_error",
    "slow",
    "stall",
    "stalled_stream",
    "status",
    "timeout",
    "together",
    "truncated_stream",
    "unauthorized",
    "wait",
    "wrong_content_type",
]


_LEAST, _MOST = 100, 999
"""The statuses that HTTP has room for."""


def status(
    code: int,
    body: Mapping[str, Any] | bytes | str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Fault:
    """Answer with a status.

    Args:
        code: The HTTP status.
        body: A mapping is sent as JSON, text and bytes as plain text; None: an OpenAI error.
        headers: Headers to send with it.

    Raises:
        ConfigurationError: The status is none.
    """
    if type(code) is not int or not _LEAST <= code <= _MOST:
        raise ConfigurationError(f"{code!r} is no status: give a number from {_LEAST} to {_MOST}")
    content_type = "text/plain" if isinstance(body, str | bytes) else "application/json"
    if body is None:
        kind = "server_error" if code >= 500 else "invalid_request_error"
        payload = error_body(f"The server answers {code} because it was told to.", kind)
    elif isinstance(body, Mapping):
        payload = orjson.dumps(dict(body))
    else:
        payload = body.encode() if isinstance(body, str) else body
    return Answer(
        name=f"status_{code}",
        status=code,
        body=payload,
        content_type=content_type,
        headers=dict(headers or {}),
    )


def rate_limited(retry_after: float | None = None) -> Fault:
    """Answer 429; ``retry_after`` seconds go into retry-after and retry-after-ms."""
    headers = {}
    if retry_after is not None:
        headers["retry-after"] = f"{retry_after:g}"
        headers["retry-after-ms"] = f"{retry_after * 1000:.0f}"
    body = error_body("Rate limit reached for requests.", "requests", code="rate_limit_exceeded")
    return Answer(name="rate_limited", status=429, body=body, headers=headers)


def quota_exceeded() -> Fault:
    """Answer 429 with code insufficient_quota, which no waiting mends."""
    message = "You exceeded your current quota, please check your plan and billing details."
    body = error_body(message, "insufficient_quota", code="insufficient_quota")
    return Answer(name="quota_exceeded", status=429, body=body)


def server_error(code: int = 500, retry_after: float | None = None) -> Fault:
    """Answer 500, or another status of that family."""
    headers = {} if retry_after is None else {"retry-after": f"{retry_after:g}"}
    message = "The server had an error while processing your request. Sorry about that!"
    body = error_body(message, "server_error")
    return Answer(name="server_error", status=code, body=body, headers=headers)


def unauthorized() -> Fault:
    """Answer 401 as for a wrong key."""
    body = error_body(
        "Incorrect API key provided.", "invalid_request_error", code="invalid_api_key"
    )
    return Answer(name="unauthorized", status=401, body=body)


def context_length(maximum: int = 8192, requested: int = 10000) -> Fault:
    """Answer 400 with code context_length_exceeded."""
    message = (
        f"This model's maximum context length is {maximum} tokens. However, your messages "
        f"resulted in {requested} tokens. Please reduce the length of the messages."
    )
    body = error_body(
        message, "invalid_request_error", param="messages", code="context_length_exceeded"
    )
    return Answer(name="context_length", status=400, body=body)


def content_filter() -> Fault:
    """Answer 400 with code content_filter: the prompt is refused, as Azure does."""
    message = (
        "The response was filtered due to the prompt triggering the content management policy."
    )
    body = error_body(message, "invalid_request_error", param="prompt", code="content_filter")
    return Answer(name="content_filter", status=400, body=body)


def html_body(code: int = 200) -> Fault:
    """Answer with a web page, as a proxy in between does."""
    page = b"<!DOCTYPE html><html><body><h1>Please sign in</h1></body></html>"
    return Answer(name="html_body", status=code, body=page, content_type="text/html")


def hang() -> Fault:
    """Take the request and never answer; ends when the client leaves or the server closes."""
    return Silence(name="hang")


def timeout() -> Fault:
    """Take the request and never answer: `hang` under the name of what the client sees."""
    return Silence(name="timeout")


def disconnect_before_headers() -> Fault:
    """Take the request and close the connection."""
    return Silence(name="disconnect_before_headers", then="close")


def connection_reset() -> Fault:
    """Take the request and reset the connection."""
    return Silence(name="connection_reset", then="reset")


def slow(*, first_byte: float = 0.0, per_chunk: float = 0.0) -> Fault:
    """Answer rightly, ``first_byte`` seconds late and ``per_chunk`` seconds between chunks."""
    return Damage(name="slow", part="pace", first_byte=first_byte, per_chunk=per_chunk)


def disconnect_mid_body(*, reset: bool = True) -> Fault:
    """Send half of what the headers announce, then reset the connection, or only close it."""
    return Damage(name="disconnect_mid_body", body="cut" if reset else "closed")


def malformed_body() -> Fault:
    """Answer 200 with JSON that stops half-way; for HTTP the response is whole."""
    return Damage(name="malformed_body", body="broken")


def wrong_content_type(content_type: str = "text/plain") -> Fault:
    """Send the right body under a wrong content type."""
    return Damage(name="wrong_content_type", part="label", content_type=content_type)


def missing_usage() -> Fault:
    """Leave the usage out, of a stream too."""
    return Change(name="missing_usage", usage=False)


def empty_choices() -> Fault:
    """Send no choice; for embeddings no vector."""
    return Change(name="empty_choices", choices=False)


def filtered_answer() -> Fault:
    """Answer with finish reason content_filter."""
    return Change(name="filtered_answer", finish_reason="content_filter")


def truncated_stream(after_chunks: int = 2) -> Fault:
    """End a stream without finish reason and without ``[DONE]``, properly for HTTP."""
    return StreamBreak(name="truncated_stream", after_chunks=after_chunks, then="end")


def disconnect_mid_stream(after_chunks: int = 2, *, reset: bool = True) -> Fault:
    """Reset the connection after some chunks, or only close it."""
    return StreamBreak(
        name="disconnect_mid_stream",
        after_chunks=after_chunks,
        then="disconnect" if reset else "close",
    )


def stalled_stream(after_chunks: int = 2) -> Fault:
    """Send some chunks and then nothing more, on a connection that stays open."""
    return StreamBreak(name="stalled_stream", after_chunks=after_chunks, then="stall")


def malformed_chunk(after_chunks: int = 2) -> Fault:
    """Send a chunk of broken JSON among the good ones."""
    return StreamBreak(name="malformed_chunk", after_chunks=after_chunks, then="garbage")


def error_event_in_stream(
    after_chunks: int = 2, *, code: str | None = None, message: str = "The server had an error."
) -> Fault:
    """Send an error event in place of the rest of a stream."""
    body = error_body(message, "server_error", code=code)
    return StreamBreak(
        name="error_event_in_stream", after_chunks=after_chunks, then="error", error=body
    )


def error_in_body(message: str = "Provider returned error", code: int | str = 502) -> Fault:
    """Answer 200 with an error in the body, as routers in between do."""
    body = orjson.dumps({"error": {"message": message, "code": code}})
    return Answer(name="error_in_body", status=200, body=body)


def on_wire(*steps: Step, name: str = "on_wire") -> Fault:
    """Send the real answer in steps.

    Raises:
        ConfigurationError: Something else than steps was given, or none.
    """
    if not steps or not all(isinstance(step, Step) for step in steps):
        raise ConfigurationError(f"{steps!r:.200}: give steps: wait, send, garble, stall, ...")
    return OnWire(name=name, steps=steps)


def together(*given: Fault) -> Fault:
    """Let one request meet several faults."""
    return Together(name=" + ".join(fault.name for fault in given), faults=given)


def wait(seconds: float) -> Step:
    """Wait so many seconds, by the server's ``sleep``."""
    return Step(act="wait", amount=seconds)


def send(size: int | None = None) -> Step:
    """Send so many bytes of the answer, its head included; None: all that is left."""
    return Step(act="send", amount=size)


def garble(size: int | None = None) -> Step:
    """Send so many bytes of the answer with every bit turned round; None: all that is left."""
    return Step(act="garble", amount=size)


def stall() -> Step:
    """Send nothing more and keep the connection."""
    return Step(act="stall")


def close() -> Step:
    """Close the connection."""
    return Step(act="close")


def reset() -> Step:
    """Reset the connection: the client gets an RST and not an end."""
    return Step(act="reset")
