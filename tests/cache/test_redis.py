"""The shared tier on a real Redis, which dies and returns."""

from __future__ import annotations

import asyncio
import datetime as dt
import enum
import re
import uuid
import zoneinfo
from dataclasses import dataclass, field
from decimal import Decimal

import msgspec
import pydantic
import pytest
from cache_support import heard

from agentinfra.cache import EmbeddingCache, RedisTier, ResponseCache, RoutingCache
from agentinfra.errors import CacheError, ConfigurationError

pytestmark = pytest.mark.usefixtures("no_tasks_left")


@pytest.fixture
async def tier(redis_server, clock):
    async with RedisTier(redis_server.url, clock=clock, max_connections=4) as tier:
        yield tier


@dataclass(frozen=True)
class Route:
    agent: str


class Plan(enum.Enum):
    FREE = "free"


class Name(str):
    """Text with something beside it."""


@dataclass
class Handle:
    """A value with something beside it that only this process has."""

    name: str
    link: object = field(default_factory=object, repr=False)


@dataclass
class Answer:
    text: str
    raw: object = field(default=None, compare=False, repr=False)


class Model(pydantic.BaseModel):
    x: float
    when: dt.datetime | None = None


class Struct(msgspec.Struct):
    x: tuple[int, ...]


BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    "value",
    [
        (1, ("a", [2])),
        {1, 2},
        frozenset({"a"}),
        {"a": (1,), 2: "b", (3,): None},
        Route("sales"),
        [Route("sales"), Plan.FREE, Model(x=1, when=dt.datetime(2025, 1, 1, tzinfo=dt.UTC))],
        Struct((1, 2)),
        2**70,
        -(2**63),
        b"bytes",
        Decimal("1.50"),
        uuid.UUID(int=7),
        dt.date(2025, 1, 1),
        dt.time(1, 2, tzinfo=dt.UTC),
        dt.timedelta(days=1, microseconds=1),
        dt.datetime(2025, 1, 1, 0, 30, tzinfo=dt.timezone(dt.timedelta(hours=2))),
        dt.datetime(2025, 10, 26, 2, 30, fold=1, tzinfo=BERLIN),
        float("inf"),
    ],
    ids=repr,
)
async def test_values_come_back_as_they_are(tier, value):
    """What other processes read has the type and the content of what was stored."""
    await RoutingCache(shared=tier).set("q", value)
    read = await RoutingCache(shared=tier).get("q")
    assert (type(read), repr(read)) == (type(value), repr(value))


async def test_what_a_value_holds_beside_itself_stays_here(tier):
    """A field that neither comparison nor repr looks at comes back as its default."""
    await RoutingCache(shared=tier).set("q", Answer("a", raw=lambda: 1))
    assert await RoutingCache(shared=tier).get("q") == Answer("a")


@pytest.mark.parametrize(
    ("kind", "value", "other"),
    [
        (Route, Route("a"), "a"),
        (Model, Model(x=1.5), Route("a")),
        (list[Model], [Model(x=1)], [1]),
        (dict[str, tuple[int, ...]], {"a": (1, 2)}, {"a": "b"}),
        (dt.datetime, dt.datetime(2025, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=2))), 1),
    ],
)
async def test_a_type_can_be_given(tier, kind, value, other):
    """With a type only its values are shared, and reading checks them."""
    cache = RoutingCache(shared=tier, type=kind)
    await cache.set("q", value)
    assert await RoutingCache(shared=tier, type=kind).get("q") == value
    plain = RoutingCache(shared=tier)
    assert await plain.get("q") is None
    assert plain.stats().errors == 1
    await cache.set("r", other)
    assert await cache.get("r") == other
    assert await RoutingCache(shared=tier, type=kind).get("r") is None


async def test_a_type_nobody_can_read_is_refused():
    """A type neither package knows fails at construction."""
    with pytest.raises(ConfigurationError, match="neither msgspec nor pydantic"):
        RoutingCache(type=3)


