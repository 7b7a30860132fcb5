"""Collections of vectors: what is written, what is refused, and what a collection remembers."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from agentinfra.db.database import Database
from agentinfra.db.vectors.store import Record, VectorStore
from agentinfra.errors import (
    DimensionMismatchError,
    EmbeddingModelMismatchError,
    NotStartedError,
    VectorError,
)
from agentinfra.observability.metrics import Metrics
from agentinfra.results import EmbeddingBatch, Usage
from agentinfra.settings import DatabaseSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

A = np.array([1, 0, 0, 0], np.float32)
B = np.array([0, 1, 0, 0], np.float32)


@dataclass
class Embedder:
    """Puts a text on the axis its first letter names, and keeps what it was asked for."""

    model: str = "axis-v1"
    default: int = 4
    degraded: str | None = None
    asked: list[tuple[int, str | None, int | None]] = field(default_factory=list)

    async def get_embeddings(
        self, texts: Sequence[str], *, model: str | None = None, dimensions: int | None = None
    ) -> EmbeddingBatch:
        self.asked.append((len(texts), model, dimensions))
        vectors = np.zeros((len(texts), dimensions or self.default), np.float32)
        for row, text in zip(vectors, texts, strict=True):
            row[ord(text[0].lower()) % len(row)] = 1.0
        name = self.model if self.degraded else model or self.model
        return EmbeddingBatch(
            vectors=vectors, model=name, usage=Usage(), cost_usd=None, degraded=self.degraded
        )


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[Database]:
    """Give a database with metrics and an embedder."""
    async with (
        Metrics() as metrics,
        Database(
            DatabaseSettings(url=postgres_url, max_size=4), metrics=metrics, embedder=Embedder()
        ) as opened,
    ):
        yield opened


@pytest.fixture
async def store(database: Database) -> AsyncIterator[VectorStore]:
    """Give a collection that does not exist yet, and remove it afterwards."""
    made = database.vectors(f"t{secrets.token_hex(4)}")
    yield made
    await made.drop()


async def test_what_is_written_is_found(store: VectorStore):
    """A record comes back with its text and metadata as they were given."""
    metadata = {"n": 1, "x": 0.5, "on": True, "no": None, "tags": ["a", {"b": "é"}], "": "\\u0000"}
    await store.upsert([{"id": "a", "text": "Äpfel 🍏", "metadata": metadata}], embeddings=[A])
    (hit,) = await store.search(A)
    assert (hit.id, hit.text, hit.metadata) == ("a", "Äpfel 🍏", metadata)
    assert hit.score == pytest.approx(1.0)


async def test_a_collection_that_is_not_there_is_empty(store: VectorStore):
    """Before anything was written, nothing is found, counted or deleted, and nothing fails."""
    assert await store.search("anything") == []
    assert await store.search(A, hybrid=False) == []
    assert await store.count() == 0
    assert await store.count({"a": 1}) == 0
    assert await store.delete(["a"]) == 0
    await store.drop()
    with pytest.raises(VectorError, match="does not exist yet"):
        await store.create_index()


async def test_records_are_replaced_by_id(store: VectorStore):
    """Writing an id again replaces text, metadata and vector; the count says how many ids."""
    assert await store.upsert([Record(id="a", text="old"), Record(id="b")], embeddings=[A, B]) == 2
    again = [Record(id="a", text="first"), Record(id="a", text="new", metadata={"k": 1})]
    assert await store.upsert(again, embeddings=[A, B]) == 1
    assert await store.count() == 2
    first, second = await store.search(B, top_k=2)
    assert {(hit.id, hit.text) for hit in (first, second)} == {("a", "new"), ("b", "")}
    assert await store.count({"k": 1}) == 1


async def test_records_that_did_not_change_are_left_alone(store: VectorStore, database: Database):
    """Writing the same again rewrites no row, so that ingesting twice costs no room."""
    records = [Record(id=f"r{n}", text="t", metadata={"n": n}) for n in range(100)]
    vectors = np.tile(A, (100, 1))
    await store.upsert(records, embeddings=vectors)
    place = f'{database.server.schema}."vec_{store.name}"'
    table = f"SELECT max(xmin::text::bigint), max(updated_at) FROM {place}"
    before = await database.pool.fetchrow(table)
    assert await store.upsert(records, embeddings=vectors) == 100
    assert await store.upsert(records[:3], embeddings=vectors[:3]) == 3
    assert await database.pool.fetchrow(table) == before
    await store.upsert([Record(id="r0", text="changed")], embeddings=[A])
    assert await database.pool.fetchrow(table) != before


async def test_many_records_are_copied(store: VectorStore):
    """More records than one statement takes arrive whole, each with its own vector."""
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((6_001, 4))
    records = [{"id": f"{n:05}", "text": f"text {n}", "metadata": {"n": n}} for n in range(6_001)]
    assert await store.upsert(records, embeddings=vectors) == 6_001
    assert await store.count() == 6_001
    for n in (0, 4_999, 5_000, 6_000):
        (hit,) = await store.search(vectors[n], top_k=1)
        assert (hit.id, hit.text, hit.metadata) == (f"{n:05}", f"text {n}", {"n": n})


async def test_many_records_replace_what_is_there(store: VectorStore, database: Database):
    """A load of many replaces records of the same id, and leaves equal ones alone."""
    vectors = np.random.default_rng(2).standard_normal((2_000, 4)).astype(np.float32)
    records = [Record(id=f"{n:05}", text=f"é {n}") for n in range(1_999, -1, -1)]
    assert await store.upsert(records[:1_200], embeddings=vectors[:1_200]) == 1_200
    rows = f'SELECT ctid FROM {database.server.schema}."vec_{store.name}" WHERE id = $1'
    async with database.connection(readonly=False) as connection:
        before = await connection.fetchval(rows, records[7].id)
        changed = [Record(id=records[3].id, text="new"), *records[4:]]
        assert await store.upsert(changed, embeddings=vectors[3:]) == 1_997
        assert await connection.fetchval(rows, records[7].id) == before
    assert await store.count() == 2_000
    for n, text in ((0, records[0].text), (3, "new"), (1_300, records[1_300].text)):
        (hit,) = await store.search(vectors[n], top_k=1)
        assert (hit.id, hit.text) == (records[n].id, text)


async def test_of_many_records_with_one_id_the_last_wins(store: VectorStore):
    """An id that comes twice in a load of many is written once, with the last one's vector."""
    records = [Record(id=f"{n % 1_500}", text=f"{n}") for n in range(1_600)]
    vectors = np.random.default_rng(3).standard_normal((1_600, 4))
    assert await store.upsert(records, embeddings=vectors) == 1_500
    for n in (1_599, 1_500, 100):
        (hit,) = await store.search(vectors[n], top_k=1)
        assert (hit.id, hit.text) == (f"{n % 1_500}", f"{n}")


