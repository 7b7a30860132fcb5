"""The long-term store: what it keeps, finds and forgets, and who else reads it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from langgraph.store.base import GetOp, PutOp
from langgraph.store.postgres.aio import AsyncPostgresStore

from agentinfra import InfraRuntime, Settings
from agentinfra.checkpoint.store import LongTerm
from agentinfra.errors import CheckpointError, ClosedError, NotStartedError
from agentinfra.observability.metrics import Metrics
from agentinfra.results import EmbeddingBatch, Usage
from agentinfra.settings import StoreSettings

pytestmark = pytest.mark.usefixtures("no_tasks_left")

USER = ("users", "1")


class Letters:
    """Embeds a text as the number of each of its letters."""

    def __init__(self) -> None:
        self.degraded: str | None = None

    async def get_embeddings(
        self, texts: Any, *, model: str | None = None, dimensions: int | None = None
    ) -> EmbeddingBatch:
        rows = [[text.count(chr(97 + n % 26)) + 0.01 for n in range(dimensions)] for text in texts]
        vectors = np.asarray(rows, dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return EmbeddingBatch(
            vectors=vectors, model="letters", usage=Usage(), cost_usd=None, degraded=self.degraded
        )


@pytest.fixture
def letters() -> Letters:
    return Letters()


@pytest.fixture(params=["postgres", "memory"])
async def long_term(request, database_url, letters) -> AsyncIterator[LongTerm]:
    settings = StoreSettings(backend=request.param, dimensions=26, fields=("text",))
    async with LongTerm(settings, url=database_url, embedder=letters) as long_term:
        assert long_term.state == "ready", long_term.reason
        yield long_term


@pytest.fixture
async def stock(database_url) -> AsyncIterator[AsyncPostgresStore]:
    async with AsyncPostgresStore.from_conn_string(database_url) as store:
        yield store
        store._task.cancel()
        await asyncio.gather(store._task, return_exceptions=True)


def keys(found: Any) -> list[str]:
    return [item.key for item in found]


async def test_items_are_kept_found_and_dropped(long_term):
    """An item is under its namespace and key; storing it again takes its place."""
    store = long_term.store
    await store.aput(USER, "likes", {"text": "tea", "n": [1, None, {"a": "ü\ud7ff"}]}, index=False)
    item = await store.aget(USER, "likes")
    assert (item.namespace, item.key) == (USER, "likes")
    assert item.value == {"text": "tea", "n": [1, None, {"a": "ü\ud7ff"}]}
    await store.aput(USER, "likes", {"text": "coffee"}, index=False)
    assert (await store.aget(USER, "likes")).value == {"text": "coffee"}
    assert await store.aget(("users", "2"), "likes") is None
    await store.adelete(USER, "likes")
    assert await store.aget(USER, "likes") is None


async def test_what_looks_like_a_pattern_is_none(long_term):
    """Characters that mean something to SQL stand for themselves in namespaces and keys."""
    store = long_term.store
    for name in ("a_b", "aXb", "a%", "a'b"):
        await store.aput((name,), "k%s", {"v": name}, index=False)
    for name in ("a_b", "aXb", "a%", "a'b"):
        assert [item.value for item in await store.asearch((name,))] == [{"v": name}]
        assert (await store.aget((name,), "k%s")).value == {"v": name}


async def test_searches_filter_and_page(long_term):
    """Filters compare what items hold; pages follow one another."""
    store = long_term.store
    for number in range(5):
        await store.aput(USER, f"k{number}", {"n": number, "kind": "ab"[number % 2]}, index=False)
    await store.aput(("other",), "k9", {"n": 9, "kind": "a"}, index=False)
    assert sorted(keys(await store.asearch(USER, filter={"kind": "a"}))) == ["k0", "k2", "k4"]
    for condition, found in (
        ({"$eq": 2}, ["k2"]),
        ({"$ne": 2}, ["k0", "k1", "k3", "k4"]),
        ({"$gt": 2}, ["k3", "k4"]),
        ({"$gte": 1, "$lt": 3}, ["k1", "k2"]),
        ({"$lte": 0}, ["k0"]),
    ):
        assert sorted(keys(await store.asearch(USER, filter={"n": condition}))) == found
    pages = [keys(await store.asearch(USER, limit=2, offset=start)) for start in (0, 2, 4)]
    assert sorted(key for page in pages for key in page) == [f"k{n}" for n in range(5)]
    assert len(await store.asearch((), limit=100)) == 6


async def test_namespaces_are_listed(long_term):
    """By beginning, by end, with a wildcard for one level, and to a depth."""
    store = long_term.store
    for namespace in (("a", "b", "c"), ("a", "b", "d"), ("x", "b", "c"), ("ab",)):
        await store.aput(namespace, "k", {"v": 1}, index=False)
    assert await store.alist_namespaces(prefix=("a",)) == [("a", "b", "c"), ("a", "b", "d")]
    assert await store.alist_namespaces(suffix=("c",)) == [("a", "b", "c"), ("x", "b", "c")]
    assert await store.alist_namespaces(prefix=("*", "b"), max_depth=2) == [("a", "b"), ("x", "b")]
    assert len(await store.alist_namespaces(limit=2, offset=1)) == 2


async def test_items_are_found_by_what_they_mean(long_term):
    """The nearest comes first, with its score; what has no vector does not come before it."""
    store = long_term.store
    await store.aput(USER, "tea", {"text": "teas"})
    await store.aput(USER, "zoo", {"text": "zoo"})
    await store.aput(USER, "twin", {"text": "zoo"})
    await store.aput(USER, "hidden", {"text": "seat"}, index=False)
    found = await store.asearch(USER, query="seat", limit=2)
    assert found[0].key == "tea"
    assert found[0].score > 0.99 > (found[1].score or 0)
    assert keys(await store.asearch(USER, query="seat", filter={"text": "zoo"}))[0] != "tea"
    await store.aput(USER, "tea", {"text": "xylem"})
    assert keys(await store.asearch(USER, query="lemxy"))[0] == "tea"


async def test_items_age(long_term):
    """An item that has aged is not found any more, and a sweep takes it away."""
    store = long_term.store
    await store.aput(USER, "brief", {"v": 1}, index=False, ttl=0.0005)
    await store.aput(USER, "long", {"v": 1}, index=False, ttl=60)
    await store.aput(USER, "for ever", {"v": 1}, index=False)
    while await store.aget(USER, "brief", refresh_ttl=False) is not None:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    assert sorted(keys(await store.asearch(USER))) == ["for ever", "long"]
    swept = await long_term.sweep()
    assert swept == (1 if long_term.link is not None else 0)  # memory sweeps as it goes
    assert await long_term.sweep() == 0


async def test_a_batch_is_one_step(long_term):
    """Its results are in the order of what was asked."""
    ops = [PutOp(USER, "b", {"v": 2}, index=False), GetOp(USER, "a"), GetOp(USER, "missing")]
    await long_term.store.aput(USER, "a", {"v": 1}, index=False)
    results = await long_term.store.abatch(ops)
    assert (results[0], results[1].value, results[2]) == (None, {"v": 1}, None)
    assert (await long_term.store.aget(USER, "b")).value == {"v": 2}


async def test_items_are_not_stored_without_their_vectors(long_term, letters):
    """Where no model answers, an item that is to be found by meaning is refused."""
    letters.degraded = "no API key"
    with pytest.raises(CheckpointError, match="no API key"):
        await long_term.store.aput(USER, "tea", {"text": "tea"})
    assert await long_term.store.aget(USER, "tea") is None


async def test_both_stores_read_what_either_wrote(database_url, stock):
    """LangGraph's own store and ours work on the same rows, and either may have made the tables."""
    await stock.setup()
    async with LongTerm(StoreSettings(), url=database_url) as long_term:
        ours = long_term.store
        assert isinstance(ours, AsyncPostgresStore)
        await stock.setup()
        await ours.aput(USER, "mine", {"v": [1.5, "ü", None]}, ttl=5)
        await stock.aput(USER, "theirs", {"v": {"a": True}})
        for key in ("mine", "theirs"):
            assert await ours.aget(USER, key) == await stock.aget(USER, key)
        assert sorted(keys(await ours.asearch(("users",)))) == ["mine", "theirs"]
        assert await ours.asearch(USER, filter={"v": {"$ne": 1}}) == await stock.asearch(
            USER, filter={"v": {"$ne": 1}}
        )
        assert await ours.alist_namespaces() == await stock.alist_namespaces() == [USER]


