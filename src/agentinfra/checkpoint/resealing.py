"""Sealing what is stored under another key, or in the open: a page of rows at a time."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from agentinfra.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from agentinfra.checkpoint.cipher import Cipher, Sealed
    from agentinfra.checkpoint.link import Link
    from agentinfra.checkpoint.serde import StrictSerializer

__all__ = ["reseal_conversations", "reseal_items"]

_BYTES = 4_000_000
"""Of values that are taken into memory at once, and at least one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Values:
    """A table of values with a type each, and what a row of it is found by."""

    table: str
    keys: tuple[str, ...]
    first: tuple[str | int, ...]

    @property
    def due(self) -> str:
        """The next rows that another key sealed, or none; few enough for the memory."""
        keys = ", ".join(self.keys)
        after = ", ".join(f"${n + 2}" for n in range(len(self.keys)))
        return f"""
SELECT {keys}, type, blob, md5(blob) AS was FROM (
    SELECT *, sum(octet_length(blob)) OVER (ORDER BY {keys}) - octet_length(blob) AS before FROM (
        SELECT {keys}, type, blob FROM {self.table}
        WHERE blob IS NOT NULL AND type <> 'empty' AND right(type, length($1)) <> $1
            AND ({keys}) > ({after})
        ORDER BY {keys} LIMIT 200
    ) AS next
) AS due WHERE before < {_BYTES} ORDER BY {keys}
"""  # noqa: S608 - names of ours

    @property
    def update(self) -> str:
        """Put values in the place of those that are still what they were."""
        kinds = [f"{'int' if isinstance(one, int) else 'text'}[]" for one in self.first]
        kinds += ["text[]", "text[]", "bytea[]"]
        given = ", ".join(f"${n + 1}::{kind}" for n, kind in enumerate(kinds))
        same = " AND ".join(f"t.{key} = n.{key}" for key in self.keys)
        return f"""
UPDATE {self.table} t SET type = n.type, blob = n.blob
FROM unnest({given}) AS n({", ".join(self.keys)}, was, type, blob)
WHERE {same} AND md5(t.blob) = n.was
"""  # noqa: S608 - names of ours


_BLOBS = _Values(
    table="checkpoint_blobs",
    keys=("thread_id", "checkpoint_ns", "channel", "version"),
    first=("", "", "", ""),
)
_WRITES = _Values(
    table="checkpoint_writes",
    keys=("thread_id", "checkpoint_ns", "checkpoint_id", "task_id", "idx"),
    first=("", "", "", "", -1),
)

_CHECKPOINTS = """
SELECT c.thread_id, c.checkpoint_ns, c.checkpoint_id,
    c.checkpoint::text AS checkpoint, c.metadata::text AS metadata,
    ARRAY(
        SELECT b.channel FROM jsonb_each_text(c.checkpoint -> 'channel_versions') AS v
        JOIN checkpoint_blobs b ON b.thread_id = c.thread_id AND b.checkpoint_ns = c.checkpoint_ns
            AND b.channel = v.key AND b.version = v.value
    ) AS with_rows
FROM checkpoints c
WHERE (c.metadata -> 'agentinfra_sealed' ->> 0 IS DISTINCT FROM $1
        OR c.checkpoint -> 'channel_values' <> '{}'::jsonb)
    AND (c.thread_id, c.checkpoint_ns, c.checkpoint_id) > ($2, $3, $4)
ORDER BY c.thread_id, c.checkpoint_ns, c.checkpoint_id LIMIT 200 FOR UPDATE
"""
_ADD = """
INSERT INTO checkpoint_blobs (thread_id, checkpoint_ns, channel, version, type, blob)
VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING
"""
_CHECKPOINT = """
UPDATE checkpoints SET checkpoint = $4::text::jsonb, metadata = $5::text::jsonb
WHERE thread_id = $1 AND checkpoint_ns = $2 AND checkpoint_id = $3
"""

_ITEMS = """
SELECT prefix, key, value::text AS value FROM store
WHERE value -> 'agentinfra_sealed' ->> 0 IS DISTINCT FROM $1 AND (prefix, key) > ($2, $3)
ORDER BY prefix, key LIMIT 200 FOR UPDATE
"""
_ITEM = "UPDATE store SET value = $3::text::jsonb WHERE prefix = $1 AND key = $2"


