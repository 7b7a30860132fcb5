"""The only right to do something at a time, among all processes on a database."""

from __future__ import annotations

import asyncio
import zlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agentinfra.db.vectors.home import Home

__all__ = ["turn"]

_POLL = 0.1


@asynccontextmanager
async def turn(home: Home, lock: int, what: str = "", *, wait: bool) -> AsyncIterator[Any]:
    """Hold a right for as long as the block runs.

    It is a lock of a transaction that does nothing else: behind a pgbouncer a session is anybody's,
    and a transaction is ours. It ends with the process, and while it idles nobody waits for it: it
    has no snapshot, which a build of an index would wait for. That is also why the lock is asked
    for again and again: a statement that waits for it would have one.

    Args:
        home: Where the database is; one of its connections is taken.
        lock: What kind of right.
        what: On what.
        wait: False gives up where somebody else has it.

    Yields:
        The connection that holds it; None where somebody else does.
    """
    ask = f"SELECT WHERE pg_catalog.pg_try_advisory_xact_lock({lock + zlib.crc32(what.encode())})"
    while True:
        async with home.transaction(reset=False) as connection:
            await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            # By `execute`, whose status says how many rows there are: what `fetch` asks leaves a
            # portal open, and with it a snapshot, until the next statement.
            held = await connection.execute(ask) == "SELECT 1"
            if held or not wait:
                yield connection if held else None
                return
        # Without a connection: whoever has the right may need one more of the same pool.
        await asyncio.sleep(_POLL)
