"""The three caches in memory: keys, time, single flight, stale values, counts."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from agentinfra.cache import EmbeddingCache, ResponseCache, RoutingCache
from agentinfra.errors import CacheError, ConfigurationError
from agentinfra.observability.metrics import Metrics

pytestmark = pytest.mark.usefixtures("no_tasks_left")


class Loader:
    """A loader that answers when it is told to, and counts its calls."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.calls = 0
        self.ended = 0
        self.started = asyncio.Event()
        self.go = asyncio.Event()

    async def __call__(self) -> object:
        self.calls += 1
        self.started.set()
        try:
            await self.go.wait()
        finally:
            self.ended += 1
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def answering(*answers: object) -> Loader:
    loader = Loader(*answers)
    loader.go.set()
    return loader


async def test_routing_goes_by_the_normalised_text():
    """Questions that read alike have one value; a miss is None or the default."""
    cache = RoutingCache(ttl_seconds=60, max_size=2)
    await cache.set("  Hello\tWORLD ", "analytics")
    assert await cache.get("hello world") == "analytics"
    assert await cache.get("hello") is None
    assert await cache.get("hello", "none") == "none"


async def test_responses_go_by_agent_and_context():
    """Another agent or context has another answer; the order of a context's keys is no matter."""
    cache = ResponseCache(ttl_seconds=60, max_size=10)
    await cache.set("q", "analytics", "A", context={"b": 2, "a": 1})
    assert await cache.get("Q ", "analytics", context={"a": 1, "b": 2}) == "A"
    assert await cache.get("q", "analytics", {"a": True, "b": 2}) is None
    assert await cache.get("q", "analytics") is None
    assert await cache.get("q", "search", {"a": 1, "b": 2}) is None


async def test_a_context_without_json_is_refused():
    """A context that cannot be a key is an error in every operation."""
    cache = ResponseCache()
    with pytest.raises(CacheError, match="context"):
        await cache.get("q", "a", {"when": {1}})
    with pytest.raises(CacheError, match="context"):
        await cache.set("q", "a", "v", {"when": {1}})


async def test_vectors_go_by_model_and_dimensions():
    """A vector is found under the model and the dimensions it was stored for."""
    cache = EmbeddingCache(ttl_seconds=60, max_size=10)
    await cache.set("t", "small", [0.5, 0.25])
    await cache.set("t", "small", np.array([1.0, 2.0, 3.0]), dimensions=3)
    found = await cache.get("T", "small")
    assert found is not None
    assert found.dtype == np.float32
    assert found.tolist() == [0.5, 0.25]
    assert await cache.get("t", "large") is None
    shortened = await cache.get("t", "small", 3)
    assert shortened is not None
    assert shortened.tolist() == [1.0, 2.0, 3.0]


