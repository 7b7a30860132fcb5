"""The memory tier, by rules and against a model."""

from __future__ import annotations

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
    return MemoryTier(**({"max_size": 2} | bounds), clock=clock, dropped=dropped.append), dropped


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
    assert (cache.get("a", None), cache.get("b", None), dropped) == (None, "kept", [])


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


class AgainstModel(RuleBasedStateMachine):
    """The tier does what a plain list of entries, oldest use first, would do."""

    keys = st.sampled_from("abcde")

    def __init__(self) -> None:
        super().__init__()
        self.time = Time()
        self.drops: list[str] = []
        self.tier: MemoryTier[int] = MemoryTier(
            max_size=3, max_bytes=100, clock=self.time, dropped=self.drops.append
        )
        self.model: list[tuple[str, int, float, float, int]] = []
        self.model_drops: list[str] = []

    def entry(self, key):
        return next((entry for entry in self.model if entry[0] == key), None)

    def expire(self, entry):
        if entry is None or self.time.time < entry[3]:
            return entry
        self.model.remove(entry)
        self.model_drops.append("expiration")
        return None

    def use(self, entry):
        self.model.remove(entry)
        self.model.append(entry)

    @rule(
        key=keys,
        value=st.integers(),
        size=st.integers(0, 120),
        ttl=st.floats(0, 10) | st.none(),
        stale=st.floats(0, 5),
    )
    def set(self, key, value, size, ttl, stale):
        if (old := self.entry(key)) is not None:
            self.model.remove(old)
        held = size <= 100
        assert self.tier.set(key, value, size=size, ttl=ttl, stale=stale) is held
        if not held:
            return
        fresh = float("inf") if ttl is None else self.time.time + ttl
        self.model.append((key, value, fresh, fresh + stale, size))
        while len(self.model) > 3 or sum(entry[4] for entry in self.model) > 100:
            first = self.model.pop(0)
            dead = self.time.time >= first[3]
            self.model_drops.append("expiration" if dead else "eviction")

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
            self.model[at] = (key, entry[1], fresh, fresh, entry[4])

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
        assert self.drops == self.model_drops


TestAgainstModel = AgainstModel.TestCase
TestAgainstModel.settings = settings(max_examples=150, stateful_step_count=40)
TestAgainstModel.__doc__ = "The tier does what a plain list of entries would do."


def test_the_clock_for_tests_fits():
    """The tier takes any clock."""
    assert MemoryTier(max_size=1, clock=ManualClock()).get("a", 1) == 1