async def absent():
    raise AssertionError("it was in Redis")


async def test_processes_share_values(tier):
    """What one cache stores, another on the same Redis finds."""
    await RoutingCache(shared=tier).set("Q", {"agent": "sales", "score": 0.5})
    other = RoutingCache(shared=tier)
    assert await other.get("q") == {"agent": "sales", "score": 0.5}
    assert await other.get_or_compute("q", absent) == {"agent": "sales", "score": 0.5}
    await EmbeddingCache(shared=tier).set("t", "m", [0.5, 0.25])
    vector = await EmbeddingCache(shared=tier).get("t", "m")
    assert vector is not None
    assert vector.tolist() == [0.5, 0.25]


async def test_none_is_shared_too(tier):
    """A computed None is found by others."""
    await RoutingCache(shared=tier).set("q", None)
    assert await RoutingCache(shared=tier).get("q", "miss") is None


async def test_tenants_do_not_share(tier):
    """Another tenant, namespace or kind of cache finds nothing and clears nothing."""
    await RoutingCache(shared=tier, tenant="a").set("q", 1)
    for other in (
        RoutingCache(shared=tier, tenant="b"),
        RoutingCache(shared=tier, namespace="other", tenant="a"),
    ):
        assert await other.get("q") is None
        await other.clear()
    assert await RoutingCache(shared=tier, tenant="a").get("q") == 1


async def test_the_time_left_goes_along(tier, redis_server, clock):
    """A value found in Redis is fresh for as long as it was stored for, not for a whole life."""
    await RoutingCache(100, shared=tier, clock=clock).set("q", "old", ttl=40)
    await heard(tier)
    other = RoutingCache(100, shared=tier, clock=clock)
    assert await other.get("q") == "old"
    redis_server.delete_all()
    await clock.advance(38)
    assert await other.get("q") == "old"
    await clock.advance(2)
    assert await other.get("q") is None


async def test_fractions_of_a_second_are_kept(tier, redis_server):
    """A time to live below a second is one in Redis as well."""
    await RoutingCache(0.5, shared=tier).set("q", 1)
    key = redis_server.command("KEYS", "*").split(b"\r\n")[2].decode()
    assert 0 < int(redis_server.command("PTTL", key)[1:]) <= 500


async def test_a_stale_value_in_redis_is_loaded_anew_and_kept_for_failures(tier, clock):
    """Past its time a shared value is a miss, and what is returned when the loader fails."""
    await RoutingCache(0.001, stale_seconds=60, shared=tier).set("q", "old")
    other = RoutingCache(0.001, stale_seconds=59.9, shared=tier, clock=clock)
    while await other.get("q") is not None:
        other = RoutingCache(0.001, stale_seconds=59.9, shared=tier, clock=clock)

    async def fails():
        raise OSError("away")

    assert await RoutingCache(1, stale_seconds=60, shared=tier).get_or_compute("q", fails) == "old"


def local_class():
    @dataclass
    class Local:
        x: int

    return Local(1)


@pytest.mark.parametrize(
    "value",
    [Name("x"), local_class(), {"a": (Name("x"),)}, float("nan"), re.compile("x"), [Handle("h")]],
)
async def test_a_value_that_would_change_is_not_shared(tier, value):
    """What would come back as something else stays in this process, and replaces what was there."""
    mine = RoutingCache(shared=tier)
    await mine.set("q", "older")
    await mine.set("q", value)
    assert repr(await mine.get("q")) == repr(value)
    assert await RoutingCache(shared=tier).get("q") is None


async def test_bytes_that_are_no_value_are_a_miss(tier, redis_server):
    """Something else under our key is counted as an error and loaded over."""
    await ResponseCache(shared=tier).set("q", "a", "A")
    await EmbeddingCache(shared=tier).set("t", "m", [1.0])
    for key in redis_server.command("KEYS", "*").split(b"\r\n")[2::2]:
        redis_server.command("SET", key.decode(), "\u00c1")
    response, embedding = ResponseCache(shared=tier), EmbeddingCache(shared=tier)
    assert await response.get("q", "a") is None
    assert await embedding.get("t", "m") is None
    assert (response.stats().errors, embedding.stats().errors) == (1, 1)


