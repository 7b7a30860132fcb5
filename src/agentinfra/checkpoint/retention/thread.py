"""One conversation's rows, inside of a transaction that commits when a step of pruning is whole."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Literal

from agentinfra.checkpoint.retention.policies import PruneResult
from agentinfra.checkpoint.retention.reachability import Row, Weight, all_but_heads

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = ["Thread", "delete_for_runs", "keep_latest"]

Delta = Literal["none", "known", "unknown"]
"""Whether a conversation has delta channels, and what their values are spread over."""

_COLUMNS = ("checkpoint_ns", "checkpoint_id", "parent_checkpoint_id", "sends_before", "root")

_LOCK = 0x70727565

_ROWS = """
SELECT c.checkpoint_ns, c.checkpoint_id, c.parent_checkpoint_id,
    (c.checkpoint ->> 'v')::int < 4 AND EXISTS (
        SELECT FROM checkpoint_writes w
        WHERE w.thread_id = c.thread_id AND w.checkpoint_ns = c.checkpoint_ns
        AND w.checkpoint_id = c.parent_checkpoint_id AND w.channel = '__pregel_tasks'
    ) AS sends_before,
    c.metadata -> 'parents' ->> '' AS root,
    c.metadata ? 'counters_since_delta_snapshot' AS delta,
    c.metadata ? 'delta_writes_versioned' AS foreign
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

# What is spread over the checkpoints before it, and what stands here: a snapshot, or a value that
# was stored before its channel became a delta channel.
_DELTAS = """
SELECT c.checkpoint_ns, c.checkpoint_id,
    ARRAY(
        SELECT k FROM jsonb_object_keys(
            coalesce(c.metadata -> 'counters_since_delta_snapshot', '{}')) AS k
        WHERE c.checkpoint -> 'channel_versions' ? k
    ) AS deltas,
    ARRAY(
        SELECT jsonb_object_keys(coalesce(c.checkpoint -> 'channel_values', '{}'))
        UNION
        SELECT b.channel FROM jsonb_each_text(c.checkpoint -> 'channel_versions') AS v
        JOIN checkpoint_blobs b ON b.thread_id = c.thread_id
            AND b.checkpoint_ns = c.checkpoint_ns AND b.channel = v.key AND b.version = v.value
        WHERE b.type <> 'empty'
    ) AS holds
FROM checkpoints c WHERE c.thread_id = $1
"""

