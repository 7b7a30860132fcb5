"""Transactions that cannot write."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

__all__ = ["begin_reading", "milliseconds", "read_only"]

_BEGIN = (
    "BEGIN READ ONLY",
    "SELECT 1",  # from here on the transaction cannot be made to write again
)


def milliseconds(seconds: float) -> int:
    """Return a time-out as the server takes it, where 0 would be none at all."""
    return min(max(1, round(seconds * 1000)), 2**31 - 1)


def begin_reading(statements: Sequence[str] = ()) -> str:
    """Return what begins a transaction that cannot write.

    Args:
        statements: Statements of ours to go on with.
    """
    return "; ".join((*_BEGIN, *statements))


@asynccontextmanager
async def read_only(connection: Any, statements: Sequence[str] = ()) -> AsyncIterator[None]:
    """Hold a transaction that cannot write, on a connection that is leased for it alone.

    It is rolled back at the end; where the block fails, the pool does that when the connection
    comes back, so that a caller who is cancelled leaves nothing to wait for.

    Args:
        connection: An asyncpg connection outside of any transaction.
        statements: Statements of ours to begin with.
    """
    await connection.execute(begin_reading(statements))
    yield
    await connection.execute("ROLLBACK")
