"""Redis as an aiocache backend: what aiocache expects of one, and what it does without Redis."""

from __future__ import annotations

import asyncio

import pytest
from aiocache import cached
from aiocache.lock import OptimisticLock, OptimisticLockError, RedLock
from aiocache.plugins import HitMissRatioPlugin
from aiocache.serializers import PickleSerializer

from agentinfra.cache import RedisTier
from agentinfra.cache.backend import RedisCache

pytestmark = pytest.mark.usefixtures("no_tasks_left")


@pytest.fixture
async def cache(redis_server):
    # What is about locks and values is not about a machine that is busy for half a second.
    async with RedisCache(url=redis_server.url, namespace="test", timeout=30) as cache:
        yield cache


async def test_what_is_set_is_found(cache):
    """set, get, add, exists, delete and their plural forms work on one key space."""
    assert await cache.get("a", default=1) == 1
    assert await cache.set("a", {"x": [1]}) is True
    assert await cache.get("a") == {"x": [1]}
    assert await cache.multi_set([("b", 1), ("c", "d")], ttl=60) is True
    assert await cache.multi_get(["b", "none", "c"]) == [1, None, "d"]
    assert await cache.add("new", 1, ttl=60) is True
    with pytest.raises(ValueError, match="already exists"):
        await cache.add("new", 2)
    assert [await cache.delete("a"), await cache.exists("a")] == [1, False]
    assert await cache.clear(namespace="test") is True
    assert await cache.exists("b") is False


@pytest.mark.parametrize("ttl", [60, 0.5])
async def test_times_reach_redis(cache, redis_server, ttl):
    """Whole and fractional times are set, changed and taken away."""
    await cache.set("a", 1, ttl=ttl)
    assert 0 < int(redis_server.command("PTTL", "test:a")[1:-2]) <= ttl * 1000
    assert await cache.expire("a", 2.5) is True
    assert 2000 < int(redis_server.command("PTTL", "test:a")[1:-2]) <= 2500
    assert await cache.expire("a", 0) is True
    assert redis_server.command("PTTL", "test:a") == b":-1\r\n"


async def test_numbers_can_be_incremented(cache):
    """Incrementing counts from 0 and refuses what is no number."""
    assert [await cache.increment("n"), await cache.increment("n", delta=-3)] == [1, -2]
    await cache.set("text", "x")
    with pytest.raises(TypeError, match="not an integer"):
        await cache.increment("text")


async def test_raw_commands_are_the_clients(cache):
    """Raw commands reach Redis without namespace and serializer."""
    await cache.raw("set", "key", "value")
    assert await cache.raw("get", "key") == "value"
    assert await cache.raw("keys", "k*") == ["key"]


async def test_serializers_plugins_and_decorators_work(redis_server):
    """Values go through the serializer, operations through plugins, and ``cached`` caches."""
    options = {"url": redis_server.url, "serializer": PickleSerializer()}
    async with RedisCache(plugins=[HitMissRatioPlugin()], **options) as cache:
        await cache.set("a", (1, {2}))
        assert await cache.get("a") == (1, {2})
        assert cache.hit_miss_ratio["hit_ratio"] == 1
    calls = 0

    @cached(cache=RedisCache, ttl=60, **options)
    async def double(number):
        nonlocal calls
        calls += 1
        return 2 * number

    assert [await double(2), await double(2)] == [4, 4]
    assert calls == 1
    await double.cache.close()


@pytest.mark.parametrize("key", [f"k{number}" for number in range(40)])
async def test_locks_hold(cache, key):
    """One of many callers goes on with the lock, whichever connection is answered first."""
    inside = 0

    async def work():
        nonlocal inside
        async with RedLock(cache, key, lease=5):
            if await cache.get(key) is None:
                inside += 1
                await cache.set(key, 1)

    await asyncio.gather(*(work() for _ in range(20)))
    assert inside == 1


async def test_a_changed_value_is_noticed(cache):
    """Compare-and-set is refused where another caller has written in between."""
    async with OptimisticLock(cache, "k") as lock:
        assert await lock.cas(2, ttl=60) is True
    async with OptimisticLock(cache, "k") as lock:
        await cache.set("k", 3)
        with pytest.raises(OptimisticLockError):
            await lock.cas(4)


async def test_without_redis_it_goes_on(redis_server, clock):
    """While Redis is away gets miss and sets do nothing; what changed is dropped there."""
    async with (
        RedisTier(redis_server.bridge_url, clock=clock) as tier,
        RedisCache(connection=tier) as cache,
    ):
        assert await cache.get("a", default=0) == 0
        assert await cache.set("a", 1) is False
        assert await cache.multi_get(["a", "b"]) == [None, None]
        assert await cache.increment("n", delta=2) == 2
        assert [await cache.exists("a"), await cache.delete("a")] == [False, 0]
        redis_server.command("SET", "a", '"old"')
        redis_server.connect_bridge(connected=True)
        await tier.probe()
        assert await cache.get("a") is None
        assert await cache.set("a", 2) is True
        assert await cache.get("a") == 2
