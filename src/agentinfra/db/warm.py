"""Connections between two reads: a read ends the transaction of the one before it.

Each message to the server costs more than most reads do. So a connection whose read went well is
kept for a moment as it is, and its transaction ended by the message that begins the next one;
where none comes, or somebody waits for a connection, it is given back at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from agentinfra.db.errors import is_gone

if TYPE_CHECKING:
    from agentinfra.db.pool import ConnectionPool

__all__ = ["Warm"]

_MOMENT = 0.004
"""Seconds a connection is kept; for as long a table that was read cannot be changed."""

_UNLOCK = "SELECT pg_catalog.pg_advisory_unlock_all()"
"""A session's locks outlive its transactions. And from the first query on, a transaction cannot
be made to write again."""

_END = f"ROLLBACK; {_UNLOCK}"


class Warm:
    """Lends the connections of one pool to reads.

    Args:
        pool: Whose connections they are.
        begin: What begins a read, after ``BEGIN READ ONLY``.
        ended: Whether reads end their transactions themselves, or have none.
    """

    def __init__(
        self, pool: ConnectionPool, begin: tuple[str, ...] = (), *, ended: bool = False
    ) -> None:
        self._pool = pool
        self._ended = ended
        self._begin = "; ".join(("BEGIN READ ONLY", _UNLOCK, *begin))
        self._begin_again = f"ROLLBACK; {self._begin}"
        self._kept: list[tuple[Any, float]] = []
        self._wanted: deque[asyncio.Future[Any]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        pool.on_demand = self.cool_one
        pool.on_return = self._wake_one
        pool.on_stuck = self._refuse

    async def take(self) -> tuple[Any, str]:
        """Return a connection, and what begins a read on it.

        Raises:
            PoolTimeoutError: None became free in time.
            ConnectionLostError: The server is away.
        """
        while self._kept:
            connection, _ = self._kept.pop()
            if not is_gone(connection):
                return connection, self._begin_again
            self.drop(connection)
        connection = await self._handed_over() if self._pool.full else None
        if connection is not None:
            return connection, self._begin_again
        return await self._pool.acquire(), self._begin

    def keep(self, connection: Any) -> None:
        """Keep a connection whose read went well, for the next one."""
        if is_gone(connection) or (self._pool.waiting and not self._wanted):
            self.drop(connection)
        elif not self._wake(connection):
            loop = asyncio.get_running_loop()
            self._kept.append((connection, loop.time()))
            if self._timer is None:
                self._timer = loop.call_later(_MOMENT, self._cool)

    async def _handed_over(self) -> Any:
        """Wait for another read to end; return its connection, None where one has become free."""
        patience = self._pool.patience
        wanted: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._wanted.append(wanted)
        try:
            async with asyncio.timeout(patience):
                return await wanted
        except BaseException as error:
            if wanted.done() and not wanted.cancelled() and wanted.exception() is None:
                # It was handed over in the very moment this task was cancelled: pass it on.
                passed = wanted.result()
                if passed is None:
                    self._wake()
                else:
                    self.keep(passed)
            if isinstance(error, TimeoutError):
                raise self._pool.none_free(patience) from error
            raise

    def _refuse(self) -> None:
        """Tell all who wait that there is nothing to wait for."""
        while self._wanted:
            wanted = self._wanted.popleft()
            if not wanted.done():
                wanted.set_exception(self._pool.none_free(self._pool.patience))

    def _wake_one(self) -> None:
        self._wake()

    def _wake(self, connection: Any = None) -> bool:
        """Hand a connection, or the news that one is free, to whoever waits longest."""
        while self._wanted:
            wanted = self._wanted.popleft()
            if not wanted.done():
                wanted.set_result(connection)
                return True
        return False

    def drop(self, connection: Any) -> None:
        """Have a connection given back, whatever state it is in. Nobody waits for it."""
        undo = None if self._ended else partial(connection.execute, _END)
        self._pool.give_back(connection, reset=False, undo=undo)

    def cool_one(self) -> None:
        """Give a connection back for somebody who waits."""
        if self._kept:
            self.drop(self._kept.pop(0)[0])

    def close(self) -> None:
        """Give all back."""
        if self._timer is not None:
            self._timer.cancel()
        while self._kept:
            self.cool_one()

    def _cool(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        while self._kept and self._kept[0][1] <= loop.time() - _MOMENT:
            self.cool_one()
        if self._kept:
            due = self._kept[0][1] + _MOMENT
            self._timer = loop.call_at(due, self._cool)
