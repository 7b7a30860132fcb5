"""Searching vectors: the right rows, through filters, words and an index."""

from __future__ import annotations

import json
import secrets
from datetime import UTC, date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import pytest_asyncio
from numpy.linalg import norm

from agentinfra.db.database import Database
from agentinfra.db.vectors.choosing import look
from agentinfra.db.vectors.query import Query
from agentinfra.db.vectors.schema import Collection, Site
from agentinfra.db.vectors.search import Way, settings, statement
from agentinfra.db.vectors.store import Record, VectorStore
from agentinfra.errors import VectorError
from agentinfra.results import EmbeddingBatch, Usage
from agentinfra.settings import DatabaseSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from numpy.typing import NDArray

WORDS = ("refund", "order", "parcel", "invoice", "warehouse")
LANGUAGES = ("en", "de", "fr", None)
SEEN = (
    "2026-03-01",
    "2026-03-01T10:00:00",
    "2026-03-01T10:00:00Z",
    "2026-03-01T23:30:00-05:00",
    "2026-03-02 00:00:00.5+00",
    "2026-02-31T00:00:00",
    "2026-13-01",
    "0000-01-01",
    "yesterday",
    20260301,
    None,
)
"""Moments as people write them, and what is none; a 31 February is a day in March."""


def seen(metadata: dict[str, Any]) -> datetime | None:
    """Give the moment a record was seen."""
    moments = {
        "2026-03-01": datetime(2026, 3, 1, tzinfo=UTC),
        "2026-03-01T10:00:00": datetime(2026, 3, 1, 10, tzinfo=UTC),
        "2026-03-01T10:00:00Z": datetime(2026, 3, 1, 10, tzinfo=UTC),
        "2026-03-01T23:30:00-05:00": datetime(2026, 3, 2, 4, 30, tzinfo=UTC),
        "2026-03-02 00:00:00.5+00": datetime(2026, 3, 2, 0, 0, 0, 500_000, tzinfo=UTC),
        "2026-02-31T00:00:00": datetime(2026, 3, 3, tzinfo=UTC),
    }
    return moments.get(metadata["seen"])


def between(low: datetime, high: datetime) -> Callable[[dict[str, Any]], bool]:
    """Give what keeps records seen from one moment on and before another."""

    def keep(metadata: dict[str, Any]) -> bool:
        moment = seen(metadata)
        return moment is not None and low <= moment < high

    return keep


class Corpus:
    """Clustered vectors with metadata, and the true answer to a search."""

    def __init__(self, rows: int, dimensions: int, *, clusters: int = 40, seed: int = 7) -> None:
        rng = np.random.default_rng(seed)
        self.centres = rng.standard_normal((clusters, dimensions))
        self.vectors = self._around(rng.integers(0, clusters, rows), rng)
        self.queries = self._around(rng.integers(0, clusters, 25), rng)
        self.records = [
            Record(
                id=f"{n:06}",
                text=f"{WORDS[n % 5]} {WORDS[n // 5 % 5]} number{n}",
                metadata={
                    "n": n,
                    "share": n % 100,
                    "lang": LANGUAGES[n % 4],
                    "tags": [f"t{n % 3}"],
                    "price": n / 8,
                    "day": f"2026-{n % 12 + 1:02}-01",
                    "seen": SEEN[n % len(SEEN)],
                    "doc": {"page": n % 10, "by": {"name": "Ada" if n % 7 else "Bob"}},
                    "doc.size": n % 3,
                    **({"rare": True} if n % 50 == 0 else {}),
                },
            )
            for n in range(rows)
        ]

    def _around(self, picks: Any, rng: np.random.Generator) -> NDArray[np.float32]:
        noise = rng.standard_normal((len(picks), self.centres.shape[1]))
        return np.asarray(self.centres[picks] + 0.7 * noise, np.float32)

    def nearest(
        self,
        query: NDArray[np.float32],
        k: int,
        keep: Callable[[dict[str, Any]], bool] | None = None,
    ) -> list[tuple[str, float]]:
        """Give the ids and similarities a look at every row gives."""
        wide = self.vectors.astype(np.float64)
        scores = wide @ query / np.linalg.norm(wide, axis=1) / np.linalg.norm(query)
        order = np.argsort(-scores)
        kept = (n for n in order if keep is None or keep(dict(self.records[n].metadata)))
        return [
            (self.records[n].id, float(scores[n])) for n, _ in zip(kept, range(k), strict=False)
        ]

    async def fill(self, store: VectorStore) -> None:
        await store.upsert(self.records, embeddings=self.vectors, model="numpy")


