"""The tables of the checkpoints, made once however many processes start at the same time.

Importing this module imports langgraph and psycopg.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg import IsolationLevel

from agentinfra._mechanics.deadline import Deadline
from agentinfra.checkpoint.pool import connect
from agentinfra.errors import CheckpointError

if TYPE_CHECKING:
    from agentinfra._mechanics.clock import Clock
    from agentinfra.checkpoint.pool import Connection

__all__ = ["ensure_schema"]

# The number is any one, but the same for everybody. It stands in the text, since a statement with
# parameters leaves a portal open, with a snapshot, until the next one: the index builds of the
# set-up wait until no other transaction has a snapshot.
_TRY_LOCK = "SELECT pg_try_advisory_xact_lock(7091611476842321012) AS got"
_PATIENCE = 20.0
_POLL = 0.05

_VERSION = "SELECT max(v) AS v FROM checkpoint_migrations"
_EXISTS = "SELECT to_regclass('checkpoint_migrations') IS NOT NULL AS there"


async def ensure_schema(url: str, options: dict[str, Any], *, clock: Clock) -> None:
    """Bring the tables to the version of the installed LangGraph; quick when they are.

    Raises:
        CheckpointError: Another process holds the lock for too long.
        psycopg.Error: The database cannot be reached or refuses.
    """
    async with await connect(url, options) as connection:
        if await _is_newest(connection):
            return
        async with await connect(url, options) as guard:
            await _lock(guard, clock)
            if not await _is_newest(connection):
                await AsyncPostgresSaver(connection).setup()
            await guard.rollback()


async def _lock(guard: Connection, clock: Clock) -> None:
    """Take the lock for as long as the guard's transaction lasts.

    Never waits inside of the database: the index builds of the set-up wait for everybody's
    snapshots, and would wait for that of a process that waits for the lock. In a transaction,
    since behind pgbouncer a session is somebody else's at the next statement.
    """
    await guard.set_autocommit(False)
    # Any stricter level would hold a snapshot between the statements.
    await guard.set_isolation_level(IsolationLevel.READ_COMMITTED)
    deadline = Deadline(_PATIENCE, clock=clock)
    while True:
        row = await (await guard.execute(_TRY_LOCK)).fetchone()
        if row is not None and row["got"]:
            return
        await guard.rollback()
        if not deadline.allows(_POLL):
            raise CheckpointError(
                f"another process has been setting up the tables for {_PATIENCE:g} s: "
                "look for a session that holds an advisory lock"
            )
        await clock.sleep(_POLL)


async def _is_newest(connection: Connection) -> bool:
    row = await (await connection.execute(_EXISTS)).fetchone()
    if row is None or not row["there"]:
        return False
    row = await (await connection.execute(_VERSION)).fetchone()
    newest = len(AsyncPostgresSaver.MIGRATIONS) - 1
    return row is not None and row["v"] is not None and row["v"] >= newest