_WEIGHTS = """
SELECT c.checkpoint_ns, c.checkpoint_id, c.metadata -> 'parents' ->> '' AS root,
    pg_column_size(c.checkpoint) + pg_column_size(c.metadata) + coalesce((
        SELECT sum(octet_length(w.blob)) FROM checkpoint_writes w
        WHERE w.thread_id = c.thread_id AND w.checkpoint_ns = c.checkpoint_ns
        AND w.checkpoint_id = c.checkpoint_id
    ), 0) AS bytes,
    (
        SELECT array_agg(ROW(b.channel, b.version, octet_length(b.blob)))
        FROM jsonb_each_text(c.checkpoint -> 'channel_versions') AS v
        JOIN checkpoint_blobs b ON b.thread_id = c.thread_id
            AND b.checkpoint_ns = c.checkpoint_ns AND b.channel = v.key AND b.version = v.value
        WHERE b.blob IS NOT NULL
    ) AS blobs
FROM checkpoints c WHERE c.thread_id = $1
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

_SPACE = "WHERE thread_id = $1 AND checkpoint_ns = $2 AND checkpoint_id = ANY($3)"
_WHOLE = "WHERE thread_id = $1"
_NAMED = """WHERE thread_id = $1 AND checkpoint_ns = $2
    AND (channel, version) IN (SELECT * FROM unnest($3::text[], $4::text[]))"""

_TAKEN = """
WITH taken AS ({taken}) SELECT count(*) AS rows, coalesce(sum(bytes), 0) AS bytes FROM taken
"""
_DELETE = _TAKEN.format(taken="DELETE FROM {table} {where} RETURNING {size} AS bytes")
_COUNT = _TAKEN.format(taken="SELECT {size} AS bytes FROM {table} {where}")

_SIZES = {"checkpoints": "0", "checkpoint_writes": "octet_length(blob)"}
_SIZES["checkpoint_blobs"] = _SIZES["checkpoint_writes"]

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
        connection: A connection, inside of a transaction that is read committed where rows go.
        thread: The conversation.
        dry_run: Count, and take nothing.
    """

    def __init__(self, connection: Any, thread: str, *, dry_run: bool = False) -> None:
        self._connection = connection
        self._thread = thread
        self._dry_run = dry_run

    async def claim(self) -> bool:
        """Return whether no other prune is working on this conversation."""
        got = "SELECT pg_try_advisory_xact_lock($1::int, hashtext($2::text))"
        return bool(await self._connection.fetchval(got, _LOCK, self._thread))

    async def rows(self) -> tuple[list[Row], Delta]:
        """Return every checkpoint, and whether a delta channel is among their channels."""
        found = await self._connection.fetch(_ROWS, self._thread)
        rows = [Row(*(row[column] for column in _COLUMNS)) for row in found]
        if any(row["foreign"] for row in found):
            return rows, "unknown"
        if not any(row["delta"] for row in found) and not await self._connection.fetchval(
            _SNAPSHOTS, self._thread
        ):
            return rows, "none"
        spread = {
            (row["checkpoint_ns"], row["checkpoint_id"]): (row["deltas"], row["holds"])
            for row in await self._connection.fetch(_DELTAS, self._thread)
        }
        nothing: tuple[list[str], list[str]] = ([], [])
        for place, row in enumerate(rows):
            deltas, holds = spread.get((row.namespace, row.id), nothing)
            rows[place] = row._replace(deltas=frozenset(deltas), holds=frozenset(holds))
        return rows, "known"

    async def weights(self) -> list[Weight]:
        """Return what each checkpoint weighs."""
        return [
            Weight(
                row["checkpoint_ns"],
                row["checkpoint_id"],
                row["root"],
                int(row["bytes"]),
                tuple(tuple(blob) for blob in row["blobs"] or ()),
            )
            for row in await self._connection.fetch(_WEIGHTS, self._thread)
        ]

    async def drop(self) -> PruneResult:
        """Drop the whole conversation."""
        writes = await self._take("checkpoint_writes", _WHOLE, self._thread)
        checkpoints = await self._take("checkpoints", _WHOLE, self._thread)
        blobs = await self._take("checkpoint_blobs", _WHOLE, self._thread)
        taken = writes + checkpoints + blobs
        return taken.of_threads(0 if taken == PruneResult() else 1)

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
        if not self._dry_run:
            # Locked before it is looked a second time: a run that saves a checkpoint which names
            # one of these holds a share of the lock until that can be seen, or finds it gone
            # afterwards.
            await self._connection.execute(_LOCK_BLOBS, *space, *_columns(garbage))
        writes = await self._take("checkpoint_writes", _SPACE, *space, ids)
        checkpoints = await self._take("checkpoints", _SPACE, *space, ids)
        if not self._dry_run:
            await self._connection.execute(_UNPARENT, *space, ids)
            garbage -= await self._named(_NAMED_BESIDE, *space, ids)
        blobs = await self._take("checkpoint_blobs", _NAMED, *space, *_columns(garbage))
        return writes + checkpoints + blobs

    async def _take(self, table: str, where: str, *args: Any) -> PruneResult:
        """Delete rows, or count them where it is only tried."""
        sql = _COUNT if self._dry_run else _DELETE
        taken = await self._connection.fetchrow(
            sql.format(table=table, where=where, size=_SIZES[table]), *args
        )
        name = table.removeprefix("checkpoint_")
        return PruneResult(**{name: taken["rows"], "bytes": int(taken["bytes"])})

    async def _named(self, sql: str, *args: Any) -> set[tuple[str, str]]:
        return {(row[0], row[1]) for row in await self._connection.fetch(sql, *args)}


async def keep_latest(connection: Any, thread: str) -> None:
    """Drop all but the newest checkpoints of a conversation, as LangGraph's saver does.

    Raises:
        NotImplementedError: It has a delta channel.
    """
    rows, delta = await Thread(connection, thread).rows()
    if delta != "none":
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
