"""One conversation's rows, inside of a transaction that commits when a step of pruning is whole."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from agentinfra.checkpoint.retention.policies import PruneResult, Row, all_but_heads

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = ["Thread", "delete_for_runs", "keep_latest"]

_LOCK = 0x70727565

_ROWS = """
SELECT c.checkpoint_ns, c.checkpoint_id, c.parent_checkpoint_id,
    (c.checkpoint ->> 'v')::int < 4 AND EXISTS (
        SELECT FROM checkpoint_writes w
        WHERE w.thread_id = c.thread_id AND w.checkpoint_ns = c.checkpoint_ns
        AND w.checkpoint_id = c.parent_checkpoint_id AND w.channel = '__pregel_tasks'
    ) AS sends_before,
    c.metadata -> 'parents' ->> '' AS root,
    c.metadata ? 'counters_since_delta_snapshot'
        OR c.metadata ? 'delta_writes_versioned' AS delta
FROM checkpoints c WHERE c.thread_id = $1
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
    WHERE c.thread_id = $1 AND v.value = 'true'::jsonb
)
"""

_NAMED_BY = """
SELECT DISTINCT v.key AS channel, v.value AS version
FROM checkpoints c
CROSS JOIN LATERAL jsonb_each_text(c.checkpoint -> 'channel_versions') AS v
WHERE c.thread_id = $1 AND c.checkpoint_ns = $2 AND c.checkpoint_id = ANY($3)
"""

_NAMED_BESIDE = _NAMED_BY.replace("= ANY($3)", "<> ALL($3)")

_LOCK_BLOBS = """
SELECT count(*) FROM (
    SELECT 1 FROM checkpoint_blobs b
    JOIN unnest($3::text[], $4::text[]) AS n(channel, version) USING (channel, version)
    WHERE b.thread_id = $1 AND b.checkpoint_ns = $2
    ORDER BY b.channel, b.version FOR UPDATE OF b
) AS locked
"""

_DROP = """
WITH dropped AS (
    DELETE FROM {rows} RETURNING {size} AS bytes
)
SELECT count(*) AS rows, coalesce(sum(bytes), 0) AS bytes FROM dropped
"""

_SPACE = "WHERE thread_id = $1 AND checkpoint_ns = $2 AND checkpoint_id = ANY($3)"
_SIZE = "octet_length(blob)"

_DROP_WRITES = _DROP.format(rows=f"checkpoint_writes {_SPACE}", size=_SIZE)
_DROP_CHECKPOINTS = _DROP.format(rows=f"checkpoints {_SPACE}", size="0")
_DROP_BLOBS = _DROP.format(
    rows="checkpoint_blobs b USING unnest($3::text[], $4::text[]) AS n(channel, version) "
    "WHERE b.thread_id = $1 AND b.checkpoint_ns = $2 "
    "AND b.channel = n.channel AND b.version = n.version",
    size="octet_length(b.blob)",
)
_DROP_ALL = {
    "writes": _DROP.format(rows="checkpoint_writes WHERE thread_id = $1", size=_SIZE),
    "checkpoints": _DROP.format(rows="checkpoints WHERE thread_id = $1", size="0"),
    "blobs": _DROP.format(rows="checkpoint_blobs WHERE thread_id = $1", size=_SIZE),
}

_UNPARENT = """
UPDATE checkpoints SET parent_checkpoint_id = NULL
WHERE thread_id = $1 AND checkpoint_ns = $2 AND parent_checkpoint_id = ANY($3)
"""

_OF_RUNS = """
SELECT thread_id, checkpoint_ns, checkpoint_id FROM checkpoints
WHERE metadata ->> 'run_id' = ANY($1)
"""


class Thread:
    """One conversation's rows.

    Args:
        connection: A connection inside of a transaction that is read committed.
        thread: The conversation.
    """

    def __init__(self, connection: Any, thread: str) -> None:
        self._connection = connection
        self._thread = thread

    async def claim(self) -> bool:
        """Return whether no other prune is working on this conversation."""
        got = "SELECT pg_try_advisory_xact_lock($1::int, hashtext($2::text))"
        return bool(await self._connection.fetchval(got, _LOCK, self._thread))

    async def rows(self) -> tuple[list[Row], bool]:
        """Return every checkpoint, and whether a delta channel is among their channels."""
        found = await self._connection.fetch(_ROWS, self._thread)
        delta = any(row["delta"] for row in found)
        if not delta:
            delta = await self._connection.fetchval(_SNAPSHOTS, self._thread)
        columns = ("checkpoint_ns", "checkpoint_id", "parent_checkpoint_id", "sends_before", "root")
        return [Row(*(row[column] for column in columns)) for row in found], delta

    async def drop(self) -> PruneResult:
        """Drop the whole conversation."""
        counts = {
            name: await self._connection.fetchrow(sql, self._thread)
            for name, sql in _DROP_ALL.items()
        }
        return PruneResult(
            threads=1,
            bytes=sum(int(row["bytes"]) for row in counts.values()),
            **{table: row["rows"] for table, row in counts.items()},
        )

    async def trim(self, dropped: Mapping[str, Collection[str]]) -> PruneResult:
        """Drop some checkpoints, their writes, and the blobs none of the others needs."""
        total = PruneResult(threads=1 if dropped else 0)
        for namespace, ids in sorted(dropped.items()):
            total += await self._trim_space(namespace, sorted(ids))
        return total

    async def _trim_space(self, namespace: str, ids: list[str]) -> PruneResult:
        space = (self._thread, namespace)
        garbage = await self._named(_NAMED_BY, *space, ids)
        garbage -= await self._named(_NAMED_BESIDE, *space, ids)
        # Locked before it is looked a second time: a run that saves a checkpoint which names one
        # of these holds a share of the lock until that can be seen, or finds it gone afterwards.
        await self._connection.execute(_LOCK_BLOBS, *space, *_columns(garbage))
        writes = await self._connection.fetchrow(_DROP_WRITES, *space, ids)
        checkpoints = await self._connection.fetchrow(_DROP_CHECKPOINTS, *space, ids)
        await self._connection.execute(_UNPARENT, *space, ids)
        garbage -= await self._named(_NAMED_BESIDE, *space, ids)
        blobs = await self._connection.fetchrow(_DROP_BLOBS, *space, *_columns(garbage))
        return PruneResult(
            checkpoints=checkpoints["rows"],
            writes=writes["rows"],
            blobs=blobs["rows"],
            bytes=int(writes["bytes"]) + int(blobs["bytes"]),
        )

    async def _named(self, sql: str, *args: Any) -> set[tuple[str, str]]:
        return {(row[0], row[1]) for row in await self._connection.fetch(sql, *args)}


async def keep_latest(connection: Any, thread: str) -> None:
    """Drop all but the newest checkpoints of a conversation, as LangGraph's saver does.

    Raises:
        NotImplementedError: It has a delta channel.
    """
    rows, delta = await Thread(connection, thread).rows()
    if delta:
        raise NotImplementedError(
            f"keep_latest can't prune threads that use a DeltaChannel: {thread}"
        )
    await Thread(connection, thread).trim(all_but_heads(rows))


async def delete_for_runs(connection: Any, runs: list[str]) -> None:
    """Drop the checkpoints of runs, with the writes and values only they need."""
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for row in await connection.fetch(_OF_RUNS, runs):
        found[row["thread_id"]][row["checkpoint_ns"]].add(row["checkpoint_id"])
    for thread, dropped in sorted(found.items()):
        await Thread(connection, thread).trim(dropped)


def _columns(pairs: set[tuple[str, str]]) -> tuple[list[str], list[str]]:
    ordered = sorted(pairs)
    return [channel for channel, _ in ordered], [version for _, version in ordered]
