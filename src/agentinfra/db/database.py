"""PostgreSQL with pgvector: a pool that writes, a pool that can only read, vectors on top."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from agentinfra._mechanics.clock import SYSTEM_CLOCK, Clock
from agentinfra._mechanics.resource import Resource
from agentinfra.db.layout import migrate
from agentinfra.db.operations import check_call, observed, operation_of
from agentinfra.db.plans import Bounds
from agentinfra.db.reaching import Reaching
from agentinfra.db.transactions import milliseconds
from agentinfra.errors import AgentInfraError, DatabaseError, PoolTimeoutError
from agentinfra.observability import semconv
from agentinfra.observability.metrics import Metrics
from agentinfra.results import ResourceHealth

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from agentinfra._types import ResourceState
    from agentinfra.db.access import Access
    from agentinfra.db.server import Server
    from agentinfra.db.vectors.store import VectorStore
    from agentinfra.observability.tracing import Span
    from agentinfra.protocols import Address, Embedder
    from agentinfra.results import QueryResult
    from agentinfra.settings import DatabaseSettings
    from agentinfra.settings.dsn import DSN

__all__ = ["Database"]

Isolation = Literal["read_committed", "repeatable_read", "serializable"]


class Database(Resource):
    """PostgreSQL, for code that writes and for SQL that nobody looked at.

    Whoever enters it owns it; tasks share it. Without an address it starts the embedded server
    and stops it again. A cancelled call gives its connection back whole. While the server is
    away, calls fail at once and a task asks for it; when it answers, the database is ready again
    by itself.

    Args:
        settings: The address, the sizes and the limits.
        url: An address that goes before the settings', or what says it at each attempt.
        metrics: Where operations are counted; None counts nothing.
        embedder: What turns texts into vectors, for vector stores.
        clock: Where time comes from.

    Attributes:
        building: Held while an index of vectors is built.

    Raises:
        ConfigurationError: The address cannot be understood.
    """

    name = "database"
    vendors: tuple[str, ...] = (
        "asyncpg",
        "pgvector.asyncpg",
        "postgast",
        "google.protobuf.message",
    )

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
        if not settings.enabled:
            self.vendors = ()
        self.settings = settings
        self.metrics = metrics or Metrics.off()
        self.embedder = embedder
        self._reaching = Reaching(
            self, settings, url, metrics=self.metrics, clock=clock, wanted=self._guard
        )
        self.building = asyncio.Lock()
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
    def server(self) -> Server:
        """What is known of the server: its version, where our tables and pgvector are, and more.

        Raises:
            DatabaseError: The database has not been reached yet.
        """
        return self._known.server

    @asynccontextmanager
    async def connection(
        self, *, readonly: bool = True, reset: bool = True, late: bool = False
    ) -> AsyncIterator[Any]:
        """Lend an asyncpg connection, for SQL of your own.

        Args:
            readonly: False lends one that may write.
            reset: False when the block leaves nothing behind in the session (settings, advisory
                locks, listeners); giving it back is then free.
            late: True lends while the database is being left, to what is closed before it.

        Raises:
            PoolTimeoutError: None became free in time.
            ConnectionLostError: The database is away.
        """
        with self._working(late=late) as work:
            access = await self._ready(late=late)
            pool = access.read if readonly else access.write
            if readonly and access.server.pooled:  # sessions of a pgbouncer cannot be read-only
                lent = pool.transaction(readonly=True, reset=reset)
            else:
                lent = pool.lease(reset=reset)
            with access.errors.running():
                async with lent as connection:
                    work.held(partial(pool.reclaim, connection))
                    with access.errors.running(connection=connection):
                        yield connection

    @asynccontextmanager
    async def transaction(
        self, *, isolation: Isolation | None = None, reset: bool = True, late: bool = False
    ) -> AsyncIterator[Any]:
        """Lend an asyncpg connection inside a transaction that may write.

        It is committed when the block ends, rolled back when an error or a cancellation leaves
        it. Nothing is retried: only you know whether the block may run twice.

        Args:
            isolation: None is the server's default.
            reset: As for `connection`.
            late: As for `connection`.

        Raises:
            QueryError: The server refused; ``sqlstate`` 40001 and 40P01 are worth another try.
            ConnectionLostError: The database is away, or went away.
        """
        with self._working(late=late) as work, self._observed("TRANSACTION", late=late):
            access = await self._ready(late=late)
            with access.errors.running():
                async with access.write.transaction(isolation=isolation, reset=reset) as connection:
                    work.held(partial(access.write.reclaim, connection))
                    with access.errors.running(connection=connection):
                        yield connection

    @asynccontextmanager
    async def passing(self, *, late: bool = False) -> AsyncIterator[Any]:
        """Lend a connection that goes from one short use to the next, while there is one.

        For a search, or a statement, that leaves nothing behind in its session and ends its
        transaction; handing it on costs a fraction of giving it back.

        Args:
            late: As for `connection`.

        Raises:
            PoolTimeoutError: None became free in time.
            ConnectionLostError: The database is away.
        """
        with self._working(late=late):
            access = await self._ready(late=late)
            async with access.passing() as connection:
                yield connection

    @asynccontextmanager
    async def apart(self) -> AsyncIterator[Any]:
        """Lend a connection beside the pools', for what holds one for long: nobody waits for it."""
        with self._working():
            access = await self._ready()
            async with access.apart() as connection:
                yield connection

    async def query(
        self,
        sql: str,
        *args: Any,
        limit: int | None = None,
        timeout: float | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> QueryResult:
        """Run one statement that only reads, whoever wrote it.

        It is judged by PostgreSQL's grammar, runs in a READ ONLY transaction that is rolled back,
        and is bounded in rows, bytes and time. A read whose connection breaks is sent once more.

        Args:
            sql: SELECT, VALUES, TABLE, SHOW or EXPLAIN, with ``$1`` for the first argument.
            args: The arguments.
            limit: Rows to return at most; None is the setting ``row_limit``.
            timeout: Seconds it may take; None is the setting ``statement_timeout``.
            settings: Settings of your own for this statement (``{"app.tenant": "7"}``), for
                policies of row-level security; no statement that is let through can change them.

        Raises:
            ReadOnlyViolationError: It does more than read, or reads what it may not; it was not
                run.
            QueryError: The server refuses it.
            StatementTimeoutError: It took too long.
            PoolTimeoutError: No connection became free in time.
            ConnectionLostError: The database is away.
        """
        check_call(sql, timeout=timeout, limit=limit)
        bounds = Bounds(
            rows=self.settings.row_limit if limit is None else max(0, limit),
            bytes=self.settings.byte_limit,
            timeout=self.settings.statement_timeout if timeout is None else timeout,
        )
        with self._observed(operation_of(sql)) as span:
            access = await self._ready()
            result = await access.reader.query(sql, args, bounds, settings or {})
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
            DatabaseError: As for `query`.
        """
        check_call(sql, timeout=timeout)
        limit = self.settings.statement_timeout if timeout is None else timeout
        with self._observed(operation_of(sql)):
            access = await self._ready()
            async with access.write.lease() as connection:
                with access.errors.running(statement=sql, connection=connection, timeout=limit):
                    if timeout is not None and not access.server.pooled:  # the session has its own
                        await connection.execute(f"SET statement_timeout = {milliseconds(limit)}")
                    return str(await connection.execute(sql, *args, timeout=limit))

    async def migrate(self) -> tuple[str, ...]:
        """Bring the schema of our own tables to the newest layout; return the steps taken.

        Of processes that call it together one takes them. It is called by whoever needs a table
        that is not there; ``agentinfra migrate`` does it for users who may not make any.

        Raises:
            DatabaseError: The user may not make tables there; the sentence says what to do.
        """
        with self._working():
            access = await self._ready()
            if access.server.layout.newest:
                return ()
            async with access.write.lease() as connection:
                with access.errors.running(connection=connection):
                    taken = await migrate(connection, access.server.layout)
                    await access.look_again(connection)
            return taken

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
        began, detail = time.perf_counter(), ""
        try:
            access = await self._ready()
            await access.read.ask(self.settings.connect_timeout)
            detail = access.server.detail
            self._reaching.answered()
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

    def degrade(self, reason: str, *, state: ResourceState = "degraded") -> None:
        """Go on with less, and ask for the server until it is there."""
        super().degrade(reason, state=state)
        self._reaching.outage.watch()

    async def _open(self) -> None:
        if not self.settings.enabled:
            self.degrade("switched off: set AGENTINFRA_DATABASE__ENABLED=true", state="disabled")
            return
        try:
            await self._reaching.reach()
        except AgentInfraError as error:
            self._reaching.outage.failed(str(error))
            raise

    async def _close(self) -> None:
        await self._reaching.close()

    @property
    def _access(self) -> Access | None:
        return self._reaching.access

    @property
    def _known(self) -> Access:
        self._guard(late=True)
        if self._access is None:
            self._reaching.outage.refuse()
            raise DatabaseError(self._reason or "the database has not been reached yet")
        return self._access

    async def _ready(self, *, late: bool = False) -> Access:
        """Return the way in, or refuse at once."""
        self._guard(late=late)
        if self._state == "disabled":
            raise DatabaseError(f"the database is {self._reason}")
        self._reaching.outage.watch()
        self._reaching.outage.refuse()
        return self._known

    @contextmanager
    def _observed(self, operation: str, *, late: bool = False) -> Iterator[Span]:
        address = self._access.address if self._access is not None else {}
        with self._working(late=late), observed(operation, address, self.metrics) as span:
            yield span
