"""The three caches in memory: keys, time, single flight, stale values, counts."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from cache_support import Loader, answering

from agentinfra.cache import EmbeddingCache, ResponseCache, RoutingCache
from agentinfra.cache.shared.protocol import SharedValue
from agentinfra.errors import CacheError, ClosedError, ConfigurationError, WrongLoopError
from agentinfra.observability.metrics import Metrics

pytestmark = pytest.mark.usefixtures("no_tasks_left")


async def settled(cache) -> None:
    """Wait until nothing is loaded any more."""
    while flights := cache._records._flights:
        await asyncio.wait({flight._load.task for flight in flights})


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


async def test_a_context_without_a_form_is_refused():
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
    assert (stats.size, stats.bytes, stats.hits, stats.misses) == (0, 0, 1, 1)
    assert (stats.evictions, stats.expirations, stats.hit_ratio) == (1, 2, 0.5)


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
    await settled(cache)
    assert (loader.calls, await cache.get("q")) == (1, "new")


async def test_a_stale_value_stays_while_its_loader_fails(clock):
    """A failed refresh leaves the old value; when the stale time is over the failure shows."""
    cache = RoutingCache(10, stale_seconds=5, clock=clock)
    await cache.set("q", "old")
    await clock.advance(12)
    for _ in range(2):
        assert await cache.get_or_compute("q", answering(OSError("away"))) == "old"
        await settled(cache)
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


async def test_failing_refreshes_are_tried_less_and_less_often(clock):
    """After 1, 2, 4 ... seconds a refresh is tried again; each failure is counted."""
    cache = RoutingCache(10, stale_seconds=50, clock=clock)
    await cache.set("q", "old")
    await clock.advance(10)
    loader, tried = answering(*[OSError("away")] * 20), []
    for second in range(16):
        assert await cache.get_or_compute("q", loader) == "old"
        await settled(cache)
        tried.append(loader.calls)
        await clock.advance(1)
        del second
    assert tried == [1, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 5]
    assert cache.stats().refresh_failures == 5
    await cache.set("q", "new")
    assert len(cache._records) == 0


async def test_a_value_is_refreshed_before_its_time_is_over(clock):
    """In its last seconds a value is computed anew behind a caller, who gets it at once."""
    cache, loader = RoutingCache(10, refresh_seconds=2, clock=clock), Loader("new")
    await cache.set("q", "old")
    await clock.advance(7.9)
    assert await cache.get_or_compute("q", loader) == "old"
    assert loader.calls == 0
    await clock.advance(0.1)
    assert await cache.get_or_compute("q", loader) == "old"
    loader.go.set()
    await settled(cache)
    assert await cache.get("q") == "new"
    await clock.advance(7)
    assert await cache.get("q") == "new"


async def test_a_value_can_have_a_time_of_its_own(clock):
    """One value's ttl, and that of None, differ from the cache's."""
    cache = RoutingCache(10, negative_ttl=3, clock=clock)
    await cache.set("short", 1, ttl=2)
    await cache.set("long", 1, ttl=20)
    assert await cache.get_or_compute("nothing", answering(None)) is None
    await clock.advance(2)
    assert await cache.get_many(["short", "long", "nothing"], "-") == ["-", 1, None]
    await clock.advance(1)
    assert await cache.get_many(["short", "long", "nothing"], "-") == ["-", 1, "-"]
    await clock.advance(8)
    assert await cache.get("long") == 1
    with pytest.raises(CacheError, match="ttl is 0"):
        await cache.set("never", 1, ttl=0)


async def test_tags_forget_what_belongs_together():
    """Deleting a tag drops what was set or computed under it, and what is being computed."""
    cache, loader = RoutingCache(), Loader("old")
    await cache.set("a", 1, tags=["orders"])
    await cache.set("b", 2)
    await cache.get_or_compute("c", answering(3), tags=["orders", "late"])
    caller = asyncio.create_task(cache.get_or_compute("d", loader, tags=["orders"]))
    await loader.started.wait()
    assert await cache.delete_tagged("orders") == 2
    loader.go.set()
    assert await caller == "old"
    assert await cache.get_many(["a", "b", "c", "d"]) == [None, 2, None, None]


async def test_many_can_be_set_and_got_at_once():
    """The plural forms do what the single ones do, in the order they were asked."""
    response, embedding = ResponseCache(), EmbeddingCache()
    await response.set_many([("Q", 1), ("r", 2)], "a", {"x": 1})
    assert await response.get_many(["r", "none", "q"], "a", {"x": 1}, 0) == [2, 0, 1]
    await embedding.set_many(["s", "t"], "m", [[1.0], [2.0]])
    found = await embedding.get_many(["t", "u", "s"], "m")
    assert [None if one is None else one.tolist() for one in found] == [[2.0], None, [1.0]]
    with pytest.raises(CacheError, match="1 vectors for 2 texts"):
        await embedding.set_many(["s", "t"], "m", [[1.0]])


class Embedder:
    """Gives each text a vector of its length when it is told to."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.go = asyncio.Event()

    async def __call__(self, texts):
        self.asked.append(texts)
        await self.go.wait()
        return [[float(len(text))] for text in texts]


