"""PostgreSQL with pgvector: a pool that writes, a pool that can only read, vectors on top."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from agentinfra._mechanics.clock import SYSTEM_CLOCK, Clock
from agentinfra._mechanics.closing import finish
from agentinfra._mechanics.in_thread import in_thread
from agentinfra._mechanics.resource import Resource
from agentinfra.db.access import Access, open_access
from agentinfra.db.operations import operation_of
from agentinfra.db.outage import Outage
from agentinfra.db.reading import Bounds
from agentinfra.db.route import Route, missing_packages
from agentinfra.db.transactions import milliseconds, transaction
from agentinfra.errors import AgentInfraError, DatabaseError, PoolTimeoutError
from agentinfra.observability import semconv
from agentinfra.observability.logging import get_logger
from agentinfra.observability.metrics import Metrics
from agentinfra.observability.tracing import start_span
from agentinfra.results import ResourceHealth
from agentinfra.settings.dsn import DSN

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Iterator

    from agentinfra.db.vectors.store import VectorStore
    from agentinfra.observability.tracing import Span
    from agentinfra.protocols import Address, Embedder
    from agentinfra.results import QueryResult
    from agentinfra.settings import DatabaseSettings

__all__ = ["Database"]

_log = get_logger("agentinfra.database")

_CLOSING = 60.0
"""Seconds closing may take in all: pools bound themselves, and so does the embedded server."""

Isolation = Literal["read_committed", "repeatable_read", "serializable"]


class Database(Resource):
    """PostgreSQL, for code that writes and for SQL that nobody looked at.

    Whoever enters it owns it; tasks share it. Without an address it starts the embedded server
    and stops it again. A cancelled call gives its connection back whole. While the server is
    away, calls fail at once and the server is asked again with growing pauses; when it answers,
    the database is ready again by itself.

    Args:
        settings: The address, the sizes and the limits.
        url: An address that goes before the settings', or what says it at each attempt.
        metrics: Where operations are counted; None counts nothing.
        embedder: What turns texts into vectors, for vector stores.
        clock: Where time comes from.

    Raises:
        ConfigurationError: The address cannot be understood.
    """

    name = "database"
    vendors = ("asyncpg", "pgvector.asyncpg", "postgast", "google.protobuf.message")

    def __init__(
        self,
        settings: DatabaseSettings,
        *,
        url: str | Address | None = None,
        metrics: Metrics | None = None,
        embedder: Embedder | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.metrics = metrics or Metrics.off()
        self.embedder = embedder
        self._route = Route(settings, url)
        self._access: Access | None = None
        self._lacking = ""
        self._opening = asyncio.Lock()
        self._outage = Outage(
            clock, began=self._lost, ended=self._back, connected=self._is_connected
        )
        self._stores: dict[tuple[str, int | None], VectorStore] = {}

    @property
    def pool(self) -> Any:
        """The asyncpg pool for writing, for what this class does not offer.

        Its waits have no end unless you give one, and its errors are asyncpg's.

        Raises:
            DatabaseError: The database has not been reached yet.
        """
        return self._known.write.raw

    @property
    def dsn(self) -> DSN:
        """Where the database is: as given, with this machine's names, or the embedded one.

        Raises:
            DatabaseError: The database has not been reached yet.
        """
        return self._known.dsn

    @property
    def pgvector(self) -> str:
        """The version of pgvector, empty where the database has not got it.

        Raises:
            DatabaseError: The database has not been reached yet.
        """
        return self._known.facts.vector

    @property
    def pooled(self) -> bool:
        """Whether sessions are shared with others, by a pgbouncer in transaction mode.

        Raises:
            DatabaseError: The database has not been reached yet.
        """
        return self.settings.pgbouncer or self._known.pgbouncer

    @asynccontextmanager
    async def connection(self, *, readonly: bool = True, reset: bool = True) -> AsyncIterator[Any]:
        """Lend an asyncpg connection, for SQL of your own.

        Args:
            readonly: False lends one that may write.
            reset: False when the block leaves nothing behind in the session (settings, advisory
                locks, listeners); giving it back is then free.

        Raises:
            PoolTimeoutError: None became free in time.
            ConnectionLostError: The database is away.
        """
        with self._working() as work:
            access = await self._ready()
            pool = access.read if readonly else access.write
            async with pool.lease(reset=reset) as connection:
                work.held(partial(pool.give_back, connection))
                with access.errors.running(connection=connection):
                    if readonly and access.pgbouncer:  # its sessions cannot be made read-only
                        async with transaction(connection, readonly=True):
                            yield connection
                    else:
                        yield connection

    @asynccontextmanager
    async def transaction(
        self, *, isolation: Isolation | None = None, reset: bool = True
    ) -> AsyncIterator[Any]:
        """Lend an asyncpg connection inside a transaction that may write.

        It is committed when the block ends, rolled back when an error or a cancellation leaves
        it. Nothing is retried: only you know whether the block may run twice.

        Args:
            isolation: None is the server's default.
            reset: As for :meth:`connection`.

        Raises:
            QueryError: The server refused; ``sqlstate`` 40001 and 40P01 are worth another try.
            ConnectionLostError: The database is away, or went away.
        """
        with self._working() as work, self._observed("TRANSACTION"):
            access = await self._ready()
            async with access.write.lease(reset=reset) as connection:
                work.held(partial(access.write.give_back, connection))
                with access.errors.running(connection=connection):
                    async with transaction(connection, isolation=isolation):
                        yield connection

    async def query(
        self, sql: str, *args: Any, limit: int | None = None, timeout: float | None = None
    ) -> QueryResult:
        """Run one statement that only reads, whoever wrote it.

        It is judged by PostgreSQL's grammar, runs in a READ ONLY transaction that is rolled back,
        and is bounded in rows, bytes and time. A read whose connection breaks is sent once more.

        Args:
            sql: SELECT, VALUES, TABLE, SHOW or EXPLAIN, with ``$1`` for the first argument.
            args: The arguments.
            limit: Rows to return at most; None is the setting ``row_limit``.
            timeout: Seconds it may take; None is the setting ``statement_timeout``.

        Raises:
            ReadOnlyViolationError: It does more than read; it was not run.
            QueryError: The server refuses it.
            StatementTimeoutError: It took too long.
            PoolTimeoutError: No connection became free in time.
            ConnectionLostError: The database is away.
        """
        bounds = Bounds(
            rows=self.settings.row_limit if limit is None else max(0, limit),
            bytes=self.settings.byte_limit,
            timeout=self.settings.statement_timeout if timeout is None else timeout,
        )
        with self._observed(operation_of(sql)) as span:
            access = await self._ready()
            result = await access.reader.query(sql, args, bounds)
            span.set(semconv.DB_ROWS, len(result))
        return result

    async def execute(self, sql: str, *args: Any, timeout: float | None = None) -> str:
        """Run a statement of your own, which may write, and return the server's word on it.

        Without arguments, ``sql`` may hold several statements.

        Args:
            sql: The statement; never one that a model wrote.
            args: The arguments.
            timeout: Seconds it may take; None is the setting ``statement_timeout``.

        Raises:
            DatabaseError: As for :meth:`query`.
        """
        limit = self.settings.statement_timeout if timeout is None else timeout
        with self._observed(operation_of(sql)):
            access = await self._ready()
            async with access.write.lease() as connection:
                with access.errors.running(statement=sql, connection=connection, timeout=limit):
                    if timeout is not None and not access.pgbouncer:  # the session has its own
                        await connection.execute(f"SET statement_timeout = {milliseconds(limit)}")
                    return str(await connection.execute(sql, *args, timeout=limit))

    def vectors(self, name: str, dimensions: int | None = None) -> VectorStore:
        """Return the collection of vectors of this name.

        Args:
            name: The collection.
            dimensions: Length of its vectors; None takes what the collection or the embedder has.
        """
        from agentinfra.db.vectors.store import VectorStore

        key = (name, dimensions)
        if key not in self._stores:
            self._stores[key] = VectorStore(self, name, dimensions)
        return self._stores[key]

    async def probe(self) -> ResourceHealth:
        """Ask the server now, unless it failed a moment ago."""
        began = time.perf_counter()
        detail = ""
        try:
            access = await self._ready()
            patience = self.settings.connect_timeout
            async with access.read.lease(reset=False) as connection:
                with access.errors.running(connection=connection, timeout=patience):
                    await connection.fetchval("SELECT 1", timeout=patience)
            detail = access.detail
            self._outage.over()
            self._be_ready()
        except PoolTimeoutError as error:
            self.degrade(str(error))
        except DatabaseError as error:
            if self._state == "ready":
                self.degrade(str(error), state="failed")
        return ResourceHealth(
            name=self.name,
            state=self._state,
            reason=self._reason,
            latency=time.perf_counter() - began,
            detail=detail,
        )

    async def _open(self) -> None:
        if not self.settings.enabled:
            self.degrade("switched off: set AGENTINFRA_DATABASE__ENABLED=true", state="disabled")
            return
        try:
            await self._reach()
        except AgentInfraError as error:
            self._outage.failed(str(error))
            raise

    async def _close(self) -> None:
        await finish(self._shut(), grace=_CLOSING, name="close the database")

    async def _shut(self) -> None:
        access, self._access = self._access, None
        try:
            if access is not None:
                await access.close()
        finally:
            await self._route.close()

    @property
    def _known(self) -> Access:
        self._guard()
        if self._access is None:
            raise DatabaseError(self._reason or "the database has not been reached yet")
        return self._access

    async def _ready(self) -> Access:
        """Return the way in; look for it again where there is none and an attempt is due."""
        self._guard()
        if self._access is not None and not self._outage.active:
            return self._access
        if self._state == "disabled":
            raise DatabaseError(f"the database is {self._reason}")
        ours = self._outage.refuse()
        async with self._opening:
            if not ours:
                self._outage.refuse()
            if self._access is None:
                await self._noting_failures(self._reach())
            elif self._outage.active:
                await self._noting_failures(self._route.revive(self._access.facts.embedded))
        return self._known

    async def _noting_failures(self, attempt: Coroutine[Any, Any, None]) -> None:
        """Make an attempt to get the server back; when it fails, the next one is due later."""
        try:
            await attempt
        except DatabaseError as error:
            self._outage.failed(str(error))
            raise
        except AgentInfraError as error:  # a missing package, an unusable folder
            self._outage.failed(str(error))
            raise DatabaseError(str(error)) from error

    async def _reach(self) -> None:
        try:
            dsn = await self._route.find()
            self._lacking = await in_thread(missing_packages)
            self._access = await open_access(
                dsn, self.settings, outage=self._outage, metrics=self.metrics
            )
            self._guard()  # it may have been left meanwhile
        except BaseException:
            await self._close()
            raise
        self._be_ready()
        self._outage.over()
        _log.info("database.opened", detail=self._access.detail)

    def _is_connected(self) -> bool:
        return self._access is not None and self._access.connected

    def _lost(self, reason: str) -> None:
        self.degrade(reason, state="degraded" if self._access is None else "failed")
        _log.warning("database.unreachable", reason=reason)

    def _be_ready(self) -> None:
        if self._lacking:
            self.degrade(self._lacking)
        else:
            self.restore()

    def _back(self) -> None:
        self._be_ready()
        _log.info("database.back")

    @contextmanager
    def _observed(self, operation: str) -> Iterator[Span]:
        began = time.perf_counter()
        outcome = "ok"
        attributes = {semconv.DB_SYSTEM: "postgresql", semconv.DB_OPERATION: operation}
        if self._access is not None:
            attributes |= self._access.address
        try:
            with (
                self._working(),
                start_span(f"{semconv.SPAN_QUERY} {operation}", attributes, kind="client") as span,
            ):
                yield span
        except BaseException as error:
            ours = isinstance(error, AgentInfraError | asyncio.CancelledError)
            outcome = type(error).__name__ if ours else "error"
            raise
        finally:
            seconds = self.metrics.histogram(semconv.DB_QUERIES, operation, outcome)
            seconds.observe(time.perf_counter() - began)
