"""A collection behaves like a dict that can also be sorted by similarity."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from agentinfra.db.database import Database
from agentinfra.db.vectors.store import Record
from agentinfra.settings import DatabaseSettings

if TYPE_CHECKING:
    from agentinfra.db.vectors.store import VectorStore

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "b", "ä"])
METADATA = st.dictionaries(st.sampled_from(["k", "l", "'", "ü"]), SCALARS, max_size=3)
VECTORS = st.sampled_from([(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (-1, 0, 2), (3, 1, 1)])
RECORDS = st.builds(
    Record, id=st.sampled_from(["a", "b", "c", "ä", "'", "d" * 80]), text=TEXTS, metadata=METADATA
)
CONDITIONS = st.one_of(
    SCALARS,
    st.lists(SCALARS, max_size=3),
    st.builds(lambda value: {"$ne": value}, SCALARS),
    st.builds(lambda low: {"$gte": low, "$lt": low + 2}, st.integers(-3, 3)),
)
OPERATIONS = st.one_of(
    CONDITIONS,
    st.builds(lambda values: {"$nin": values}, st.lists(SCALARS, max_size=3)),
    st.builds(lambda there: {"$exists": there}, st.booleans()),
    st.builds(lambda wanted: {"$not": wanted}, CONDITIONS),
)
KEYS = st.sampled_from(["k", "l", "'"])
PLAIN = st.dictionaries(KEYS, OPERATIONS, max_size=2)
FILTERS = st.one_of(
    PLAIN,
    st.builds(lambda parts: {"$or": parts}, st.lists(PLAIN, min_size=1, max_size=3)),
    st.builds(lambda parts: {"$and": parts}, st.lists(PLAIN, min_size=1, max_size=3)),
    st.builds(lambda part, rest: {"$not": part, **rest}, PLAIN, PLAIN),
)
STEPS = st.one_of(
    st.tuples(st.just("upsert"), st.lists(st.tuples(RECORDS, VECTORS), max_size=6)),
    st.tuples(st.just("delete"), st.lists(st.sampled_from(["a", "b", "c", "ä", "zz"]), max_size=3)),
    st.tuples(
        st.just("delete_matching"), st.dictionaries(KEYS, CONDITIONS, min_size=1, max_size=2)
    ),
    st.tuples(st.just("search"), st.tuples(VECTORS, FILTERS, st.integers(1, 8))),
)


def same(left: Any, right: Any) -> bool:
    """Compare as JSON does: true is not 1."""
    return left == right and isinstance(left, bool) == isinstance(right, bool)


def holds(metadata: dict[str, Any], key: str, wanted: Any) -> bool:
    if isinstance(wanted, dict) and "$not" in wanted:
        return not holds(metadata, key, wanted["$not"])
    if isinstance(wanted, dict) and "$exists" in wanted:
        return (key in metadata) is wanted["$exists"]
    value = metadata.get(key)
    if isinstance(wanted, list):
        return any(same(value, one) for one in wanted)
    if not isinstance(wanted, dict):
        return same(value, wanted)
    if "$nin" in wanted:
        return not holds(metadata, key, wanted["$nin"])
    if "$ne" in wanted:
        return not same(value, wanted["$ne"])
    numeric = isinstance(value, int) and not isinstance(value, bool)
    return numeric and wanted["$gte"] <= value < wanted["$lt"]


def matches(metadata: Any, wanted: dict[str, Any]) -> bool:
    return all(part(metadata, key, value) for key, value in wanted.items())


def part(metadata: Any, key: str, value: Any) -> bool:
    if key == "$or":
        return any(matches(metadata, one) for one in value)
    if key == "$and":
        return all(matches(metadata, one) for one in value)
    if key == "$not":
        return not matches(metadata, value)
    return holds(dict(metadata), key, value)


class Model:
    """What a collection should be."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[Record, tuple[int, ...]]] = {}

    def ids(self, wanted: dict[str, Any]) -> set[str]:
        return {name for name, (row, _) in self.rows.items() if matches(row.metadata, wanted)}

    def scores(self, vector: tuple[int, ...], wanted: dict[str, Any]) -> dict[str, float]:
        found = {}
        for name in self.ids(wanted):
            other = np.asarray(self.rows[name][1], float)
            norms = np.linalg.norm(other) * np.linalg.norm(vector)
            found[name] = float(other @ vector / norms)
        return found


async def play(store: VectorStore, steps: list[Any]) -> None:
    model = Model()
    for step, given_ in steps:
        if step == "upsert":
            written = await store.upsert(
                [row for row, _ in given_], embeddings=[vector for _, vector in given_]
            )
            model.rows |= {row.id: (row, vector) for row, vector in given_}
            assert written == len({row.id for row, _ in given_})
        elif step == "delete":
            gone = model.rows.keys() & set(given_)
            assert await store.delete(given_) == len(gone)
            model.rows = {name: row for name, row in model.rows.items() if name not in gone}
        elif step == "delete_matching":
            gone = model.ids(given_)
            assert await store.delete(filter=given_) == len(gone)
            model.rows = {name: row for name, row in model.rows.items() if name not in gone}
        else:
            await compare(store, model, *given_)
        assert await store.count() == len(model.rows)


async def compare(
    store: VectorStore, model: Model, vector: tuple[int, ...], wanted: dict[str, Any], top_k: int
) -> None:
    hits = await store.search(vector, top_k=top_k, filter=wanted)
    scores = model.scores(vector, wanted)
    best = sorted(scores.values(), reverse=True)[:top_k]
    np.testing.assert_allclose([hit.score for hit in hits], best, atol=1e-6)
    for hit in hits:
        row, _ = model.rows[hit.id]
        assert (hit.text, hit.metadata) == (row.text, row.metadata)
        np.testing.assert_allclose(hit.score, scores[hit.id], atol=1e-6)
    assert await store.count(wanted) == len(scores)


def test_collection_is_a_sorted_dict(postgres_url: str):
    """After any steps a collection holds, counts and finds what a dict would."""
    with asyncio.Runner() as runner:
        database = Database(DatabaseSettings(url=postgres_url, max_size=2))
        runner.run(database.__aenter__())

        @hypothesis_settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
        @given(st.lists(STEPS, max_size=12))
        def run(steps: list[Any]) -> None:
            store = database.vectors(f"t{secrets.token_hex(4)}")
            runner.run(play(store, steps))
            runner.run(store.drop())

        try:
            run()
        finally:
            runner.run(database.aclose())
