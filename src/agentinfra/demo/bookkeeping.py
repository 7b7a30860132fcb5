"""The demo's own table beside the shop's: what is cached."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from agentinfra.errors import AgentInfraError, QueryError

if TYPE_CHECKING:
    from agentinfra.db.database import Database

__all__ = ["STATE_SCHEMA", "creating", "prepare_state", "reason_of"]

STATE_SCHEMA: Final = "demo_state"

_LOCK = 7_013_246_130
"""Processes that start together create tables one after the other."""

_INSUFFICIENT_PRIVILEGE = "42501"

_TABLES = f"""
CREATE SCHEMA IF NOT EXISTS {STATE_SCHEMA};
CREATE TABLE IF NOT EXISTS {STATE_SCHEMA}.cache (
    key text PRIMARY KEY,
    data bytea NOT NULL,
    expires timestamptz NOT NULL
);
"""

_FORGET = f"DELETE FROM {STATE_SCHEMA}.cache WHERE expires < clock_timestamp()"  # noqa: S608


async def prepare_state(db: Database) -> None:
    """Create the tables where they are missing, and drop what has expired.

    Raises:
        DatabaseError: The database is away, or the user may not create schemas.
    """
    async with db.connection(readonly=False, reset=False) as connection:
        there = await connection.fetchval(f"SELECT to_regclass('{STATE_SCHEMA}.cache')")
    if there is None:
        async with creating(db) as connection:
            await connection.execute(_TABLES)
    await db.execute(_FORGET)


@asynccontextmanager
async def creating(db: Database) -> AsyncIterator[Any]:
    """Lend a connection in a transaction in which one process at a time creates tables.

    Raises:
        DatabaseError: The database is away, or the user may not create schemas.
    """
    async with db.transaction() as connection:
        await connection.execute(f"SELECT pg_advisory_xact_lock({_LOCK})")
        yield connection


def reason_of(error: AgentInfraError, db: Database) -> str:
    """Return why something could not be prepared, and the grant where a right is missing."""
    if not isinstance(error, QueryError) or error.sqlstate != _INSUFFICIENT_PRIVILEGE:
        return str(error)
    dsn = db.dsn
    schema = re.search(r"schema (\S+)", str(error))
    what = f"SCHEMA {schema[1]}" if schema else f"DATABASE {dsn.database}"
    return (
        f"{error}: GRANT CREATE ON {what} TO {dsn.user}, "
        "or unset DATABASE_URL to use the embedded server"
    )
