"""The memory tier as an aiocache backend: what aiocache expects of a backend, and a bound."""

from __future__ import annotations

import asyncio
from enum import StrEnum

import pytest
from aiocache import Cache, cached
from aiocache.lock import OptimisticLock, RedLock
from aiocache.plugins import HitMissRatioPlugin
from aiocache.serializers import JsonSerializer

from agentinfra.cache.backend import LRUMemoryCache


class Keys(StrEnum):
    FIRST = "first"
    SECOND = "second"


@pytest.fixture
def cache(clock):
    return LRUMemoryCache(namespace="test:", clock=clock)


async def test_a_missing_key_gives_the_default(cache):
    """A miss is None, or the default."""
    assert await cache.get(Keys.FIRST) is None
    assert await cache.get(Keys.FIRST, default=1) == 1
    assert await cache.exists(Keys.FIRST) is False
    assert await cache.delete(Keys.FIRST) == 0
    assert await cache.expire(Keys.FIRST, 1) is False


async def test_what_is_set_is_found(cache):
    """set, get, exists, delete and their plural forms work on one key space."""
    assert await cache.set(Keys.FIRST, "value") is True
    assert await cache.get(Keys.FIRST) == "value"
    assert await cache.get("first", namespace="test:") == "value"
    assert await cache.multi_get([Keys.FIRST, Keys.SECOND]) == ["value", None]
    assert await cache.multi_set([(Keys.FIRST, 1), [Keys.SECOND, 2]]) is True
    assert await cache.multi_get([Keys.FIRST, Keys.SECOND]) == [1, 2]
    assert await cache.delete(Keys.FIRST) == 1
    assert await cache.exists(Keys.SECOND) is True


@pytest.mark.parametrize("ttl", [1, 0.1])
async def test_values_expire(cache, clock, ttl):
    """Whole and fractional times to live end, for one key and for many."""
    await cache.set(Keys.FIRST, "value", ttl=ttl)
    await cache.multi_set([(Keys.SECOND, "value")], ttl=ttl)
    await clock.advance(ttl)
    assert await cache.multi_get([Keys.FIRST, Keys.SECOND]) == [None, None]


async def test_an_older_time_does_not_end_a_newer_value(cache, clock):
    """Setting, or clearing and setting, starts the time anew."""
    await cache.set(Keys.FIRST, "old", ttl=4)
    await clock.advance(3)
    await cache.set(Keys.FIRST, "new", ttl=4)
    await clock.advance(3)
    assert await cache.get(Keys.FIRST) == "new"
    await cache.clear()
    await cache.set(Keys.FIRST, "newest")
    await clock.advance(100)
    assert await cache.get(Keys.FIRST) == "newest"


async def test_expire_changes_the_time(cache, clock):
    """Expiring sets a time to live, and 0 takes it away."""
    await cache.set(Keys.FIRST, "value", 1)
    assert await cache.expire(Keys.FIRST, 0) is True
    await clock.advance(100)
    assert await cache.exists(Keys.FIRST) is True
    assert await cache.expire(Keys.FIRST, 1) is True
    await clock.advance(1)
    assert await cache.exists(Keys.FIRST) is False


async def test_the_default_time_is_used(clock):
    """The ttl of the constructor holds for set and add."""
    cache = LRUMemoryCache(ttl=5, clock=clock)
    await cache.set("a", 1)
    await cache.add("b", 1)
    await clock.advance(5)
    assert await cache.multi_get(["a", "b"]) == [None, None]


async def test_add_refuses_a_key_that_is_there(cache):
    """Adding stores once."""
    assert await cache.add(Keys.FIRST, "value", ttl=1) is True
    with pytest.raises(ValueError, match="already exists"):
        await cache.add(Keys.FIRST, "value")


