"""Conversations as a whole: listed, found by metadata, exported, erased."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from agentinfra.checkpoint.retention.policies import PruneResult, liked, matches
from agentinfra.checkpoint.retention.reachability import moment_of
from agentinfra.checkpoint.retention.thread import Thread
from agentinfra.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

    from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
    from langgraph.checkpoint.memory import InMemorySaver

    from agentinfra.checkpoint.link import Link

__all__ = ["Conversation", "erase", "export", "listed", "listed_in_memory"]

_LISTED = """
SELECT c.thread_id, count(*) AS checkpoints,
    min(c.checkpoint_id COLLATE "C") AS first, max(c.checkpoint_id COLLATE "C") AS last,
    sum(pg_column_size(c.checkpoint) + pg_column_size(c.metadata)) + (
        SELECT coalesce(sum(octet_length(b.blob)), 0) FROM checkpoint_blobs b
        WHERE b.thread_id = c.thread_id
    ) + (
        SELECT coalesce(sum(octet_length(w.blob)), 0) FROM checkpoint_writes w
        WHERE w.thread_id = c.thread_id
    ) AS bytes
FROM checkpoints c
WHERE c.thread_id > $1 AND c.thread_id LIKE $2 AND ($3::text IS NULL OR EXISTS (
    SELECT FROM checkpoints m WHERE m.thread_id = c.thread_id AND m.metadata @> $3::text::jsonb
))
GROUP BY c.thread_id ORDER BY c.thread_id LIMIT $4
"""

_LEFT = """
SELECT name FROM (
    SELECT 'checkpoints' AS name, thread_id FROM checkpoints
    UNION ALL SELECT 'checkpoint_blobs', thread_id FROM checkpoint_blobs
    UNION ALL SELECT 'checkpoint_writes', thread_id FROM checkpoint_writes
) AS rows WHERE thread_id = $1 LIMIT 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """A conversation in a list.

    Attributes:
        thread_id: Its id.
        checkpoints: How many checkpoints it has, those of subgraphs included.
        began: When its first was made; None where its id tells no time.
        went_on: When its newest was made; None where its id tells no time.
        bytes: About how much room it takes.
    """

    thread_id: str
    checkpoints: int
    began: datetime | None
    went_on: datetime | None
    bytes: int


async def listed(
    link: Link, *, pattern: str, metadata: Mapping[str, Any] | None, after: str, limit: int
) -> list[Conversation]:
    """Return conversations in the order of their ids.

    Raises:
        CheckpointError: The database failed, or the metadata is no JSON.
    """
    wanted = None if metadata is None else _json(metadata)
    args = (after, liked(pattern), wanted, limit)
    rows = await link.run("list_threads", partial(_fetch, sql=_LISTED, args=args))
    return [
        Conversation(
            thread_id=row["thread_id"],
            checkpoints=row["checkpoints"],
            began=_time(row["first"]),
            went_on=_time(row["last"]),
            bytes=int(row["bytes"]),
        )
        for row in rows
    ]


def listed_in_memory(
    memory: InMemorySaver,
    *,
    pattern: str,
    metadata: Mapping[str, Any] | None,
    after: str,
    limit: int,
) -> list[Conversation]:
    """Return conversations in the order of their ids."""
    found = []
    for thread in sorted(memory.storage):
        saved = memory.storage[thread].values()
        rows = [(identifier, row) for space in saved for identifier, row in space.items()]
        said = [memory.serde.loads_typed(row[1]) for _, row in rows]
        if thread <= after or not rows or not matches(pattern, thread):
            continue
        if metadata is not None and not any(_holds(one, metadata) for one in said):
            continue
        ids = [identifier for identifier, _ in rows]
        blobs = (blob for key, blob in memory.blobs.items() if key[0] == thread)
        found.append(
            Conversation(
                thread_id=thread,
                checkpoints=len(rows),
                began=_time(min(ids)),
                went_on=_time(max(ids)),
                bytes=sum(len(row[0][1]) for _, row in rows) + sum(len(b[1]) for b in blobs),
            )
        )
    return found[:limit]


async def export(saver: BaseCheckpointSaver[Any], thread: str) -> AsyncIterator[dict[str, Any]]:
    """Yield everything that is stored of a conversation, the newest first.

    Raises:
        CheckpointError: The database failed.
    """
    async for found in saver.alist({"configurable": {"thread_id": thread}}):
        yield _exported(found)


async def erase(link: Link, saver: BaseCheckpointSaver[Any], thread: str) -> PruneResult:
    """Take a conversation out of every table, and look whether that is so.

    Raises:
        CheckpointError: The database failed, or something is left: erase it once more.
    """
    counted = await link.run(
        "erase", lambda c: Thread(c, thread, dry_run=True).drop(), thread=thread
    )
    await saver.adelete_thread(thread)
    left = await link.run("erase", lambda c: c.fetchval(_LEFT, thread), thread=thread)
    if left is not None:
        raise CheckpointError(
            f"conversation {thread!r} was deleted, and {left} has a row of it again: a LangGraph "
            "saver of another make may be running it; stop that, and erase it once more"
        )
    return counted


def _exported(found: CheckpointTuple) -> dict[str, Any]:
    place = found.config["configurable"]
    parent = found.parent_config
    return {
        "thread_id": place["thread_id"],
        "namespace": place.get("checkpoint_ns", ""),
        "checkpoint_id": place["checkpoint_id"],
        "parent_checkpoint_id": parent["configurable"]["checkpoint_id"] if parent else None,
        "at": found.checkpoint["ts"],
        "metadata": dict(found.metadata),
        "values": dict(found.checkpoint["channel_values"]),
        "writes": [
            {"task_id": task, "channel": channel, "value": value}
            for task, channel, value in found.pending_writes or ()
        ],
    }


def _time(identifier: str) -> datetime | None:
    moment = moment_of(identifier)
    return None if moment is None else datetime.fromtimestamp(moment, UTC)


def _holds(said: Any, wanted: Any) -> bool:
    """Return whether JSON contains other JSON, as PostgreSQL means it."""
    if isinstance(wanted, dict):
        return isinstance(said, dict) and all(
            name in said and _holds(said[name], value) for name, value in wanted.items()
        )
    if isinstance(wanted, list):
        return isinstance(said, list) and all(any(_holds(s, w) for s in said) for w in wanted)
    return bool(said == wanted and isinstance(said, bool) == isinstance(wanted, bool))


def _json(metadata: Mapping[str, Any]) -> str:
    try:
        return json.dumps(dict(metadata), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"metadata to search for has to be JSON: {error}") from error


async def _fetch(connection: Any, *, sql: str, args: Iterable[object]) -> Sequence[Any]:
    found: Sequence[Any] = await connection.fetch(sql, *args)
    return found
