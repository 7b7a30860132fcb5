"""One team for all tests of a module: a real database, a real HTTP server, the shop's own rows."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from openapi_support import DESCRIPTION, check_requests

from agentinfra import InfraRuntime, Settings
from agentinfra.demo.documents import read_folder
from agentinfra.demo.progress import Progress
from agentinfra.demo.sales.data import Sales, make_sales
from agentinfra.demo.team import Team
from agentinfra.testing import OpenAIServer
from agentinfra.testing.answers import default_answer

Gather = Callable[..., Awaitable[Team]]


@pytest.fixture(scope="session")
def handbook() -> Path:
    return Path(__file__).parent / "handbook"


@pytest.fixture(scope="session")
def sales() -> Sales:
    return make_sales()


@asynccontextmanager
async def runtime(server: OpenAIServer, postgres_url: str, **groups) -> AsyncIterator[InfraRuntime]:
    settings = Settings(
        **{
            "llm": {"base_url": server.base_url, "api_key": "test", "max_attempts": 1},
            "database": {"url": postgres_url},
            "logging": {"level": "error"},
            **groups,
        }
    )
    async with InfraRuntime(settings) as rt:
        yield rt


@pytest.fixture(scope="session")
def enter() -> Callable[..., AbstractAsyncContextManager[InfraRuntime]]:
    return runtime


@pytest.fixture(scope="session")
def gather() -> Gather:
    async def gathered(rt: InfraRuntime, folder: Path, origin: str = "test") -> Team:
        with Progress() as progress:
            return await Team.gather(
                rt, read_folder(folder), folder=str(folder), origin=origin, progress=progress
            )

    return gathered


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[OpenAIServer]:
    """Serve; afterwards every body the demo sent is one that OpenAI's description allows."""
    async with OpenAIServer(default=default_answer) as running:
        yield running
        if DESCRIPTION.is_file():
            check_requests(running)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rt(server, postgres_url) -> AsyncIterator[InfraRuntime]:
    async with runtime(server, postgres_url) as entered:
        yield entered


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def team(request, rt, gather, handbook) -> Team:
    # The modules share a database, and answers of one origin are remembered in it.
    return await gather(rt, handbook, request.module.__name__)