async def test_a_vector_cannot_be_changed_by_its_readers():
    """What ``get`` returns is read-only, and what was given to ``set`` is copied."""
    cache = EmbeddingCache()
    mine = np.array([1.0, 2.0], dtype=np.float32)
    await cache.set("t", "m", mine)
    mine[0] = 9.0
    found = await cache.get("t", "m")
    assert found is not None
    assert found[0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        found[0] = 5.0


async def test_a_vector_takes_four_bytes_a_number():
    """1,536 numbers take little more than 6 KB."""
    cache = EmbeddingCache()
    await cache.set("t", "m", [0.1] * 1536)
    assert 6144 <= cache.stats().bytes < 7000


@pytest.mark.parametrize(
    ("vector", "dimensions", "complaint"),
    [
        ([], None, "shape"),
        ([[1.0]], None, "shape"),
        ([1.0, 2.0], 3, "give 3 numbers"),
        ([1.0, float("nan")], None, "NaN"),
        ([1e300], None, "infinite"),
        (["a"], None, "row of numbers"),
        (None, None, "shape"),
    ],
)
async def test_what_is_no_vector_is_refused(vector, dimensions, complaint):
    """Only a row of finite numbers of the right length is a vector."""
    with pytest.raises(CacheError, match=complaint):
        await EmbeddingCache().set("t", "m", vector, dimensions)


@pytest.mark.parametrize(
    "arguments",
    [{"ttl_seconds": 0}, {"max_size": -1}, {"max_bytes": -1}, {"stale_seconds": float("nan")}],
)
def test_a_bound_that_makes_no_sense_is_refused(arguments):
    """A bad bound fails at construction, by name."""
    with pytest.raises(ConfigurationError, match=next(iter(arguments))):
        RoutingCache(**arguments)


async def test_entries_expire_and_are_counted(clock):
    """The statistics tell hits, misses, evictions, expirations, size and bytes."""
    cache = RoutingCache(10, 2, clock=clock)
    for question in ("a", "b", "c"):
        await cache.set(question, question)
    assert await cache.get("c") == "c"
    await clock.advance(10)
    assert await cache.get("c") is None
    stats = cache.stats()
    assert (stats.size, stats.hits, stats.misses) == (1, 1, 1)
    assert (stats.evictions, stats.expirations, stats.hit_ratio) == (1, 1, 0.5)
    assert stats.bytes > 0


async def test_the_bytes_of_values_are_bounded():
    """Large values push each other out, and one too large for all is not held."""
    cache = RoutingCache(max_bytes=5000)
    await cache.set("a", "x" * 2500)
    await cache.set("b", "y" * 2500)
    assert await cache.get("a") is None
    await cache.set("b", "z" * 6000)
    assert await cache.get("b") is None
    assert cache.stats().bytes == 0


async def test_namespace_and_tenant_are_in_the_key(clock):
    """Caches of different tenants or applications never share a key."""
    caches = [
        RoutingCache(namespace=namespace, tenant=tenant)
        for namespace, tenant in (("a", "b"), ("a", "c"), ("ab", ""), ("", "ab"))
    ]
    assert len({cache._key("q") for cache in caches}) == 4


async def test_delete_and_clear_forget():
    """Deleting says whether there was a value; clearing leaves none."""
    routing, response, embedding = RoutingCache(), ResponseCache(), EmbeddingCache()
    await routing.set("a", 1)
    await response.set("a", "x", 1)
    await embedding.set("a", "m", [1.0])
    assert await routing.delete("A")
    assert await response.delete("A", "x")
    assert not await routing.delete("a")
    await embedding.clear()
    assert await embedding.get("a", "m") is None
    assert not await embedding.delete("a", "m")


async def test_many_callers_share_one_load():
    """A hundred callers of one question cause one load, and 99 are counted as coalesced."""
    cache, loader = RoutingCache(), Loader("sales")
    callers = [asyncio.create_task(cache.get_or_compute("q", loader)) for _ in range(100)]
    await loader.started.wait()
    loader.go.set()
    assert set(await asyncio.gather(*callers)) == {"sales"}
    stats = cache.stats()
    assert (loader.calls, stats.misses, stats.coalesced) == (1, 1, 99)
    assert await cache.get_or_compute("q", answering()) == "sales"


async def test_a_cancelled_caller_does_not_cancel_the_others():
    """The first caller goes, the load goes on for the second."""
    cache, loader = RoutingCache(), Loader("sales")
    first = asyncio.create_task(cache.get_or_compute("q", loader))
    await loader.started.wait()
    second = asyncio.create_task(cache.get_or_compute("q", loader))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait({first})
    assert first.cancelled()
    loader.go.set()
    assert await second == "sales"
    assert loader.calls == 1


async def test_the_last_caller_to_go_ends_the_load():
    """When nobody waits any more the load is cancelled, and the next caller loads anew."""
    cache, loader = RoutingCache(), Loader("never")
    callers = [asyncio.create_task(cache.get_or_compute("q", loader)) for _ in range(2)]
    await loader.started.wait()
    for caller in callers:
        caller.cancel()
    await asyncio.wait(callers)
    await asyncio.sleep(0)
    assert loader.ended == 1
    assert await cache.get_or_compute("q", answering("again")) == "again"


async def test_a_failure_reaches_all_and_is_not_kept():
    """Every waiter gets the loader's error; the next call loads again."""
    cache, loader = RoutingCache(), Loader(ValueError("no"))
    callers = [asyncio.create_task(cache.get_or_compute("q", loader)) for _ in range(3)]
    await loader.started.wait()
    loader.go.set()
    results = await asyncio.gather(*callers, return_exceptions=True)
    assert [str(result) for result in results] == ["no"] * 3
    assert await cache.get_or_compute("q", answering("yes")) == "yes"


async def test_none_is_a_value():
    """A computed None is kept, and told from a miss by another default."""
    cache, loader = RoutingCache(), answering(None)
    assert await cache.get_or_compute("q", loader) is None
    assert await cache.get_or_compute("q", loader) is None
    assert loader.calls == 1
    assert await cache.get("q", "miss") is None
    assert await cache.get("other", "miss") == "miss"


@pytest.mark.parametrize("change", ["set", "delete", "clear"])
async def test_a_write_during_a_load_wins(change):
    """What a load saw before a set, delete or clear does not overwrite it."""
    cache, loader = RoutingCache(), Loader("old")
    caller = asyncio.create_task(cache.get_or_compute("q", loader))
    await loader.started.wait()
    await {"set": lambda: cache.set("q", "new"), "delete": lambda: cache.delete("q")}.get(
        change, cache.clear
    )()
    loader.go.set()
    assert await caller == "old"
    assert await cache.get("q") == ("new" if change == "set" else None)


async def test_a_caller_after_a_delete_does_not_join_the_older_load():
    """What was deleted is loaded again for those who ask later."""
    cache, older = RoutingCache(), Loader("old")
    first = asyncio.create_task(cache.get_or_compute("q", older))
    await older.started.wait()
    await cache.delete("q")
    assert await cache.get_or_compute("q", answering("new")) == "new"
    older.go.set()
    assert await first == "old"
    assert await cache.get("q") == "new"


async def test_a_stale_value_is_returned_while_it_is_refreshed(clock):
    """In its stale time a value comes at once, and one load behind replaces it."""
    cache = RoutingCache(10, stale_seconds=5, clock=clock)
    await cache.set("q", "old")
    await clock.advance(12)
    assert await cache.get("q") is None
    loader = Loader("new")
    assert await cache.get_or_compute("q", loader) == "old"
    assert await cache.get_or_compute("q", loader) == "old"
    await loader.started.wait()
    loader.go.set()
    await asyncio.gather(*cache._refreshing.values())
    assert (loader.calls, await cache.get("q")) == (1, "new")


async def test_a_stale_value_stays_while_its_loader_fails(clock):
    """A failed refresh leaves the old value; when the stale time is over the failure shows."""
    cache = RoutingCache(10, stale_seconds=5, clock=clock)
    await cache.set("q", "old")
    await clock.advance(12)
    for _ in range(2):
        assert await cache.get_or_compute("q", answering(OSError("away"))) == "old"
        await asyncio.gather(*cache._refreshing.values())
    await clock.advance(3)
    with pytest.raises(OSError, match="away"):
        await cache.get_or_compute("q", answering(OSError("away")))


async def test_leaving_a_cache_ends_what_it_computes(clock):
    """A refresh under way is cancelled and awaited on leaving."""
    loader = Loader("never")
    async with RoutingCache(10, stale_seconds=5, clock=clock) as cache:
        await cache.set("q", "old")
        await clock.advance(12)
        assert await cache.get_or_compute("q", loader) == "old"
        await loader.started.wait()
    assert loader.ended == 1


async def test_every_cache_computes():
    """The response and the embedding cache have get_or_compute with their own keys."""
    response, embedding = ResponseCache(), EmbeddingCache()
    assert await response.get_or_compute("q", "a", answering("A"), context={"x": 1}) == "A"
    assert await response.get("q", "a", {"x": 1}) == "A"
    vector = await embedding.get_or_compute("t", "m", answering([1.0, 2.0]), dimensions=2)
    assert vector.tolist() == [1.0, 2.0]
    assert await embedding.get("t", "m", 2) is not None
    with pytest.raises(CacheError, match="give 3 numbers"):
        await embedding.get_or_compute("t", "m", answering([1.0]), dimensions=3)


async def test_a_cache_without_room_loads_every_time():
    """Size 0 holds nothing; callers at the same time still share a load."""
    cache, loader = RoutingCache(max_size=0), Loader(1, 2)
    callers = [asyncio.create_task(cache.get_or_compute("q", loader)) for _ in range(5)]
    await loader.started.wait()
    loader.go.set()
    assert await asyncio.gather(*callers) == [1] * 5
    assert await cache.get_or_compute("q", loader) == 2


async def test_operations_are_on_the_metrics_page():
    """Hits, misses and entries are series of the cache's name."""
    async with Metrics() as metrics:
        cache = RoutingCache(max_size=1, metrics=metrics)
        await cache.set("a", 1)
        await cache.set("b", 1)
        await cache.get("b")
        await cache.get("c")
        page = metrics.expose()
    for line in (
        'cache_operations_total{cache="routing",outcome="hit"} 1',
        'cache_operations_total{cache="routing",outcome="miss"} 1',
        'cache_operations_total{cache="routing",outcome="eviction"} 1',
        'cache_operations_total{cache="routing",outcome="set"} 2',
        'cache_entries{cache="routing"} 1',
    ):
        assert line in page