async def test_a_set_wins_over_a_read_that_is_under_way(tier):
    """What was read from Redis before a set does not replace the newer value in memory."""
    await RoutingCache(shared=tier).set("q", "old")
    for pause in range(1, 12):
        cache = RoutingCache(shared=tier)
        read = asyncio.create_task(cache.get("q"))
        for _ in range(pause):
            await asyncio.sleep(0)
        await cache.set("q", f"new {pause}")
        await read
        assert await cache.get("q") == f"new {pause}"


async def test_clear_leaves_what_belongs_to_others(tier, redis_server):
    """Clearing drops all keys of one cache, special characters in its namespace included."""
    cache = RoutingCache(namespace="a*[b]?\\", shared=tier)
    for number in range(1200):
        await cache.set(str(number), number)
    redis_server.command("SET", "a-not-ours", "x")
    await cache.clear()
    assert redis_server.command("KEYS", "*") == b"*1\r\n$10\r\na-not-ours\r\n"


async def test_more_callers_than_connections_wait(redis_server, clock):
    """A small pool makes callers wait instead of failing."""
    # Longer than any machine is busy: redis-py counts a connection's time by its own clock.
    patient = RedisTier(redis_server.url, clock=clock, max_connections=4, timeout=30)
    async with patient as tier:
        cache = RoutingCache(shared=tier)
        await asyncio.gather(*(cache.set(str(number), number) for number in range(200)))
        other = RoutingCache(shared=tier)
        found = await asyncio.gather(*(other.get(str(number)) for number in range(200)))
    assert found == list(range(200))
    assert other.stats().errors == 0


async def test_a_crowd_is_no_outage(tier, redis_server, clock):
    """A command that finds no free connection in time is an error, and the server stays in use."""
    await tier.set("k", b"v", 60)
    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            await tier._store._slots.acquire()
        read = group.create_task(RoutingCache(shared=tier).get("x"))
        while not read.done():
            await clock.advance(0.1)
    assert tier.state == "ready"
    for _ in range(4):
        tier._store._slots.release()
    found = await tier.get("k")
    assert found is not None
    assert found.data == b"v"


async def test_a_cancelled_read_gives_its_connection_no_wrong_answer(tier):
    """After cancellations in the middle of commands every key still has its own value."""
    cache = RoutingCache(shared=tier)
    for number in range(20):
        await cache.set(str(number), number)
    for pause in range(1, 40):
        other = RoutingCache(shared=tier)
        read = asyncio.create_task(other.get("0"))
        for _ in range(pause):
            await asyncio.sleep(0)
        read.cancel()
        await asyncio.wait({read})
        assert await other.get(str(pause % 20)) == pause % 20


async def test_a_server_that_dies_is_done_without(tier, redis_server, clock):
    """While Redis is away the cache serves from memory; one error is counted, then none."""
    cache = RoutingCache(shared=tier, clock=clock)
    await cache.set("before", 1)
    redis_server.kill()
    assert await cache.get("unknown") is None
    assert (tier.state, cache.stats().errors) == ("degraded", 1)
    assert "serving from memory: Redis failed (ConnectionError)" in tier.reason
    await cache.set("meanwhile", 2)
    assert [await cache.get("before"), await cache.get("meanwhile")] == [1, 2]
    assert cache.stats().errors == 1


async def test_a_server_that_returns_is_used_again(tier, redis_server, clock):
    """After a pause the next use has Redis tried again in the background."""
    cache = RoutingCache(shared=tier, clock=clock)
    redis_server.kill()
    await cache.get("x")
    await cache.get("x")
    redis_server.start()
    await cache.get("x")
    assert tier.state == "degraded"
    await clock.advance(0.5)
    await cache.get("x")
    assert (await tier.probe()).state == "ready"
    await cache.set("after", 3)
    assert await RoutingCache(shared=tier).get("after") == 3