SMALL = Corpus(800, 24)
LARGE = Corpus(6_000, 32, clusters=60)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def database(postgres_url: str) -> AsyncIterator[Database]:
    """Give a database for all searches of this module."""
    async with Database(DatabaseSettings(max_size=4), url=postgres_url) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def small(database: Database) -> AsyncIterator[VectorStore]:
    """Give a collection without index."""
    store = database.vectors(f"small{secrets.token_hex(3)}")
    await SMALL.fill(store)
    yield store
    await store.drop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def large(database: Database) -> AsyncIterator[VectorStore]:
    """Give a collection with an index."""
    store = database.vectors(f"large{secrets.token_hex(3)}")
    await LARGE.fill(store)
    assert await store.create_index()
    yield store
    await store.drop()


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_hits_are_those_of_a_look_at_every_row(small: VectorStore):
    """Without an index the hits, their order and their scores are exact."""
    for query in SMALL.queries:
        hits = await small.search(query, top_k=12)
        truth = SMALL.nearest(query, 12)
        assert [hit.id for hit in hits] == [name for name, _ in truth]
        assert [hit.score for hit in hits] == pytest.approx([score for _, score in truth], abs=1e-5)


async def test_top_k_and_min_score_bound_the_hits(small: VectorStore):
    """Never more than top_k hits, and none below min_score."""
    query = SMALL.queries[0]
    assert len(await small.search(query, top_k=1)) == 1
    assert len(await small.search(query, top_k=1000)) == 800
    least = SMALL.nearest(query, 5)[-1][1]
    hits = await small.search(query, top_k=100, min_score=least - 1e-6)
    assert len(hits) == 5
    assert await small.search(query, min_score=1.5) == []
    (exact,) = await small.search(query, top_k=1)
    assert len(await small.search(query, min_score=exact.score)) == 1  # the bound is a hit's


async def test_length_of_vectors_does_not_matter(small: VectorStore):
    """Only directions are compared, of stored vectors and of queries."""
    query = SMALL.queries[1]
    assert [h.id for h in await small.search(query * 1000)] == [
        h.id for h in await small.search((query / 1000).tolist())
    ]


