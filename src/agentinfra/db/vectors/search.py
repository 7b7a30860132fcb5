# ruff: noqa: S608 - names are checked and quoted, values are bound
"""Searching: the statements, and the choice between an index and an exact look at few rows."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from agentinfra.db.vectors.filters import Arguments, condition
from agentinfra.db.vectors.query import MAX_EF_SEARCH
from agentinfra.db.vectors.schema import TEXT_CONFIGURATION
from agentinfra.results import SearchHit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from agentinfra.db.vectors.query import Query
    from agentinfra.db.vectors.schema import Collection

    Vector = NDArray[np.float32]

__all__ = ["run", "settings", "statement"]

_EF_SEARCH = 100
"""Candidates an index search keeps by default; pgvector's own 40 finds some 0.86 of the nearest
ten of 100,000, 100 finds 0.95 in nearly the same time."""

_EF_FILTERED = 200
"""The same with a filter, which thins the candidates out."""

_RRF = 60
"""The constant of reciprocal rank fusion: Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion
outperforms Condorcet and individual Rank Learning Methods", SIGIR 2009."""

_FEW_ROWS = 2_000
_SMALL_SHARE = 0.03
_SHARE_ROWS = 20_000
"""When matching rows are compared one by one, at some 10 us each: few of them, or not so many and
a small share of all. An index walks over the others to find them and misses one in six at 1 %."""

_WALKED = 10_000
"""Rows an index may have to walk over to find enough that match; beyond, it gives up too early."""

_SAMPLED_PAGES = 128
_PAGE = 8192

_WORD = re.compile(r"\w+")
_MOST_WORDS = 64


def settings(query: Query, *, iterative: bool) -> list[str]:
    """Return what a search transaction begins with.

    Args:
        query: The search.
        iterative: Whether pgvector can scan until enough rows match.
    """
    usual = _EF_FILTERED if query.filter else _EF_SEARCH
    wanted = max(query.ef_search or usual, query.candidates)
    statements = [
        f"SET LOCAL hnsw.ef_search = {min(MAX_EF_SEARCH, wanted)}",
        "SET LOCAL random_page_cost = 1.1",  # else the planner passes over the index
        "SET LOCAL jit = off",  # compiling takes longer than the search
    ]
    if query.filter:
        # Where the index is to be asked, only a plan without it has to sort; without statistics
        # the planner takes a filter for selective and would sort all that match.
        statements.append("SET LOCAL enable_sort = off")
    if iterative:
        statements.append("SET LOCAL hnsw.iterative_scan = relaxed_order")
    return statements


async def run(
    connection: Any, collection: Collection, query: Query, vector: Vector
) -> list[SearchHit]:
    """Search on a connection that has the settings."""
    exact = bool(query.filter) and await _few_match(connection, collection, query)
    rows = await _rows(connection, collection, query, vector, exact=exact)
    if query.filter and not exact and len(rows) < query.top_k:
        # What matches lies far from the query, where the index did not look.
        rows = await _rows(connection, collection, query, vector, exact=True)
    hits = [
        SearchHit(
            id=row["id"],
            text=row["text"],
            score=float(row["score"]),
            metadata=json.loads(row["metadata"]),
        )
        for row in rows
    ]
    least = query.min_score
    return hits if least is None else [hit for hit in hits if hit.score >= least]


async def _rows(
    connection: Any, collection: Collection, query: Query, vector: Vector, *, exact: bool
) -> list[Any]:
    text, arguments = statement(collection, query, vector, exact=exact)
    return list(await connection.fetch(text, *arguments))


async def _few_match(connection: Any, collection: Collection, query: Query) -> bool:
    """Estimate from some pages whether the matching rows had better be compared one by one."""
    arguments = Arguments()
    matches = condition(query.filter, arguments)
    percent = (
        f"least(100, {100 * _SAMPLED_PAGES * _PAGE}.0 "
        f"/ greatest(pg_relation_size({arguments.text(collection.table)}::regclass), 1))"
    )
    row = await connection.fetchrow(
        f"SELECT count(*) FILTER (WHERE {matches}) AS matching, count(*) AS seen, "
        f"{percent} AS percent FROM {collection.table} TABLESAMPLE SYSTEM ({percent})",
        *arguments,
    )
    matching = row["matching"] * 100 / float(row["percent"])
    share: float = row["matching"] / max(1, row["seen"])
    few: bool = matching <= _FEW_ROWS or (share <= _SMALL_SHARE and matching <= _SHARE_ROWS)
    return few or share * _WALKED < query.candidates


