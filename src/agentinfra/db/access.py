"""The way into one server: two pools and the reader on top of them."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agentinfra._mechanics.vendors import MissingPackageError, load
from agentinfra.db.errors import POOLER, ErrorMap
from agentinfra.db.pool import ConnectionPool, PoolOptions
from agentinfra.db.reader_role import READER
from agentinfra.db.reading import Reader, ReaderOptions
from agentinfra.db.server import PROBE, Server, survey
from agentinfra.db.transactions import milliseconds
from agentinfra.db.warm import Warm
from agentinfra.errors import ConfigurationError, DatabaseError
from agentinfra.observability.semconv import SERVER_ADDRESS, SERVER_PORT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from agentinfra.db.outage import Outage
    from agentinfra.observability.metrics import Metrics
    from agentinfra.settings import DatabaseSettings
    from agentinfra.settings.dsn import DSN

__all__ = ["Access", "open_access"]

_LOWEST_PRIORITY = 19
"""For a program of ours that does not stop: it computes when nobody else wants to."""

_UNDOING = 2.0
"""Seconds a transaction gets to be rolled back on a connection that goes away then."""

_WORKING = """
SELECT state = 'active' AND wait_event_type IS DISTINCT FROM 'Client'
FROM pg_catalog.pg_stat_activity WHERE pid = $1
"""
"""Whether a backend works, and does not wait for a client that it cannot reach."""


@dataclass(slots=True, kw_only=True, eq=False)
class Access:
    """What there is while a server can be used.

    Attributes:
        dsn: Where it is.
        errors: The words for what goes wrong with it.
        server: What it is and has.
        write: The pool that may write.
        read: The pool whose sessions are read-only.
        reader: What runs judged statements on it.
        passed: What lends connections that go from one use to the next.
        settings: How it is connected to.
    """

    dsn: DSN
    errors: ErrorMap
    server: Server
    write: ConnectionPool
    read: ConnectionPool
    reader: Reader
    passed: Warm
    settings: DatabaseSettings

    @property
    def connected(self) -> bool:
        """Whether there is any connection that is not known to be broken."""
        return self.write.connected or self.read.connected

    @property
    def address(self) -> dict[str, Any]:
        """The server's address, for spans."""
        host, port = self.dsn.hosts[0] if self.dsn.hosts else ("localhost", None)
        return {SERVER_ADDRESS: host, **({SERVER_PORT: port} if port else {})}

    @property
    def stuck(self) -> str:
        """What does not stop, for people; empty when everything does."""
        pids = (*self.write.stuck, *self.read.stuck)
        if not pids:
            return ""
        return (
            f"{len(pids)} statements were told to stop and have not (backends "
            f"{', '.join(map(str, pids))}); each holds a connection until it ends"
        )

    async def look_again(self, connection: Any) -> None:
        """Look at the server anew: our tables have been made, or moved."""
        folder = self.dsn.hosts[0][0] if self.dsn.hosts else ""
        pooled = self.server.pooled
        self.server = await survey(connection, folder, self.settings, pooled=pooled)

    async def greet(self, timeout: float) -> None:
        """Open a connection of its own and close it again.

        Raises:
            DatabaseError: The server cannot be reached within so many seconds.
        """
        connection = await _connect(self.dsn, self.errors, self.settings, timeout=timeout)
        connection.terminate()

    @asynccontextmanager
    async def passing(self) -> AsyncIterator[Any]:
        """Lend a connection of the write pool, which goes from one use to the next.

        Raises:
            PoolTimeoutError: None became free in time.
            ConnectionLostError: The server is away.
        """
        connection, _ = await self.passed.take()
        try:
            with self.errors.running(connection=connection):
                yield connection
        except BaseException:
            self.passed.drop(connection)  # in whatever state: the caller may have gone
            raise
        self.passed.keep(connection)

    @asynccontextmanager
    async def apart(self) -> AsyncIterator[Any]:
        """Lend a connection that is of neither pool, outside of any transaction.

        Raises:
            ConnectionLostError: The server cannot be reached, or takes no more.
        """
        connection = await _connect(self.dsn, self.errors, self.settings)
        try:
            with self.errors.running(connection=connection):
                yield connection
        finally:
            # Before it is gone: whoever waits for its locks would find them held for a moment
            # longer, as the server and a pooler learn of a broken connection in their own time.
            with suppress(Exception):
                await connection.execute("ROLLBACK", timeout=_UNDOING)
            connection.terminate()

    async def close(self) -> None:
        """Close both pools side by side."""
        self.reader.close()
        self.passed.close()
        await asyncio.gather(self.write.close(), self.read.close())