async def test_words_of_a_load_are_found_before_and_after_they_are_kept(
    store: VectorStore, database: Database
):
    """A load of many leaves words to the index; hybrid searches find them either way."""
    records = [Record(id=f"{n}", text=f"a number{n} of many") for n in range(1_200)]
    await store.upsert(records, embeddings=np.tile(A, (1_200, 1)), model="axis-v1")
    table = f'{database.server.schema}."vec_{store.name}"'

    async def kept() -> int:
        async with database.connection(readonly=False) as connection:
            count = f"SELECT count(*) FROM {table} WHERE tsv IS NOT NULL"
            return int(await connection.fetchval(count))

    assert await kept() == 0
    assert "777" in [hit.id for hit in await store.search("number777", hybrid=True)]
    assert await store.create_index()
    assert await kept() == 1_200
    assert "777" in [hit.id for hit in await store.search("number777", hybrid=True)]
    await store.upsert([Record(id="777", text="other words")], embeddings=[A], model="axis-v1")
    assert "777" in [hit.id for hit in await store.search("words", hybrid=True)]
    assert await kept() == 1_200


async def test_nothing_to_write_writes_nothing(store: VectorStore):
    """No records is no error, and creates nothing."""
    assert await store.upsert([]) == 0
    assert await store.upsert([], embeddings=[]) == 0
    with pytest.raises(VectorError, match="has no dimensions yet"):
        await store.ensure()


