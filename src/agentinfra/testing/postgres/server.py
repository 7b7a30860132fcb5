"""One PostgreSQL a test session and machine, and a database of its own for each test."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
import tempfile
import threading
import uuid
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from agentinfra.dsn import DSN

__all__ = ["PostgresServer", "ending_in_order", "shared_server"]

T = TypeVar("T")

_TEMPLATE = "agentinfra_template"
_IS_THERE = "SELECT count(*) FROM pg_database WHERE datname = $1"


class PostgresServer:
    """A running server that makes databases in milliseconds: copies of a template with pgvector."""

    def __init__(self, dsn: DSN) -> None:
        self._dsn = dsn

    def __repr__(self) -> str:
        return f"<PostgresServer {self._dsn}>"

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """Give the URL of an empty database with pgvector, which is dropped afterwards."""
        name = f"test_{uuid.uuid4().hex[:16]}"
        _in_a_loop(self._run(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}"))
        try:
            yield str(self._dsn.replace(database=name))
        finally:
            # Whoever is still connected would keep it: a leaked pool must not fail the next test.
            _in_a_loop(self._run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))

    async def make_template(self) -> None:
        """Make the database that the others are copies of, where it is missing."""
        from agentinfra.db.database import Database
        from agentinfra.settings import DatabaseSettings

        connection = await self._connect(self._dsn)
        try:
            if await connection.fetchval(_IS_THERE, _TEMPLATE):
                return
            await connection.execute(f"CREATE DATABASE {_TEMPLATE}")
        finally:
            await connection.close()
        template = self._dsn.replace(database=_TEMPLATE)
        inside = await self._connect(template)
        try:
            await inside.execute("CREATE EXTENSION IF NOT EXISTS vector")
        finally:
            await inside.close()
        # What a database is set up with on its first use (rights of the reading role) is copied.
        async with Database(DatabaseSettings(), url=str(template)):
            pass

    async def _run(self, statement: str) -> None:
        connection = await self._connect(self._dsn)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    async def _connect(self, dsn: DSN) -> Any:
        import asyncpg

        return await asyncpg.connect(**dsn.asyncpg_kwargs())


@contextlib.contextmanager
def shared_server(run: str) -> Iterator[PostgresServer]:
    """Give a server that all processes of a test run share; it is gone with the last of them.

    Args:
        run: Names the run; processes that name the same one share a server.
    """
    from agentinfra.db.embedded import EmbeddedPostgres

    folder = Path(tempfile.gettempdir()) / f"agentinfra-test-pg-{run}"
    folder.mkdir(mode=0o755, exist_ok=True)
    folder.chmod(0o755)
    with ending_in_order():
        server = EmbeddedPostgres(folder / "data")
        # One process at a time comes and goes: the last one takes the folder along.
        with _locked(folder):
            _in_a_loop(server.__aenter__())
            shared = PostgresServer(server.dsn)
            _in_a_loop(shared.make_template())
        try:
            yield shared
        finally:
            with _locked(folder):
                _in_a_loop(server.aclose())
                if not (folder / "data" / "postmaster.pid").exists():
                    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def ending_in_order() -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl-C does, with everything that is to be undone.

    Where somebody handles SIGTERM already, or outside of the main thread, it is left alone.
    """
    mine = threading.current_thread() is threading.main_thread()
    if not mine or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def end(*_: Any) -> NoReturn:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o755)
    descriptor = os.open(folder.with_suffix(".lock"), os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        if not folder.exists():
            folder.with_suffix(".lock").unlink(missing_ok=True)
        os.close(descriptor)


def _in_a_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in a thread: the caller's may have a running loop."""
    outcome: list[Callable[[], T]] = []

    def run() -> None:
        try:
            value = asyncio.run(work)
        except BaseException as error:  # noqa: BLE001 - it is raised again by the caller
            failure = error
            outcome.append(lambda: _raise(failure))
        else:
            outcome.append(lambda: value)

    thread = threading.Thread(target=run, name="agentinfra-postgres")
    thread.start()
    thread.join()
    return outcome[0]()


def _raise(error: BaseException) -> NoReturn:
    raise error
