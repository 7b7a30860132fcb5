"""What several processes do with one Redis: who loads, who hears of changes, who wins."""

from __future__ import annotations

import asyncio

import pytest
from cache_support import Loader, answering, heard

from agentinfra.cache import EmbeddingCache, RedisTier, RoutingCache
from agentinfra.cache.shared.lease import LEASE

pytestmark = pytest.mark.usefixtures("no_tasks_left")


@pytest.fixture
async def two(redis_server, clock):
    """Two tiers on one Redis, as two processes have them."""
    async with (
        RedisTier(redis_server.url, clock=clock) as one,
        RedisTier(redis_server.url, clock=clock) as other,
    ):
        yield one, other


async def told(*tiers):
    for tier in tiers:
        await heard(tier)


@pytest.mark.parametrize("change", ["set", "set_many", "delete", "clear", "delete_tagged"])
async def test_a_change_reaches_the_memory_of_other_processes(two, change):
    """What another process holds in memory is dropped when a key, a tag or all is changed."""
    mine, theirs = RoutingCache(shared=two[0]), RoutingCache(shared=two[1])
    await mine.set("q", "old", tags=["t"])
    assert await theirs.get("q") == "old"
    await {
        "set": lambda: mine.set("q", "new"),
        "set_many": lambda: mine.set_many([("r", 1), ("q", "new")]),
        "delete": lambda: mine.delete("q"),
        "clear": mine.clear,
        "delete_tagged": lambda: mine.delete_tagged("t"),
    }[change]()
    await told(*two)
    assert await theirs.get("q") == ("new" if change.startswith("set") else None)


async def test_a_process_keeps_what_it_wrote_itself(two, redis_server):
    """Its own news do not take a process's memory away."""
    mine = RoutingCache(shared=two[0])
    await mine.set("q", 1)
    await told(*two)
    redis_server.delete_all()
    await told(*two)
    assert await mine.get("q") == 1


@pytest.mark.parametrize("flush", ["FLUSHALL", "FLUSHDB"])
async def test_a_flush_by_hand_reaches_the_memory_of_all(two, redis_server, flush):
    """Whoever empties the database means the values that processes hold, too."""
    caches = [RoutingCache(shared=tier) for tier in two]
    await caches[0].set("q", "wrong")
    assert await caches[1].get("q") == "wrong"
    redis_server.command(flush)
    await told(*two)
    assert [await cache.get("q") for cache in caches] == [None, None]


async def test_what_others_write_under_our_keys_is_not_heard_and_is_no_value(two, redis_server):
    """Memory goes on with what it has until its time is over; foreign bytes are a miss."""
    mine, theirs = (RoutingCache(shared=tier) for tier in two)
    await mine.set("q", "old")
    (name,) = redis_server.names()
    redis_server.command("SET", name, "by hand")
    await told(*two)
    assert await mine.get("q") == "old"
    assert await theirs.get("q") is None
    assert theirs.stats().errors == 1
    assert await theirs.get_or_compute("q", answering("new")) == "new"
    assert await RoutingCache(shared=two[0]).get("q") == "new"


async def test_processes_load_once(two, clock):
    """While one process loads another waits for its value, and counts a hit."""
    caches = [RoutingCache(shared=tier, clock=clock) for tier in two]
    loader = Loader("v")
    first = asyncio.create_task(caches[0].get_or_compute("q", loader))
    await loader.started.wait()
    second = asyncio.create_task(caches[1].get_or_compute("q", answering("other")))
    await caches[1].get("x")
    loader.go.set()
    assert await first == "v"
    while not second.done():
        await clock.advance(0.2)
        await caches[0].get("x")
    assert await second == "v"
    assert caches[1].stats().hits == 1


async def test_a_failing_load_gives_the_lease_back(two, clock):
    """After a failure in one process the next one loads."""
    one, other = (RoutingCache(shared=tier, clock=clock) for tier in two)
    with pytest.raises(OSError, match="away"):
        await one.get_or_compute("q", answering(OSError("away")))
    assert await other.get_or_compute("q", answering("v")) == "v"


async def test_a_cancelled_load_gives_the_lease_back(two, clock):
    """When its last caller has gone the lease goes too."""
    one, other = (RoutingCache(shared=tier, clock=clock) for tier in two)
    loader = Loader("never")
    caller = asyncio.create_task(one.get_or_compute("q", loader))
    await loader.started.wait()
    caller.cancel()
    await asyncio.wait({caller})
    await one.aclose()
    assert await other.get_or_compute("q", answering("v")) == "v"


async def test_a_lease_is_renewed_while_its_load_runs(two, clock, redis_server):
    """A load may take longer than a lease; a process that died holds it no longer than that."""
    mine, loader = RoutingCache(shared=two[0], clock=clock), Loader("v")
    caller = asyncio.create_task(mine.get_or_compute("q", loader))
    await loader.started.wait()
    (name,) = (key for key in redis_server.names() if key.endswith(":lease"))
    redis_server.command("PEXPIRE", name, "1000")
    await clock.advance(LEASE / 3)
    while int(redis_server.command("PTTL", name)[1:-2]) < 5_000:
        await mine.get("x")  # a turn of the loop, and of the server
    loader.go.set()
    assert await caller == "v"


@pytest.mark.parametrize("change", ["set", "delete", "clear", "delete_tagged"])
async def test_a_change_elsewhere_wins_over_a_load_that_began_before(two, change, clock):
    """What was loaded before another process's change is stored neither there nor here."""
    mine, theirs = (RoutingCache(shared=tier, clock=clock) for tier in two)
    loader = Loader("old")
    caller = asyncio.create_task(mine.get_or_compute("q", loader, tags=["t"]))
    await loader.started.wait()
    await {
        "set": lambda: theirs.set("q", "new"),
        "delete": lambda: theirs.delete("q"),
        "clear": theirs.clear,
        "delete_tagged": lambda: theirs.delete_tagged("t"),
    }[change]()
    loader.go.set()
    assert await caller == "old"
    await told(*two)
    wanted = "new" if change == "set" else None
    assert [await RoutingCache(shared=two[0]).get("q"), await mine.get("q")] == [wanted] * 2


