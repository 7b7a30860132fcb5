"""A server, and clients of it over both transports, with time under the test's control."""

from contextlib import asynccontextmanager

import pytest
from openapi_support import DESCRIPTION, check_requests

from agentinfra import AsyncLLMClient, Settings
from agentinfra.observability.metrics import Metrics
from agentinfra.testing import OpenAIServer


@pytest.fixture
async def server():
    """Serve; afterwards every body that came is one that OpenAI's description allows."""
    async with OpenAIServer() as running:
        yield running
        if DESCRIPTION.is_file():
            check_requests(running)


@pytest.fixture(params=["direct", "sdk"])
def transport(request):
    return request.param


@pytest.fixture
async def metrics():
    async with Metrics(Settings().metrics) as opened:
        yield opened


@pytest.fixture
def client_of(transport, metrics):
    """Return a factory of entered clients."""

    @asynccontextmanager
    async def enter(server, *, clock=None, vectors=None, key=None, **fields):
        given = {"base_url": server.base_url, "api_key": "sk-test", "transport": transport}
        settings = Settings(llm={**given, **fields}).llm
        more = {} if clock is None else {"clock": clock}
        async with AsyncLLMClient(
            settings, metrics=metrics, vectors=vectors, key=key, **more
        ) as client:
            yield client

    return enter


@pytest.fixture
async def client(client_of, server):
    async with client_of(server, max_attempts=1) as entered:
        yield entered