FILTERS: list[tuple[dict[str, Any], Callable[[dict[str, Any]], bool]]] = [
    ({"n": 7}, lambda m: m["n"] == 7),
    ({"lang": "de"}, lambda m: m["lang"] == "de"),
    ({"lang": None}, lambda m: m["lang"] is None),
    ({"rare": None}, lambda m: "rare" not in m),
    ({"rare": True}, lambda m: "rare" in m),
    ({"rare": 1}, lambda m: False),
    ({"price": 10}, lambda m: m["price"] == 10.0),
    ({"lang": ["de", "fr"]}, lambda m: m["lang"] in ("de", "fr")),
    ({"lang": ["de", None]}, lambda m: m["lang"] in ("de", None)),
    ({"lang": []}, lambda m: False),
    ({"n": list(range(0, 800, 20))}, lambda m: m["n"] % 20 == 0),
    ({"n": {"$in": (1, 2, 3)}}, lambda m: m["n"] in (1, 2, 3)),
    ({"n": {"$gt": 700}}, lambda m: m["n"] > 700),
    ({"n": {"$gte": 100, "$lt": 110}}, lambda m: 100 <= m["n"] < 110),
    ({"price": {"$lte": 0.5}}, lambda m: m["price"] <= 0.5),
    ({"lang": {"$ne": "de"}}, lambda m: m["lang"] != "de"),
    ({"lang": {"$ne": None}}, lambda m: m["lang"] is not None),
    ({"rare": {"$ne": None}}, lambda m: "rare" in m),
    ({"lang": {"$gt": "de"}}, lambda m: m["lang"] is not None and m["lang"] > "de"),
    ({"lang": {"$lt": 5}}, lambda m: False),
    ({"day": {"$gte": "2026-11-01"}}, lambda m: m["day"] >= "2026-11-01"),
    ({"tags": {"$in": [["t1"]]}}, lambda m: m["tags"] == ["t1"]),
    ({"tags": {"$contains": "t1"}}, lambda m: "t1" in m["tags"]),
    ({"tags": {"$contains": ["t1", "t2"]}}, lambda m: False),
    ({"lang": {"$contains": "de"}}, lambda m: False),
    ({"lang": {"$eq": "de"}}, lambda m: m["lang"] == "de"),
    ({"lang": {"$nin": ["de", None]}}, lambda m: m["lang"] in ("en", "fr")),
    ({"rare": {"$nin": [True]}}, lambda m: "rare" not in m),
    ({"n": {"$nin": list(range(700))}}, lambda m: m["n"] >= 700),
    ({"rare": {"$exists": True}}, lambda m: "rare" in m),
    ({"rare": {"$exists": False}}, lambda m: "rare" not in m),
    ({"lang": {"$exists": True}}, lambda m: True),
    ({"lang": {"$like": "%e"}}, lambda m: m["lang"] == "de"),
    ({"n": {"$like": "%"}}, lambda m: False),
    ({"n": {"$not": {"$lt": 700}}}, lambda m: m["n"] >= 700),
    ({"rare": {"$not": {"$gt": 0}}}, lambda m: True),
    ({"lang": {"$not": "de"}}, lambda m: m["lang"] != "de"),
    ({"lang": {"$not": ["de", "fr"]}}, lambda m: m["lang"] not in ("de", "fr")),
    ({"$or": [{"n": 1}, {"lang": "de", "share": 5}]}, lambda m: m["n"] == 1 or m["share"] == 5),
    ({"$or": [{"n": 1}, {"n": 2}], "lang": "de"}, lambda m: m["n"] == 1),
    ({"$and": [{"n": {"$gt": 5}}, {"n": {"$lt": 9}}]}, lambda m: 5 < m["n"] < 9),
    ({"$not": {"n": {"$gt": 5}, "lang": "de"}}, lambda m: m["n"] <= 5 or m["lang"] != "de"),
    ({"$not": {"nobody's": {"$gt": 5}}}, lambda m: True),
    ({"$or": [{}, {"n": 1}]}, lambda m: True),
    ({"$not": {}}, lambda m: False),
    ({"doc.page": 3}, lambda m: m["n"] % 10 == 3),
    ({"doc.by.name": ["Bob", "Eve"]}, lambda m: m["n"] % 7 == 0),
    ({"doc.by": {"name": "Bob"}}, lambda m: m["n"] % 7 == 0),
    ({"doc.page": {"$gte": 8}}, lambda m: m["n"] % 10 >= 8),
    ({"doc.nobody": None}, lambda m: True),
    ({"doc.nobody": {"$exists": True}}, lambda m: False),
    ({"doc.size": 2}, lambda m: m["n"] % 3 == 2),
    ({"doc.size": {"$ne": 2}}, lambda m: m["n"] % 3 != 2),
    ({"tags.0": "t1"}, lambda m: m["tags"] == ["t1"]),
    ({"day": date(2026, 11, 1)}, lambda m: m["day"] == "2026-11-01"),
    (
        {"seen": {"$gte": date(2026, 3, 1), "$lte": date(2026, 3, 1)}},
        between(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)),
    ),
    (
        {"seen": {"$gt": date(2026, 3, 1), "$lt": date(9999, 12, 31)}},
        between(datetime(2026, 3, 2, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)),
    ),
    (
        {"seen": {"$gte": datetime(2026, 3, 1, 10), "$lt": datetime(2026, 3, 2)}},  # noqa: DTZ001
        between(datetime(2026, 3, 1, 10, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)),
    ),
    (
        {"seen": {"$gte": datetime(2026, 3, 2, 5, tzinfo=timezone(timedelta(hours=1)))}},
        between(datetime(2026, 3, 2, 4, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)),
    ),
    ({"seen": {"$lte": date.max}}, lambda m: seen(m) is not None),
    ({"tags": "t1"}, lambda m: False),
    ({"nowhere": "x"}, lambda m: False),
    ({"lang": "en", "share": {"$lt": 50}}, lambda m: m["lang"] == "en" and m["share"] < 50),
    ({"lang' OR true --": "x"}, lambda m: False),
    ({"lang": "x' OR 'a'='a"}, lambda m: False),
]