async def open_access(
    dsn: DSN, settings: DatabaseSettings, *, outage: Outage, metrics: Metrics
) -> Access:
    """Connect, look at the server, and open the pools.

    Raises:
        ConnectionLostError: It cannot be reached, or refuses the login.
        ConfigurationError: A pooler is in between, and nobody said so.
        MissingPackageError: asyncpg is not installed.
    """
    load("asyncpg")  # the way out when it is missing
    errors = ErrorMap(dsn)
    pooled = settings.pgbouncer or dsn.pgbouncer
    server = await _look(dsn, errors, settings, pooled=pooled)
    pools = _Pools(dsn, settings, server, errors=errors, outage=outage, metrics=metrics)
    async with AsyncExitStack() as undo:
        write = pools.write()
        undo.push_async_callback(write.close)
        await write.open()
        read = pools.read()
        undo.push_async_callback(read.close)
        await read.open()
        undo.pop_all()
    options = ReaderOptions(
        begin=_begin(server),
        timeout=None if pooled else settings.statement_timeout,
        scope=server.role.scope,
    )
    return Access(
        dsn=dsn,
        errors=errors,
        server=server,
        write=write,
        read=read,
        reader=Reader(read, errors=errors, metrics=metrics, options=options),
        passed=Warm(write, ended=True),
        settings=settings,
    )


class _Pools:
    """Makes the two pools of a server."""

    def __init__(
        self,
        dsn: DSN,
        settings: DatabaseSettings,
        server: Server,
        *,
        errors: ErrorMap,
        outage: Outage,
        metrics: Metrics,
    ) -> None:
        self._dsn = dsn
        self._settings = settings
        self._server = server
        self._errors = errors
        self._outage = outage
        self._metrics = metrics
        self._codecs = _Codecs(server)

    def write(self) -> ConnectionPool:
        """Return the pool that may write."""
        return self._pool("write", self._dsn, self._codecs.vectors)

    def read(self) -> ConnectionPool:
        """Return the pool whose sessions are read-only."""
        login = self._dsn
        if self._server.embedded:
            login = login.replace(user=READER, password=None)
        return self._pool("read", login, self._codecs.all)

    def _pool(
        self, name: str, login: DSN, prepare: Callable[[Any], Awaitable[None]]
    ) -> ConnectionPool:
        settings, server = self._settings, self._server
        session = _session(name, settings, server)
        options = PoolOptions(
            name=name,
            connect=_arguments(login, settings, session, pooled=server.pooled),
            prepare=prepare,
            is_at_work=self._is_at_work,
            min_size=settings.min_size,
            max_size=settings.max_size,
            acquire_timeout=settings.acquire_timeout,
            resets=not server.pooled,
        )
        return ConnectionPool(
            options, errors=self._errors, outage=self._outage, metrics=self._metrics
        )

    async def _is_at_work(self, pid: int) -> bool:
        """Ask the server whether a backend still works; one behind a pooler cannot be named."""
        if self._server.pooled:
            return False
        if self._server.embedded:
            with suppress(OSError):  # root in a container may not: then it only keeps its place
                os.setpriority(os.PRIO_PROCESS, pid, _LOWEST_PRIORITY)
        timeout = self._settings.connect_timeout
        try:
            connection = await _connect(self._dsn, self._errors, self._settings, timeout=timeout)
        except DatabaseError:
            return False
        try:
            async with asyncio.timeout(timeout):
                return bool(await connection.fetchval(_WORKING, pid))
        except Exception:  # noqa: BLE001 - a server that says nothing has nothing to keep
            return False
        finally:
            connection.terminate()


