"""One pool of connections: bounded, counted, mapped, and whole whoever goes away.

A caller only ever waits. Connecting, rolling back, and finding out whether a backend is free
again are tasks of the pool: a caller that is cancelled in the middle costs nobody a connection.
A backend that does not stop keeps its place in the pool until it does, so that there are never
more of them on the server than the pool may have.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from agentinfra._mechanics.closing import cancel_and_wait, finish
from agentinfra.db.connecting import Connecting
from agentinfra.db.errors import is_gone
from agentinfra.errors import ConnectionLostError, PoolTimeoutError
from agentinfra.observability.logging import get_logger
from agentinfra.observability.semconv import DB_POOL_SIZE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from agentinfra.db.errors import ErrorMap
    from agentinfra.db.outage import Outage
    from agentinfra.observability.metrics import Metrics

__all__ = ["ConnectionPool", "PoolOptions"]

_log = get_logger("agentinfra.database")

_LONGEST_GRACE = 1.0
"""Seconds connections get to close: whoever has one lent was waited for, or cancelled, before."""

_GIVING_BACK = 2.0
"""Seconds after which a connection that is being given back is looked after."""

_HARDLY = 1.0
"""Seconds to wait for a connection where all are held by what does not stop."""

_ASKING = 1.0
"""Seconds between two questions about a backend that does not stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolOptions:
    """How a pool connects.

    Attributes:
        name: ``write`` or ``read``, for metrics.
        connect: Arguments for ``asyncpg.connect``.
        prepare: Called with each new connection.
        is_at_work: Asks the server, on another connection, whether a backend still works.
        min_size: Connections opened at once; idle ones are closed after five minutes.
        max_size: Connections at most.
        acquire_timeout: Seconds to wait for a free connection.
        resets: False leaves the session as it is: through a pgbouncer it is not ours.
    """

    name: str
    connect: dict[str, Any]
    prepare: Callable[[Any], Awaitable[None]]
    is_at_work: Callable[[int], Awaitable[bool]]
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

    Attributes:
        waiting: How many callers wait for a connection now.
        on_demand: Called when all connections are out and somebody wants one.
        on_return: Called when a connection is back.
        on_stuck: Called when every connection is held by what does not stop.
    """

    def __init__(
        self, options: PoolOptions, *, errors: ErrorMap, outage: Outage, metrics: Metrics
    ) -> None:
        self._options = options
        self._errors = errors
        self._outage = outage
        self._idle = metrics.gauge(DB_POOL_SIZE, options.name, "idle")
        self._in_use = metrics.gauge(DB_POOL_SIZE, options.name, "in_use")
        self._connecting = Connecting(options.prepare, errors=errors)
        self._pool: Any = None
        self._lent: set[Any] = set()
        self._out = 0
        self.waiting = 0
        self.on_demand: Callable[[], None] | None = None
        self.on_return: Callable[[], None] | None = None
        self.on_stuck: Callable[[], None] | None = None
        self._untouched: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stuck: dict[int, Any] = {}

    @property
    def raw(self) -> Any:
        """The asyncpg pool."""
        return self._pool

    @property
    def connected(self) -> bool:
        """Whether it has a connection that is not known to be broken."""
        return self._pool is not None and self._pool.get_size() > 0

    @property
    def stuck(self) -> tuple[int, ...]:
        """The backends that were told to stop, and have not."""
        return tuple(self._stuck)

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
            connect=self._connecting.connect,
            reset=self._reset,
            **options.connect,
        )
        with self._errors.connecting():
            await self._pool

    async def close(self) -> None:
        """Close all connections; what is still lent after a moment is cut off."""
        if self._pool is None:
            return
        for connection in list(self._stuck.values()):
            if not is_gone(connection):  # it may have come back, and its task not be told yet
                connection.terminate()  # waiting for it is no use
        grace = min(self._options.acquire_timeout, _LONGEST_GRACE)
        with suppress(TimeoutError):
            await finish(self._pool.close(), grace=grace, name=f"close pool {self._options.name}")
        self._pool.terminate()
        await cancel_and_wait(*self._tasks)
        await self._connecting.close()
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
        connection = await self.acquire()
        try:
            yield connection
        finally:
            await self._returned(self.give_back(connection, reset=reset))

    @asynccontextmanager
    async def transaction(
        self, *, isolation: str | None = None, readonly: bool = False, reset: bool = True
    ) -> AsyncIterator[Any]:
        """Lend a connection in a transaction; whatever leaves the block but its end undoes it.

        What left it stays the error that is seen: asyncpg's own block would raise one about the
        rollback in its place when the connection broke.

        Args:
            isolation: None is the server's default.
            readonly: True for one that cannot write.
            reset: As for `lease`.
        """
        connection = await self.acquire()
        held = connection.transaction(isolation=isolation, readonly=readonly)
        # Begun and ended as `async with` would do it: the driver complains of transactions that
        # were begun by hand and are found open when a connection comes back.
        undo: Callable[[], Awaitable[Any]] | None = partial(connection.execute, "ROLLBACK")
        roll_back, by_hand = partial(held.__aexit__, BaseException, None, None), undo
        try:
            await held.__aenter__()
            undo = roll_back
            yield connection
            undo = by_hand
            await held.__aexit__(None, None, None)
            undo = None
        finally:
            await self._returned(self.give_back(connection, reset=reset, undo=undo))

    async def acquire(self) -> Any:
        """Take a connection, which has to be given back.

        Raises:
            PoolTimeoutError: None became free in time, or all are held by what does not stop.
            ConnectionLostError: The server is away.
        """
        if self.on_demand is not None and self.full:
            self.on_demand()
        self.waiting += 1
        patience = self.patience
        try:
            with self._errors.running():
                connection = await self._pool.acquire(timeout=patience)
        except TimeoutError as error:
            raise self.none_free(patience) from error
        except ConnectionLostError as error:
            self._outage.failed(str(error))
            raise
        finally:
            self.waiting -= 1
        self._outage.over()
        self._out += 1
        self._lent.add(connection)
        self._count()
        return connection

    @property
    def full(self) -> bool:
        """Whether every connection it may have is out."""
        return self._out >= self._options.max_size

    @property
    def patience(self) -> float:
        """Seconds to wait for a connection."""
        usual = self._options.acquire_timeout
        return min(usual, _HARDLY) if len(self._stuck) >= self._options.max_size else usual

    def none_free(self, waited: float) -> PoolTimeoutError:
        """Return the error for a wait that was in vain."""
        if self._stuck:
            return self._errors.stuck(self.stuck, self._options.max_size)
        return self._errors.exhausted(self._options.max_size, waited)

    async def ask(self, patience: float) -> None:
        """Have the server answer on one of the connections.

        Raises:
            DatabaseError: It does not within so many seconds.
        """
        connection = await self.acquire()
        try:
            with self._errors.running(connection=connection, timeout=patience):
                await connection.fetchval("SELECT 1", timeout=patience)
        finally:
            self.give_back(connection, reset=False)

    def give_back(
        self,
        connection: Any,
        *,
        reset: bool = True,
        undo: Callable[[], Awaitable[Any]] | None = None,
    ) -> asyncio.Task[None]:
        """Have a connection given back, however long that takes; nobody has to wait for it.

        A second time does nothing: leaving may have taken back what a suspended block still holds.

        Args:
            connection: What `acquire` gave.
            reset: As for `lease`.
            undo: What ends its transaction; it waits by itself for a statement being cancelled.
        """
        if connection not in self._lent:
            return asyncio.create_task(_nothing())
        self._lent.discard(connection)
        self._count()
        task = asyncio.create_task(self._give_back(connection, reset=reset, undo=undo))
        self._tasks.add(task)
        overdue = asyncio.get_running_loop().call_later(
            _GIVING_BACK, self._attend, connection, task
        )

        def done(_: object) -> None:
            overdue.cancel()
            self._tasks.discard(task)
            self._out -= 1
            if self.on_return is not None:
                self.on_return()

        task.add_done_callback(done)
        return task

    async def reclaim(self, connection: Any) -> None:
        """Take back what was lent, for a block that is left only after the pool is closed."""
        await self._returned(self.give_back(connection))

    async def _returned(self, task: asyncio.Task[None]) -> None:
        """Wait a little for a connection to be back; a caller that is cancelled leaves at once."""
        await asyncio.wait({task}, timeout=_GIVING_BACK)

    async def _give_back(
        self, connection: Any, *, reset: bool, undo: Callable[[], Awaitable[Any]] | None
    ) -> None:
        pid = 0 if is_gone(connection) else connection.get_server_pid()
        if not reset:
            self._untouched.add(pid)
        try:
            # Whatever fails here, the connection is thrown away then, and that is the end of it.
            if undo is not None and not is_gone(connection):
                with suppress(Exception):
                    await undo()
            with suppress(Exception):
                await self._pool.release(connection)
        finally:
            self._untouched.discard(pid)
            self._stuck.pop(pid, None)

    def _attend(self, connection: Any, returning: asyncio.Task[None]) -> None:
        task = asyncio.create_task(self._look_after(connection, returning))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _look_after(self, connection: Any, returning: asyncio.Task[None]) -> None:
        """Keep a backend that does not stop in its place, for as long as it works.

        One that works no more, and answers no more either, has lost its way to us.
        """
        if returning.done() or is_gone(connection):
            return  # it came back, or broke, in the very moment its time was up, or late was seen
        pid = connection.get_server_pid()
        self._stuck[pid] = connection
        _log.warning("database.backend_does_not_stop", pid=pid, pool=self._options.name)
        if self.on_stuck is not None and len(self._stuck) >= self._options.max_size:
            self.on_stuck()
        while not returning.done():
            if not await self._options.is_at_work(pid):
                await asyncio.wait({returning}, timeout=_ASKING)
                if not is_gone(connection) and not returning.done():
                    connection.terminate()
            await asyncio.wait({returning}, timeout=_ASKING)
        self._stuck.pop(pid, None)

    def _count(self) -> None:
        self._in_use.set(len(self._lent))
        self._idle.set(self._pool.get_idle_size())

    async def _reset(self, connection: Any) -> None:
        touched = connection.get_server_pid() not in self._untouched
        if touched and self._options.resets:
            await connection.execute(connection.get_reset_query())


async def _nothing() -> None:
    """Stand for a giving back that was done before."""