async def test_deleting_by_ids_filter_and_both(store: VectorStore):
    """Delete says how many there were; ids and filter together have to match both."""
    records = [Record(id=f"r{n}", metadata={"even": n % 2 == 0}) for n in range(10)]
    await store.upsert(records, embeddings=np.tile(A, (10, 1)))
    assert await store.delete([]) == 0
    assert await store.delete(["r1", "r1", "nobody"]) == 1
    assert await store.delete(["r2", "r3"], filter={"even": True}) == 1
    assert await store.delete(filter={"even": False}) == 4
    assert await store.count() == 4
    for wrong in ({}, {"filter": {}}, {"ids": "r4"}):
        with pytest.raises(VectorError):
            await store.delete(**wrong)
    assert await store.count() == 4


async def test_dropped_means_gone(store: VectorStore):
    """After drop the collection is new: other dimensions and another model are welcome."""
    await store.upsert([Record(id="a")], embeddings=[A], model="one")
    await store.drop()
    assert await store.count() == 0
    await store.upsert([Record(id="a")], embeddings=[[1.0, 2.0]], model="two")
    assert await store.count() == 1


async def test_ensure_creates_an_empty_collection(database: Database):
    """With dimensions a collection can be made before there are records; twice is once."""
    store = database.vectors(f"t{secrets.token_hex(4)}", 3)
    await store.ensure()
    await store.ensure()
    assert await store.search([1, 2, 3]) == []
    with pytest.raises(DimensionMismatchError, match=r"3 dimensions and this store has 4"):
        await database.vectors(store.name, 4).ensure()
    await store.drop()


@pytest.mark.parametrize(
    ("records", "embeddings", "said"),
    [
        ([{"id": "a"}], [[1, float("nan"), 0, 0]], "record 'a' has nan at position 1"),
        ([{"id": "a"}], [[1, 0, float("inf"), 0]], "record 'a' has inf at position 2"),
        ([{"id": "a"}], [[1e300, 0, 0, 0]], "record 'a' has inf at position 0"),
        ([{"id": "a"}], [[0, 0, 0, 0]], "record 'a' has no length to compare by"),
        ([{"id": "a"}], [[1e-30, 0, 0, 0]], "record 'a' has no length to compare by"),
        ([{"id": "a"}], [[1e30, 0, 0, 0]], "record 'a' has no length to compare by"),
        ([{"id": "a"}], [A, B], r"shape \(2, 4\) for 1 records"),
        ([{"id": "a"}, {"id": "b"}], [A], r"shape \(1, 4\) for 2 records"),
        ([{"id": "a"}], A, r"shape \(4,\) for 1 records"),
        ([{"id": "a"}, {"id": "b"}], [[1, 2], [1]], "cannot be read as numbers"),
        ([{"id": "a"}], [["x", "y"]], "cannot be read as numbers"),
        ([{"text": "a"}], [A], "record 0 has the id ''"),
        ([{"id": 7}], [A], "record 0 has the id 7"),
        ([{"id": "a\0"}], [A], "id of record 0 holds a NUL"),
        ([{"id": "a", "text": "x\0"}], [A], "NUL"),
        ([{"id": "a", "text": "\ud800"}], [A], "no Unicode text"),
        ([{"id": "a", "text": 5}], [A], "text of record 'a' is 5"),
        ([{"id": "a", "meta": {}}], [A], "has the key 'meta'"),
        ([{"id": "a", "metadata": [1]}], [A], r"has the metadata \[1\]"),
        ([{"id": "a", "metadata": {"x": float("nan")}}], [A], "has to be JSON"),
        ([{"id": "a", "metadata": {"x": object}}], [A], "has to be JSON"),
        ([{"id": "a", "metadata": {"x": "\0"}}], [A], "NUL"),
        ([{"id": "a", "metadata": {"x": "\udc00"}}], [A], "has to be JSON"),
        (["a"], [A], "record 0 is 'a'"),
        (7, [A], "the records are 7"),
        ({"id": "a"}, [A], "the records are {'id': 'a'}"),
        ([{"id": "a"}], [[]], r"shape \(1, 0\)"),
        ([{"id": "a"}], [[10**400]], "cannot be read as numbers"),
        ([{"id": "a"}], [[1.0] * 16_001], "have 16001 dimensions"),
        ([{"id": "a", "metadata": {"n": 10**5000}}], [A], "a dict that cannot be printed"),
        ([{"id": "é" * 1_001}], [A], "id of 1001 characters"),
    ],
)
async def test_what_cannot_be_stored_is_refused_by_name(
    store: VectorStore, records: list[Any], embeddings: Any, said: str
):
    """A record or vector that cannot be stored is refused before anything is sent."""
    with pytest.raises(VectorError, match=said) as caught:
        await store.upsert(records, embeddings=embeddings)
    assert "\n" not in str(caught.value)
    assert await store.count() == 0


