"""Transactions that end, on connections that stay whole."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from agentinfra.db.errors import is_gone

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

__all__ = ["milliseconds", "read_only", "transaction"]

_BEGIN = (
    "BEGIN READ ONLY",
    "SELECT 1",  # from here on the transaction cannot be made to write again
    "SET LOCAL standard_conforming_strings = on",  # the guard reads strings like this
)

_PATIENCE = 2.0
"""Seconds a rollback may take; then the connection is thrown away."""


def milliseconds(seconds: float) -> int:
    """Return a time-out as the server takes it, where 0 would be none at all."""
    return min(max(1, round(seconds * 1000)), 2**31 - 1)


@asynccontextmanager
async def read_only(
    connection: Any, begin: Sequence[str] = (), *, timeout: float | None = None
) -> AsyncIterator[None]:
    """Hold a transaction that cannot write, and roll it back whatever happens.

    Args:
        connection: An asyncpg connection outside of any transaction.
        begin: Statements of ours to begin with.
        timeout: Seconds each statement may take; None leaves the session's setting.
    """
    statements = [*_BEGIN, *begin]
    if timeout is not None:
        statements.append(f"SET LOCAL statement_timeout = {milliseconds(timeout)}")
    try:
        await connection.execute("; ".join(statements))
        yield
    finally:
        await _undo(connection, connection.execute, "ROLLBACK")


@asynccontextmanager
async def transaction(
    connection: Any, *, isolation: str | None = None, readonly: bool = False
) -> AsyncIterator[None]:
    """Hold a transaction; commit it at the end, roll it back when anything else leaves it.

    What left it stays the error that is seen: asyncpg's own block would raise one about the
    rollback in its place when the connection broke.
    """
    held = connection.transaction(isolation=isolation, readonly=readonly)
    try:
        await held.start()
        yield
    except BaseException:
        await _undo(connection, held.rollback)
        raise
    await held.commit()


async def _undo(connection: Any, roll_back: Callable[..., Awaitable[Any]], *args: str) -> None:
    if is_gone(connection):
        return
    try:
        async with asyncio.timeout(_PATIENCE):
            await roll_back(*args)
    except Exception:  # noqa: BLE001 - what led here is the error to be seen
        _discard(connection)
    except BaseException:
        _discard(connection)
        raise


def _discard(connection: Any) -> None:
    if not is_gone(connection):
        connection.terminate()