async def test_synchronous_methods_work_from_other_threads(database_url):
    """From their own loop they are refused, since they would wait for themselves."""
    async with LongTerm(StoreSettings(), url=database_url) as long_term:
        store = long_term.store
        await asyncio.to_thread(store.put, USER, "k", {"v": 1})
        assert (await asyncio.to_thread(store.get, USER, "k")).value == {"v": 1}
        with pytest.raises(asyncio.InvalidStateError):
            store.get(USER, "k")


async def test_it_works_behind_a_pooler(pgbouncer):
    """In transaction mode every operation is one transaction."""
    async with LongTerm(StoreSettings(), url=pgbouncer) as long_term:
        assert long_term.state == "ready", long_term.reason
        for number in range(20):
            await long_term.store.aput(USER, f"k{number}", {"v": number})
        assert len(await long_term.store.asearch(USER, limit=50)) == 20


async def test_what_was_kept_in_memory_is_stored_when_the_database_comes(
    postgres, database_url, eventually
):
    """A store without its database is degraded, works, and takes everything along."""
    postgres.stop()
    try:
        async with LongTerm(StoreSettings(), url=database_url) as long_term:
            assert long_term.state == "degraded"
            assert "not durable" in long_term.reason
            store = long_term.store
            await store.aput(USER, "early", {"v": 1}, ttl=60)
            postgres.start()

            async def is_ready() -> bool:
                return long_term.state == "ready"

            await eventually(is_ready)
            assert long_term.link is not None
            assert (await store.aget(USER, "early")).value == {"v": 1}
    finally:
        postgres.start()
    async with LongTerm(StoreSettings(), url=database_url) as again:
        assert keys(await again.store.asearch(USER)) == ["early"]


