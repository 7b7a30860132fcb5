"""Who goes when there is no room, by how often keys are asked for."""

from __future__ import annotations

import random
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentinfra.cache import RoutingCache
from agentinfra.cache.admission import TinyLFU
from agentinfra.cache.memory import MemoryTier
from agentinfra.errors import ConfigurationError


def hits(trace, eviction, size=200):
    tier, found = MemoryTier(max_size=size, eviction=eviction), 0
    for key in trace:
        if tier.get(key, None) is None:
            tier.set(key, 1)
        else:
            found += 1
    return found / len(trace)


def zipf(length, seed=3, keys=20_000):
    weights = list(accumulate(1 / rank for rank in range(1, keys + 1)))
    return random.Random(seed).choices(range(keys), cum_weights=weights, k=length)


def test_what_is_asked_for_often_stays_against_what_is_asked_for_once():
    """On a Zipf trace a tenth more is found than by recency."""
    trace = zipf(30_000)
    assert hits(trace, "tinylfu") > 1.1 * hits(trace, "lru")


def test_a_scan_does_not_wash_out_what_is_used():
    """Keys that are never asked for again take nobody's place."""
    tier = MemoryTier(max_size=100, eviction="tinylfu")
    for _ in range(5):
        for key in range(90):
            if tier.get(key, None) is None:
                tier.set(key, 1)
    for key in range(1_000, 2_000):
        tier.get(key, None)
        tier.set(key, 1)
    assert sum(tier.get(key, None) is not None for key in range(90)) >= 88


def test_what_was_popular_once_gives_way():
    """When popularity moves on, the counts of before are forgotten."""
    trace = [key + 100_000 * (at // 10_000) for at, key in enumerate(zipf(40_000))]
    assert hits(trace, "tinylfu") > hits(trace, "lru")


def test_a_newcomer_that_is_asked_for_more_takes_the_place_of_the_oldest():
    """And one that is not goes itself."""
    tier = MemoryTier(max_size=2, eviction="tinylfu")
    for key in ("a", "b"):
        tier.set(key, key)
    for _ in range(3):
        tier.get("a", None)
    for _ in range(4):
        tier.get("new", None)
    tier.set("new", "new")
    tier.set("once", "once")
    assert (list(tier), tier.get("a", None)) == (["new", "once"], None)
    tier.set("another", "another")
    assert list(tier) == ["new", "another"]


@given(
    st.lists(st.tuples(st.sampled_from("gsdc"), st.integers(0, 12)), max_size=200),
    st.integers(1, 6),
)
def test_the_bound_and_the_window_hold_whatever_happens(steps, size):
    """Never more entries than allowed, nobody in the window that is not held, values unmixed."""
    tier = MemoryTier(max_size=size, max_bytes=40, eviction="tinylfu")
    for kind, key in steps:
        if kind == "g":
            assert tier.get(key, None) in (None, f"v{key}")
        elif kind == "s":
            tier.set(key, f"v{key}", size=key)
        elif kind == "d":
            tier.delete(key)
        elif key == 0:
            tier.clear()
        assert len(tier) <= size
        assert tier.bytes <= 40
        assert set(tier._admission._window) <= set(tier)


def test_counts_are_halved_in_time():
    """After ten times as many requests as entries half is left."""
    counted = TinyLFU(10)
    for _ in range(8):
        counted.asked("a")
    assert counted._often("a") == 8
    for number in range(92):
        counted.asked(number)
    assert 4 <= counted._often("a") <= 8


async def test_a_cache_can_be_told_to():
    """The option reaches the memory, and nonsense is refused by name."""
    cache = RoutingCache(max_size=100, eviction="tinylfu")
    for _ in range(3):
        for number in range(90):
            if await cache.get(f"used {number}") is None:
                await cache.set(f"used {number}", 1)
    for number in range(500):
        await cache.get(f"once {number}")
        await cache.set(f"once {number}", 1)
    found = [await cache.get(f"used {number}") for number in range(90)]
    assert sum(one is not None for one in found) >= 75  # LRU keeps none of them
    with pytest.raises(ConfigurationError, match="eviction is 'fifo'"):
        RoutingCache(eviction="fifo")
