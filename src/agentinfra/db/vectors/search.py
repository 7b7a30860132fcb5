# ruff: noqa: S608 - names are checked and quoted, values are bound
"""The statements of searches, and the settings they need."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agentinfra.db.vectors.diversity import as_array, diverse
from agentinfra.db.vectors.filters import Arguments, condition
from agentinfra.db.vectors.query import MAX_EF_SEARCH
from agentinfra.db.vectors.schema import TEXT_CONFIGURATION
from agentinfra.results import SearchHit

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from agentinfra.db.vectors.query import Query
    from agentinfra.db.vectors.schema import Collection

    Vector = NDArray[np.float32]

__all__ = ["DEFAULT_EF_SEARCH", "Way", "fits_session", "hits_of", "settings", "statement"]

DEFAULT_EF_SEARCH = 100
"""Candidates an index search keeps by default, as every session does; pgvector's own 40 finds some
0.86 of the nearest ten of 100,000, 100 finds 0.95 in nearly the same time."""

_RRF = 60
"""The constant of reciprocal rank fusion: Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion
outperforms Condorcet and individual Rank Learning Methods", SIGIR 2009."""

_DECODER = json.JSONDecoder()
"""Of what PostgreSQL writes: nothing stands before a value of it, nor after."""

_WORD = re.compile(r"\w+")
_MOST_WORDS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How the nearest rows are looked for.

    Attributes:
        exact: Whether every row that matches is compared; else the index is asked.
        near: With a filter, how many of the nearest rows the index gives before those that do not
            match are left out; 0 has it go on until enough match, or it gives up.
    """

    exact: bool = False
    near: int = 0


def settings(collection: Collection, query: Query, way: Way, *, iterative: bool) -> list[str]:
    """Return what a transaction begins with that asks the index.

    Args:
        collection: Where to search.
        query: What for.
        way: How rows are looked for.
        iterative: Whether pgvector can scan until enough rows match.
    """
    statements = [
        f"SET LOCAL hnsw.ef_search = {_ef_search(collection, query, way)}",
        "SET LOCAL random_page_cost = 1.1",  # else the planner passes over the index
        "SET LOCAL jit = off",  # compiling takes longer than the search
        # Where the index is to be asked, only a plan without it has to sort; without statistics
        # the planner takes a filter for selective and would sort all that match.
        "SET LOCAL enable_sort = off",
    ]
    if iterative:
        statements.append("SET LOCAL hnsw.iterative_scan = relaxed_order")
    return statements


def fits_session(collection: Collection, query: Query, way: Way) -> bool:
    """Return whether a search needs no other settings than every session has."""
    if way.exact:
        return True
    return not query.filter and _ef_search(collection, query, way) == DEFAULT_EF_SEARCH


def _ef_search(collection: Collection, query: Query, way: Way) -> int:
    usual = MAX_EF_SEARCH if query.filter and not way.near else DEFAULT_EF_SEARCH
    wanted = query.ef_search or usual
    needed = way.near or query.candidates * collection.form.spare
    return min(MAX_EF_SEARCH, max(wanted, needed))


def statement(
    collection: Collection, query: Query, vector: Vector, way: Way
) -> tuple[str, Arguments]:
    """Return the statement of a search and its arguments.

    Its rows say the model of the collection, so that one that was made anew is noticed, and how
    many rows the vectors brought: with ``near``, how many of the nearest match. Where words are
    looked for, too, they say how large the table is, and whether the row has its words kept.

    Args:
        collection: Where to search.
        query: What for.
        vector: The direction.
        way: How rows are looked for.
    """
    arguments = Arguments()
    direction = f"{arguments.bind(vector)}::{collection.site.pgvector}.vector"
    model = (
        f"(SELECT model FROM {collection.site.registry} "
        f"WHERE name = {arguments.text(collection.name)}) AS model"
    )
    matches = condition(query.filter, arguments)
    if query.text is None and not (way.exact or way.near) and collection.form.spare == 1:
        return _plain(collection, query, direction, matches, model), arguments
    parts = [*_nearest(collection, query, direction, matches, way)]
    counted = f"(SELECT count(*) FROM {'matched' if way.near else 'nearest'}) AS near"
    if query.text is None:
        ranked = "SELECT id, 1 - distance AS score FROM nearest"
    else:
        parts.append(_worded(collection, query, matches, arguments))
        ranked = _FUSED
        table = f"{arguments.text(collection.table)}::regclass"
        counted += f", pg_catalog.pg_relation_size({table}) AS size, tsv IS NULL AS wordless"
    text = (
        f"WITH {', '.join(parts)}, ranked AS MATERIALIZED ({ranked}) "
        f"SELECT id, text, metadata::text AS metadata, score, {_vector(query)}{model}, "
        f"{counted} FROM ranked JOIN {collection.table} USING (id) "
        f"ORDER BY score DESC, id LIMIT {query.rows}"
    )
    return text, arguments


def _plain(collection: Collection, query: Query, vector: str, matches: str, model: str) -> str:
    """Return the statement of what the index gives in its order, without a second look at rows."""
    where = f"WHERE {matches} " if matches else ""
    counted = ", count(*) OVER () AS near" if matches else ""  # else there is nothing to go on for
    distance = collection.rough_distance(vector)
    nearest = (
        f"SELECT id, text, metadata, {_vector(query)}{distance} AS distance "
        f"FROM {collection.table} {where}ORDER BY {distance} LIMIT {query.rows}"
    )
    return (
        f"SELECT id, text, metadata::text AS metadata, 1 - distance AS score, "
        f"{_vector(query)}{model}{counted} FROM ({nearest}) AS nearest ORDER BY distance, id"
    )


def _vector(query: Query) -> str:
    return "" if query.diversity is None else "embedding, "


def hits_of(rows: Sequence[Any], query: Query) -> list[SearchHit]:
    """Return rows as hits, those below the least score left out."""
    least = query.min_score
    kept = [row for row in rows if least is None or row["score"] >= least]
    if query.diversity is not None:
        vectors = [as_array(row["embedding"]) for row in kept]
        scores = [float(row["score"]) for row in kept]
        places = diverse(scores, vectors, query.top_k, query.diversity)
        kept = [kept[place] for place in places]
    return [
        SearchHit(
            id=row["id"],
            text=row["text"],
            score=float(row["score"]),
            metadata=_DECODER.raw_decode(row["metadata"])[0],
        )
        for row in kept
    ]


def _nearest(
    collection: Collection, query: Query, vector: str, matches: str, way: Way
) -> list[str]:
    """Return the query that gives the nearest rows and their distances."""
    where = f" WHERE {matches}" if matches else ""
    limit, table = query.candidates, collection.table
    distance = f"embedding {collection.site.nearness} {vector}"
    if way.exact:
        # Materialised, or the planner would take the index and lose most of the few that match.
        every = f"SELECT id, {distance} AS distance FROM {table}{where}"
        first = f"SELECT * FROM every_match ORDER BY distance, id LIMIT {limit}"
        return [f"every_match AS MATERIALIZED ({every})", f"nearest AS MATERIALIZED ({first})"]
    by = collection.rough_distance(vector)
    kept = "id, metadata" if way.near else "id"
    near = f"SELECT {kept}, {distance} AS distance FROM {table}{'' if way.near else where}"
    if not way.near and by == distance:
        return [f"nearest AS MATERIALIZED ({near} ORDER BY {by} LIMIT {limit})"]
    rough = f"{near} ORDER BY {by} LIMIT {way.near or limit * collection.form.spare}"
    parts = [f"rough AS MATERIALIZED ({rough})"]
    if way.near:
        parts.append(f"matched AS MATERIALIZED (SELECT id, distance FROM rough{where})")
    first = f"SELECT * FROM {'matched' if way.near else 'rough'} ORDER BY distance LIMIT {limit}"
    return [*parts, f"nearest AS MATERIALIZED ({first})"]


def _worded(collection: Collection, query: Query, matches: str, arguments: Arguments) -> str:
    """Return the query that gives the rows with most of the words."""
    words = arguments.text(_any_word(query.text or ""))
    where = f" AND {matches}" if matches else ""
    return (
        "worded AS MATERIALIZED ("
        f"SELECT id, ts_rank({collection.words}, wanted, 1) AS rank FROM {collection.table}, "
        f"websearch_to_tsquery('{TEXT_CONFIGURATION}', {words}) AS wanted "
        f"WHERE {collection.words} @@ wanted{where} "
        f"ORDER BY rank DESC, id LIMIT {query.candidates})"
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
