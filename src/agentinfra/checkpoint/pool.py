"""Connections to the checkpoint database: a pool that notices when the server is gone.

Importing this module imports psycopg.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import asynccontextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any

from psycopg import AsyncConnection, OperationalError, ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from agentinfra._mechanics.closing import settle
from agentinfra.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

__all__ = ["CheckpointPool", "Connection", "connect", "connection_options", "one_line"]

Connection = AsyncConnection[DictRow]

_STEP = 0.25
_LEAST = 0.001

# A peer that is gone without a word is noticed in about a minute instead of hours.
_KEEPALIVE = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}


def connection_options(url: str, *, pgbouncer: bool, connect_timeout: float) -> dict[str, Any]:
    """Return the keyword arguments of a connection, where the URL does not say otherwise.

    Raises:
        CheckpointError: The URL cannot be read.
    """
    try:
        given = conninfo_to_dict(url)
    except ProgrammingError as error:  # its text may repeat the URL, and the password in it
        raise CheckpointError(
            f"the database URL cannot be read ({type(error).__name__}): "
            "give postgresql://user:password@host:port/database"
        ) from None
    defaults: dict[str, Any] = {
        "connect_timeout": max(1, math.ceil(connect_timeout)),
        "application_name": "agentinfra-checkpointer",
        **_KEEPALIVE,
    }
    options = {name: value for name, value in defaults.items() if name not in given}
    options |= {"autocommit": True, "row_factory": dict_row}
    if pgbouncer:
        options["prepare_threshold"] = None  # the next transaction may be on another server
    return options


async def connect(url: str, options: dict[str, Any]) -> Connection:
    """Return a connection of its own, outside of any pool.

    A cancellation is raised when the connection is made, or has failed, within its timeout:
    psycopg leaves a cancelled one open until the garbage collector comes by.
    """
    work = asyncio.create_task(AsyncConnection.connect(url, **options), name="connect postgres")
    if await settle(work, timeout=None):
        if work.exception() is None:
            await work.result().close()
        raise asyncio.CancelledError
    return work.result()


class CheckpointPool(AsyncConnectionPool[Connection]):
    """A pool that checks connections before it hands them out, and does not wait for the dead.

    Work queues for one of the ``slots``, as long as it takes, and then has a connection to
    itself: the timeout is for the database, and not for the work of others. While new connections
    fail, it waits a quarter of a second for one instead of the whole timeout.

    Args:
        url: Where to connect.
        options: The connections' keyword arguments.
        max_size: Connections at most.
        timeout: Seconds the database may take to give a connection.
        reached: Told None when a connection was made, and the error when it failed.
    """

    def __init__(
        self,
        url: str,
        options: dict[str, Any],
        *,
        max_size: int,
        timeout: float,
        reached: Callable[[OperationalError | None], None],
    ) -> None:
        self.unreachable: OperationalError | None = None
        self._gave_up = -_STEP
        self.slots = asyncio.Semaphore(max_size)

        def note(error: OperationalError | None) -> None:
            self.unreachable = error
            reached(error)

        super().__init__(
            url,
            connection_class=_noting(note),
            kwargs=options,
            min_size=1,
            max_size=max_size,
            open=False,
            check=AsyncConnectionPool.check_connection,
            name="agentinfra-checkpointer",
            timeout=timeout,
            # A longer one would have the pool wait minutes between two tries.
            reconnect_timeout=timeout,
        )

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[Connection]:
        """Wait in line for a connection."""
        async with self.slots, self.connection() as connection:
            yield connection

    async def getconn(self, timeout: float | None = None) -> Connection:
        """Return a connection; the pool calls this for ``connection()``."""
        allowed = self.timeout if timeout is None else timeout
        end = monotonic() + allowed
        while True:
            left = end - monotonic()
            try:
                return await super().getconn(timeout=max(_LEAST, min(self._patience(), left)))
            except PoolTimeout:
                if self.unreachable is not None:
                    self._gave_up = monotonic()
                    raise self.unreachable from None
                if left <= _STEP:
                    raise PoolTimeout(f"the database gave none within {allowed:g} s") from None

    def _patience(self) -> float:
        """Return the seconds to wait; after somebody waited in vain the next ones hardly do."""
        in_vain = self.unreachable is not None and monotonic() - self._gave_up < _STEP
        return _LEAST if in_vain else _STEP


def _noting(note: Callable[[OperationalError | None], None]) -> type[Connection]:
    class NotingConnection(AsyncConnection[DictRow]):
        @classmethod
        async def connect(cls, *args: Any, **kwargs: Any) -> Any:
            try:
                connection = await super().connect(*args, **kwargs)
            except OperationalError as error:
                note(error)
                raise
            note(None)
            return connection

    return NotingConnection


def one_line(error: BaseException) -> str:
    """Return what an error of the database says, in one line."""
    return " ".join(str(error).split()) or type(error).__name__