def statement(
    collection: Collection, query: Query, vector: Vector, *, exact: bool
) -> tuple[str, Arguments]:
    """Return the statement of a search and its arguments.

    Args:
        collection: Where to search.
        query: What for.
        vector: The direction.
        exact: Whether to compare every row that matches instead of asking the index.
    """
    arguments = Arguments()
    direction = f"{arguments.bind(vector)}::{collection.site.pgvector}.vector"
    matches = condition(query.filter, arguments)
    parts = [*_nearest(collection, query, direction, matches, exact=exact)]
    if query.text is None:
        ranked = "SELECT id, 1 - distance AS score FROM nearest"
    else:
        parts.append(_worded(collection, query, matches, arguments))
        ranked = _FUSED
    text = (
        f"WITH {', '.join(parts)}, ranked AS MATERIALIZED ({ranked}) "
        "SELECT id, text, metadata::text AS metadata, score "
        f"FROM ranked JOIN {collection.table} USING (id) "
        f"ORDER BY score DESC, id LIMIT {query.top_k}"
    )
    return text, arguments


def _nearest(
    collection: Collection, query: Query, vector: str, matches: str, *, exact: bool
) -> list[str]:
    """Return the query that gives the nearest rows and their distances."""
    where = f"WHERE {matches}" if matches else ""
    limit = query.candidates
    distance = f"embedding {collection.site.nearness} {vector}"
    if exact:
        # Materialised, or the planner would take the index and lose most of the few that match.
        every = f"SELECT id, {distance} AS distance FROM {collection.table} {where}"
        first = f"SELECT * FROM every_match ORDER BY distance, id LIMIT {limit}"
        return [f"every_match AS MATERIALIZED ({every})", f"nearest AS MATERIALIZED ({first})"]
    near = f"SELECT id, {distance} AS distance FROM {collection.table} {where}"
    if not collection.halved:
        return [f"nearest AS MATERIALIZED ({near} ORDER BY {distance} LIMIT {limit})"]
    half = collection.site.type("halfvec", collection.dimensions)
    nearness = collection.site.nearness
    rough = f"{near} ORDER BY embedding::{half} {nearness} {vector}::{half} LIMIT {2 * limit}"
    first = f"SELECT * FROM rough ORDER BY distance LIMIT {limit}"
    return [f"rough AS MATERIALIZED ({rough})", f"nearest AS MATERIALIZED ({first})"]


def _worded(collection: Collection, query: Query, matches: str, arguments: Arguments) -> str:
    """Return the query that gives the rows with most of the words."""
    words = arguments.text(_any_word(query.text or ""))
    where = f" AND {matches}" if matches else ""
    return (
        "worded AS MATERIALIZED ("
        f"SELECT id, ts_rank(tsv, wanted, 1) AS rank FROM {collection.table}, "
        f"websearch_to_tsquery('{TEXT_CONFIGURATION}', {words}) AS wanted "
        f"WHERE tsv @@ wanted{where} ORDER BY rank DESC, id LIMIT {query.candidates})"
    )


def _any_word(text: str) -> str:
    """Join a text's words by OR; what PostgreSQL reads as operators is left out."""
    words = dict.fromkeys(word.lower() for word in _WORD.findall(text))
    words.pop("or", None)
    return " or ".join(list(words)[:_MOST_WORDS])


_FUSED = f"""
SELECT id, sum(1.0 / ({_RRF} + place))::float8 AS score FROM (
    SELECT id, row_number() OVER (ORDER BY distance, id) AS place FROM nearest
    UNION ALL
    SELECT id, row_number() OVER (ORDER BY rank DESC, id) AS place FROM worded
) AS places GROUP BY id
"""
