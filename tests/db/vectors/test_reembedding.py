"""A collection gets another model while it is read and written."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest

from agentinfra.db.database import Database
from agentinfra.db.vectors.store import VectorStore
from agentinfra.errors import EmbeddingModelMismatchError, LLMUnavailableError, VectorError
from agentinfra.results import EmbeddingBatch, Usage
from agentinfra.settings import DatabaseSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

LENGTHS = {"old": 4, "long": 8, "alike": 4}


class Embedder:
    """Puts a text on the axis its first letter names; each model begins to count elsewhere."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.on_texts: Callable[[str, int], None] = lambda _model, _texts: None
        self.held: asyncio.Event | None = None
        self.degraded: str | None = None

    async def get_embeddings(
        self, texts: Sequence[str], *, model: str | None = None, dimensions: int | None = None
    ) -> EmbeddingBatch:
        name = model or "old"
        self.asked.append((name, len(texts)))
        self.on_texts(name, len(texts))
        if self.held is not None and name != "old":
            await self.held.wait()
        vectors = np.zeros((len(texts), dimensions or LENGTHS[name]), np.float32)
        shift = 0 if name == "old" else 1
        for row, text in zip(vectors, texts, strict=True):
            row[(ord(text[0]) + shift) % len(row)] = 1.0
        return EmbeddingBatch(
            vectors=vectors,
            model="hash" if self.degraded else name,
            usage=Usage(),
            cost_usd=None,
            degraded=self.degraded,
        )

    def texts_for(self, model: str) -> int:
        return sum(count for name, count in self.asked if name == model)


@pytest.fixture
def embedder() -> Embedder:
    return Embedder()


@pytest.fixture
async def database(postgres_url: str, embedder: Embedder) -> AsyncIterator[Database]:
    settings = DatabaseSettings(url=postgres_url, max_size=6)
    async with Database(settings, embedder=embedder) as opened:
        yield opened


@pytest.fixture
async def store(database: Database) -> AsyncIterator[VectorStore]:
    made = database.vectors(f"t{secrets.token_hex(4)}")
    yield made
    await made.drop()


def records(count: int, start: int = 0) -> list[dict[str, object]]:
    letters = "abcdefgh"
    return [
        {"id": f"{n:05}", "text": f"{letters[n % 8]} {n}", "metadata": {"n": n}}
        for n in range(start, start + count)
    ]