@pytest.mark.parametrize(
    ("query", "options", "said"),
    [
        ("", {}, "the query is ''"),
        (" \n", {}, "the query is"),
        ("a\0", {}, "NUL"),
        (A, {"top_k": 0}, "top_k is 0"),
        (A, {"top_k": -3}, "top_k is -3"),
        (A, {"top_k": 1001}, "top_k is 1001"),
        (A, {"top_k": "5"}, "top_k is '5'"),
        (A, {"top_k": True}, "top_k is True"),
        (A, {"min_score": "x"}, "min_score is 'x'"),
        (A, {"ef_search": 1.5}, "ef_search is 1.5"),
        (A, {"ef_search": 0}, "ef_search is 0"),
        (A, {"ef_search": 1001}, "ef_search is 1001"),
        (A, {"min_score": float("nan")}, "min_score is nan"),
        (A, {"hybrid": True}, "needs the query as text"),
        ([A, B], {}, r"shape \(2, 4\)"),
        ([], {}, r"shape \(0,\)"),
        ([1.0, float("nan")], {}, "has nan at position 1"),
        ([0.0, 0.0], {}, "no length to compare by"),
        (A, {"filter": [{"n": 1}]}, r"filter is \[\{'n': 1\}\]: give it a mapping"),
        (A, {"filter": {"$gt": 1}}, r"filter: '\$gt' cannot be a key"),
        (A, {"filter": {"": 1}}, "filter: '' cannot be a key"),
        (A, {"filter": {5: 1}}, "filter: 5 cannot be a key"),
        (A, {"filter": {"\ud800": 1}}, "no Unicode text"),
        (A, {"filter": {"n": {"$foo": 1}}}, r"filter.n.\$foo: there is no operator '\$foo'"),
        (A, {"filter": {"n": {"$gt": 1, "x": 2}}}, "filter.n.x: there is no operator 'x'"),
        (A, {"filter": {"n": {"$gt": None}}}, r"filter.n.\$gt is None: give it a number, a text"),
        (A, {"filter": {"n": {"$gt": True}}}, r"filter.n.\$gt is True: give it a number, a text"),
        (A, {"filter": {"n": {"$in": 3}}}, r"filter.n.\$in is 3: give it a list"),
        (A, {"filter": {"n": {"$nin": "ab"}}}, r"filter.n.\$nin is 'ab': give it a list"),
        (A, {"filter": {"n": {"$exists": 1}}}, r"filter.n.\$exists is 1: give it True or False"),
        (A, {"filter": {"n": {"$like": 1}}}, r"filter.n.\$like is 1: give it a text"),
        (A, {"filter": {"n": {"$like": "%" * 17}}}, "16 signs %"),
        (A, {"filter": {"n": {"$like": "a\\"}}}, "quotes nothing"),
        (A, {"filter": {"$or": []}}, r"filter.\$or is \[\]: give it a list of filters"),
        (A, {"filter": {"$or": {"n": 1}}}, r"filter.\$or is \{'n': 1\}: give it a list"),
        (A, {"filter": {"$and": [{}, {"$or": [7]}]}}, r"filter.\$and\[1\].\$or\[0\] is 7"),
        (A, {"filter": {"$not": [1]}}, r"filter.\$not is \[1\]: give it a mapping"),
        (A, {"filter": {"n": float("inf")}}, "filter.n: metadata has to be JSON"),
        (A, {"filter": {"n": object()}}, "filter.n: metadata has to be JSON"),
        (A, {"filter": {"n": {"$in": list(range(10_001))}}}, "10001 values: it may have 10000"),
        (A, {"filter": {f"k{n}": n for n in range(257)}}, "up to 256 conditions"),
    ],
)
async def test_a_search_that_cannot_be_meant_is_refused(
    store: VectorStore, query: Any, options: dict[str, Any], said: str
):
    """An argument out of range is refused by a message that names its value."""
    with pytest.raises(VectorError, match=said):
        await store.search(query, **options)