async def test_a_text_many_batches_want_is_embedded_once():
    """Batches that overlap in time load each text once, a text given twice too."""
    cache, loader = EmbeddingCache(normalize="exact"), Embedder()
    await cache.set("known", "m", [0.5])
    batches = [["a", "bb", "a"], ["bb", "ccc", "known"], ["ccc"]]
    calls = [
        asyncio.create_task(cache.get_or_compute_many(batch, "m", loader)) for batch in batches
    ]
    await asyncio.sleep(0)
    single = asyncio.create_task(cache.get_or_compute("a", "m", Loader("never")))
    await asyncio.sleep(0)
    loader.go.set()
    vectors = [[row.tolist()[0] for row in rows] for rows in await asyncio.gather(*calls)]
    assert vectors == [[1.0, 2.0, 1.0], [2.0, 3.0, 0.5], [3.0]]
    assert (await single).tolist() == [1.0]
    assert loader.asked == [["a", "bb"], ["ccc"]]
    assert await cache.get_or_compute_many([], "m", loader) == []


async def test_a_cancelled_batch_leaves_its_texts_to_the_others():
    """A batch goes on for who waits for one of its texts, and ends when nobody does."""
    cache, loader = EmbeddingCache(), Embedder()
    first = asyncio.create_task(cache.get_or_compute_many(["a", "b"], "m", loader))
    await asyncio.sleep(0)
    second = asyncio.create_task(cache.get_or_compute_many(["b"], "m", loader))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait({first})
    loader.go.set()
    assert (await second)[0].tolist() == [1.0]
    loader.go.clear()
    alone = asyncio.create_task(cache.get_or_compute_many(["c", "d"], "m", loader))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    alone.cancel()
    await asyncio.wait({alone})
    await settled(cache)
    assert await cache.get("c", "m") is None


async def test_a_batch_with_a_vector_too_few_is_an_error():
    """A loader has to give one vector for each text it got."""

    async def short(texts):
        return [[1.0] for _ in texts[1:]]

    with pytest.raises(CacheError, match="gave 1 values for 2"):
        await EmbeddingCache().get_or_compute_many(["a", "b"], "m", short)


@pytest.mark.parametrize("value", [{"rows": []}, [1], {1}, bytearray(b"a"), np.array([1.0])])
async def test_callers_cannot_change_each_others_values(value):
    """What was stored, and what each caller gets, is nobody else's; arrays excepted on entry."""
    cache, loader = RoutingCache(), Loader(value)
    callers = [asyncio.create_task(cache.get_or_compute("q", loader)) for _ in range(2)]
    await loader.started.wait()
    loader.go.set()
    first, second = await asyncio.gather(*callers)
    before = repr(second)
    {
        dict: lambda: first["rows"].append(1),
        list: lambda: first.append(2),
        set: lambda: first.add(2),
        bytearray: lambda: first.append(2),
        np.ndarray: lambda: first.__setitem__(0, 5.0),
    }[type(value)]()
    assert repr(second) == repr(await cache.get("q")) == before


async def test_a_setter_keeps_its_value_to_itself():
    """Changing a value after it was set changes nothing in the cache."""
    cache, value = RoutingCache(), {"rows": [1]}
    await cache.set("q", value)
    value["rows"].append(2)
    assert await cache.get("q") == {"rows": [1]}


async def test_without_copies_values_are_handed_out_as_they_are():
    """For callers who never change a value it is held itself; so is one that cannot be copied."""
    cache, value = RoutingCache(copy=False), [1]
    await cache.set("q", value)
    assert await cache.get("q") is value
    event = asyncio.get_running_loop().create_future()
    await RoutingCache().set("q", {"future": event})
    event.cancel()


async def once():
    yield 1


@pytest.mark.parametrize(
    "make", [lambda: iter([1]), lambda: (x for x in [1]), once, lambda: map(str, [1])]
)
async def test_what_can_be_read_once_is_refused(make):
    """An iterator, a generator or a stream would be empty for the second caller."""
    with pytest.raises(CacheError, match="read once"):
        await RoutingCache().set("q", make())
    with pytest.raises(CacheError, match="read once"):
        await RoutingCache().get_or_compute("q", answering(make()))


async def test_a_value_too_large_is_counted():
    """What cannot be held is refused, and the statistics say so."""
    cache = RoutingCache(max_bytes=2000)
    await cache.set("q", "x" * 3000)
    assert (cache.stats().refused, cache.stats().size) == (1, 0)


