"""Tables made once, however many processes start at the same time.

Importing this module imports langgraph and psycopg.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentinfra.checkpoint.link import Link

__all__ = ["CHECKPOINTS", "DUTIES", "Tables", "ensure_schema"]

_LOCK = "SELECT pg_advisory_xact_lock(7091611476842321012)"

_FOUND = """
SELECT to_regclass($1) IS NOT NULL AS migrated,
    NOT EXISTS (SELECT FROM unnest($2::text[]) AS t WHERE to_regclass(t) IS NULL) AS ours,
    ARRAY(
        SELECT c.relname::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
        WHERE NOT i.indisvalid AND i.indrelid = ANY(
            SELECT to_regclass(t) FROM unnest($3::text[]) AS t)
    ) AS broken
"""


_VERSION = "SELECT coalesce(max(v), -1) FROM {}"
_MIGRATED = "INSERT INTO {} (v) VALUES ($1) ON CONFLICT DO NOTHING"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """Tables of LangGraph's, and what of ours stands beside them.

    Attributes:
        log: The table that says how far they are.
        names: The tables.
        steps: LangGraph's statements, one a version; empty for a version that is left out.
        ours: Our own tables beside them, by name, with the statement that makes each.
    """

    log: str
    names: tuple[str, ...]
    steps: tuple[str, ...]
    ours: tuple[tuple[str, str], ...] = ()

    @property
    def newest(self) -> int:
        """The version they end at."""
        return max((number for number, step in enumerate(self.steps) if step), default=-1)

    async def found(self, connection: Any) -> Any:
        """Ask what is there."""
        ours = [name for name, _ in self.ours]
        return await connection.fetchrow(_FOUND, self.log, ours, list(self.names))

    async def version(self, connection: Any) -> int:
        """Return how far they are, where they are at all."""
        done = await connection.fetchval(_VERSION.format(self.log))
        return int(done)


DUTIES = (
    # What one process of all does now and then, and when it is due again.
    "agentinfra_duties",
    """
CREATE TABLE IF NOT EXISTS agentinfra_duties (
    name text PRIMARY KEY,
    due timestamptz NOT NULL
)
""",
)

CHECKPOINTS = Tables(
    log="checkpoint_migrations",
    names=("checkpoints", "checkpoint_blobs", "checkpoint_writes"),
    steps=tuple(AsyncPostgresSaver.MIGRATIONS),
    ours=(
        (
            # Whatever of a conversation is older than its boundary, or follows from that, is not
            # written.
            "agentinfra_forgotten",
            """
CREATE TABLE IF NOT EXISTS agentinfra_forgotten (
    thread_id text PRIMARY KEY,
    boundary text COLLATE "C" NOT NULL,
    refused text[] NOT NULL DEFAULT '{}',
    at timestamptz NOT NULL DEFAULT now()
)
""",
        ),
        DUTIES,
    ),
)


async def ensure_schema(link: Link, *tables: Tables) -> None:
    """Bring tables to the version of the installed LangGraph; quick when they are.

    One transaction, so that a set-up that is interrupted leaves nothing half made. It waits for
    another's half of the time an operation may take.

    Raises:
        CheckpointError: The database cannot be reached, refuses, or somebody holds a lock on it.
    """
    if not await link.run("set_up", partial(_are_whole, tables=tables)):
        wait = max(1, round(link.timeout * 500))
        await link.run("set_up", partial(_make, tables=tables, wait=wait), transaction=True)


async def _are_whole(connection: Any, *, tables: Sequence[Tables]) -> bool:
    for some in tables:
        found = await some.found(connection)
        if not (found["migrated"] and found["ours"]) or found["broken"]:
            return False
        if await some.version(connection) < some.newest:
            return False
    return True


async def _make(connection: Any, *, tables: Sequence[Tables], wait: int) -> None:
    await connection.execute(f"SET LOCAL lock_timeout = {wait}")
    await connection.execute(_LOCK)
    for some in tables:
        await _bring_up(connection, some)


async def _bring_up(connection: Any, tables: Tables) -> None:
    found = await tables.found(connection)
    for index in found["broken"]:  # a build that was interrupted, which nobody takes up again
        await connection.execute(f'DROP INDEX IF EXISTS "{index}"')
    await connection.execute(f"CREATE TABLE IF NOT EXISTS {tables.log} (v INTEGER PRIMARY KEY)")
    done = await tables.version(connection)
    migrated = _MIGRATED.format(tables.log)
    for version, step in enumerate(tables.steps):
        if step and (version > done or (found["broken"] and "CREATE INDEX" in step)):
            # Concurrent builds wait for everybody's transactions, and cannot be one of ours.
            await connection.execute(step.replace("CONCURRENTLY", ""))
        if step and version > done:
            await connection.execute(migrated, version)
    for _, statement in tables.ours:
        await connection.execute(statement)
