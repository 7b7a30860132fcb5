"""A request while it is answered, and what is known of it afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import orjson

from agentinfra.results import Usage
from agentinfra.testing.replies import last_user_text

__all__ = ["Exchange", "RawHeaders", "RequestRecord", "mask", "parse_body", "shown"]

_SECRET_HEADERS = frozenset({"authorization", "api-key", "x-api-key", "proxy-authorization"})
_VISIBLE = 4
_TEXT = 60
RawHeaders: TypeAlias = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """One request and what became of it.

    Attributes:
        index: Its place in the order of arrival, from 0.
        time: When it came, on the server's clock.
        method: The HTTP method.
        path: The path, without the query.
        headers: Its headers in lower case; secrets are masked to their last 4 characters.
        authorized: Whether its key was accepted.
        body: The parsed JSON body, its text where it is no JSON, None where there was none.
        model: The model it asked for.
        stream: Whether it asked for a stream.
        status: The status sent, None where no status line was sent (yet).
        fault: The name of the fault that met it, None where none did.
        finished: Whether everything was handed to the connection while the client was there.
            What the client left unread in its own socket cannot be seen from here.
        usage: The tokens the response reports, None where it reports none.
        duration: Seconds until the response was out or given up, None while in flight.
    """

    index: int
    time: float
    method: str
    path: str
    headers: Mapping[str, str]
    authorized: bool
    body: Any
    model: str | None
    stream: bool
    status: int | None
    fault: str | None
    finished: bool
    usage: Usage | None
    duration: float | None


class Exchange:
    """A request while it is being answered; frozen into a record when somebody looks.

    It keeps the bytes that came, not what they were parsed into: ten thousand parsed requests are
    work for the garbage collector that a busy server feels.
    """

    __slots__ = (
        "authorized",
        "duration",
        "fault",
        "finished",
        "index",
        "method",
        "model",
        "path",
        "raw_body",
        "raw_headers",
        "source",
        "started",
        "status",
        "stream",
        "usage",
    )

    def __init__(
        self, index: int, started: float, method: str, path: str, raw_headers: RawHeaders
    ) -> None:
        self.index = index
        self.started = started
        self.method = method
        self.path = path
        self.raw_headers = raw_headers
        self.raw_body = b""
        self.authorized = False
        self.model: str | None = None
        self.stream = False
        self.status: int | None = None
        self.fault: str | None = None
        self.source: object | None = None
        self.finished = False
        self.usage: Usage | None = None
        self.duration: float | None = None

    def record(self) -> RequestRecord:
        """Return what is known of the request now."""
        return RequestRecord(
            index=self.index,
            time=self.started,
            method=self.method,
            path=self.path,
            headers=dict(_readable(self.raw_headers)),
            authorized=self.authorized,
            body=parse_body(self.raw_body),
            model=self.model,
            stream=self.stream,
            status=self.status,
            fault=self.fault,
            finished=self.finished,
            usage=self.usage,
            duration=self.duration,
        )


def parse_body(raw: bytes) -> Any:
    """Return a request's body: parsed where it is JSON, else its text, None for no body."""
    if not raw:
        return None
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return raw.decode(errors="replace")


def _readable(raw_headers: RawHeaders) -> Iterator[tuple[str, str]]:
    for raw_name, raw_value in raw_headers:
        name = raw_name.decode("latin-1").lower()
        yield name, mask(name, raw_value.decode("utf-8", "replace"))


def mask(name: str, value: str) -> str:
    """Return a header's value as it may be kept: of a secret the last 4 characters at most."""
    if name.lower() == "cookie":
        return "****"
    if name.lower() not in _SECRET_HEADERS:
        return value
    scheme, _, secret = value.rpartition(" ")
    shown = secret[-_VISIBLE:] if len(secret) > 2 * _VISIBLE else ""
    return f"{scheme} ****{shown}".lstrip()


def shown(record: RequestRecord) -> str:
    """Return what a request asked, in one line."""
    body = record.body if isinstance(record.body, dict) else {}
    said = body.get("input") if isinstance(body.get("input"), str) else ""
    for key in ("messages", "input"):
        if not said and isinstance(body.get(key), list):
            said = last_user_text([item for item in body[key] if isinstance(item, dict)])
    text = f" {said!r:.{_TEXT}}" if said else ""
    return f"{record.method} {record.path} {record.model or ''}{text}".rstrip()
