"""The caches of a runtime as one resource."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap

import pytest

from agentinfra.cache import Caches
from agentinfra.observability.metrics import Metrics
from agentinfra.settings import CacheSettings

pytestmark = pytest.mark.usefixtures("no_tasks_left")


async def test_without_redis_the_caches_are_ready():
    """Memory alone is what was asked for: ready, without a reason."""
    async with Caches(CacheSettings(routing_size=1)) as caches:
        await caches.routing.set("a", 1)
        await caches.routing.set("b", 2)
        health = await caches.probe()
        assert (health.state, health.reason, health.detail) == ("ready", "", "memory")
        assert [await caches.routing.get("a"), await caches.routing.get("b")] == [None, 2]


async def test_the_settings_reach_the_caches(clock):
    """Times to live, namespace and tenant come from the settings."""
    settings = CacheSettings(routing_ttl=10, embedding_ttl=20, namespace="app", tenant="t")
    async with Caches(settings, clock=clock) as caches:
        await caches.routing.set("a", 1)
        await caches.embedding.set("a", "m", [1.0])
        await clock.advance(10)
        assert await caches.routing.get("a") is None
        assert await caches.embedding.get("a", "m") is not None


async def test_switched_off_nothing_is_kept():
    """Disabled, every get is a miss, and callers at the same time still share a load."""
    calls = 0

    async def loader():
        nonlocal calls
        calls += 1
        return calls

    async with Caches(CacheSettings(enabled=False, redis_url="redis://nowhere")) as caches:
        assert (caches.state, bool(caches.reason)) == ("disabled", True)
        await caches.routing.set("a", 1)
        await caches.embedding.set("a", "m", [1.0])
        assert await caches.routing.get("a") is None
        assert await caches.embedding.get("a", "m") is None
        shared = await asyncio.gather(*(caches.routing.get_or_compute("a", loader) for _ in "xyz"))
        assert (shared, await caches.routing.get_or_compute("a", loader)) == ([1, 1, 1], 2)


async def test_health_follows_redis(redis_server, clock):
    """The state is degraded while Redis is away, and ready again when it is back."""
    settings = CacheSettings(redis_url=redis_server.url)
    async with Metrics() as metrics, Caches(settings, metrics=metrics, clock=clock) as caches:
        await caches.response.set("q", "a", "A")
        assert (await caches.probe()).state == "ready"
        redis_server.kill()
        assert await caches.response.get("other", "a") is None
        assert await caches.response.get("q", "a") == "A"
        health = await caches.probe()
        assert (health.state, health.detail) == ("degraded", "memory and Redis")
        assert "serving from memory" in health.reason
        page = metrics.expose()
        assert 'resource_degraded{resource="cache"} 1' in page
        assert 'cache_operations_total{cache="response",outcome="error"} 1' in page
        redis_server.start()
        health = await caches.probe()
        assert (health.state, health.reason, health.latency is not None) == ("ready", "", True)
        assert 'resource_degraded{resource="cache"} 0' in metrics.expose()


def test_without_the_redis_package_the_shared_tier_is_off():
    """A missing package degrades, and the reason is the sentence that mends it."""
    code = """
        import asyncio, sys
        sys.modules["redis"] = None
        sys.modules["redis.asyncio"] = None
        from agentinfra.cache import Caches
        from agentinfra.settings import CacheSettings

        async def main():
            async with Caches(CacheSettings(redis_url="redis://127.0.0.1:1")) as caches:
                await caches.routing.set("q", 1)
                print(caches.state, "|", caches.reason, "|", await caches.routing.get("q"))

        asyncio.run(main())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    state, reason, value = done.stdout.strip().split(" | ")
    assert (state, value) == ("degraded", "1")
    assert reason.endswith("pip install 'agentinfra[redis]'")


def test_importing_the_caches_is_light():
    """Importing the caches imports neither aiocache nor redis nor numpy."""
    code = "import agentinfra.cache, sys; print({'aiocache', 'redis', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
