"""The only right to do something at a time, among all processes on a database."""

from __future__ import annotations

import asyncio
import zlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agentinfra.db.vectors.home import Home

__all__ = ["turn"]

_POLL = 0.1


@asynccontextmanager
async def turn(home: Home, lock: int, what: str = "", *, wait: bool) -> AsyncIterator[bool]:
    """Hold a right for as long as the block runs.

    It is a lock of a transaction that does nothing else: behind a pgbouncer a session is anybody's,
    and a transaction is ours. It ends with the process, and while it idles nobody waits for it: it
    has no snapshot, which a build of an index would wait for. That is also why the lock is asked
    for again and again: a statement that waits for it would have one. And it is on a connection
    beside the pool's: those who hold a right and need one of the pool for each step would wait for
    one another.

    Args:
        home: Where the database is.
        lock: What kind of right.
        what: On what.
        wait: False gives up where somebody else has it.

    Yields:
        Whether it is held; somebody else does where it is not.
    """
    ask = f"SELECT WHERE pg_catalog.pg_try_advisory_xact_lock({lock + zlib.crc32(what.encode())})"
    async with home.apart() as connection:
        while True:
            await connection.execute("BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0")
            # By `execute`, whose status says how many rows there are: what `fetch` asks leaves a
            # portal open, and with it a snapshot, until the next statement.
            held = await connection.execute(ask) == "SELECT 1"
            if held or not wait:
                yield held
                return
            await connection.execute("ROLLBACK")
            await asyncio.sleep(_POLL)