async def test_the_pause_doubles(tier, redis_server, clock):
    """A server that stays away is asked after 0.5, 1, 2 ... seconds, at most every 30."""
    redis_server.kill()
    with pytest.raises(CacheError, match="Redis failed"):
        await tier.get("x")
    pauses = []
    for _ in range(8):
        pauses.append(tier._retry_at - clock.now())
        await clock.advance(pauses[-1])
        assert await tier.get("x") is None
        await tier.probe()
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


async def test_what_changed_during_an_outage_is_not_served_from_redis(redis_server, clock, tier):
    """A key set, deleted or cleared while Redis was out of reach is not found there afterwards."""
    other = RoutingCache(shared=tier)
    for question in ("set", "deleted", "kept"):
        await other.set(question, "old")
    await ResponseCache(shared=tier).set("cleared", "a", "old")
    redis_server.connect_bridge(connected=False)
    async with RedisTier(redis_server.bridge_url, clock=clock) as cut_off:
        assert cut_off.state == "degraded"
        mine = RoutingCache(shared=cut_off)
        await mine.set("set", "new")
        await mine.delete("deleted")
        await ResponseCache(shared=cut_off).clear()
        redis_server.connect_bridge(connected=True)
        assert (await cut_off.probe()).state == "ready"
    late = RoutingCache(shared=tier)
    assert [await late.get(q) for q in ("set", "deleted", "kept")] == [None, None, "old"]
    assert await ResponseCache(shared=tier).get("cleared", "a") is None


async def test_ten_thousand_changes_during_an_outage_are_remembered_as_one(
    redis_server, clock, tier
):
    """Too many changed keys to remember clear their whole cache in Redis instead."""
    await RoutingCache(shared=tier).set("kept", "old")
    redis_server.connect_bridge(connected=False)
    async with RedisTier(redis_server.bridge_url, clock=clock) as cut_off:
        mine = RoutingCache(shared=cut_off, max_size=1)
        for number in range(10_001):
            await mine.set(str(number), number)
        assert len(cut_off._missed) == 1
        redis_server.connect_bridge(connected=True)
        assert (await cut_off.probe()).state == "ready"
    assert await RoutingCache(shared=tier).get("kept") is None


async def test_a_cancelled_change_is_made_up_for(redis_server, tier):
    """A set that was cancelled on its way leaves no older value in Redis."""
    for pause in range(1, 12):
        cache = RoutingCache(shared=tier)
        await cache.set("q", "old")
        change = asyncio.create_task(cache.set("q", "new"))
        for _ in range(pause):
            await asyncio.sleep(0)
        change.cancel()
        await asyncio.wait({change})
        while tier._missed or tier._returning:
            await tier.get("x")
        assert await RoutingCache(shared=tier).get("q") in ("new", None)


class Waiting(RedisTier):
    """A tier whose first change is on its way until it is let through."""

    def __init__(self, url):
        super().__init__(url)
        self.began, self.go = asyncio.Event(), asyncio.Event()

    async def put(self, pairs, ttl, origin):
        await self._first()
        await super().put(pairs, ttl, origin)

    async def wipe(self, prefix, origin):
        await self._first()
        await super().wipe(prefix, origin)

    async def _first(self):
        if not self.began.is_set():
            self.began.set()
            await self.go.wait()


@pytest.mark.parametrize("change", ["set", "set_many", "delete", "clear"])
async def test_writes_of_one_key_arrive_in_the_order_of_their_calls(redis_server, change):
    """However long the first one takes on its way."""
    async with Waiting(redis_server.url) as tier:
        cache = RoutingCache(shared=tier)
        first = asyncio.create_task(cache.set("q", "older"))
        await tier.began.wait()
        later = {
            "set": lambda: cache.set("q", "newer"),
            "set_many": lambda: cache.set_many([("p", 1), ("q", "newer")]),
            "delete": lambda: cache.delete("q"),
            "clear": cache.clear,
        }[change]
        second = asyncio.create_task(later())
        for _ in range(20):  # time enough for it to be there first
            await tier.get("x")
        tier.go.set()
        await asyncio.gather(first, second)
        expected = "newer" if change.startswith("set") else None
        assert await RoutingCache(shared=tier).get("q") == expected


