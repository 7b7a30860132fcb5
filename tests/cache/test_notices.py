"""What running processes tell one another over Redis."""

import pytest

from agentinfra.cache.shared.connection import RedisConnection
from agentinfra.cache.shared.notices import RedisNotices
from agentinfra.errors import CacheError


@pytest.fixture
async def connection(redis_server):
    async with RedisConnection(redis_server.url) as opened:
        yield opened


async def test_each_reads_what_the_others_say(connection):
    """By topic, never its own, and only the newest; who leaves is gone."""
    board, other = RedisNotices(connection, "ns"), RedisNotices(connection, "ns")
    assert await board.exchange({"a": "one", "b": "two"}, member="m1", lifetime=60) == []
    await board.exchange({"a": "three"}, member="m1", lifetime=60)
    read = await other.exchange({"a": "x", "b": "y z"}, member="m2", lifetime=60)
    assert sorted(read) == [("a", "three"), ("b", "two")]
    assert await board.exchange({"b": "four"}, member="m1", lifetime=60) == [("b", "y z")]
    await board.leave("m1")
    assert await other.exchange({"a": "x", "b": "y"}, member="m2", lifetime=60) == []


async def test_who_says_nothing_more_is_forgotten(connection):
    """A process that was killed leaves by itself, and the topic with the last."""
    board = RedisNotices(connection, "ns")
    await board.exchange({"a": "note"}, member="m1", lifetime=-1)
    assert await board.exchange({"a": "mine"}, member="m2", lifetime=60) == []


async def test_namespaces_do_not_meet(connection):
    """Applications on one Redis are set apart."""
    await RedisNotices(connection, "one").exchange({"a": "note"}, member="m1", lifetime=60)
    other = RedisNotices(connection, "two")
    assert await other.exchange({"a": "note"}, member="m2", lifetime=60) == []


async def test_a_redis_that_is_away_is_an_error():
    """So that another place is asked."""
    async with RedisConnection("redis://127.0.0.1:1/0") as connection:
        with pytest.raises(CacheError):
            await RedisNotices(connection, "ns").exchange({"a": "x"}, member="m", lifetime=1)
