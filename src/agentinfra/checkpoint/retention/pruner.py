"""Dropping aged conversations and old checkpoints from the database, while graphs run.

Importing this module imports psycopg.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from psycopg import errors

from agentinfra.checkpoint.retention.policies import PruneResult, Row, boundary_id, doomed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from agentinfra.checkpoint.pool import CheckpointPool, Connection

__all__ = ["Pruner"]

_PAGE = 500
_ATTEMPTS = 5
_LOCK = 0x70727565
_LOST_AFTER = 3600.0

# The pattern is that of UUIDs of version 6: other ids do not say how old they are.
_AGED = """
SELECT thread_id FROM checkpoints WHERE thread_id > %s
GROUP BY thread_id
HAVING max(checkpoint_id COLLATE "C") < %s
    AND bool_and(checkpoint_id ~ '^[0-9a-f]{8}-[0-9a-f]{4}-6')
ORDER BY thread_id LIMIT %s
"""

_LONG = """
SELECT DISTINCT thread_id FROM (
    SELECT thread_id FROM checkpoints
    WHERE thread_id > %s AND checkpoint_ns NOT LIKE '%%:%%'
    GROUP BY thread_id, checkpoint_ns HAVING count(*) > %s
) AS long ORDER BY thread_id LIMIT %s
"""

_ROWS = """
SELECT checkpoint_ns, checkpoint_id, parent_checkpoint_id, (checkpoint ->> 'v')::int AS v,
       metadata -> 'parents' ->> '' AS root,
       metadata ? 'counters_since_delta_snapshot' OR metadata ? 'delta_writes_versioned' AS delta
