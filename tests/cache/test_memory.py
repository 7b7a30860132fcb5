"""The memory tier, by rules and against a model."""

from __future__ import annotations

import collections
import functools
import tracemalloc

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from agentinfra.cache.memory import MemoryTier
from agentinfra.cache.sizing import estimate_bytes
from agentinfra.testing.clock import ManualClock


class Time:
    """A clock for the state machine, which has no event loop."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time


def tier(clock, **bounds):
    dropped: list[str] = []
    return (
        MemoryTier(
            **({"max_size": 2} | bounds), clock=clock, dropped=lambda why, _: dropped.append(why)
        ),
        dropped,
    )


def test_the_least_recently_used_goes_first(clock):
    """A get makes an entry the most recently used, and the other one is evicted."""
    cache, dropped = tier(clock)
    cache.set("a", 1)
    cache.set("b", 2)
    assert cache.get("a", None) == 1
    cache.set("c", 3)
    assert [cache.get(key, None) for key in "abc"] == [1, None, 3]
    assert dropped == ["eviction"]


async def test_an_entry_is_fresh_until_its_time_is_over(clock):
    """At the end of its time to live an entry is gone, not a moment earlier."""
    cache, dropped = tier(clock)
    cache.set("a", 1, ttl=10.0)
    await clock.advance(9.999)
    assert cache.get("a", None) == 1
    await clock.advance(0.001)
    assert cache.get("a", None) is None
    assert (len(cache), dropped) == (0, ["expiration"])


async def test_a_value_set_anew_has_its_own_time(clock):
    """The time of an older value does not end a newer one."""
    cache, _ = tier(clock)
    cache.set("a", 1, ttl=10.0)
    await clock.advance(9.0)
    cache.set("a", 2, ttl=10.0)
    await clock.advance(9.0)
    assert cache.get("a", None) == 2


async def test_a_stale_value_is_only_had_by_asking_for_it(clock):
    """After its time a value is found by ``stale`` alone, until the stale time is over too."""
    cache, _ = tier(clock)
    cache.set("a", 1, ttl=10.0, stale=5.0)
    await clock.advance(10.0)
    assert (cache.get("a", None), cache.stale("a", None)) == (None, 1)
    await clock.advance(5.0)
    assert cache.stale("a", None) is None


def test_the_bound_on_bytes_evicts(clock):
    """Entries go until the bytes of all are within the bound."""
    cache, dropped = tier(clock, max_size=10, max_bytes=100)
    for key in "abc":
        cache.set(key, key, size=40)
    assert (list(cache), cache.bytes, dropped) == (["b", "c"], 80, ["eviction"])


def test_an_entry_larger_than_the_tier_takes_nobodys_place(clock):
    """What could never fit is not held, and the older value of its key is gone all the same."""
    cache, dropped = tier(clock, max_size=10, max_bytes=100)
    cache.set("a", "old", size=10)
    cache.set("b", "kept", size=10)
    assert cache.set("a", "new", size=101) is False
    assert (cache.get("a", None), cache.get("b", None)) == (None, "kept")
    assert dropped == ["refused"]


def test_a_tier_of_size_0_holds_nothing(clock):
    """Without room for a single entry every get is a miss."""
    cache, _ = tier(clock, max_size=0)
    assert cache.set("a", 1) is False
    assert cache.get("a", None) is None


async def test_times_can_be_changed_and_kept(clock):
    """``touch`` gives a new time to live, ``replace`` leaves it alone; neither makes an entry."""
    cache, _ = tier(clock)
    cache.set("a", 1, ttl=10.0)
    assert cache.touch("a", 20.0)
    assert cache.replace("a", 2)
    await clock.advance(19.0)
    assert cache.get("a", None) == 2
    await clock.advance(1.0)
    assert (cache.touch("a", 5.0), cache.replace("a", 3), len(cache)) == (False, False, 0)


@pytest.mark.parametrize(
    ("smaller", "larger"),
    [("x" * 10, "x" * 1000), ([1], list(range(100))), ({"a": "b"}, {"a": "b" * 500})],
)
def test_more_data_is_estimated_larger(smaller, larger):
    """The estimate looks inside of containers."""
    assert estimate_bytes(smaller) + 90 < estimate_bytes(larger)


def test_shared_and_circular_values_are_counted_once():
    """A value that contains itself has a size."""
    text = "x" * 1000
    loop: list[object] = [text, text]
    loop.append(loop)
    assert 1000 < estimate_bytes(loop) < 1500


async def test_the_dead_go_before_the_living(clock):
    """An entry past its time makes room, though a living one was used less recently."""
    cache, dropped = tier(clock)
    cache.set("living", 1)
    cache.set("dead", 2, ttl=1.0)
    await clock.advance(1.0)
    cache.set("new", 3)
    assert list(cache) == ["living", "new"]
    assert dropped == ["expiration"]


async def test_the_dead_are_swept(clock):
    """What is past its time goes without being met, and takes its bytes along."""
    cache, dropped = tier(clock, max_size=1000)
    for number in range(500):
        cache.set(str(number), number, size=10, ttl=1.0 + number % 2)
    await clock.advance(1.0)
    cache.sweep()
    assert (len(cache), cache.bytes, dropped) == (250, 2500, ["expiration"] * 250)


def test_keys_set_anew_leave_nothing_behind(clock):
    """The list of deaths stays in proportion to the entries."""
    cache, _ = tier(clock, max_size=1000)
    for number in range(5000):
        cache.set(str(number % 10), number, ttl=5.0)
    assert len(cache._deaths) <= 2 * len(cache) + 65


def test_a_tag_finds_what_was_stored_under_it(clock):
    """Deleting a tag drops its entries and no others, and forgets what has gone already."""
    cache, _ = tier(clock, max_size=3)
    cache.set("a", 1, tags=("x", "y"))
    cache.set("b", 2, tags=("x",))
    cache.set("c", 3)
    cache.set("a", 4, tags=("y",))
    assert cache.delete_tagged("x") == ["b"]
    assert cache.delete_tagged("x") == []
    assert list(cache) == ["c", "a"]
    cache.delete("a")
    assert cache._tagged == {}


@pytest.mark.parametrize(
    "make",
    [
        lambda: [{"id": i, "name": f"n{i}", "v": i * 1.5} for i in range(20_000)],
        lambda: collections.deque(str(i) * 300 for i in range(3_000)),
        lambda: np.array([str(i) * 300 for i in range(3_000)], dtype=object),
        lambda: np.ones((1_000, 1_000), "f4")[0],
        lambda: {f"key {i}": [float(i)] * 3 for i in range(5_000)},
        lambda: functools.partial(print, "x" * 1_000_000),
        lambda: (lambda text: lambda: text)("x" * 1_000_000),
        lambda: Slotted("x" * 1_000_000),
        lambda: memoryview(b"x" * 1_000_000)[:10],
    ],
    ids=["rows", "deque", "objects", "view", "dict", "partial", "closure", "slots", "memory"],
)
def test_the_estimate_is_near_what_a_value_takes(make):
    """Half of the real bytes at least, and not twice as much."""
    tracemalloc.start()
    value = make()
    real = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert real / 2 < estimate_bytes(value) < 2 * real


def test_an_estimate_looks_at_few_objects():
    """A value a hundred times as large is not walked through a hundred times as long."""
    asked = 0

    class Counting:
        def __sizeof__(self):
            nonlocal asked
            asked += 1
            return 100

    estimate_bytes([[Counting() for _ in range(300)] for _ in range(300)])
    assert 0 < asked < 2_100


class Slotted:
    __slots__ = ("text",)

    def __init__(self, text):
        self.text = text


class AgainstModel(RuleBasedStateMachine):
    """The tier does what a plain list of entries, oldest use first, would do."""

    keys = st.sampled_from("abcde")

    def __init__(self) -> None:
        super().__init__()
        self.time = Time()
        self.drops: list[tuple[str, str]] = []
        self.tier: MemoryTier[int] = MemoryTier(
            max_size=3,
            max_bytes=100,
            clock=self.time,
            dropped=lambda why, key: self.drops.append((why, key)),
        )
        self.model: list[tuple[str, int, float, float, int, tuple[str, ...]]] = []
        self.model_drops: list[tuple[str, str]] = []

    def entry(self, key):
        return next((entry for entry in self.model if entry[0] == key), None)

    def expire(self, entry):
        if entry is None or self.time.time < entry[3]:
            return entry
        self.model.remove(entry)
        self.model_drops.append(("expiration", entry[0]))
        return None

    def bury(self):
        dead = [entry for entry in self.model if self.time.time >= entry[3]]
        for entry in sorted(dead, key=lambda entry: entry[3]):
            self.expire(entry)

    def use(self, entry):
        self.model.remove(entry)
        self.model.append(entry)

    @rule(
        key=keys,
        value=st.integers(),
        size=st.integers(0, 120),
        ttl=st.floats(0, 10) | st.none(),
        stale=st.floats(0, 5),
        tags=st.sets(st.sampled_from("xyz")).map(tuple),
    )
    def set(self, key, value, size, ttl, stale, tags):
        if (old := self.entry(key)) is not None:
            self.model.remove(old)
        held = size <= 100
        assert self.tier.set(key, value, size=size, ttl=ttl, stale=stale, tags=tags) is held
        if not held:
            self.model_drops.append(("refused", key))
            return
        fresh = float("inf") if ttl is None else self.time.time + ttl
        self.model.append((key, value, fresh, fresh + stale, size, tags))
        self.bury()
        while len(self.model) > 3 or sum(entry[4] for entry in self.model) > 100:
            self.model_drops.append(("eviction", self.model.pop(0)[0]))

    @rule(tag=st.sampled_from("xyz"))
    def delete_tagged(self, tag):
        found = [entry for entry in self.model if tag in entry[5]]
        gone = {entry[0] for entry in found if self.time.time < entry[3]}
        assert set(self.tier.delete_tagged(tag)) == gone
        self.model = [entry for entry in self.model if entry not in found]

    @rule()
    def sweep(self):
        self.tier.sweep()
        self.bury()

    @rule(key=keys)
    def get(self, key):
        entry = self.expire(self.entry(key))
        fresh = entry is not None and self.time.time < entry[2]
        assert self.tier.get(key, "none") == (entry[1] if fresh else "none")
        if fresh:
            self.use(entry)

    @rule(key=keys)
    def stale(self, key):
        entry = self.expire(self.entry(key))
        assert self.tier.stale(key, "none") == ("none" if entry is None else entry[1])
        if entry is not None:
            self.use(entry)

    @rule(key=keys)
    def delete(self, key):
        entry = self.entry(key)
        held = entry is not None and self.time.time < entry[3]
        assert self.tier.delete(key) is held
        if entry is not None:
            self.model.remove(entry)

    @rule(key=keys, ttl=st.floats(0, 10) | st.none())
    def touch(self, key, ttl):
        entry = self.expire(self.entry(key))
        assert self.tier.touch(key, ttl) is (entry is not None)
        if entry is not None:
            fresh = float("inf") if ttl is None else self.time.time + ttl
            at = self.model.index(entry)
            self.model[at] = (key, entry[1], fresh, fresh, *entry[4:])

    @rule()
    def clear(self):
        self.tier.clear()
        self.model.clear()

    @rule(seconds=st.floats(0, 8))
    def wait(self, seconds):
        self.time.time += seconds

    @invariant()
    def holds_the_same(self):
        assert list(self.tier) == [entry[0] for entry in self.model]
        assert self.tier.bytes == sum(entry[4] for entry in self.model) <= 100
        assert sorted(self.drops) == sorted(self.model_drops)
        assert self.tier._tagged.keys() == {tag for entry in self.model for tag in entry[5]}


TestAgainstModel = AgainstModel.TestCase
TestAgainstModel.settings = settings(max_examples=150, stateful_step_count=40)
TestAgainstModel.__doc__ = "The tier does what a plain list of entries would do."


def test_the_clock_for_tests_fits():
    """The tier takes any clock."""
    assert MemoryTier(max_size=1, clock=ManualClock()).get("a", 1) == 1