async def test_vectors_of_another_length_are_refused(database_url, letters):
    """The sentence says what the table holds, and what to do."""
    async with LongTerm(StoreSettings(dimensions=4), url=database_url, embedder=letters):
        pass
    settings = StoreSettings(dimensions=5)
    async with LongTerm(settings, url=database_url, embedder=letters) as long_term:
        assert long_term.state == "degraded"
        assert "vectors of 4 numbers" in long_term.reason


async def test_operations_are_seen(database_url):
    """Each is counted and timed by its name."""
    async with (
        Metrics() as metrics,
        LongTerm(StoreSettings(), url=database_url, metrics=metrics) as long_term,
    ):
        await long_term.store.aput(USER, "k", {"v": 1})
        await long_term.store.aget(USER, "k")
        page = metrics.expose()
    assert 'store_seconds_count{operation="put",outcome="ok"} 1' in page
    assert 'store_seconds_count{operation="get",outcome="ok"} 1' in page


async def test_a_failing_database_is_a_typed_error(database_url, rows):
    """The vendor's errors do not come through, nor do values that JSON has no word for."""
    async with LongTerm(StoreSettings(), url=database_url) as long_term:
        with pytest.raises(CheckpointError, match="JSON"):
            await long_term.store.aput(USER, "k", {"v": object()})
        rows("DROP TABLE store CASCADE")
        with pytest.raises(CheckpointError, match="store get failed"):
            await long_term.store.aget(USER, "k")


async def test_outside_of_its_block_there_is_no_store():
    """Before entering, after leaving and when switched off the reason is said."""
    long_term = LongTerm(StoreSettings(backend="memory"))
    with pytest.raises(NotStartedError):
        _ = long_term.store
    async with long_term:
        await long_term.store.aput(USER, "k", {"v": 1})
    with pytest.raises(ClosedError):
        _ = long_term.store
    async with LongTerm(StoreSettings(enabled=False)) as off:
        assert off.state == "disabled"
        with pytest.raises(CheckpointError, match="ENABLED"):
            _ = off.store


async def test_a_runtime_has_one(database_url, openai_server):
    """It works on the runtime's database, embeds with its client, and has a row in health."""
    settings = Settings(
        llm={"base_url": openai_server.base_url, "api_key": "x"},
        database={"url": database_url},
        cache={"enabled": False},
        logging={"level": "warning"},
        store={"dimensions": 64, "ttl": 3600},
    )
    async with InfraRuntime(settings) as rt:
        await rt.store.aput(USER, "likes", {"text": "tea"})
        found = await rt.store.asearch(USER, query="tea")
        assert (found[0].key, found[0].score is not None) == ("likes", True)
        assert (await rt.health())["store"].state == "ready"


def test_it_is_as_the_checkpointer_unless_told_otherwise():
    """Where checkpoints are in memory, or switched off, so is the store."""
    settings = Settings.only(checkpointer={"backend": "memory", "enabled": False})
    beside = settings.store.beside(settings.checkpointer)
    assert (beside.backend, beside.enabled) == ("memory", False)
    own = StoreSettings(backend="postgres", enabled=True).beside(settings.checkpointer)
    assert (own.backend, own.enabled) == ("postgres", True)
