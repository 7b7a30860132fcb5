"""The pytest plugin ``agentinfra``: fixtures for suites of agents.

``openai_server``: a local OpenAI-compatible server with scripted answers and faults.
``postgres_url``: the address of a PostgreSQL with pgvector that lives as long as the session.
``infra_settings``: settings that use the first and nothing outside of the machine.
``infra_runtime``: a runtime entered with those settings.

Override ``infra_settings`` in a conftest to change what ``infra_runtime`` opens.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pytest

if TYPE_CHECKING:
    from agentinfra.runtime import InfraRuntime
    from agentinfra.settings import Settings
    from agentinfra.testing.server import OpenAIServer

F = TypeVar("F", bound=Callable[..., Any])


def _async_fixture(function: F) -> F:
    """Make a fixture of an async generator; only such need pytest-asyncio."""
    try:
        import pytest_asyncio
    except ImportError:
        return cast("F", pytest.fixture(function))
    return cast("F", pytest_asyncio.fixture(function))


@_async_fixture
async def openai_server() -> AsyncIterator[OpenAIServer]:
    """Give a started OpenAI-compatible server; it is closed after the test."""
    from agentinfra.testing.server import OpenAIServer

    async with OpenAIServer() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Give the URL of a PostgreSQL with pgvector that is removed after the session."""
    from agentinfra.db.embedded import EmbeddedPostgres

    with asyncio.Runner() as runner:
        server = EmbeddedPostgres("temporary")
        runner.run(server.__aenter__())
        yield server.url
        runner.run(server.aclose())


@pytest.fixture
def infra_settings(openai_server: OpenAIServer) -> Settings:
    """Give settings whose LLM is ``openai_server``, without a database."""
    from agentinfra.settings import Settings

    return Settings(
        llm={"base_url": openai_server.base_url, "api_key": "test"},
        database={"enabled": False},
        checkpointer={"backend": "memory"},
    )


@_async_fixture
async def infra_runtime(infra_settings: Settings) -> AsyncIterator[InfraRuntime]:
    """Give a runtime entered with ``infra_settings``; it is left after the test."""
    from agentinfra.runtime import InfraRuntime

    async with InfraRuntime(infra_settings) as runtime:
        yield runtime