@pytest.mark.parametrize("name", ["", "a b", 'a"; DROP', "é", "-a", "a" * 41, "a.b", "a\n"])
async def test_names_are_checked(database: Database, name: str):
    """A name that would have to be quoted within is no collection's."""
    with pytest.raises(VectorError, match="cannot name a collection"):
        database.vectors(name)


@pytest.mark.parametrize("dimensions", [0, -1, 16_001])
async def test_dimensions_are_checked(database: Database, dimensions: int):
    """Dimensions pgvector cannot store are refused at once."""
    with pytest.raises(VectorError, match=f"dimensions is {dimensions}"):
        database.vectors("x", dimensions)


async def test_names_of_collections_and_indexes_do_not_meet(database: Database):
    """A collection called like another's index is a collection of its own."""
    base = f"t{secrets.token_hex(3)}"
    names = [base, f"{base}_words", f"{base}_pkey", f"{base}_metadata", f"{base}_hnsw_16_64"]
    stores = [database.vectors(name) for name in (*names, base.upper())]
    for store in stores:
        await store.upsert([Record(id=store.name)], embeddings=[A])
    for store in stores:
        assert [hit.id for hit in await store.search(A)] == [store.name]
        await store.create_index()
    for store in stores:
        await store.drop()


async def test_other_dimensions_are_refused(store: VectorStore, database: Database):
    """Vectors of another length are neither written nor searched with, and both are named."""
    await store.upsert([Record(id="a")], embeddings=[A])
    with pytest.raises(DimensionMismatchError, match=r"4 dimensions and this embedding has 2"):
        await store.upsert([Record(id="b")], embeddings=[[1.0, 2.0]])
    with pytest.raises(DimensionMismatchError, match=r"4 dimensions and this embedding has 2"):
        await store.search([1.0, 2.0])
    with pytest.raises(DimensionMismatchError):
        await database.vectors(store.name, 2).upsert([Record(id="b")], embeddings=[A])
    assert await store.count() == 1


async def test_other_models_are_refused(store: VectorStore):
    """Vectors of another model are refused with both names."""
    await store.upsert([Record(id="a")], embeddings=[A])
    await store.upsert([Record(id="b")], embeddings=[A], model="one")
    with pytest.raises(EmbeddingModelMismatchError, match="'one' and this embedding with 'two'"):
        await store.upsert([Record(id="c")], embeddings=[A], model="two")
    batch = EmbeddingBatch(vectors=A[None, :], model="two", usage=Usage(), cost_usd=None)
    with pytest.raises(EmbeddingModelMismatchError):
        await store.upsert([Record(id="c")], embeddings=batch)
    with pytest.raises(EmbeddingModelMismatchError):
        await store.search(batch)
    with pytest.raises(EmbeddingModelMismatchError):
        await store.upsert([{"id": "c", "text": "c"}], model="two")
    assert await store.count() == 2