@pytest.mark.parametrize("model", ["long", "alike"])
async def test_all_records_get_the_new_model(store, database, embedder, model):
    """Afterwards texts, metadata, words and indexes are as they were, and the model another."""
    await store.upsert(records(600))
    await store.create_index(m=8, ef_construction=32)
    told: list[tuple[int, int]] = []
    assert await store.reembed(model, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (600, 600)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    other = VectorStore(database, store.name)  # knows nothing of what was before
    for one in (store, other):
        hits = await one.search("c 2", top_k=1, filter={"n": 2})
        assert (hits[0].text, hits[0].score) == ("c 2", pytest.approx(1))
    assert await store.count() == 600
    assert len(await store.search("c 2", top_k=3, hybrid=True)) == 3
    async with database.connection(readonly=False) as connection:
        rows = await connection.fetch(
            "SELECT relname FROM pg_class WHERE strpos(relname, $1) > 0", store.name
        )
    names = {row[0].replace(store.name, "") for row in rows}
    assert {"vec_", "vecidx__id", "vecidx__hnsw_8_32", "vecidx__words"} <= names
    assert not any("~" in name for name in names)
    before = len(embedder.asked)
    assert await store.reembed(model)  # it is so already
    assert len(embedder.asked) == before
    assert await store.upsert(records(1, start=900)) == 1
    assert embedder.asked[-1][0] == model


async def test_a_pool_of_one_is_enough(postgres_url, embedder):
    """A pool of one connection builds, re-embeds, and serves who searches and writes meanwhile."""
    settings = DatabaseSettings(url=postgres_url, max_size=1, acquire_timeout=5.0)
    async with Database(settings, embedder=embedder) as database:
        stores = [database.vectors(f"t{secrets.token_hex(4)}") for _ in range(3)]
        await asyncio.gather(*(store.upsert(records(20)) for store in stores))
        assert await asyncio.gather(*(store.create_index() for store in stores)) == [True] * 3
        embedder.held = asyncio.Event()
        tasks = [asyncio.create_task(store.reembed("long")) for store in stores]
        while embedder.texts_for("long") < len(stores):  # noqa: ASYNC110 - no event says so
            await asyncio.sleep(0)
        assert (await stores[0].search("c 2", top_k=1))[0].score == pytest.approx(1)
        assert await stores[0].upsert(records(1, start=900)) == 1
        embedder.held.set()
        assert await asyncio.gather(*tasks) == [True] * 3
        assert await stores[0].count() == 21
        await asyncio.gather(*(store.drop() for store in stores))


async def test_the_old_model_serves_meanwhile(store, embedder):
    """Searches and writes go on; what is written, changed or deleted meanwhile is not lost."""
    await store.upsert(records(600))
    held = asyncio.Event()

    def hold_the_second_batch(_model: str, _texts: int) -> None:
        if embedder.texts_for("long") > 300:  # one to learn the length, and a batch
            embedder.held = held

    embedder.on_texts = hold_the_second_batch
    task = asyncio.create_task(store.reembed("long"))
    while embedder.texts_for("long") <= 300:  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert (await store.search("c 2", filter={"n": 2}))[0].score == pytest.approx(1)
    await store.upsert([*records(1, start=700), {"id": "00003", "text": "h changed"}])
    assert await store.delete(["00004"]) == 1  # whose new vector is there by now, as is 00003's
    held.set()
    assert await task
    assert await store.count() == 600
    [hit] = await store.search("h changed", top_k=1, filter={"n": None})
    assert (hit.id, hit.score) == ("00003", pytest.approx(1))
    assert await store.count({"n": 700}) == 1
    assert await store.count({"n": 4}) == 0


async def test_writers_that_never_rest_do_not_keep_the_old_model(store, embedder):
    """Where something new is written after each look, the last of it is embedded with all shut."""
    await store.upsert(records(10, start=500))
    rounds = 0
    embed = embedder.get_embeddings

    async def embed_and_write(texts, *, model=None, dimensions=None):
        nonlocal rounds
        if model == "long" and rounds < 7:  # to learn the length, and in each look without a lock
            rounds += 1
            # Before those that were embedded, so that this look does not come to it.
            await VectorStore(store._database, store.name).upsert(records(1, start=500 - rounds))
        return await embed(texts, model=model, dimensions=dimensions)

    embedder.get_embeddings = embed_and_write
    assert await store.reembed("long")
    assert rounds == 7
    assert await store.count() == 17
    [hit] = await store.search(records(1, start=493)[0]["text"], top_k=1, filter={"n": 493})
    assert hit.score == pytest.approx(1)
    assert embedder.asked[-1][0] == "long"


async def test_searches_and_writes_during_the_switch_all_succeed(store, database):
    """Whoever comes at the moment of the switch gets the right rows, or writes the right vector."""
    await store.upsert(records(300))
    done = asyncio.Event()

    async def search() -> int:
        mine, count = VectorStore(database, store.name), 0
        while not done.is_set():
            [hit] = await mine.search("c 2", top_k=1, filter={"n": 2})
            assert (hit.text, hit.score) == ("c 2", pytest.approx(1))
            count += 1
        return count

    async def write(number: int) -> int:
        mine, count = VectorStore(database, store.name), 0
        while not done.is_set() and count < 40:
            await mine.upsert(records(1, start=1_000 + 100 * number + count))
            count += 1
        return count

    async def change() -> None:
        try:
            for model in ("long", "alike", "old", "long"):
                assert await store.reembed(model)
        finally:
            done.set()

    searched, one, two, _ = await asyncio.gather(search(), write(0), write(1), change())
    assert searched
    assert await store.count() == 300 + one + two
    for n in range(one):
        [hit] = await store.search(f"{'abcdefgh'[n % 8]} x", top_k=1, filter={"n": 1_000 + n})
        assert hit.score == pytest.approx(1)


async def test_what_was_embedded_is_not_embedded_again(store, embedder):
    """A call that ended in the middle is gone on with by the next one."""
    await store.upsert(records(900))
    seen = 0

    def fail(model: str, count: int) -> None:
        nonlocal seen
        seen += count if model == "long" else 0
        if seen > 600 and model == "long":
            raise LLMUnavailableError("away")

    embedder.on_texts = fail
    with pytest.raises(LLMUnavailableError):
        await store.reembed("long")
    assert (await store.search("c 2", filter={"n": 2}))[0].score == pytest.approx(1)
    embedder.asked.clear()
    embedder.on_texts = lambda _model, _texts: None
    assert await store.reembed("long")
    assert embedder.texts_for("long") == 900 - 512


async def test_one_process_at_a_time(store, database, embedder):
    """Who comes while another is at it is told so, and does nothing."""
    await store.upsert(records(10))
    embedder.held = asyncio.Event()
    first = asyncio.create_task(store.reembed("long"))
    while not embedder.texts_for("long"):  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert not await VectorStore(database, store.name).reembed("long")
    embedder.held.set()
    assert await first
    assert embedder.texts_for("long") == 11


async def test_another_wish_begins_anew(store, embedder):
    """What was collected for another model is thrown away, and so it is with the collection."""
    await store.upsert(records(300))

    def fail(_model: str, count: int) -> None:
        if 1 < count < 250:
            raise LLMUnavailableError("away")

    embedder.on_texts = fail
    with pytest.raises(LLMUnavailableError):
        await store.reembed("long")
    embedder.on_texts = lambda _model, _texts: None
    assert await store.reembed("alike", dimensions=6)
    assert (await store.search("c 2", filter={"n": 2}))[0].score == pytest.approx(1)


async def test_a_model_that_is_away_changes_nothing(store, embedder):
    """A fallback's vectors take nobody's place."""
    await store.upsert(records(5))
    embedder.degraded = "the model is away"
    with pytest.raises(EmbeddingModelMismatchError, match="away"):
        await store.reembed("long")
    embedder.degraded = None
    assert len(await store.search("c 2")) == 5


async def test_what_cannot_be_embedded_is_named(store):
    """A record without a text, an empty collection and none at all are refused."""
    with pytest.raises(VectorError, match="does not exist"):
        await store.reembed("long")
    await store.upsert(records(1))
    await store.delete(["00000"])
    with pytest.raises(VectorError, match="empty"):
        await store.reembed("long")
    await store.upsert([{"id": "bare"}], embeddings=[[1, 0, 0, 0]], model="old")
    with pytest.raises(VectorError, match="'bare'"):
        await store.reembed("long")