@pytest.mark.parametrize(
    ("wanted", "keep"), FILTERS, ids=[json.dumps(f, default=str) for f, _ in FILTERS]
)
async def test_filters_mean_what_they_say(
    small: VectorStore, wanted: dict[str, Any], keep: Callable[[dict[str, Any]], bool]
):
    """A filter keeps exactly the records whose metadata a plain look would keep."""
    truth = SMALL.nearest(SMALL.queries[2], 800, keep)
    hits = await small.search(SMALL.queries[2], top_k=1000, filter=wanted)
    assert [hit.id for hit in hits] == [name for name, _ in truth]
    assert await small.count(wanted) == len(truth)


async def test_filters_compare_objects_whole(database: Database):
    """A mapping without operators equals the whole object, not a part of it."""
    store = database.vectors(f"t{secrets.token_hex(4)}")
    metadata = [{"by": {"name": "Ann"}}, {"by": {"name": "Ann", "age": 3}}, {"by": "Ann"}, {}]
    records = [Record(id=f"r{n}", metadata=given) for n, given in enumerate(metadata)]
    await store.upsert(records, embeddings=np.eye(4))
    assert await store.count({"by": {"name": "Ann"}}) == 1
    assert await store.count({"by": {"$ne": {"name": "Ann"}}}) == 3
    assert await store.count({"by": {}}) == 0
    await store.drop()


async def test_index_finds_nearly_all(large: VectorStore):
    """The index's ten nearest are at least nine of the true ten, on average."""
    found = []
    for query in LARGE.queries:
        truth = {name for name, _ in LARGE.nearest(query, 10)}
        found.append(len(truth & {hit.id for hit in await large.search(query, top_k=10)}) / 10)
    assert np.mean(found) >= 0.9


async def test_more_hits_than_the_index_keeps_by_default(large: VectorStore):
    """Asking for hundreds gives hundreds."""
    assert len(await large.search(LARGE.queries[0], top_k=700)) == 700
    assert len(await large.search(LARGE.queries[0], top_k=50, ef_search=1)) == 50


def site(database: Database) -> Site:
    """Give where collections are."""
    server = database.server
    return Site(schema=server.schema, pgvector=f'"{server.vector_schema}"')


async def plan(
    database: Database,
    query: Query,
    collection: Collection,
    vector: NDArray[np.float32],
    way: Way,
) -> str:
    """Give the plan of a search."""
    text, arguments = statement(collection, query, vector, way)
    async with database.transaction() as connection:
        await connection.execute("; ".join(settings(collection, query, way, iterative=True)))
        rows = await connection.fetch(f"EXPLAIN {text}", *arguments)
    return "\n".join(row[0] for row in rows)


@pytest.mark.parametrize("ef_search", [1, 40, 100, 400])
async def test_plans_use_the_index(database: Database, large: VectorStore, ef_search: int):
    """A search goes through the index, with a filter that much matches too, and not when exact."""
    collection = Collection(site=site(database), name=large.name, dimensions=32)
    vector = LARGE.queries[0]
    index = f"Index Scan using vecidx_{large.name}_hnsw_16_64"
    plain = Query(top_k=10, ef_search=ef_search)
    assert index in await plan(database, plain, collection, vector, Way())
    filtered = Query(top_k=10, ef_search=ef_search, filter={"share": {"$lt": 50}})
    assert index in await plan(database, filtered, collection, vector, Way())
    assert index in await plan(database, filtered, collection, vector, Way(near=200))
    assert index not in await plan(database, filtered, collection, vector, Way(exact=True))
    words = Query(text="refund", top_k=10, ef_search=ef_search)
    assert index in await plan(database, words, collection, vector, Way())