async def test_vectors_nobody_named_do_not_enter_a_named_collection(store: VectorStore):
    """Once a collection's model is known, those who bring vectors say what made them."""
    await store.upsert([Record(id="a")], embeddings=[A], model="one")
    with pytest.raises(VectorError, match="nobody said what made these embeddings: name it"):
        await store.upsert([Record(id="b")], embeddings=[B])
    assert [hit.id for hit in await store.search(A)] == ["a"]
    assert await store.count() == 1


async def test_no_text_is_compared_with_vectors_nobody_named(store: VectorStore):
    """Beside vectors of an unknown model no text is written or searched until it is named."""
    await store.upsert([Record(id="a", text="abc")], embeddings=[A])
    for call in (store.search("abc"), store.upsert([{"id": "b", "text": "abc"}])):
        with pytest.raises(VectorError, match="nobody said which model made the vectors"):
            await call
    await store.upsert([Record(id="a", text="abc")], embeddings=[A], model="axis-v1")
    assert [hit.id for hit in await store.search("abc")] == ["a"]


async def test_texts_name_a_collection_that_is_empty(database: Database):
    """A collection that was only made takes the embedder's model with its first text."""
    store = database.vectors(f"t{secrets.token_hex(4)}", 4)
    await store.ensure()
    assert await store.search("abc") == []
    await store.upsert([{"id": "a", "text": "abc"}])
    assert [hit.id for hit in await store.search("abc")] == ["a"]
    with pytest.raises(EmbeddingModelMismatchError):
        await store.upsert([Record(id="b")], embeddings=[A], model="two")
    await store.drop()


@pytest.mark.parametrize("default", [("axis-v2", 4), ("axis-v1", 6), ("axis-v2", 6)])
async def test_a_collection_outlives_the_default_model(
    store: VectorStore, database: Database, default: tuple[str, int]
):
    """The embedder is asked for the collection's model and length when its own became others."""
    await store.upsert([{"id": "a", "text": "abc"}])
    name, length = default
    database.embedder = Embedder(model=name, default=length)
    later = VectorStore(database, store.name)
    assert [hit.id for hit in await later.search("abc")] == ["a"]
    await later.upsert([{"id": "b", "text": "bcd"}])
    assert [hit.id for hit in await later.search("bcd", top_k=1)] == ["b"]


async def test_the_model_of_given_vectors_is_asked_for_texts(
    store: VectorStore, database: Database
):
    """A collection of the caller's own vectors is searched by text with the model they named."""
    await store.upsert([Record(id="a", text="b")], embeddings=[A], model="axis-large")
    await store.search("a text")
    assert isinstance(database.embedder, Embedder)
    assert database.embedder.asked == [(1, "axis-large", None)]


async def test_texts_are_embedded(store: VectorStore, database: Database):
    """Without embeddings the texts go to the embedder, a query's too, some hundred at a time."""
    embedder = database.embedder
    assert isinstance(embedder, Embedder)
    await store.upsert([{"id": f"{n}", "text": "abcd"[n % 4]} for n in range(1_100)])
    assert [count for count, *_ in embedder.asked] == [512, 512, 76]
    hits = await store.search("b", top_k=3, min_score=0.9)
    assert {hit.text for hit in hits} == {"b"}
    with pytest.raises(VectorError, match="record 'x' has no text"):
        await store.upsert([{"id": "x", "text": " "}])


async def test_without_an_embedder_texts_are_refused(postgres_url: str):
    """A text that nobody can embed is refused with what to do."""
    async with Database(DatabaseSettings(url=postgres_url)) as database:
        store = database.vectors(f"t{secrets.token_hex(4)}")
        with pytest.raises(VectorError, match="there is no embedder"):
            await store.upsert([{"id": "a", "text": "a"}])
        await store.upsert([{"id": "a", "text": "a"}], embeddings=[A], model="one")
        with pytest.raises(VectorError, match="there is no embedder"):
            await store.search("a")
        await store.drop()


