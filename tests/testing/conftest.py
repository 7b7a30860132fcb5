"""A server and OpenAI's own client, which talks to it over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

from agentinfra.testing import OpenAIServer

if TYPE_CHECKING:
    from openai import AsyncOpenAI

KEY = "sk-test-0123456789"


@pytest.fixture
async def server() -> AsyncIterator[OpenAIServer]:
    """Give a started server that lets everybody in."""
    async with OpenAIServer() as started:
        yield started


@pytest.fixture
async def client(server: OpenAIServer) -> AsyncIterator[AsyncOpenAI]:
    """Give OpenAI's client for the server; it retries nothing."""
    from openai import AsyncOpenAI, DefaultAsyncHttpxClient

    # Loading the machine's certificates takes longer than any test, and nothing here needs them.
    transport = DefaultAsyncHttpxClient(verify=False)
    async with AsyncOpenAI(
        base_url=server.base_url, api_key=KEY, max_retries=0, http_client=transport
    ) as opened:
        yield opened