@pytest.mark.parametrize("share", [{"share": 3}, {"n": {"$lt": 60}}, {"n": [5, 10, 15]}])
async def test_selective_filters_lose_nothing(large: VectorStore, share: dict[str, Any]):
    """Where one row in a hundred matches, all of top_k come, and they are the true ones."""

    def keep(metadata: dict[str, Any]) -> bool:
        ((key, wanted),) = share.items()
        value = metadata[key]
        if isinstance(wanted, dict):
            return bool(value < wanted["$lt"])
        return value in wanted if isinstance(wanted, list) else value == wanted

    for query in LARGE.queries[:8]:
        hits = await large.search(query, top_k=10, filter=share)
        assert [hit.id for hit in hits] == [name for name, _ in LARGE.nearest(query, 10, keep)]


async def test_wide_filters_go_through_the_index(large: VectorStore):
    """Where half of the rows match, nine in ten of the true ones come, and only such that match."""
    found = []
    for query in LARGE.queries:
        hits = await large.search(query, top_k=10, filter={"share": {"$gte": 50}})
        assert all(hit.metadata["share"] >= 50 for hit in hits)
        truth = {name for name, _ in LARGE.nearest(query, 10, lambda m: m["share"] >= 50)}
        found.append(len(truth & {hit.id for hit in hits}) / 10)
    assert np.mean(found) >= 0.9


async def test_matches_far_from_the_query_are_found(database: Database):
    """A filter whose many matches all lie elsewhere still gives top_k rows."""
    rng = np.random.default_rng(3)
    near = rng.standard_normal((4_000, 8)) * 0.01 + np.eye(8)[0]
    far = rng.standard_normal((4_000, 8)) * 0.01 - np.eye(8)[0]
    store = database.vectors(f"t{secrets.token_hex(4)}")
    records = [Record(id=f"{n}", metadata={"far": n >= 4_000}) for n in range(8_000)]
    await store.upsert(records, embeddings=np.concatenate([near, far]))
    await store.create_index()
    hits = await store.search(np.eye(8)[0], top_k=10, filter={"far": True})
    assert len(hits) == 10
    assert all(hit.metadata["far"] for hit in hits)
    await store.drop()


async def test_where_too_few_of_the_nearest_match_all_that_match_are_compared(
    database: Database,
):
    """Fewer than an even spread would give tell that the index did not look where matches are."""
    near, vectors = 300, np.random.default_rng(5).standard_normal((8_000, 8)) * 0.01
    vectors[:near] += np.eye(8)[0]
    vectors[near:] -= np.eye(8)[0]
    store = database.vectors(f"t{secrets.token_hex(4)}")
    kept = [n % 10 == 0 if n < near else n % 2 == 0 for n in range(len(vectors))]
    records = [Record(id=f"{n}", metadata={"kept": keep}) for n, keep in enumerate(kept)]
    await store.upsert(records, embeddings=vectors)
    await store.create_index()
    collection = Collection(site=site(database), name=store.name, dimensions=8)
    query = Query(top_k=10, filter={"kept": True})
    sent: list[str] = []
    async with database.connection(readonly=False) as connection:
        with connection.query_logger(lambda record: sent.append(record.query)):
            rows = await look(
                connection, database.server, collection, query, np.eye(8, dtype=np.float32)[0]
            )
    truth = sorted(np.flatnonzero(kept[:near]), key=lambda n: -vectors[n, 0] / norm(vectors[n]))
    assert [row["id"] for row in rows] == [str(n) for n in truth[:10]]
    searches = ["every_match" in text for text in sent if "ORDER BY score" in text]
    assert searches == [False, True]
    await store.drop()