async def test_a_collection_remembers_what_the_embedder_was_asked_for(database: Database):
    """Queries are embedded as the records were, whichever store asks."""
    name = f"t{secrets.token_hex(4)}"
    await database.vectors(name, 8).upsert([{"id": "a", "text": "abc"}], model="axis-large")
    other = VectorStore(database, name)
    assert [hit.id for hit in await other.search("abc")] == ["a"]
    await other.upsert([{"id": "b", "text": "bcd"}])
    assert isinstance(database.embedder, Embedder)
    assert database.embedder.asked == [(1, "axis-large", 8)] * 3
    await other.drop()


async def test_fallback_vectors_do_not_mix_with_a_models(store: VectorStore, database: Database):
    """Vectors of a degraded embedder are never written beside a model's, nor searched with."""
    await store.upsert([{"id": "a", "text": "abc"}])
    database.embedder = Embedder(model="hash", degraded="hash vectors: no key")
    with pytest.raises(VectorError, match="hash vectors: no key"):
        await store.upsert([{"id": "b", "text": "abc"}])
    with pytest.raises(VectorError, match="'axis-v1' and this embedding with 'hash'"):
        await store.search("abc")
    assert await store.count() == 1


async def test_fallback_vectors_do_not_enter_a_collection_of_an_unnamed_model(
    store: VectorStore, database: Database
):
    """Where nobody said what made the vectors, a fallback's are not put beside them."""
    await store.upsert([Record(id="a")], embeddings=[A])
    database.embedder = Embedder(model="hash", degraded="no key")
    with pytest.raises(VectorError, match="unnamed model"):
        await store.upsert([{"id": "b", "text": "abc"}])
    await store.upsert([Record(id="c")], embeddings=[B], model="one")
    assert await store.count() == 2


async def test_a_collection_of_its_own_takes_fallback_vectors(
    store: VectorStore, database: Database
):
    """Without any model a collection still works, and says so when the model is back."""
    database.embedder = Embedder(model="hash", degraded="no key")
    await store.upsert([{"id": "a", "text": "abc"}])
    assert [hit.id for hit in await store.search("abc")] == ["a"]
    database.embedder = Embedder()
    with pytest.raises(EmbeddingModelMismatchError, match="'hash' and this embedding with 'axis-"):
        await store.search("abc")


async def test_an_embedder_that_changes_its_model_writes_nothing(
    store: VectorStore, database: Database
):
    """When the embedder falls back half way through, no record is written."""

    class Tiring(Embedder):
        async def get_embeddings(self, *args: Any, **options: Any) -> EmbeddingBatch:
            self.model = f"model-{len(self.asked)}"
            return await super().get_embeddings(*args, **options)

    database.embedder = Tiring()
    with pytest.raises(EmbeddingModelMismatchError, match="'model-0' and later ones with 'model-1"):
        await store.upsert([{"id": f"{n}", "text": "a"} for n in range(600)])
    assert await store.count() == 0


async def test_a_store_notices_that_its_collection_was_made_anew(
    store: VectorStore, database: Database
):
    """What one store remembers gives way when another dropped and made the collection."""
    await store.upsert([{"id": "a", "text": "abc"}], model="axis-old")
    assert len(await store.search("abc")) == 1
    other = VectorStore(database, store.name)
    await other.drop()
    await other.upsert([{"id": "b", "text": "abc"}], model="axis-new")
    assert [hit.id for hit in await store.search("abc")] == ["b"]
    await other.drop()
    assert await store.search("abc") == []
    await store.upsert([{"id": "c", "text": "abc"}])
    assert await store.count() == 1


async def test_a_table_that_was_removed_by_hand_is_made_again(
    store: VectorStore, database: Database
):
    """A collection whose table somebody dropped is empty, and can be written again."""
    await store.upsert([Record(id="a")], embeddings=[A])
    await database.execute(f'DROP TABLE {database.server.schema}."vec_{store.name}"')
    assert await store.search(A) == []
    assert await store.upsert([Record(id="b")], embeddings=[A]) == 1
    assert [hit.id for hit in await store.search(A)] == ["b"]


