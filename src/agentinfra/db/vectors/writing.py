# ruff: noqa: S608 - names are checked and quoted, values are bound
"""Writing records: all of them in one transaction, in binary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentinfra.db.vectors.copying import COLUMNS, stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agentinfra.db.vectors.records import Rows
    from agentinfra.db.vectors.schema import Collection

    Told = Callable[[int], None]

__all__ = ["write"]

_FEW = 64
"""Rows up to which a statement each is quicker than a temporary table to copy into."""

_MANY = 1_000
"""Rows from which words are left to the building of the index: cutting them takes longer than all
the rest of a load."""

_BYTES_AT_ONCE = 32 * 1024 * 1024
_ROWS_AT_ONCE = 20_000
"""What a statement writes at most, so that none takes as long as its time-out."""

_INCOMING = "agentinfra_incoming"


async def write(
    connection: Any, collection: Collection, rows: Rows, told: Callable[[int], None]
) -> None:
    """Insert or replace rows; call it in a transaction.

    Args:
        connection: Where.
        collection: Into what.
        rows: The rows.
        told: Told how many were sent.
    """
    if len(rows) <= _FEW:
        statement = (
            f"{_insert(collection)} VALUES ($1, $2, $3::text::jsonb, $4, "
            f"{collection.words_of('$2::text')}) {_on_conflict(collection)}"
        )
        await connection.executemany(statement, list(rows.tuples()))
        told(len(rows))
    elif len(rows) < _MANY or not await _appended(connection, collection, rows, told):
        await _merge(connection, collection, rows, told)


async def _appended(
    connection: Any, collection: Collection, rows: Rows, told: Callable[[int], None]
) -> bool:
    """Copy rows straight into a collection that has none of them; return False if it has one."""
    from asyncpg import UniqueViolationError

    there = f"SELECT EXISTS (SELECT FROM {collection.table}"
    if await connection.fetchval(f"{there})") and await connection.fetchval(
        f"{there} WHERE id = ANY ($1::text[]))", rows.ids
    ):
        return False
    schema, table = collection.site.bare_schema, collection.bare_table
    try:
        async with connection.transaction():
            for start, end in _steps(rows):
                await _copy(connection, table, rows, start, end, schema=schema)
                told(end)
    except UniqueViolationError:  # somebody else has written one of them meanwhile
        return False
    return True


async def _merge(
    connection: Any, collection: Collection, rows: Rows, told: Callable[[int], None]
) -> None:
    vector = collection.site.type("vector", collection.dimensions)
    await connection.execute(
        f"CREATE TEMPORARY TABLE {_INCOMING} "
        f"(id text, text text, metadata jsonb, embedding {vector}) ON COMMIT DROP"
    )
    words = collection.words_of("text") if len(rows) < _MANY else "NULL"
    for start, end in _steps(rows):
        await _copy(connection, _INCOMING, rows, start, end)
        # In the order of the ids, or two writers of the same records would lock each other out.
        await connection.execute(
            f"{_insert(collection)} SELECT id, text, metadata, embedding, {words} "
            f"FROM {_INCOMING} ORDER BY id {_on_conflict(collection)}"
        )
        await connection.execute(f"TRUNCATE {_INCOMING}")
        told(end)


async def _copy(
    connection: Any, table: str, rows: Rows, start: int, end: int, *, schema: str | None = None
) -> None:
    source = stream(rows, start, end)
    await connection.copy_to_table(
        table, source=source, schema_name=schema, columns=COLUMNS, format="binary"
    )


def _steps(rows: Rows) -> Iterator[tuple[int, int]]:
    """Give the first row and the one after the last of what is sent at a time."""
    size: int = 4 * rows.vectors.shape[1]
    step = max(1, min(_ROWS_AT_ONCE, _BYTES_AT_ONCE // size))
    for start in range(0, len(rows), step):
        yield start, min(len(rows), start + step)


def _insert(collection: Collection) -> str:
    return f"INSERT INTO {collection.table} AS old (id, text, metadata, embedding, tsv)"


def _on_conflict(collection: Collection) -> str:
    """Return what becomes of a record that is there.

    One that is as it was stays untouched: a rewritten row would bloat every index.
    """
    differs = f"OPERATOR({collection.site.pgvector}.<>)"
    return f"""
ON CONFLICT (id) DO UPDATE
SET text = excluded.text, metadata = excluded.metadata, embedding = excluded.embedding,
    tsv = excluded.tsv, updated_at = now()
WHERE old.text <> excluded.text OR old.metadata <> excluded.metadata
    OR old.embedding {differs} excluded.embedding
"""