async def test_numbers_can_be_incremented(cache, clock):
    """Incrementing counts from 0, keeps the time to live, and refuses what is no number."""
    assert await cache.increment(Keys.FIRST, delta=-2) == -2
    assert await cache.increment(Keys.FIRST) == -1
    await cache.set(Keys.SECOND, 1, ttl=5)
    assert await cache.increment(Keys.SECOND) == 2
    await clock.advance(5)
    assert await cache.exists(Keys.SECOND) is False
    await cache.set(Keys.FIRST, "value")
    with pytest.raises(TypeError, match="not an integer"):
        await cache.increment(Keys.FIRST)


async def test_clear_can_be_for_one_namespace(cache):
    """Clearing a namespace leaves the others."""
    await cache.set("a", 1, namespace="x:")
    await cache.set("a", 2, namespace="y:")
    assert await cache.clear(namespace="x:") is True
    assert await cache.get("a", namespace="x:") is None
    assert await cache.get("a", namespace="y:") == 2
    assert await cache.clear() is True
    assert len(cache) == 0


async def test_raw_commands_are_those_of_a_dictionary(cache):
    """Raw commands reach what is stored without namespace and serializer."""
    assert await cache.raw("setdefault", "key", "value") == "value"
    assert await cache.raw("get", "key") == "value"
    assert list(await cache.raw("keys")) == ["key"]
    assert await cache.raw("pop", "key") == "value"
    assert await cache.raw("get", "key") is None


async def test_connections_and_closing_are_accepted(cache):
    """A connection is the cache itself, and closing leaves it usable."""
    async with cache.get_connection() as connection:
        assert await connection.set(Keys.FIRST, "value") is True
        assert await connection.get(Keys.FIRST) == "value"
    await cache.close()
    assert await cache.get(Keys.FIRST) == "value"


async def test_unknown_options_are_refused():
    """A misspelt option is an error."""
    with pytest.raises(TypeError):
        LRUMemoryCache(sise=1)


async def test_there_is_a_bound(clock):
    """The least recently used entry goes when there is no room, by count and by bytes."""
    cache = LRUMemoryCache(max_size=2, clock=clock)
    for key in "ab":
        await cache.set(key, key)
    await cache.get("a")
    await cache.set("c", "c")
    assert await cache.multi_get(["a", "b", "c"]) == ["a", None, "c"]
    small = LRUMemoryCache(max_bytes=2000, clock=clock)
    await small.set("a", "x" * 1500)
    await small.set("b", "x" * 1500)
    assert await small.multi_get(["a"]) == [None]


async def test_serializers_and_plugins_are_used(clock):
    """Values go through the serializer, and operations through the plugins."""
    cache = LRUMemoryCache(JsonSerializer(), plugins=[HitMissRatioPlugin()], clock=clock)
    await cache.set("a", [1])
    assert await cache.get("a") == [1]
    assert await cache.get("b") is None
    assert await cache.raw("get", "a") == "[1]"
    assert cache.hit_miss_ratio["hit_ratio"] == 0.5
    plain = LRUMemoryCache(JsonSerializer(), clock=clock)
    await plain.set("a", {"b": 1}, dumps_fn=str)
    assert await plain.get("a", loads_fn=str) == "{'b': 1}"


async def test_the_decorator_takes_the_backend():
    """The decorator ``cached`` runs on the bounded backend."""
    calls = 0

    @cached(cache=LRUMemoryCache, max_size=10, ttl=60)
    async def double(number):
        nonlocal calls
        calls += 1
        return 2 * number

    assert [await double(2), await double(2), await double(3)] == [4, 4, 6]
    assert calls == 2
    assert isinstance(Cache(LRUMemoryCache), LRUMemoryCache)


async def test_locks_work_on_the_backend(cache):
    """The locks of aiocache find the operations they need."""
    await cache.set("a", 1)
    async with OptimisticLock(cache, "a") as lock:
        assert await lock.cas(2) is True
    assert await cache.get("a") == 2
    async with RedLock(cache, "b", lease=1):
        waiting = asyncio.create_task(cache.get("b"))
        assert await waiting is None
    assert await cache.exists("b-lock") is False
