"""What the tables of questions need now and then: forgetting, centring, and indexes."""

# ruff: noqa: S608 - names are quoted or made of hexadecimal digits, values are bound

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentinfra.protocols import Tables

__all__ = ["upkeep"]

_LOCK = 7_013_246_130
"""Any number, as long as every process takes the same."""

_FEWEST_TO_CENTRE = 64
_FEWEST_TO_INDEX = 1_000
_LONGEST_TO_INDEX = 4_000
_SAMPLED = 5_000
_EVICTED_AT_ONCE = 20

_EXPIRE = "DELETE FROM {tables}.agentinfra_questions WHERE expires_at <= now()"

_EVICT = """
DELETE FROM {tables}.agentinfra_questions WHERE (place, digest) IN (
    SELECT place, digest FROM {tables}.agentinfra_questions ORDER BY kept_at LIMIT $1
)
"""

_EMPTY = """
DELETE FROM {tables}.agentinfra_question_places p WHERE p.place IN (
    SELECT e.place FROM {tables}.agentinfra_question_places e
    WHERE NOT EXISTS (SELECT FROM {tables}.agentinfra_questions q WHERE q.place = e.place)
    LIMIT 1000 FOR UPDATE SKIP LOCKED
)
"""

_LEFT_OVER = """
SELECT c.relname::text FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = '{tables}.agentinfra_questions'::regclass
AND c.relname ~ '^agentinfra_questions_of_[0-9a-f]+$' AND NOT EXISTS (
    SELECT FROM {tables}.agentinfra_question_places p
    WHERE 'agentinfra_questions_of_' || p.place = c.relname)
"""

_CENTRE = """
UPDATE {tables}.agentinfra_question_places SET centred_at = $2, mean = (
    SELECT {vector}.avg(embedding::{vector}.vector)::real[] FROM (
        SELECT embedding FROM {tables}.agentinfra_questions WHERE place = $1
        ORDER BY digest LIMIT {sampled}
    ) AS sample
) WHERE place = $1
"""
"""By their digests, which are as good as chance."""

_INDEX = """
CREATE INDEX IF NOT EXISTS agentinfra_questions_of_{place} ON {tables}.agentinfra_questions
USING hnsw ((embedding::{type}) {operators}) WHERE place = '{place}'
"""


async def upkeep(database: Tables, place: str, type_: str, *, max_entries: int) -> None:
    """Forget what is too old or too much; centre and index a place that has grown.

    Args:
        database: Lends a connection.
        place: The place that was added to.
        type_: What its vectors are compared as.
        max_entries: Entries of all places together.

    Raises:
        DatabaseError: The database is away, or refuses.
    """
    server = database.server
    async with database.connection(readonly=False, reset=False) as connection:
        async with connection.transaction():
            if not await _alone(connection):
                return
            await _forget(connection, server.schema, max_entries)
            await _centre(connection, server, place)
        # On its own: who does not own the table may make no index, and the rest is done all the
        # same. Writers wait meanwhile, for the second a thousand entries take.
        async with connection.transaction():
            if await _alone(connection):
                await _drop_indexes(connection, server.schema)
                await _index(connection, server, place, type_)


async def _alone(connection: Any) -> bool:
    """Say whether no other process is at it, and keep it so until the transaction ends."""
    await connection.execute("SET LOCAL lock_timeout = '5s'")
    return bool(await connection.fetchval("SELECT pg_try_advisory_xact_lock($1::bigint)", _LOCK))


async def _forget(connection: Any, tables: str, max_entries: int) -> None:
    await connection.execute(_EXPIRE.format(tables=tables))
    size = await connection.fetchval(f"SELECT count(*) FROM {tables}.agentinfra_questions")
    if size > max_entries:
        gone = size - max_entries + -(-max_entries // _EVICTED_AT_ONCE)
        await connection.execute(_EVICT.format(tables=tables), gone)
    await connection.execute(_EMPTY.format(tables=tables))


async def _centre(connection: Any, server: Any, place: str) -> None:
    """Estimate anew what all vectors of a place have in common, when it has doubled."""
    row = await _about(connection, server.schema, place)
    if row is None or row["size"] < max(_FEWEST_TO_CENTRE, 2 * row["centred_at"]):
        return
    vector = server.vector_type("")[:-1]
    sql = _CENTRE.format(tables=server.schema, vector=vector, sampled=_SAMPLED)
    await connection.execute(sql, place, row["size"])


async def _index(connection: Any, server: Any, place: str, type_: str) -> None:
    row = await _about(connection, server.schema, place)
    if row is None or row["indexed"] or row["size"] < _FEWEST_TO_INDEX:
        return
    if row["dimensions"] > _LONGEST_TO_INDEX:
        return
    name = "halfvec" if "halfvec" in type_ else "vector"
    operators = server.vector_type(f"{name}_cosine_ops")
    tables = server.schema
    await connection.execute(
        _INDEX.format(tables=tables, place=place, type=type_, operators=operators)
    )
    await connection.execute(f"ANALYZE {tables}.agentinfra_questions")
    sql = f"UPDATE {tables}.agentinfra_question_places SET indexed = true WHERE place = $1"
    await connection.execute(sql, place)


async def _about(connection: Any, tables: str, place: str) -> Any:
    return await connection.fetchrow(
        f"SELECT centred_at, indexed, cardinality(mean) AS dimensions, "
        f"(SELECT count(*) FROM {tables}.agentinfra_questions q WHERE q.place = p.place) AS size "
        f"FROM {tables}.agentinfra_question_places p WHERE place = $1",
        place,
    )


async def _drop_indexes(connection: Any, tables: str) -> None:
    """Drop the indexes of places that are gone."""
    for row in await connection.fetch(_LEFT_OVER.format(tables=tables)):
        await connection.execute(f"DROP INDEX {tables}.{row[0]}")