async def test_calls_are_counted(store: VectorStore, database: Database):
    """Each upsert and search is in the histogram of database operations, by its outcome."""
    await store.upsert([Record(id="a")], embeddings=[A])
    await store.search(A)
    with pytest.raises(DimensionMismatchError):
        await store.search([1.0])
    page = database.metrics.expose()
    for labels in (
        'operation="VECTOR_UPSERT",outcome="ok"',
        'operation="VECTOR_SEARCH",outcome="ok"',
    ):
        assert f"db_query_seconds_count{{{labels}}} 1" in page
    assert 'operation="VECTOR_SEARCH",outcome="DimensionMismatchError"} 1' in page


async def test_a_store_of_a_database_that_is_not_open_says_so(postgres_url: str):
    """A store can be had before its database is entered, and used after."""
    store = Database(DatabaseSettings(url=postgres_url)).vectors("early")
    with pytest.raises(NotStartedError):
        await store.search(A)
    with pytest.raises(NotStartedError):
        await store.upsert([Record(id="a")], embeddings=[A])


async def test_behind_a_pgbouncer(postgres_url: str):
    """Where sessions are not ours, every call still works within its transaction."""
    settings = DatabaseSettings(url=postgres_url, pgbouncer=True)
    async with Database(settings, embedder=Embedder()) as database:
        store = database.vectors(f"t{secrets.token_hex(4)}")
        records = [{"id": f"{n}", "text": "abcd"[n % 4], "metadata": {"n": n}} for n in range(200)]
        assert await store.upsert(records) == 200
        assert await store.create_index()
        assert len(await store.search("a", top_k=50, filter={"n": {"$lt": 100}})) == 50
        assert len(await store.search("a b", hybrid=True)) == 5
        assert await store.delete(filter={"n": 3}) == 1
        await store.drop()


async def test_the_reader_of_an_embedded_server_may_search():
    """Searches run as the role that may only read, on collections made before and after it."""
    async with Database(DatabaseSettings(data_dir="temporary")) as database:
        store = database.vectors("docs")
        await store.upsert([Record(id="a", text="hello")], embeddings=[A])
        assert [hit.id for hit in await store.search(A, filter={"x": None})] == ["a"]
        async with database.connection(readonly=True) as connection:
            assert await connection.fetchval("SELECT current_user") != "postgres"


@pytest.mark.parametrize("rows", [30, 700, 25_000])
async def test_a_long_load_says_how_far_it_is(store: VectorStore, rows: int):
    """Embedding and writing are told on the way, up to the last record, however few there are."""
    told: list[tuple[str, int, int]] = []
    records = [{"id": f"{n}", "text": "abc"} for n in range(rows)]
    await store.upsert(records, progress=lambda *seen: told.append(seen))
    for what in ("embedded", "written"):
        done = [seen[1] for seen in told if seen[0] == what]
        assert done == sorted(done)
        assert done[-1] == rows
        assert len(done) > 1 or rows < 20_000
    assert {seen[2] for seen in told} == {rows}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"m": 1}, "m is 1:"),
        ({"m": 101, "ef_construction": 400}, "m is 101:"),
        ({"m": "16"}, "m is '16'"),
        ({"m": True}, "m is True"),
        ({"m": 16, "ef_construction": 31}, "ef_construction is 31"),
        ({"ef_construction": 1_001}, "ef_construction is 1001"),
        ({"ef_construction": 64.0}, "ef_construction is 64.0"),
        ({"kind": "ivfflat"}, "kind 'ivfflat'"),
    ],
)
async def test_an_index_of_other_options_is_refused(
    store: VectorStore, options: dict[str, Any], said: str
):
    """What pgvector does not take is refused by its value, before anything is built."""
    with pytest.raises(VectorError, match=said):
        await store.create_index(**options)
