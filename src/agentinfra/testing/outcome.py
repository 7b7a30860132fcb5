"""A request once it is read, and an answer before it is bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentinfra.results import Usage
from agentinfra.testing.faults.kinds import Change, error_body
from agentinfra.testing.ledger import Exchange

__all__ = ["Asked", "Outcome", "RefusedError"]


@dataclass(slots=True, kw_only=True)
class Asked:
    """A request whose body is here.

    Attributes:
        exchange: Its place in the ledger.
        endpoint: What it is for: ``chat``, ``responses`` ... ``""`` before it is known.
        argument: What its path names: a model, or the id of a response, file or batch.
        body: The parsed body; None where there is none.
        query: The parameters of its address.
        headers: Its headers.
        change: What is to be left out of the answer.
    """

    exchange: Exchange
    endpoint: str
    argument: str
    body: Any
    query: Mapping[str, str]
    headers: Mapping[str, str]
    change: Change

    @property
    def stream(self) -> bool:
        """Whether it asks for a stream."""
        return self.exchange.stream


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A response to be sent.

    Attributes:
        status: The HTTP status.
        body: The body of a response that is no stream.
        events: The events of a stream; empty for a response that is none.
        usage: The tokens it reports, None where it reports none.
        headers: Headers besides the content's type and length.
        content_type: The type; None: JSON, or an event stream.
        delay: Seconds before the first byte.
        chunk_delay: Seconds between events.
    """

    status: int = 200
    body: bytes = b""
    events: Sequence[bytes] = ()
    usage: Usage | None = None
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str | None = None
    delay: float = 0.0
    chunk_delay: float = 0.0


class RefusedError(Exception):
    """A request that gets an error for an answer.

    Attributes:
        error: What OpenAI's error object holds.
        status: The HTTP status.
        headers: Headers to send with it.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})
        self.error: dict[str, Any] = {
            "message": message,
            "type": kind,
            "param": param,
            "code": code,
        }

    @property
    def body(self) -> bytes:
        """The body as OpenAI writes it."""
        error = self.error
        return error_body(error["message"], error["type"], param=error["param"], code=error["code"])
