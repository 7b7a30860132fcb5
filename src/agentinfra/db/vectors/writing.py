# ruff: noqa: S608 - names are checked and quoted, values are bound
"""Writing records: all of them in one transaction, in binary."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentinfra.db.vectors.records import Rows
    from agentinfra.db.vectors.schema import Collection

__all__ = ["write"]

_FEW = 64
"""Rows up to which a statement each is quicker than a temporary table to copy into."""

_AT_ONCE = 5_000
"""Rows a statement writes at most, so that none takes as long as its time-out."""

_INCOMING = "agentinfra_incoming"


def _on_conflict(collection: Collection) -> str:
    """Return what becomes of a record that is there.

    One that is as it was stays untouched: a rewritten row would bloat every index.
    """
    differs = f"OPERATOR({collection.site.pgvector}.<>)"
    return f"""
ON CONFLICT (id) DO UPDATE
SET text = excluded.text, metadata = excluded.metadata, embedding = excluded.embedding,
    updated_at = now()
WHERE old.text <> excluded.text OR old.metadata <> excluded.metadata
    OR old.embedding {differs} excluded.embedding
"""


async def write(connection: Any, collection: Collection, rows: Rows) -> None:
    """Insert or replace rows; call it in a transaction."""
    insert = f"INSERT INTO {collection.table} AS old (id, text, metadata, embedding)"
    if len(rows) <= _FEW:
        statement = f"{insert} VALUES ($1, $2, $3::text::jsonb, $4) {_on_conflict(collection)}"
        await connection.executemany(statement, list(rows.tuples()))
        return
    await connection.execute(
        f"CREATE TEMPORARY TABLE {_INCOMING} (id text, text text, metadata text, "
        f"embedding {collection.site.type('vector', collection.dimensions)}) ON COMMIT DROP"
    )
    left = rows.tuples()
    while some := list(islice(left, _AT_ONCE)):
        await connection.copy_records_to_table(
            _INCOMING, records=some, columns=["id", "text", "metadata", "embedding"]
        )
        await connection.execute(
            f"{insert} SELECT id, text, metadata::jsonb, embedding FROM {_INCOMING} "
            f"ORDER BY id {_on_conflict(collection)}"
        )
        await connection.execute(f"TRUNCATE {_INCOMING}")
