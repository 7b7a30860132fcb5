# ruff: noqa: S608 - names are checked and quoted, values are bound
"""The choice between the index and an exact look, and what is done where the index falls short."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agentinfra.db.transactions import read_only
from agentinfra.db.vectors.filters import Arguments, condition
from agentinfra.db.vectors.query import MAX_EF_SEARCH
from agentinfra.db.vectors.search import Way, fits_session, settings, statement

if TYPE_CHECKING:
    from agentinfra.db.server import Server
    from agentinfra.db.vectors.query import Query
    from agentinfra.db.vectors.schema import Collection
    from agentinfra.db.vectors.search import Vector

__all__ = ["look"]

_FEW_ROWS = 2_000
_SMALL_SHARE = 0.03
_SHARE_ROWS = 20_000
"""When matching rows are compared one by one at once, at some 10 us each: few of them, or not so
many and a small share of all."""

_COMPARED_ROWS = 100_000
_SEEN_ROWS = 1_000_000
"""Matching rows up to which, and rows of a collection up to which, all that match are compared when
too few of the nearest do. The index would go on from where it is, among rows that do not match, and
find some six in ten of 100,000: a filter that is tied to the topic keeps rows its graph hardly
leads to, however long it is followed."""

_NEAR = 200
_MARGIN = 2
"""The nearest rows looked at before the filter: at least so many, and enough for so many times the
candidates if matches were spread evenly."""

_SAMPLED_PAGES = 128
_PAGE = 8192

_INDEXED = """
EXISTS (SELECT FROM pg_catalog.pg_index i
        JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
        JOIN pg_catalog.pg_am a ON a.oid = c.relam
        WHERE i.indrelid = {table}::regclass AND i.indisvalid AND a.amname = 'hnsw') AS indexed
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Estimate:
    """What some pages of a collection tell about a filter.

    Attributes:
        matching: Rows that match.
        rows: All rows.
        indexed: Whether there is an index.
    """

    matching: float
    rows: float
    indexed: bool

    @property
    def share(self) -> float:
        return self.matching / max(1.0, self.rows)

    def first_way(self, collection: Collection, query: Query) -> Way:
        """Return the way to begin with."""
        few = self.matching <= _FEW_ROWS
        small = self.share <= _SMALL_SHARE and self.matching <= _SHARE_ROWS
        if few or small or not self.indexed:
            return Way(exact=True)
        needed = _MARGIN * query.candidates * collection.form.spare / max(self.share, 0.001)
        return Way(near=int(min(MAX_EF_SEARCH, max(_NEAR, query.ef_search or 0, needed))))

    def enough(self, query: Query, way: Way) -> float:
        """Return how many of the nearest rows have to match.

        Fewer than an even spread would give mean that what matches lies elsewhere, where the
        index did not look; two standard deviations are chance.
        """
        even = self.share * way.near
        return max(query.candidates, even - 2 * math.sqrt(even))

    @property
    def next_way(self) -> Way:
        """Return the way to go on where too few of the nearest rows match."""
        bearable = self.matching <= _COMPARED_ROWS and self.rows <= _SEEN_ROWS
        return Way(exact=bearable)


async def look(
    connection: Any, server: Server, collection: Collection, query: Query, vector: Vector
) -> list[Any]:
    """Return the rows of a search.

    Args:
        connection: A connection of who writes, outside of any transaction.
        server: What it leads to.
        collection: Where to search.
        query: What for.
        vector: The direction.
    """

    async def rows(way: Way) -> list[Any]:
        text, arguments = statement(collection, query, vector, way)
        usual = not server.pooled and fits_session(collection, query, way)
        begin = settings(collection, query, way, iterative=server.iterative_scans)
        async with nullcontext() if usual else read_only(connection, begin):
            return list(await connection.fetch(text, *arguments))

    if not query.filter:
        return await rows(Way())
    estimate = await _estimate(connection, collection, query)
    way = estimate.first_way(collection, query)
    found = await rows(way)
    if not way.exact and _near(found) < estimate.enough(query, way):
        way = estimate.next_way
        found = await rows(way)
    if not way.exact and _near(found) < query.candidates:
        found = await rows(Way(exact=True))
    return found


def _near(rows: list[Any]) -> int:
    return int(rows[0]["near"]) if rows else 0


async def _estimate(connection: Any, collection: Collection, query: Query) -> _Estimate:
    arguments = Arguments()
    matches = condition(query.filter, arguments)
    table = arguments.text(collection.table)
    percent = (
        f"least(100, {100 * _SAMPLED_PAGES * _PAGE}.0 "
        f"/ greatest(pg_relation_size({table}::regclass), 1))"
    )
    row = await connection.fetchrow(
        f"SELECT count(*) FILTER (WHERE {matches}) AS matching, count(*) AS seen, "
        f"{percent} AS percent, {_INDEXED.format(table=table)} "
        f"FROM {collection.table} TABLESAMPLE SYSTEM ({percent})",
        *arguments,
    )
    scale = 100 / float(row["percent"])
    return _Estimate(
        matching=row["matching"] * scale, rows=row["seen"] * scale, indexed=row["indexed"]
    )
