"""The wire: bytes to an endpoint, bytes back. One protocol, so that the rest never knows which.

Addresses and headers are made by the endpoint, so that both transports send the same.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec

__all__ = ["Reply", "ReplyStream", "Transport"]


class Reply(msgspec.Struct, frozen=True):
    """A whole response: its status, its headers (names in lower case) and its body.

    ``error`` is the openai package's error where the status is one.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    error: Exception | None = None


class ReplyStream(Protocol):
    """A response whose body comes in pieces."""

    status: int
    headers: Mapping[str, str]
    error: Exception | None

    def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes.

        Raises:
            LLMConnectionError: The connection broke.
        """
        ...

    async def read(self) -> bytes:
        """Return the whole body."""
        ...


class Transport(Protocol):
    """Sends requests to one endpoint.

    A response with an error status is returned like any other, a redirect too: it is not
    followed, since the key would go along. Only a response that did not come is raised. A
    cancellation closes the connection of the request.
    """

    async def send(
        self, url: str, body: bytes, *, headers: Mapping[str, str], method: str = "POST"
    ) -> Reply:
        """Send a body and return the response.

        Raises:
            LLMConnectionError: The endpoint could not be reached, or the connection broke.
            LLMTimeoutError: Connecting took too long.
            LLMResponseError: The answer is larger than the settings allow.
        """
        ...

    def stream(
        self, url: str, body: bytes, *, headers: Mapping[str, str], method: str = "POST"
    ) -> AbstractAsyncContextManager[ReplyStream]:
        """Send a body and give the response while it comes; leaving closes the connection.

        Raises:
            LLMConnectionError: The endpoint could not be reached, or the connection broke.
            LLMTimeoutError: Connecting took too long.
        """
        ...

    async def aclose(self) -> None:
        """Close every connection."""
        ...
