"""Transactions that cannot write."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

__all__ = ["milliseconds", "read_only"]


def milliseconds(seconds: float) -> int:
    """Return a time-out as the server takes it, where 0 would be none at all."""
    return min(max(1, round(seconds * 1000)), 2**31 - 1)


@asynccontextmanager
async def read_only(connection: Any, statements: Sequence[str] = ()) -> AsyncIterator[None]:
    """Hold a transaction that cannot write, on a connection that is leased for it alone.

    It is rolled back at the end; where the block fails, the pool does that when the connection
    comes back, so that a caller who is cancelled leaves nothing to wait for.

    Args:
        connection: An asyncpg connection outside of any transaction.
        statements: Statements of ours to begin with.
    """
    await connection.execute("; ".join(("BEGIN READ ONLY", *statements)))
    yield
    await connection.execute("ROLLBACK")