class SameVector:
    """Embeds every text as one vector, so that only its words tell."""

    async def get_embeddings(
        self, texts: Sequence[str], *, model: str | None = None, dimensions: int | None = None
    ) -> EmbeddingBatch:
        vectors = np.tile(SMALL.queries[0], (len(texts), 1))
        return EmbeddingBatch(vectors=vectors, model="numpy", usage=Usage(), cost_usd=None)


def fused(database_words: list[str], nearest: list[str]) -> dict[str, float]:
    """Give reciprocal rank fusion, as it is defined."""
    scores: dict[str, float] = {}
    for ranking in (database_words, nearest):
        for place, name in enumerate(ranking, 1):
            scores[name] = scores.get(name, 0.0) + 1 / (60 + place)
    return scores


async def test_hybrid_fuses_both_ranks(database: Database, small: VectorStore):
    """A hybrid score is the sum of both reciprocal ranks, words by OR and vectors."""
    database.embedder = SameVector()
    words = ["000123", "000456"]  # of both words only these have one, and each one
    hits = await small.search("number123 OR number456", top_k=10, hybrid=True)
    near = [name for name, _ in SMALL.nearest(SMALL.queries[0], 40)]
    truth = fused(words, near)
    expected = sorted(truth, key=lambda name: (-truth[name], name))[:10]
    assert [hit.id for hit in hits] == expected
    assert [hit.score for hit in hits] == pytest.approx([truth[name] for name in expected])


async def test_hybrid_finds_words_vectors_do_not(database: Database, small: VectorStore):
    """A record that only its words bring in is among the hits, in a filter's bounds."""
    database.embedder = SameVector()
    far = SMALL.nearest(SMALL.queries[0], 800)[-1][0]
    text = f"where is number{int(far)}?"
    assert far not in [hit.id for hit in await small.search(text, top_k=3)]
    assert far in [hit.id for hit in await small.search(text, top_k=3, hybrid=True)]
    metadata = SMALL.records[int(far)].metadata
    for wanted, there in ((metadata["lang"], True), ("nobody's", False)):
        hits = await small.search(text, top_k=3, hybrid=True, filter={"lang": wanted})
        assert (far in [hit.id for hit in hits]) is there
    least = await small.search(text, top_k=50, hybrid=True, min_score=1 / 61)
    assert far in [hit.id for hit in least]
    assert len(least) == 2


@pytest.mark.parametrize(
    "text",
    [
        "refund' & !parcel | ''",
        '"refund parcel" -order',
        "or or or",
        "the and of",
        "!!! ??? ---",
        "\\ ' \" :* <-> ( ) & | !",
        "parcel:* refund:A",
        "refund " * 5_000,
        " ".join(f"w{n}" for n in range(500)),
        "退款 возврат ️🍏",
    ],
)
async def test_no_text_breaks_a_hybrid_search(database: Database, small: VectorStore, text: str):
    """Whatever people type is words, never the language of text queries."""
    database.embedder = SameVector()
    assert len(await small.search(text, top_k=5, hybrid=True)) == 5


@pytest.mark.parametrize(
    ("dimensions", "form"), [(384, ""), (1_536, ""), (3_072, "::"), (4_100, "binary_quantize")]
)
async def test_no_length_is_searched_in_silence_without_its_index(
    database: Database, dimensions: int, form: str
):
    """Full vectors, halves or signs are indexed by length; the index is used, scores are exact."""
    corpus = Corpus(1_200, dimensions, clusters=60)
    store = database.vectors(f"t{secrets.token_hex(4)}")
    await corpus.fill(store)
    assert await store.create_index()
    collection = Collection(
        site=site(database), name=store.name, dimensions=dimensions, model="numpy"
    )
    index = f"Index Scan using vecidx_{store.name}_hnsw_16_64"
    vector = corpus.queries[0]
    for query, way in (
        (Query(), Way()),
        (Query(top_k=50), Way()),
        (Query(filter={"share": {"$lt": 50}}), Way(near=200)),
        (Query(text="refund"), Way()),
    ):
        text = await plan(database, query, collection, vector, way)
        assert index in text
        assert form in text
    found = []
    for vector in corpus.queries[:10]:
        truth = dict(corpus.nearest(vector, 10))
        hits = await store.search(vector, top_k=10)
        found.append(len(truth.keys() & {hit.id for hit in hits}) / 10)
        for hit in hits:
            assert hit.score == pytest.approx(truth.get(hit.id, hit.score), abs=1e-4)
    assert np.mean(found) >= 0.95
    await store.drop()


