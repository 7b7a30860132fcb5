"""One pool of connections: bounded, counted, mapped, and quick to say that the server is away."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agentinfra._mechanics.closing import finish
from agentinfra.errors import ConnectionLostError
from agentinfra.observability.semconv import DB_POOL_SIZE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from agentinfra.db.errors import ErrorMap
    from agentinfra.db.outage import Outage
    from agentinfra.observability.metrics import Metrics

__all__ = ["ConnectionPool", "PoolOptions"]

_LONGEST_GRACE = 1.0
"""Seconds connections get to close: whoever has one lent was waited for, or cancelled, before."""

_GIVING_BACK = 2.0
"""Seconds a connection may take to be reset, or to give up a cancelled statement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolOptions:
    """How a pool connects.

    Attributes:
        name: ``write`` or ``read``, for metrics.
        connect: Arguments for ``asyncpg.connect``.
        prepare: Called with each new connection.
        min_size: Connections opened at once; idle ones are closed after five minutes.
        max_size: Connections at most.
        acquire_timeout: Seconds to wait for a free connection.
        resets: False leaves the session as it is: through a pgbouncer it is not ours.
    """

    name: str
    connect: dict[str, Any]
    prepare: Callable[[Any], Awaitable[None]]
    min_size: int
    max_size: int
    acquire_timeout: float
    resets: bool = True


class ConnectionPool:
    """An asyncpg pool whose waits end and whose errors are ours.

    Args:
        options: How it connects.
        errors: The words for what goes wrong.
        outage: What is known of the server being away; shared by the pools of one server.
        metrics: Where open connections are counted.
    """

    def __init__(
        self, options: PoolOptions, *, errors: ErrorMap, outage: Outage, metrics: Metrics
    ) -> None:
        self._options = options
        self._errors = errors
        self._outage = outage
        self._idle = metrics.gauge(DB_POOL_SIZE, options.name, "idle")
        self._in_use = metrics.gauge(DB_POOL_SIZE, options.name, "in_use")
        self._pool: Any = None
        self._out: dict[Any, int] = {}  # what is lent, and the server's pid of each
        self._untouched: set[int] = set()

    @property
    def raw(self) -> Any:
        """The asyncpg pool."""
        return self._pool

    @property
    def connected(self) -> bool:
        """Whether it has a connection that is not known to be broken."""
        return self._pool is not None and self._pool.get_size() > 0

    async def open(self) -> None:
        """Connect.

        Raises:
            ConnectionLostError: The server cannot be reached, or refuses the login.
        """
        import asyncpg

        options = self._options
        self._pool = asyncpg.create_pool(
            # With a minimum, asyncpg asks a dead server again and again in a task of its own.
            min_size=0,
            init_size=min(options.min_size, options.max_size),
            max_size=options.max_size,
            connect=self._connect,
            init=options.prepare,
            reset=self._reset,
            **options.connect,
        )
        with self._errors.connecting():
            await self._pool

    async def close(self) -> None:
        """Close all connections; what is still lent after a moment is cut off."""
        if self._pool is None:
            return
        grace = min(self._options.acquire_timeout, _LONGEST_GRACE)
        with suppress(TimeoutError):
            await finish(self._pool.close(), grace=grace, name=f"close pool {self._options.name}")
        self._pool.terminate()
        self._count()

    @asynccontextmanager
    async def lease(self, *, reset: bool = True) -> AsyncIterator[Any]:
        """Lend a connection.

        Args:
            reset: False when the block leaves no trace in the session (settings, locks,
                listeners); saves a round trip.

        Raises:
            PoolTimeoutError: None became free in time.
            ConnectionLostError: The server is away.
        """
        connection = await self._acquire()
        pid = connection.get_server_pid()
        self._out[connection] = pid
        self._count()
        if not reset:
            self._untouched.add(pid)
        try:
            yield connection
        finally:
            await self.give_back(connection)

    async def give_back(self, connection: Any) -> None:
        """Take back what was lent, whatever goes on on it; a second time does nothing.

        For whoever holds a lease in a block that is left only after the pool is closed.
        """
        pid = self._out.pop(connection, None)
        if pid is None:
            return
        try:
            # The driver shields this: the connection comes back even if we are cancelled here.
            # Whatever fails, it was thrown away then, which is no concern of the block's.
            with suppress(Exception):
                await self._pool.release(connection, timeout=_GIVING_BACK)
        finally:
            self._untouched.discard(pid)
            self._count()

    async def _acquire(self) -> Any:
        options = self._options
        try:
            with self._errors.running():
                connection = await self._pool.acquire(timeout=options.acquire_timeout)
        except TimeoutError as error:
            raise self._errors.exhausted(options.max_size, options.acquire_timeout) from error
        except ConnectionLostError as error:
            self._outage.failed(str(error))
            raise
        self._outage.over()
        return connection

    async def _connect(self, *args: Any, **kwargs: Any) -> Any:
        import asyncpg

        with self._errors.connecting():
            return await asyncpg.connect(*args, **kwargs)

    def _count(self) -> None:
        self._in_use.set(len(self._out))
        self._idle.set(self._pool.get_idle_size())

    async def _reset(self, connection: Any) -> None:
        touched = connection.get_server_pid() not in self._untouched
        if touched and self._options.resets:
            await connection.execute(connection.get_reset_query())