async def test_a_loader_that_asks_for_itself_is_an_error():
    """A circle of loads fails at once, through other keys, caches and tasks too."""
    one, two = RoutingCache(), ResponseCache()

    async def first():
        return await asyncio.gather(two.get_or_compute("q", "a", second))

    async def second():
        return await one.get_or_compute("q", first)

    async def many(texts):
        return [await vectors.get_or_compute(texts[0], "m", first) for _ in texts]

    vectors = EmbeddingCache()
    with pytest.raises(CacheError, match="neither would ever end"):
        await one.get_or_compute("q", first)
    with pytest.raises(CacheError, match="neither would ever end"):
        await vectors.get_or_compute_many(["t"], "m", many)
    assert await one.get_or_compute("q", answering("fine")) == "fine"


async def test_two_loads_that_wait_for_each_other_are_an_error():
    """A circle across two callers is seen by the one who closes it."""
    cache, met = RoutingCache(), asyncio.Barrier(2)

    def asking(other):
        async def load():
            await met.wait()
            return await cache.get_or_compute(other, answering("never"))

        return load

    results = await asyncio.gather(
        cache.get_or_compute("a", asking("b")),
        cache.get_or_compute("b", asking("a")),
        return_exceptions=True,
    )
    assert all(isinstance(result, CacheError) for result in results)


async def test_a_loader_may_compute_other_things():
    """Loads within loads are fine as long as they do not lead back."""
    cache = RoutingCache()

    async def load():
        return await cache.get_or_compute("part", answering("p")) + "!"

    assert await cache.get_or_compute("whole", load) == "p!"


async def test_a_cancellation_in_the_loader_is_an_error_to_the_callers():
    """Nobody cancelled them: they get a CacheError, and the next call loads again."""
    cache = RoutingCache()

    async def cancelled():
        raise asyncio.CancelledError

    with pytest.raises(CacheError, match="cancellation of its own"):
        await cache.get_or_compute("q", cancelled)
    assert await cache.get_or_compute("q", answering(1)) == 1


async def test_closing_is_an_error_to_the_callers():
    """Who waits for a load while the cache closes gets ClosedError."""
    cache, loader = RoutingCache(), Loader("never")
    caller = asyncio.create_task(cache.get_or_compute("q", loader))
    await loader.started.wait()
    await cache.aclose()
    with pytest.raises(ClosedError, match="was closed"):
        await caller
    assert loader.ended == 1


def test_a_second_loop_is_refused_while_the_first_lives():
    """Used from another loop a cache raises; when the first loop has ended it is free."""
    cache = RoutingCache()
    loops = [asyncio.new_event_loop() for _ in range(2)]
    loops[0].run_until_complete(cache.set("q", 1))
    with pytest.raises(WrongLoopError, match="make one cache for each loop"):
        loops[1].run_until_complete(cache.get_or_compute("r", answering(2)))
    with pytest.raises(WrongLoopError):
        loops[1].run_until_complete(cache.set("q", 2))
    loops[0].close()
    assert loops[1].run_until_complete(cache.get_or_compute("r", answering(2))) == 2
    loops[1].close()


async def test_texts_can_be_told_apart_exactly():
    """An exact cache and a folding one are two, also for the same text."""
    exact = EmbeddingCache(normalize="exact")
    await exact.set("Polish", "m", [1.0])
    assert await exact.get("polish", "m") is None
    assert exact._key("t") != EmbeddingCache()._key("t")


async def test_records_go_when_nothing_goes_on(clock):
    """A cache at rest remembers no more than its values."""
    cache = RoutingCache(10, 2, stale_seconds=20, clock=clock)
    for question in "abc":
        await cache.get_or_compute(question, answering(question))
    await clock.advance(12)
    await cache.get_or_compute("c", answering(OSError("away")))
    await settled(cache)
    assert len(cache._records) == 1
    await clock.advance(20)
    assert await cache.get("c") is None
    assert len(cache._records) == 0


class Shelf:
    """A store of bytes without leases or news, as anybody may write one."""

    def __init__(self):
        self.held = {}

    async def get(self, key):
        return self.held.get(key)

    async def set(self, key, data, ttl):
        self.held[key] = SharedValue(data, ttl)

    async def delete(self, key):
        return self.held.pop(key, None) is not None

    async def clear(self, prefix):
        self.held = {key: one for key, one in self.held.items() if not key.startswith(prefix)}


@pytest.mark.parametrize("change", ["set", "delete", "clear"])
async def test_on_a_store_without_leases_a_load_is_not_stored_over_a_newer_write(change):
    """What began before the write is the older one, there too."""
    shelf = Shelf()
    cache, loader = RoutingCache(shared=shelf), Loader("old")
    caller = asyncio.create_task(cache.get_or_compute("q", loader))
    await loader.started.wait()
    await {
        "set": lambda: cache.set("q", "new"),
        "delete": lambda: cache.delete("q"),
        "clear": cache.clear,
    }[change]()
    loader.go.set()
    assert await caller == "old"
    beside = RoutingCache(shared=shelf)
    assert await beside.get("q") == ("new" if change == "set" else None)
