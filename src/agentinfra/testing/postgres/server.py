"""A server that makes databases, a copy of a template each."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import uuid
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, NoReturn, TypeVar

from agentinfra.dsn import DSN

__all__ = ["PostgresServer", "in_a_loop"]

T = TypeVar("T")

_TEMPLATE = "agentinfra_template"
_FORGETFUL = ("fsync", "full_page_writes", "synchronous_commit")


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
        in_a_loop(_run(self._dsn, f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}"))
        try:
            yield str(self._dsn.replace(database=name))
        finally:
            # Whoever is still connected would keep it: a leaked pool must not fail the next test.
            in_a_loop(_run(self._dsn, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))

    async def make_template(self) -> None:
        """Make the database that the others are copies of, on a server that has none.

        The server writes nothing through to the disk from then on: what a test run stores is of
        no use after a crash of the machine.
        """
        from agentinfra.db.database import Database
        from agentinfra.settings import DatabaseSettings

        await _run(
            self._dsn,
            *(f"ALTER SYSTEM SET {name} = off" for name in _FORGETFUL),
            "SELECT pg_reload_conf()",
            f"CREATE DATABASE {_TEMPLATE}",
        )
        template = self._dsn.replace(database=_TEMPLATE)
        await _run(template, "CREATE EXTENSION IF NOT EXISTS vector")
        # What a database is set up with on its first use (rights of the reading role) is copied.
        async with Database(DatabaseSettings(), url=str(template)):
            pass


async def _run(dsn: DSN, *statements: str) -> None:
    import asyncpg

    connection = await asyncpg.connect(**dsn.asyncpg_kwargs())
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


def in_a_loop(work: Coroutine[Any, Any, T]) -> T:
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
