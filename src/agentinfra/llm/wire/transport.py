"""The wire: bytes to an endpoint, bytes back. One protocol, so that the rest never knows which.

Both transports take the endpoint's address, authentication and headers from one client of the
openai package, so that whatever it supports is configured in one place.
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

    A response with an error status is returned like any other; only a response that did not
    come is raised. A cancellation closes the connection of the request.
    """

    async def get(self, path: str) -> Reply:
        """Ask for what is there and return the response.

        Raises:
            LLMConnectionError: The endpoint could not be reached, or the connection broke.
            LLMTimeoutError: Connecting took too long.
        """
        ...

    async def post(
        self, path: str, body: bytes, *, model: str, headers: Mapping[str, str]
    ) -> Reply:
        """Send a body and return the response.

        Raises:
            LLMConnectionError: The endpoint could not be reached, or the connection broke.
            LLMTimeoutError: Connecting took too long.
        """
        ...

    def stream(
        self, path: str, body: bytes, *, model: str, headers: Mapping[str, str]
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