async def reseal_conversations(link: Link, sealed: Sealed, serde: StrictSerializer) -> int:
    """Seal values, writes, scalars and metadata under the first key; return how many rows it was.

    Args:
        link: The way to the database.
        sealed: What seals them, and opens what is sealed.
        serde: How state becomes bytes.

    Raises:
        CheckpointError: The database failed, or a row needs a key that is not here. What was
            sealed before stays so; the next time goes on from there.
    """
    name, total = sealed.name, 0
    for values in (_BLOBS, _WRITES):
        work = partial(_reseal_values, values=values, cipher=sealed.cipher, name=name)
        total += await _by_pages(link, work, values.first)
    work = partial(_reseal_checkpoints, sealed=sealed, serde=serde, name=name)
    return total + await _by_pages(link, work, ("", "", ""))


async def reseal_items(link: Link, sealed: Sealed) -> int:
    """Seal the store's items under the first key; return how many it was.

    Args:
        link: The way to the database.
        sealed: What seals them, and opens what is sealed.

    Raises:
        CheckpointError: As for conversations.
    """
    work = partial(_reseal_items, sealed=sealed, name=sealed.name)
    return await _by_pages(link, work, ("", ""))


async def _by_pages(
    link: Link, page: Callable[..., Awaitable[tuple[int, tuple[Any, ...]]]], first: tuple[Any, ...]
) -> int:
    """Go through a table, a transaction a page; each says how many it sealed and where it ended."""
    total, after = 0, first
    while after:
        work = partial(page, after=after)
        done, after = await link.run("reseal", work, transaction=True)
        total += done
    return total


async def _reseal_values(
    connection: Any, *, after: tuple[Any, ...], values: _Values, cipher: Cipher, name: str
) -> tuple[int, tuple[Any, ...]]:
    rows = await connection.fetch(values.due, f"+{name}", *after)
    if not rows:
        return 0, ()
    anew = await asyncio.to_thread(_anew, cipher, rows, values.table)
    columns = [[row[key] for row in rows] for key in (*values.keys, "was")]
    kinds, blobs = zip(*anew, strict=True)
    await connection.execute(values.update, *columns, kinds, blobs)
    return len(rows), tuple(rows[-1][key] for key in values.keys)


def _anew(cipher: Cipher, rows: Iterable[Any], table: str) -> list[tuple[str, bytes]]:
    found = []
    for row in rows:
        kind, _, name = row["type"].partition("+")
        try:
            plain = cipher.decrypt(name, row["blob"]) if name else row["blob"]
        except CheckpointError as error:
            raise CheckpointError(f"a row of {table}, of {row['thread_id']!r}: {error}") from None
        name, blob = cipher.encrypt(plain)
        found.append((f"{kind}+{name}", blob))
    return found


async def _reseal_checkpoints(
    connection: Any,
    *,
    after: tuple[Any, ...],
    sealed: Sealed,
    serde: StrictSerializer,
    name: str,
) -> tuple[int, tuple[Any, ...]]:
    rows = await connection.fetch(_CHECKPOINTS, name, *after)
    blobs, anew = [], []
    for row in rows:
        place = (row["thread_id"], row["checkpoint_ns"], row["checkpoint_id"])
        checkpoint, metadata = json.loads(row["checkpoint"]), json.loads(row["metadata"])
        scalars = _scalars(checkpoint, set(row["with_rows"]))
        for channel, value in scalars.items():
            kind, data = serde.dumps_typed(value)
            by, blob = sealed.cipher.encrypt(data)
            version = str(checkpoint["channel_versions"][channel])
            blobs.append((*place[:2], channel, version, f"{kind}+{by}", blob))
            del checkpoint["channel_values"][channel]
        closed = sealed.renewed(metadata, name)
        if scalars or closed != metadata:
            anew.append((*place, json.dumps(checkpoint), json.dumps(closed)))
    await connection.executemany(_ADD, blobs)
    await connection.executemany(_CHECKPOINT, anew)
    return len(anew), place if rows else ()


def _scalars(checkpoint: dict[str, Any], with_rows: set[str]) -> dict[str, Any]:
    """Return the values that stand in the open in a checkpoint's own row.

    True beside a row of the same version is the mark of a snapshot, which has to stay.
    """
    return {
        channel: value
        for channel, value in (checkpoint.get("channel_values") or {}).items()
        if channel in checkpoint["channel_versions"]
        and not (value is True and channel in with_rows)
    }


async def _reseal_items(
    connection: Any, *, after: tuple[Any, ...], sealed: Sealed, name: str
) -> tuple[int, tuple[Any, ...]]:
    rows = await connection.fetch(_ITEMS, name, *after)
    anew = []
    for row in rows:
        value = json.loads(row["value"])
        closed = sealed.renewed(value, name)
        if closed != value:
            anew.append((row["prefix"], row["key"], json.dumps(closed)))
    await connection.executemany(_ITEM, anew)
    return len(anew), (rows[-1]["prefix"], rows[-1]["key"]) if rows else ()
