"""The table behind the caches: a shared tier like any other."""

import pytest
import pytest_asyncio

from agentinfra import ResponseCache
from agentinfra.cache.shared.protocol import SharedValue
from agentinfra.demo.bookkeeping import prepare_state
from agentinfra.demo.memory import DatabaseTier
from agentinfra.errors import CacheError

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def tier(rt):
    await prepare_state(rt.db)
    return DatabaseTier(rt.db)


async def test_bytes_are_kept_until_they_expire(tier):
    """What is set is there with the seconds it has left; what has expired is not."""
    await tier.set("a", b"1", 60.0)
    await tier.set("a", b"2", 30.0)
    await tier.set("gone", b"3", -1.0)
    found = await tier.get("a")
    assert isinstance(found, SharedValue)
    assert found.data == b"2"
    assert 29 < found.ttl <= 30
    assert await tier.get("gone") is None


async def test_keys_are_dropped_one_by_one_or_by_prefix(tier):
    """Deleting tells whether there was something; a prefix takes nothing else along."""
    for key in ("p:1", "p:2", "q_1", "qx1"):
        await tier.set(key, b"x", 60.0)
    assert await tier.delete("p:1") is True
    assert await tier.delete("p:1") is False
    await tier.clear("q_")
    assert await tier.get("q_1") is None
    assert await tier.get("qx1") is not None
    assert await tier.get("p:2") is not None


async def test_two_caches_share_what_they_hold(tier):
    """What one cache remembers another one finds, as other processes do."""
    first, second = ResponseCache(shared=tier), ResponseCache(shared=tier)
    await first.set("Q?", "analytics", {"answer": "A", "rows": [{"n": 1.5}]})
    assert await second.get("q?", "analytics") == {"answer": "A", "rows": [{"n": 1.5}]}
    await second.clear()


async def test_a_failing_table_is_a_cache_error_and_the_cache_goes_on(tier, rt):
    """Without its table the tier fails in its own words, and caches serve from memory."""
    await rt.db.execute("ALTER TABLE demo_state.cache RENAME TO away")
    try:
        with pytest.raises(CacheError):
            await tier.get("a")
        cache = ResponseCache(shared=tier)
        await cache.set("q", "a", "kept")
        assert await cache.get("q", "a") == "kept"
        assert cache.stats().errors > 0
    finally:
        await rt.db.execute("ALTER TABLE demo_state.away RENAME TO cache")
