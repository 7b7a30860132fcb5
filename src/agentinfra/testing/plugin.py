"""The pytest plugin ``agentinfra``: fixtures for suites of agents.

``openai_server``: a local OpenAI-compatible server with scripted answers and faults.
``infra_settings``: settings that use it and nothing else, whatever the environment says.
``infra_runtime``: a runtime entered with those settings, on the test's own loop.
``postgres_url``: a database with pgvector of the test's own; ``postgres_server`` makes more.
``manual_clock``: time that passes when the test says so.
``no_network``: refuses connections to other machines.
``capture``: what a block logs, traces and counts.

Override ``infra_settings`` in a conftest to change what ``infra_runtime`` opens. Fixtures that
need a loop are set up on that of the test, under pytest-asyncio (any loop scope) and anyio.
"""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pytest

if TYPE_CHECKING:
    from agentinfra.runtime import InfraRuntime
    from agentinfra.settings import Settings
    from agentinfra.testing.capturing import Captured
    from agentinfra.testing.clock import ManualClock
    from agentinfra.testing.postgres import PostgresServer
    from agentinfra.testing.server import OpenAIServer

T = TypeVar("T")


class _Untouched(MetaPathFinder):
    """Imports this package as it is installed.

    pytest rewrites the assertions of every package that brings a plugin, all its modules. There is
    none in ours, and where the result cannot be cached (PYTHONDONTWRITEBYTECODE, as in most
    images) each process of a session would compile four hundred modules again.
    """

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        ours = name.startswith("agentinfra.")
        return PathFinder.find_spec(name, path, target) if ours else None


sys.meta_path.insert(0, _Untouched())


@pytest.fixture
def openai_server(request: pytest.FixtureRequest) -> Iterator[OpenAIServer]:
    """Give a started OpenAI-compatible server; it is closed after the test."""
    yield from _on_the_tests_loop(request, _open_server)


@pytest.fixture
def infra_settings(openai_server: OpenAIServer) -> Settings:
    """Give settings whose LLM is ``openai_server``, without a database.

    Neither the environment nor ``.env`` has a say in them.
    """
    from agentinfra.settings import Settings

    return Settings.only(
        llm={"base_url": openai_server.base_url, "api_key": "test"},
        database={"enabled": False},
        checkpointer={"backend": "memory"},
    )


@pytest.fixture
def infra_runtime(
    request: pytest.FixtureRequest, infra_settings: Settings
) -> Iterator[InfraRuntime]:
    """Give a runtime entered with ``infra_settings``; it is left after the test."""
    yield from _on_the_tests_loop(request, _open_runtime, settings=infra_settings)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Give a PostgreSQL with pgvector that makes databases; all workers of a run share it.

    It ends with the session, on SIGTERM too.
    """
    from agentinfra.testing.postgres import shared_server

    run = os.environ.get("PYTEST_XDIST_TESTRUNUID") or uuid.uuid4().hex
    with shared_server(run[:12]) as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """Give the URL of an empty database with pgvector; it is dropped after the test."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture
def manual_clock() -> ManualClock:
    """Give a clock that stands still until the test moves it."""
    from agentinfra.testing.clock import ManualClock

    return ManualClock()


@pytest.fixture
def no_network() -> Iterator[None]:
    """Refuse connections and look-ups beyond this machine while the test runs."""
    from agentinfra.testing.network import no_network as refuse

    with refuse():
        yield


@pytest.fixture
def capture() -> Callable[..., AbstractContextManager[Captured]]:
    """Give ``capture(runtime=None)``: a block whose events, spans and metrics are kept."""
    from agentinfra.testing.capturing import capture as block

    return block


async def _open_server() -> AsyncGenerator[OpenAIServer, None]:
    from agentinfra.testing.server import OpenAIServer

    async with OpenAIServer() as server:
        yield server


async def _open_runtime(settings: Settings) -> AsyncGenerator[InfraRuntime, None]:
    from agentinfra.runtime import InfraRuntime

    async with InfraRuntime(settings) as runtime:
        yield runtime


def _on_the_tests_loop(
    request: pytest.FixtureRequest, function: Callable[..., AsyncGenerator[T, None]], **values: Any
) -> Iterator[T]:
    """Yield what an async generator yields, run on the loop that the test is going to run on."""
    if _is_anyios(request):
        from anyio.pytest_plugin import extract_backend_and_options, get_runner

        name, options = extract_backend_and_options(request.getfixturevalue("anyio_backend"))
        with get_runner(name, options) as runner:
            yield from runner.run_asyncgen_fixture(cast("Any", function), values)
        return
    with _asyncio_runner(request) as runner_:
        opened = function(**values)
        yield runner_.run(_next(opened))
        runner_.run(_end(opened))


async def _next(opened: AsyncGenerator[T, None]) -> T:
    return await anext(opened)


async def _end(opened: AsyncGenerator[Any, None]) -> None:
    async for _ in opened:
        raise RuntimeError("the fixture yielded twice")


def _is_anyios(request: pytest.FixtureRequest) -> bool:
    """Return whether anyio runs the test; with ``asyncio_mode=auto`` pytest-asyncio does."""
    managed = type(request.node).__module__.startswith("pytest_asyncio")
    return "anyio_backend" in request.fixturenames and not managed


@contextmanager
def _asyncio_runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    """Give the runner of the test's loop; for a test without a loop one of our own."""
    # By the module: its name is another one where it was loaded by -p.
    plugin = sys.modules.get("pytest_asyncio.plugin")
    if plugin is None or not request.config.pluginmanager.is_registered(plugin):
        with asyncio.Runner() as runner:
            yield runner
        return
    marker = request.node.get_closest_marker("asyncio")
    named = marker.kwargs if marker else {}
    scope = named.get("loop_scope") or named.get("scope")
    scope = scope or request.config.getini("asyncio_default_test_loop_scope")
    # The plugin's own fixture for it: it has no other way to ask for a test's loop.
    yield request.getfixturevalue(f"_{scope}_scoped_runner")