FROM checkpoints WHERE thread_id = %s
"""

# A delta channel's snapshot is the value true with a blob behind it; a plain true has none.
_SNAPSHOTS = """
SELECT EXISTS (
    SELECT 1 FROM checkpoints c
    CROSS JOIN LATERAL jsonb_each(c.checkpoint -> 'channel_values') AS v
    CROSS JOIN LATERAL (
        SELECT 1 FROM checkpoint_blobs b
        WHERE b.thread_id = c.thread_id AND b.checkpoint_ns = c.checkpoint_ns
        AND b.channel = v.key AND b.version = c.checkpoint -> 'channel_versions' ->> v.key
        LIMIT 1
    ) AS snapshot
    WHERE c.thread_id = %s AND v.value = 'true'::jsonb
) AS delta
"""

_VERSIONS = """
SELECT DISTINCT v.key AS channel, v.value AS version, c.checkpoint_id = ANY(%s) AS doomed
FROM checkpoints c
CROSS JOIN LATERAL jsonb_each_text(c.checkpoint -> 'channel_versions') AS v
WHERE c.thread_id = %s AND c.checkpoint_ns = %s
"""

_DROP_WRITES = """
DELETE FROM checkpoint_writes
WHERE thread_id = %s AND checkpoint_ns = %s AND checkpoint_id = ANY(%s)
"""

_DROP_CHECKPOINTS = """
DELETE FROM checkpoints
WHERE thread_id = %s AND checkpoint_ns = %s AND checkpoint_id = ANY(%s)
"""

_DROP_BLOBS = """
DELETE FROM checkpoint_blobs
WHERE thread_id = %s AND checkpoint_ns = %s AND channel = %s AND version = ANY(%s)
"""

_UNPARENT = """
UPDATE checkpoints SET parent_checkpoint_id = NULL
WHERE thread_id = %s AND checkpoint_ns = %s AND parent_checkpoint_id = ANY(%s)
"""

# A write may be saved before its checkpoint, hence only those whose time is long over.
_SWEEP = """
DELETE FROM checkpoint_writes w
WHERE w.checkpoint_id COLLATE "C" < %s AND w.checkpoint_id ~ '^[0-9a-f]{8}-[0-9a-f]{4}-6'
AND NOT EXISTS (
    SELECT 1 FROM checkpoints c WHERE c.thread_id = w.thread_id
    AND c.checkpoint_ns = w.checkpoint_ns AND c.checkpoint_id = w.checkpoint_id
)
"""


class Pruner:
    """One prune of one database.

    Each conversation is its own transaction on one snapshot, so what a graph saves meanwhile is
    neither seen nor dropped. Two prunes at the same time never work on the same conversation.

    Args:
        pool: Where connections come from.
        now: The time, in seconds since 1970.
        keep_last: Checkpoints a conversation keeps.
        older_than: Seconds without a checkpoint after which a conversation goes; None for never.
        dry_run: Count, and take everything back.
    """

    def __init__(
        self,
        pool: CheckpointPool,
        *,
        now: float,
        keep_last: int,
        older_than: float | None,
        dry_run: bool,
    ) -> None:
        self._pool = pool
        self._keep_last = keep_last
        self._aged_before = None if older_than is None else boundary_id(now - older_than)
        self._lost_before = boundary_id(now - _LOST_AFTER)
        self._dry_run = dry_run

    async def run(self) -> PruneResult:
        """Prune everything there is to prune.

        Raises:
            psycopg.Error: The database failed; what was pruned before stays pruned.
        """
        total = PruneResult()
        aged: set[str] = set()  # a dry run finds them a second time
        if self._aged_before is not None:
            async for thread in self._threads(_AGED, self._aged_before):
                total += await self._prune(thread)
                aged.add(thread)
        async for thread in self._threads(_LONG, self._keep_last):
            if thread not in aged:
                total += await self._prune(thread)
        return total + await self._sweep()

    async def _threads(self, sql: str, bound: object) -> AsyncIterator[str]:
        """Yield conversations page by page; what is pruned meanwhile does not move the pages."""
        last = ""
        while True:
            async with self._pool.slot() as connection:
                cursor = await connection.execute(sql, (last, bound, _PAGE), prepare=False)
                page = [row["thread_id"] for row in await cursor.fetchall()]
            for thread in page:
                yield thread
            if len(page) < _PAGE:
                return
            last = page[-1]

    async def _sweep(self) -> PruneResult:
        async with self._transaction() as connection:
            swept = await connection.execute(_SWEEP, (self._lost_before,), prepare=False)
        return PruneResult(writes=swept.rowcount)

    async def _prune(self, thread: str) -> PruneResult:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                async with self._transaction() as connection:
                    return await self._prune_once(_Thread(connection, thread))
            except (errors.SerializationFailure, errors.DeadlockDetected):
                if attempt == _ATTEMPTS:
                    raise
        raise AssertionError("unreachable")

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Connection]:
        # One connection for each conversation, so that graphs get their turn in between.
        async with (
            self._pool.slot() as connection,
            connection.transaction(force_rollback=self._dry_run),
        ):
            yield connection

    async def _prune_once(self, thread: _Thread) -> PruneResult:
        if not await thread.claim():
            return PruneResult()
        rows, delta = await thread.rows()
        # Looked at again: it may have gone on since it was listed.
        newest = max((row.id for row in rows), default="")
        if self._aged_before is not None and "" < newest < self._aged_before:
            return await thread.drop()
        if delta:
            # A delta channel's value is spread over all checkpoints since its last snapshot.
            return PruneResult()
        dropped = doomed(rows, keep_last=self._keep_last, lost_before=self._lost_before)
        return await thread.trim(dropped)


class _Thread:
    """One conversation's rows, inside of a transaction."""

    def __init__(self, connection: Connection, thread: str) -> None:
        self._connection = connection
        self._thread = thread

    async def claim(self) -> bool:
        """Return whether no other prune is working on this conversation."""
        await self._connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        found = await self._all(
            "SELECT pg_try_advisory_xact_lock(%s, hashtext(%s)) AS got", _LOCK, self._thread
        )
        return bool(found[0]["got"])

    async def rows(self) -> tuple[list[Row], bool]:
        """Return every checkpoint, and whether a delta channel is among their channels."""
        found = await self._all(_ROWS, self._thread)
        delta = any(row["delta"] for row in found)
        if not delta:
            delta = (await self._all(_SNAPSHOTS, self._thread))[0]["delta"]
        columns = ("checkpoint_ns", "checkpoint_id", "parent_checkpoint_id", "v", "root")
        return [Row(*(row[column] for column in columns)) for row in found], delta

    async def drop(self) -> PruneResult:
        """Drop the whole conversation."""
        whole = (self._thread,)
        return PruneResult(
            threads=1,
            writes=await self._run("DELETE FROM checkpoint_writes WHERE thread_id = %s", *whole),
            checkpoints=await self._run("DELETE FROM checkpoints WHERE thread_id = %s", *whole),
            blobs=await self._run("DELETE FROM checkpoint_blobs WHERE thread_id = %s", *whole),
        )

    async def trim(self, dropped: Mapping[str, set[str]]) -> PruneResult:
        """Drop some checkpoints, their writes, and the blobs none of the others needs."""
        total = PruneResult(threads=1 if dropped else 0)
        for namespace, ids in dropped.items():
            total += await self._trim_space(namespace, sorted(ids))
        return total

    async def _trim_space(self, namespace: str, ids: list[str]) -> PruneResult:
        space = (self._thread, namespace)
        versions = await self._all(_VERSIONS, ids, *space)
        writes = await self._run(_DROP_WRITES, *space, ids)
        checkpoints = await self._run(_DROP_CHECKPOINTS, *space, ids)
        await self._run(_UNPARENT, *space, ids)
        blobs = 0
        for channel, garbage in _garbage(versions).items():
            blobs += await self._run(_DROP_BLOBS, *space, channel, garbage)
        return PruneResult(checkpoints=checkpoints, writes=writes, blobs=blobs)

    async def _all(self, sql: str, *args: Any) -> list[dict[str, Any]]:
        # Unprepared: a generic plan goes through an array one element at a time.
        cursor = await self._connection.execute(sql, args, prepare=False)
        return await cursor.fetchall()

    async def _run(self, sql: str, *args: Any) -> int:
        cursor = await self._connection.execute(sql, args, prepare=False)
        return cursor.rowcount


def _garbage(versions: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return the channel versions that only dropped checkpoints name, by channel."""
    needed = {(row["channel"], row["version"]) for row in versions if not row["doomed"]}
    garbage: dict[str, list[str]] = {}
    for row in versions:
        if (row["channel"], row["version"]) not in needed:
            garbage.setdefault(row["channel"], []).append(row["version"])
    return garbage