async def _look(dsn: DSN, errors: ErrorMap, settings: DatabaseSettings, *, pooled: bool) -> Server:
    session = {} if pooled else {PROBE: "1"}
    connection = await _connect(dsn, errors, settings, session=session)
    try:
        with errors.running(connection=connection):
            if not pooled and await connection.fetchval(_PROBED) != "1":
                raise ConfigurationError(f"{errors.place}: {POOLER}")
            folder = dsn.hosts[0][0] if dsn.hosts else ""
            return await survey(connection, folder, settings, pooled=pooled)
    finally:
        connection.terminate()


_PROBED = f"SELECT current_setting('{PROBE}', true)"


async def _connect(
    dsn: DSN,
    errors: ErrorMap,
    settings: DatabaseSettings,
    *,
    session: dict[str, str] | None = None,
    timeout: float | None = None,
) -> Any:
    import asyncpg

    pooled = settings.pgbouncer or dsn.pgbouncer
    arguments = _arguments(dsn, settings, session or {}, pooled=pooled)
    if timeout is not None:
        arguments["timeout"] = timeout
    with errors.connecting():
        return await asyncpg.connect(**arguments)


def _arguments(
    dsn: DSN, settings: DatabaseSettings, session: dict[str, str], *, pooled: bool
) -> dict[str, Any]:
    """Return the arguments for ``asyncpg.connect``; what the URL says goes before ours."""
    arguments = {"timeout": settings.connect_timeout, **dsn.asyncpg_kwargs()}
    if pooled:  # it refuses session settings, and its servers know no statements of ours
        return arguments | {"statement_cache_size": 0}
    return arguments | {"server_settings": session | arguments.get("server_settings", {})}


def _session(name: str, settings: DatabaseSettings, server: Server) -> dict[str, str]:
    session = {
        "application_name": f"agentinfra {name}",
        "statement_timeout": str(milliseconds(settings.statement_timeout)),
        "random_page_cost": "1.1",  # else the planner passes over vector indexes
    }
    if name == "write" and server.vector:  # where searches of collections run
        session["hnsw.ef_search"] = "100"  # what they keep unless they are asked for more
        if server.iterative_scans:
            session["hnsw.iterative_scan"] = "strict_order"
    if name == "read":
        session["default_transaction_read_only"] = "on"
        session["idle_in_transaction_session_timeout"] = "60000"
        session["standard_conforming_strings"] = "on"  # the guard reads strings like this
    return session


def _begin(server: Server) -> tuple[str, ...]:
    """Return what each read begins with, beside being read-only."""
    begin = []
    if server.pooled:
        begin += ["SET LOCAL standard_conforming_strings = on", "SET LOCAL random_page_cost = 1.1"]
    if server.reads_as:
        begin.append(f"SET LOCAL ROLE {server.reads_as}")
    return tuple(begin)


class _Codecs:
    """Teaches new connections the types asyncpg does not know."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._register: Any = None
        with suppress(MissingPackageError):  # vectors are then text
            self._register = load("pgvector.asyncpg").register_vector

    async def vectors(self, connection: Any) -> None:
        """Send and receive pgvector's types in binary."""
        if self._server.vector and self._register is not None:
            await self._register(connection, schema=self._server.vector_schema)

    async def all(self, connection: Any) -> None:
        """Give JSON as Python values, too; in binary, or rows that hold it could not be read."""
        await self.vectors(connection)
        for name, version in (("json", b""), ("jsonb", b"\x01")):
            await connection.set_type_codec(
                name,
                schema="pg_catalog",
                encoder=lambda value, version=version: version + _json_text(value).encode(),
                decoder=lambda data, version=version: json.loads(bytes(data)[len(version) :]),
                format="binary",
            )


def _json_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