async def test_vectors_too_long_for_any_index_do_not_exist(database: Database):
    """What can be stored can be indexed."""
    store = database.vectors(f"t{secrets.token_hex(4)}")
    vectors = np.random.default_rng(5).standard_normal((20, 16_000))
    await store.upsert([Record(id=f"{n}") for n in range(20)], embeddings=vectors)
    assert await store.create_index()
    assert [hit.id for hit in await store.search(vectors[7], top_k=1)] == ["7"]
    await store.drop()


class Topics:
    """Records in clusters, each a topic of its own, and queries from all of them."""

    def __init__(self, rows: int, dimensions: int, *, topics: int) -> None:
        rng = np.random.default_rng(11)
        centres = rng.standard_normal((topics, dimensions))
        self.topics = rng.integers(0, topics, rows)
        self.vectors = centres[self.topics] + 0.6 * rng.standard_normal((rows, dimensions))
        asked = rng.integers(0, topics, 30)
        self.queries = centres[asked] + 0.6 * rng.standard_normal((30, dimensions))
        self.cosines = (self.queries @ self.vectors.T) / np.linalg.norm(self.vectors, axis=1)

    def recall(self, found: list[list[str]], kept: Any) -> float:
        shares = []
        for ids, cosines in zip(found, self.cosines, strict=True):
            truth = np.argsort(-np.where(kept, cosines, -np.inf))[:10]
            shares.append(len({str(n) for n in truth} & set(ids)) / 10)
        return float(np.mean(shares))


async def test_filters_tied_to_the_topic_lose_hardly_anything(database: Database):
    """Where what matches lies in other places than the query, it is found all the same."""
    corpus = Topics(6_000, 48, topics=60)
    store = database.vectors(f"t{secrets.token_hex(4)}")
    records = [Record(id=f"{n}", metadata={"topic": int(t)}) for n, t in enumerate(corpus.topics)]
    await store.upsert(records, embeddings=corpus.vectors, model="numpy")
    await store.create_index()
    for bound in (21, 30, 60):  # beyond the few rows that are compared in any case
        filter_ = {"topic": {"$lt": bound}}
        found = [
            [hit.id for hit in await store.search(query, top_k=10, filter=filter_)]
            for query in corpus.queries
        ]
        assert corpus.recall(found, corpus.topics < bound) >= 0.95
    await store.drop()


async def test_hits_that_differ(database: Database):
    """With diversity near twins of a hit give way to what is less near, and else they do not."""
    store = database.vectors(f"t{secrets.token_hex(4)}")
    vectors = [[1, 0.51, 0, 0], [1, 0.52, 0, 0], [1, 0.5, 0, 0], [1, -0.5, 0.2, 0], [0, 0, 0, 1]]
    await store.upsert([{"id": name} for name in "abcde"], embeddings=vectors)
    query = [1, 0, 0, 0]

    async def found(**options: Any) -> list[str]:
        return [hit.id for hit in await store.search(query, **options)]

    for _ in range(2):
        assert await found(top_k=2) == ["c", "a"]
        assert await found(top_k=2, diversity=0) == ["c", "a"]
        assert await found(top_k=2, diversity=0.5) == ["c", "d"]
        assert await found(top_k=2, diversity=0.5, filter={"lang": None}) == ["c", "d"]
        assert await found(top_k=2, diversity=1) == ["c", "e"]
        assert len(await found(top_k=9, diversity=0.5)) == 5
        assert "e" not in await found(top_k=9, diversity=1, min_score=0.5)
        await store.create_index()
    await store.drop()


