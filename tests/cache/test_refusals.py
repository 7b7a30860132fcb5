"""A Redis that refuses: full, a replica, of other rights, hanging, in a cluster."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket

import pytest
from cache_support import answering

from agentinfra._mechanics.clock import SYSTEM_CLOCK
from agentinfra.cache import RedisTier, ResponseCache, RoutingCache
from agentinfra.cache.shared.redis_store import RedisStore
from agentinfra.cache.shared.scripts import PUT
from agentinfra.errors import CacheError, ConfigurationError

pytestmark = pytest.mark.usefixtures("no_tasks_left")


@pytest.fixture
async def tier(redis_server, clock):
    async with RedisTier(redis_server.url, clock=clock) as tier:
        yield tier


async def use(tier, clock):
    """Do everything a cache does, on keys of its own; nothing may be raised."""
    cache = RoutingCache(shared=tier, clock=clock)
    await cache.set("own", 1, tags=["t"])
    assert await cache.get_or_compute("computed", answering(2), tags=["t"]) == 2
    await cache.delete("own")
    await cache.delete_tagged("t")
    await cache.set_many([("x", 1), ("y", 2)])
    await ResponseCache(shared=tier, clock=clock).clear()
    return cache


async def test_a_full_server_serves_what_it_has(tier, redis_server, clock):
    """Reads go on, the older value of what could not be stored is gone, and it heals itself."""
    await RoutingCache(shared=tier).set_many([("good", "v"), ("q", "old")])
    redis_server.command("CONFIG", "SET", "maxmemory", "1")
    await use(tier, clock)
    mine = RoutingCache(shared=tier)
    await mine.set("q", "new")
    assert (tier.state, "OOM" in tier.reason) == ("degraded", True)
    assert await RoutingCache(shared=tier).get_many(["good", "q"]) == ["v", None]
    assert (await mine.get("q"), mine.stats().errors) == ("new", 1)
    async with RedisTier(redis_server.url) as another:  # to which nobody says what failed
        assert await RoutingCache(shared=another).get_many(["good", "q"]) == ["v", None]
    redis_server.command("CONFIG", "SET", "maxmemory", "0")
    await mine.set("q", "newer")
    assert tier.state == "ready"


async def test_on_a_full_server_the_older_value_goes_in_the_same_step(redis_server):
    """There is no moment in which others could still read it, nor does it stay if we die."""
    redis_server.command("SET", "{k}", "old")
    redis_server.command("CONFIG", "SET", "maxmemory", "1")
    store = RedisStore(redis_server.url, timeout=20, max_connections=1, clock=SYSTEM_CLOCK)
    try:
        with pytest.raises(CacheError, match="OOM"):
            await store.run(PUT, ["{k}"], 1000, "channel", b"", each=[b"new"])
        assert redis_server.names() == []
    finally:
        await store.aclose()
        redis_server.command("CONFIG", "SET", "maxmemory", "0")


async def test_a_replica_serves_what_it_has(tier, redis_server, clock):
    """Reads go on; what this process changed is not read back; later it is dropped there."""
    await RoutingCache(shared=tier).set_many([("good", "v"), ("q", "old")])
    redis_server.command("REPLICAOF", "127.0.0.1", "1")
    await use(tier, clock)
    mine = RoutingCache(shared=tier)
    await mine.delete("q")
    assert (tier.state, "READONLY" in tier.reason) == ("degraded", True)
    assert await RoutingCache(shared=tier).get_many(["good", "q"]) == ["v", None]
    assert await mine.get_or_compute("r", answering(3)) == 3
    redis_server.command("REPLICAOF", "NO", "ONE")
    await clock.advance(60)
    await mine.get("x")
    await tier.probe()
    while tier._missed:
        await tier.get("x")
    await mine.set("s", 1)
    assert tier.state == "ready"
    assert await RoutingCache(shared=tier).get_many(["good", "q"]) == ["v", None]


async def test_after_a_failover_the_new_master_is_used(
    redis_server, another_redis, tmp_path, clock
):
    """A demoted master answers still: its first refusal has the address asked for the new one."""
    address = tmp_path / "address.sock"
    try:
        address.symlink_to(redis_server.url.removeprefix("unix://"))
        async with RedisTier(f"unix://{address}", clock=clock) as tier:
            mine = RoutingCache(shared=tier, clock=clock)
            await mine.set_many([("q", "old"), ("kept", 1)])
            redis_server.command("REPLICAOF", "127.0.0.1", "1")
            address.unlink()
            address.symlink_to(another_redis.url.removeprefix("unix://"))
            await mine.set("q", "new")  # refused, by the old one
            await mine.set("r", 2)
            assert len(another_redis.names()) == 1
            assert await RoutingCache(shared=tier).get_many(["q", "r"]) == [None, 2]
            assert [await mine.get("q"), await mine.get("kept")] == ["new", 1]
            await clock.advance(60)
            await tier.probe()
            while tier._missed:
                await tier.get("x")
            await mine.set("q", "newer")
            assert await RoutingCache(shared=tier).get("q") == "newer"
            assert tier.state == "ready"
    finally:
        redis_server.command("REPLICAOF", "NO", "ONE")


async def test_a_key_of_another_type_is_a_miss(tier, redis_server, clock):
    """What somebody else keeps under our key is not read, and loaded over."""
    await RoutingCache(shared=tier).set("q", "v")
    (key,) = redis_server.names()
    redis_server.command("DEL", key)
    redis_server.command("LPUSH", key, "x")
    cache = RoutingCache(shared=tier, clock=clock)
    assert await cache.get("q") is None
    assert tier.state == "degraded"
    assert await cache.get_or_compute("q", answering("new")) == "new"
    assert await RoutingCache(shared=tier).get("q") == "new"
    assert tier.state == "ready"


@pytest.mark.parametrize(
    "rights",
    [
        ["+get", "+mget", "+ping", "+client", "+hello"],
        ["+@all", "-@scripting"],
        ["+@all", "-publish", "-subscribe"],
        ["+@all", "-@write"],
        [],
    ],
    ids=["reads", "no scripts", "no channels", "no writes", "none"],
)
async def test_without_rights_no_caller_sees_an_error(redis_server, clock, rights, tier):
    """Whatever a user may not do, calls go on, reads where they can, and health says it."""
    await RoutingCache(shared=tier).set("good", "v")
    setup = ("ACL", "SETUSER", "some", "reset", "on", ">secret", "~*", "&*", *rights)
    assert redis_server.command(*setup).startswith(b"+OK")
    url = redis_server.url.replace("unix://", "unix://some:secret@")
    async with RedisTier(url, clock=clock) as limited:
        await use(limited, clock)
        found = await RoutingCache(shared=limited).get("good")
        assert found == ("v" if rights else None)
        assert limited.state == "degraded"
        assert "secret" not in limited.reason
    redis_server.command("ACL", "DELUSER", "some")


async def test_a_wrong_password_is_an_outage(redis_server, clock):
    """The tier is degraded with the server's words, and without the password."""
    url = redis_server.url.replace("unix://", "unix://some:secret@")
    async with RedisTier(url, clock=clock) as tier:
        await use(tier, clock)
        assert (tier.state, "secret" in tier.reason) == ("degraded", False)


