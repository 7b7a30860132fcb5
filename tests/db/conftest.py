"""A real server for the tests of this folder, and what several of them need."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from agentinfra.db.database import Database
from agentinfra.db.embedded import EmbeddedPostgres
from agentinfra.db.embedded.programs import find_programs
from agentinfra.settings import DatabaseSettings
from agentinfra.testing import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands still until a test moves it."""
    return ManualClock()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The address of a server that lives as long as the tests."""
    with asyncio.Runner() as runner:
        server = EmbeddedPostgres("temporary")
        runner.run(server.__aenter__())
        yield server.url
        runner.run(server.aclose())


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[Database]:
    """A database of the shared server; a test makes its tables under names of its own."""
    async with Database(DatabaseSettings(max_size=4), url=postgres_url) as db:
        yield db


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data in it, whose server is stopped: starting on it is quick."""
    folder = tmp_path_factory.mktemp("embedded") / "data"

    async def make() -> None:
        async with EmbeddedPostgres(folder):
            pass

    asyncio.run(make())
    return folder


class ForeignServer:
    """A PostgreSQL that is not ours: it listens on a port and asks for a password."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = _free_port()
        self.programs = find_programs(folder)

    def url(self, **changes: Any) -> str:
        parts = {"user": "ada", "password": "p@ss", "port": self.port, "database": "postgres"}
        parts |= changes
        login = f"{parts['user']}:{parts['password']}"
        return f"postgresql://{login}@127.0.0.1:{parts['port']}/{parts['database']}"

    def make(self) -> None:
        self.folder.mkdir()
        self.programs.hand_over(self.folder)
        words = ["initdb", "-D", self.where, "-U", "ada", "--auth=scram-sha-256", "--no-sync"]
        script = f'{self.programs.folder}/"$@" --pwfile=<(echo p@ss)'
        self._run(["bash", "-c", script, "bash", *words])

    def start(self) -> None:
        options = f"-p {self.port} -h 127.0.0.1 -k . -c fsync=off"
        self._run([f"{self.programs.folder}/pg_ctl", "-D", self.where, "-o", options, *_START])

    def stop(self, mode: str = "fast") -> None:
        self._run([f"{self.programs.folder}/pg_ctl", "-D", self.where, "-m", mode, "stop"])

    @property
    def where(self) -> str:
        return self.programs.name_of(self.folder)

    def _run(self, command: list[str]) -> None:
        done = self.programs.run(command, folder=self.folder)
        assert done.returncode == 0, done.stderr


_START = ("-l", "log", "-w", "start")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def foreign_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForeignServer]:
    server = ForeignServer(tmp_path_factory.mktemp("foreign") / "data")
    server.make()
    server.start()
    yield server
    server.stop("immediate")


@pytest.fixture
def foreign(foreign_server: ForeignServer) -> Iterator[ForeignServer]:
    """A server a test may stop; it runs again afterwards."""
    yield foreign_server
    if not (foreign_server.folder / "postmaster.pid").exists():
        foreign_server.start()
