"""Building the index of a collection while it is read and written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agentinfra.db.vectors.turns import turn
from agentinfra.db.vectors.values import shown
from agentinfra.errors import VectorError

if TYPE_CHECKING:
    from agentinfra.db.vectors.home import Home
    from agentinfra.db.vectors.schema import Collection

__all__ = ["Options", "build", "keep_words"]

_BUILD_LOCK = 6_418_237_905_114

_MOST_MEMORY = 512 * 1024 * 1024

_INDEXES = """
SELECT c.relname AS name, i.indisvalid AS valid
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = $1::text::regclass AND starts_with(c.relname, $2)
"""

_KEEP_WORDS = """
UPDATE {table} SET tsv = {words} WHERE id IN (
    SELECT id FROM {table} WHERE tsv IS NULL LIMIT 5000 FOR UPDATE SKIP LOCKED)
"""
"""Some at a time, and never one that somebody else writes: waiting in another order than writers
do, which is that of the ids, would lock both out."""

_MEMORY = """
SELECT set_config('maintenance_work_mem', greatest(
    pg_size_bytes(current_setting('maintenance_work_mem')) / 1024,
    least((SELECT count(*) FROM {table}) * {row}, {most}) / 1024
) || 'kB', false)
"""
"""A graph that does not fit into memory takes some three times as long to build."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What an index is like.

    Attributes:
        kind: ``hnsw``.
        m: Links a row.
        ef_construction: Candidates looked at for each row.

    Raises:
        VectorError: One is out of pgvector's range; the message names it.
    """

    kind: str = "hnsw"
    m: int = 16
    ef_construction: int = 64

    def __post_init__(self) -> None:
        if self.kind != "hnsw":
            raise VectorError(f"there is no index of kind {self.kind!r}: 'hnsw' is the one")
        if not _is_whole(self.m) or not 2 <= self.m <= 100:
            raise VectorError(f"m is {shown(self.m)}: links a row have to be 2 to 100")
        wide = self.ef_construction
        if not _is_whole(wide) or not 2 * self.m <= wide <= 1000:
            raise VectorError(f"ef_construction is {shown(wide)}: it has to be 2 * m to 1000")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


async def build(home: Home, collection: Collection, options: Options) -> bool:
    """Build the index unless there is one of these options, and drop those of others.

    One process builds at a time: a build waits for every snapshot, and another's ANALYZE would wait
    for the build with one in its hands.

    Args:
        home: Where the database is; two connections are opened beside its pool's.
        collection: What to index.
        options: What the index is like.

    Returns:
        Whether it was built now.
    """
    async with (
        home.building,
        turn(home, _BUILD_LOCK, wait=True),
        home.apart() as connection,
    ):
        if not home.server.pooled:  # there a session is not ours, and has no time-out of ours
            row = int(collection.dimensions * collection.form.size) + 56 * options.m
            memory = _MEMORY.format(table=collection.table, row=row, most=_MOST_MEMORY)
            await connection.execute("SET statement_timeout = 0")
            await connection.execute(memory)
        return await _build(connection, collection, options)


async def _build(connection: Any, collection: Collection, options: Options) -> bool:
    prefix = collection.index("hnsw_").strip('"')
    wanted = f"{prefix}{options.m}_{options.ef_construction}"
    await _others(connection, collection)
    rows = await connection.fetch(_INDEXES, collection.table, prefix)
    valid = {row["name"] for row in rows if row["valid"]}
    if wanted not in valid:
        await _create(connection, collection, options, wanted)
    for row in rows:
        if row["name"] != wanted:
            await _drop(connection, collection, row["name"])
    await connection.execute(f"ANALYZE {collection.table}")  # filters are planned by it
    return wanted not in valid


async def _others(connection: Any, collection: Collection) -> None:
    """Build what filters and words are found by, and keep the words of records that have none.

    Records are rewritten, so that this comes before the graph, whose entries would double.
    """
    pieces = {
        "words": f"(({collection.words}))",
        "metadata": "(metadata jsonb_path_ops)",
    }
    names = {what: collection.index(what).strip('"') for what in pieces}
    rows = await connection.fetch(_INDEXES, collection.table, collection.index("").strip('"'))
    valid = {row["name"] for row in rows if row["valid"]}
    while not await keep_words(connection, collection):
        pass
    for what, on in pieces.items():
        if names[what] not in valid:
            await _drop(connection, collection, names[what])
            await connection.execute(
                f'CREATE INDEX CONCURRENTLY "{names[what]}" ON {collection.table} USING gin {on}'
            )


async def keep_words(connection: Any, collection: Collection) -> bool:
    """Keep the words of some records that have none; return whether all have them."""
    statement = _KEEP_WORDS.format(table=collection.table, words=collection.words_of("text"))
    return bool(await connection.execute(statement) == "UPDATE 0")


async def _create(connection: Any, collection: Collection, options: Options, name: str) -> None:
    from asyncpg import DiskFullError

    statement = (
        f'CREATE INDEX CONCURRENTLY "{name}" ON {collection.table} USING hnsw '
        f"({_expression(collection)}) "
        f"WITH (m = {options.m}, ef_construction = {options.ef_construction})"
    )
    await _drop(connection, collection, name)  # what a build that was interrupted left behind
    try:
        await connection.execute(statement)
    except DiskFullError:
        # Workers share the graph through /dev/shm, which a container may have hardly any of.
        await _drop(connection, collection, name)
        await connection.execute("SET max_parallel_maintenance_workers = 0")
        await connection.execute(statement)


def _expression(collection: Collection) -> str:
    return f"{collection.indexed_expression} {collection.site.pgvector}.{collection.form.operators}"


async def _drop(connection: Any, collection: Collection, name: str) -> None:
    await connection.execute(f'DROP INDEX CONCURRENTLY IF EXISTS {collection.site.schema}."{name}"')
