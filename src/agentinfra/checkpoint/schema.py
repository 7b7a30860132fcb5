"""The tables of the checkpoints, made once however many processes start at the same time.

Importing this module imports langgraph and psycopg.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

if TYPE_CHECKING:
    from agentinfra.checkpoint.link import Link

__all__ = ["ensure_schema"]

_LOCK = "SELECT pg_advisory_xact_lock(7091611476842321012)"

_FOUND = """
SELECT to_regclass('checkpoint_migrations') IS NOT NULL AS migrated,
    to_regclass('agentinfra_forgotten') IS NOT NULL AS marks,
    ARRAY(
        SELECT c.relname::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
        WHERE NOT i.indisvalid AND i.indrelid IN (to_regclass('checkpoints'),
            to_regclass('checkpoint_blobs'), to_regclass('checkpoint_writes'))
    ) AS broken
"""

_VERSION = "SELECT coalesce(max(v), -1) FROM checkpoint_migrations"
_MIGRATED = "INSERT INTO checkpoint_migrations (v) VALUES ($1) ON CONFLICT DO NOTHING"

# Whatever of a conversation is older than its boundary, or follows from that, is not written.
_MARKS = """
CREATE TABLE IF NOT EXISTS agentinfra_forgotten (
    thread_id text PRIMARY KEY,
    boundary text COLLATE "C" NOT NULL,
    refused text[] NOT NULL DEFAULT '{}',
    at timestamptz NOT NULL DEFAULT now()
)
"""


async def ensure_schema(link: Link) -> None:
    """Bring the tables to the version of the installed LangGraph; quick when they are.

    One transaction, so that a set-up that is interrupted leaves nothing half made. It waits for
    another's half of the time an operation may take.

    Raises:
        CheckpointError: The database cannot be reached, refuses, or somebody holds a lock on it.
    """
    if not await link.run("set_up", _is_whole):
        wait = max(1, round(link.timeout * 500))
        await link.run("set_up", partial(_make, wait=wait), transaction=True)


async def _is_whole(connection: Any) -> bool:
    found = await connection.fetchrow(_FOUND)
    if not (found["migrated"] and found["marks"]) or found["broken"]:
        return False
    newest = len(AsyncPostgresSaver.MIGRATIONS) - 1
    return bool(await connection.fetchval(_VERSION) >= newest)


async def _make(connection: Any, *, wait: int) -> None:
    await connection.execute(f"SET LOCAL lock_timeout = {wait}")
    await connection.execute(_LOCK)
    found = await connection.fetchrow(_FOUND)
    for index in found["broken"]:  # a build that was interrupted, which nobody takes up again
        await connection.execute(f'DROP INDEX IF EXISTS "{index}"')
    done = await connection.fetchval(_VERSION) if found["migrated"] else -1
    for version, migration in enumerate(AsyncPostgresSaver.MIGRATIONS):
        if version > done or (found["broken"] and "CREATE INDEX" in migration):
            # Concurrent builds wait for everybody's transactions, and cannot be one of ours.
            await connection.execute(migration.replace("CONCURRENTLY", ""))
        if version > done:
            await connection.execute(_MIGRATED, version)
    await connection.execute(_MARKS)