async def test_a_hanging_server_costs_one_timeout(tier, redis_server, clock):
    """After the first command without an answer the others do not wait; then it is used again."""
    redis_server.command("CLIENT", "PAUSE", "60000", "ALL")
    used = asyncio.create_task(use(tier, clock))
    begun = clock.now()
    while not used.done():
        await clock.advance(0.1)
    assert clock.now() - begun < 1.2
    redis_server.kill()
    redis_server.start()
    await clock.advance(1)
    await tier.get("x")
    assert (await tier.probe()).state == "ready"


def free_port():
    """Return a port that is free, and 10,000 further up too, where a cluster talks to itself."""
    for port in random.sample(range(11_000, 22_000), 100):
        with socket.socket() as one, socket.socket() as other, contextlib.suppress(OSError):
            one.bind(("0.0.0.0", port))
            other.bind(("0.0.0.0", port + 10_000))
            return port
    raise AssertionError("no free port")


@pytest.fixture
def cluster(redis_server):
    """The URL of a cluster of one."""
    port = free_port()
    redis_server.kill()
    redis_server.start("--port", str(port), "--cluster-enabled", "yes")
    redis_server.command("CLUSTER", "ADDSLOTS", *map(str, range(16384)))
    yield f"redis+cluster://127.0.0.1:{port}"
    redis_server.kill()
    redis_server.start()


async def test_a_cluster_is_used_like_one_server(cluster, clock):
    """Values, leases, tags, batches, clearing and news work across slots."""
    async with RedisTier(cluster, clock=clock) as tier:
        while tier.state != "ready" or not tier._hearing._hears.is_set():
            await clock.advance(1)
            await tier.probe()
        assert tier.state == "ready", tier.reason
        mine = RoutingCache(shared=tier, clock=clock)
        await mine.set_many([(str(number), number) for number in range(20)], tags=["t"])
        late = RoutingCache(shared=tier, clock=clock)
        assert await late.get_many([str(number) for number in range(20)]) == list(range(20))
        assert await late.get_or_compute("new", answering(1)) == 1
        await mine.delete_tagged("t")
        assert await RoutingCache(shared=tier).get("3") is None
        assert await RoutingCache(shared=tier).get("new") == 1
        await mine.clear()
        assert await RoutingCache(shared=tier).get("new") is None
        assert (await use(tier, clock)).stats().errors == 0


@pytest.mark.parametrize(
    "url",
    ["http://x", "redis+sentinel://h:1/", "redis://h:port/0", "redis+sentinel://h:port/name"],
)
async def test_a_url_that_cannot_be_used_is_refused(url):
    """The error says what a URL looks like."""
    with pytest.raises(ConfigurationError, match=r"redis\+cluster://host:port"):
        async with RedisTier(url):
            pass


async def test_the_forms_of_urls(clock, redis_server):
    """A valkey URL is Redis's; a sentinel that is away is an outage like another."""
    async with RedisTier("redis+sentinel://127.0.0.1:1/main/0", clock=clock) as tier:
        await use(tier, clock)
        assert tier.state == "degraded"
    async with RedisTier("valkey://127.0.0.1:1", clock=clock) as tier:
        assert tier.state == "degraded"