async def test_what_is_set_after_a_clearing_stays(redis_server):
    """It waits for the clearing, which would take it along."""
    async with Waiting(redis_server.url) as tier:
        cache = RoutingCache(shared=tier)
        clearing = asyncio.create_task(cache.clear())
        await tier.began.wait()
        setting = asyncio.create_task(cache.set("q", "newer"))
        for _ in range(20):  # time enough for it to be there first
            await tier.get("x")
        tier.go.set()
        await asyncio.gather(clearing, setting)
        assert await RoutingCache(shared=tier).get("q") == "newer"


async def test_a_write_that_is_cancelled_before_its_turn_was_never_there(redis_server):
    """The one it waited for may still come: nobody reads the newer value and then the older one."""
    async with Waiting(redis_server.url) as tier:
        cache = RoutingCache(shared=tier)
        first = asyncio.create_task(cache.set("q", "older"))
        await tier.began.wait()
        second = asyncio.create_task(cache.set("q", "newer"))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.wait({second})
        assert second.cancelled()
        assert await cache.get("q") is None
        tier.go.set()
        await first
        assert await cache.get("q") in ("older", None)


async def test_a_server_that_hangs_is_given_up_after_the_timeout(tier, redis_server, clock):
    """A command without an answer ends at the timeout and counts as an outage."""
    redis_server.command("CLIENT", "PAUSE", "60000", "ALL")
    cache = RoutingCache(shared=tier, clock=clock)
    read = asyncio.create_task(cache.get("x"))
    while not read.done():
        await clock.advance(0.1)
    assert await read is None
    assert "no answer within 0.5 s" in tier.reason
    redis_server.kill()


async def test_a_server_that_is_away_at_the_start_is_no_error(redis_server, clock):
    """Entering without a server gives a degraded tier that recovers."""
    redis_server.kill()
    async with RedisTier(redis_server.url, clock=clock) as tier:
        assert tier.state == "degraded"
        cache = RoutingCache(shared=tier)
        await cache.set("q", 1)
        assert await cache.get("q") == 1
        redis_server.start()
        assert (await tier.probe()).state == "ready"


async def test_a_tier_that_is_not_entered_or_left_finds_nothing(redis_server):
    """Caches go on without a tier that is not there."""
    tier = RedisTier(redis_server.url)
    cache = RoutingCache(shared=tier)
    await cache.set("q", 1)
    async with tier:
        pass
    await cache.set("r", 2)
    assert [await cache.get("r"), await cache.get("s")] == [2, None]
    await cache.clear()


async def test_a_server_that_wants_a_password_is_told_by_what_to_do(another_redis):
    """Not by what its protocol says."""
    another_redis.command("CONFIG", "SET", "requirepass", "p")
    async with RedisTier(another_redis.url) as tier:
        assert "wants a password: put it into the URL" in tier.reason


async def test_the_password_is_in_no_message():
    """A URL that cannot be used is refused without repeating it."""
    with pytest.raises(ConfigurationError) as caught:
        async with RedisTier("redis://user:secret@host:port/0"):
            pass
    assert "secret" not in str(caught.value)


async def test_closing_ends_connections_and_the_try_under_way(redis_server, clock):
    """Leaving while the tier tries to return leaves nothing behind."""
    async with RedisTier(redis_server.url, clock=clock) as tier:
        redis_server.command("CLIENT", "PAUSE", "60000", "ALL")
        read = asyncio.create_task(RoutingCache(shared=tier).get("x"))
        while not read.done():
            await clock.advance(0.1)
        await clock.advance(1)
        assert await tier.get("x") is None
    redis_server.kill()