async def test_words_and_diversity_go_together(small: VectorStore):
    """A hybrid search chooses among what both of its halves found."""
    hits = await small.search("refund of an order", top_k=5, hybrid=True, diversity=0.5)
    assert len({hit.id for hit in hits}) == 5


async def test_a_diversity_out_of_range_is_refused(small: VectorStore):
    """The message names the value."""
    for value in (-0.1, 1.5, True, "x", float("nan")):
        with pytest.raises(VectorError, match="diversity"):
            await small.search([1, 0], diversity=value)  # type: ignore[arg-type]


@pytest.mark.parametrize("by_another", [False, True])
async def test_words_that_a_load_left_out_are_kept_by_searches(
    database: Database, by_another: bool
):
    """After a load without words hybrid searches keep them, and after a later load again.

    Who has loaded more in another process is told by the table's size, one search later.
    """
    store = database.vectors(f"t{secrets.token_hex(4)}")
    table = f'{database.server.schema}."vec_{store.name}"'
    embedder, database.embedder = database.embedder, Axis()
    for load in range(2):
        records = [Record(id=f"{load}-{n}", text=f"word number{n}") for n in range(1_200)]
        await (VectorStore(database, store.name) if by_another else store).upsert(records)
        for _ in range(1 + load * by_another):
            hits = await store.search("number77", top_k=2, hybrid=True)
            assert "0-77" in [hit.id for hit in hits]
        async with database.connection(readonly=False) as connection:
            assert not await connection.fetchval(f"SELECT count(*) FROM {table} WHERE tsv IS NULL")
    await store.drop()
    database.embedder = embedder


async def test_words_are_kept_without_waiting_for_writers(database: Database):
    """What somebody writes is left to the next search: two who wait for each other would end."""
    store = database.vectors(f"t{secrets.token_hex(4)}")
    table = f'{database.server.schema}."vec_{store.name}"'
    embedder, database.embedder = database.embedder, Axis()
    await store.upsert([Record(id=f"{n}", text=f"word number{n}") for n in range(1_200)])
    async with database.transaction() as writer:
        await writer.execute(f"UPDATE {table} SET updated_at = now() WHERE id = '7'")
        hits = await store.search("number7", top_k=1, hybrid=True)
        left = await writer.fetch(f"SELECT id FROM {table} WHERE tsv IS NULL")
    assert [hit.id for hit in hits] == ["7"]
    assert [row["id"] for row in left] == ["7"]
    await store.search("number7", hybrid=True)
    async with database.connection(readonly=False) as connection:
        assert not await connection.fetchval(f"SELECT count(*) FROM {table} WHERE tsv IS NULL")
    await store.drop()
    database.embedder = embedder


async def test_a_hybrid_search_looks_further_than_its_hits(database: Database):
    """What is second by both words and vectors goes before what is first by one of them."""
    store = database.vectors(f"t{secrets.token_hex(4)}")
    embedder, database.embedder = database.embedder, Axis()
    texts = {"near": "gamma", "both": "alpha", "words": "alpha beta"}
    vectors = [[1, 1, 1, 1], [1, 1, 1, 0.5], [-1, -1, -1, -1]]
    records = [Record(id=name, text=text) for name, text in texts.items()]
    records += [Record(id=f"{n}", text="delta") for n in range(8)]
    await store.upsert(records, embeddings=[*vectors, *[[1, 0, 0, 0]] * 8], model="m")
    [hit] = await store.search("alpha beta", top_k=1, hybrid=True)
    assert (hit.id, hit.score) == ("both", pytest.approx(2 / 62))
    await store.drop()
    database.embedder = embedder


class Axis:
    """Makes the same vector of every text."""

    async def get_embeddings(
        self, texts: Sequence[str], *, model: str | None = None, dimensions: int | None = None
    ) -> EmbeddingBatch:
        vectors = np.ones((len(texts), dimensions or 4), np.float32)
        return EmbeddingBatch(vectors=vectors, model=model or "m", usage=Usage(), cost_usd=None)