@pytest.mark.parametrize("change", ["set", "delete", "clear"])
async def test_a_change_that_is_not_heard_wins_over_a_load_all_the_same(
    two, change, clock, redis_server
):
    """It has ended the lease: what was loaded before is neither stored nor held."""
    mine, theirs = (RoutingCache(shared=tier, clock=clock) for tier in two)
    older = Loader("old")
    caller = asyncio.create_task(mine.get_or_compute("q", older))
    await older.started.wait()
    redis_server.command("CLIENT", "KILL", "TYPE", "pubsub")
    while not all("not heard" in tier.reason for tier in two):
        await asyncio.gather(mine.get("x"), theirs.get("x"))
    await {
        "set": lambda: theirs.set("q", "new"),
        "delete": lambda: theirs.delete("q"),
        "clear": theirs.clear,
    }[change]()
    older.go.set()
    assert await caller == "old"
    expected = "new" if change == "set" else None
    assert await mine.get("q") == expected
    assert await RoutingCache(shared=two[1], clock=clock).get("q") == expected


async def test_a_lost_lease_stores_nothing(two, clock, redis_server):
    """A process that was away for longer than its lease does not overwrite what came since."""
    mine, loader = RoutingCache(shared=two[0], clock=clock), Loader("old")
    caller = asyncio.create_task(mine.get_or_compute("q", loader))
    await loader.started.wait()
    redis_server.command("DEL", *(key for key in redis_server.names() if key.endswith(":lease")))
    assert await RoutingCache(shared=two[1], clock=clock).get_or_compute("q", answering(1)) == 1
    loader.go.set()
    assert await caller == "old"
    assert [await RoutingCache(shared=two[1]).get("q"), await mine.get("q")] == [1, 1]


async def test_a_refresh_is_done_by_one_process(two, clock):
    """While another process refreshes a value this one serves the old one, and then the new."""
    options = {"stale_seconds": 1000.0, "clock": clock}
    mine, theirs = (RoutingCache(0.001, shared=tier, **options) for tier in two)
    await mine.set("q", "old")
    await told(*two)
    assert await theirs.get("q") is None
    await clock.advance(1)
    loader = Loader("new")
    assert await mine.get_or_compute("q", loader) == "old"
    await loader.started.wait()
    assert await theirs.get_or_compute("q", answering("too many")) == "old"
    loader.go.set()
    await mine.aclose()
    await theirs.aclose()


async def test_a_value_whose_tag_was_dropped_is_loaded_anew(two, clock):
    """A value in Redis under an old stamp of its tag is no value, and is replaced."""
    mine, theirs = (RoutingCache(shared=tier, clock=clock) for tier in two)
    await mine.set_many([("a", 1), ("b", 2)], tags=["t", "u"])
    await theirs.delete_tagged("u")
    late = RoutingCache(shared=two[1], clock=clock)
    assert await late.get_many(["a", "b"]) == [None, None]
    assert await late.get_or_compute("a", answering(3), tags=["t"]) == 3
    assert await RoutingCache(shared=two[0]).get_many(["a", "b"]) == [3, None]


async def test_a_load_whose_tag_was_dropped_holds_nobody_up(two, clock):
    """Its lease is gone: who asks now loads at once, and what comes from before is not stored."""
    mine, theirs = (RoutingCache(shared=tier, clock=clock) for tier in two)
    older = Loader("old")
    caller = asyncio.create_task(mine.get_or_compute("q", older, tags=["t"]))
    await older.started.wait()
    await mine.delete_tagged("t")
    await told(*two)
    async with asyncio.timeout(20):
        assert await theirs.get_or_compute("q", answering("new")) == "new"
    older.go.set()
    assert await caller == "old"
    assert await RoutingCache(shared=two[0]).get("q") == "new"


async def test_a_batch_takes_two_round_trips(two, redis_server):
    """Three hundred texts are asked for at once, and stored at once."""

    async def embed(texts):
        return [[float(text)] for text in texts]

    cache = EmbeddingCache(shared=two[0])
    texts = [str(number) for number in range(300)]
    redis_server.command("CONFIG", "RESETSTAT")
    vectors = await cache.get_or_compute_many(texts, "m", embed)
    assert [row.tolist() for row in vectors] == [[float(number)] for number in range(300)]
    stats = redis_server.command("INFO", "commandstats").decode()
    assert {line.split(":")[0] for line in stats.splitlines()} & {
        "cmdstat_get",
        "cmdstat_set",
    } == set()
    found = await EmbeddingCache(shared=two[1]).get_many(texts, "m")
    assert all(row is not None for row in found)


async def test_a_process_that_heard_nothing_for_a_while_drops_its_memory(two, redis_server, clock):
    """When the listening connection was lost a change may have been missed."""
    mine, theirs = (RoutingCache(shared=tier, clock=clock) for tier in two)
    await mine.set("q", "old")
    await told(*two)
    assert await theirs.get("q") == "old"
    redis_server.command("CLIENT", "KILL", "TYPE", "pubsub")
    redis_server.command("FLUSHALL")
    while "not heard" not in two[1].reason:
        await theirs.get("x")
    assert await theirs.get("q") == "old"
    while two[1].state != "ready":
        await clock.advance(0.1)
        await theirs.get("x")
    assert await theirs.get("q") is None
