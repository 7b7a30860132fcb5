"""Questions, nearest first: in memory and in PostgreSQL."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentinfra.cache.semantic import Entry, MemoryNeighbours, PostgresNeighbours
from agentinfra.db.database import Database
from agentinfra.errors import ConfigurationError
from agentinfra.settings import DatabaseSettings


def unit(*numbers):
    vector = np.array(numbers, "f4")
    return vector / np.linalg.norm(vector)


def entry(question, group="g"):
    return Entry.of(question, group)


@pytest.fixture(params=["memory", "postgres"])
async def store(request):
    """Every kind of store there is, empty."""
    if request.param == "memory":
        yield MemoryNeighbours()
        return
    url = request.getfixturevalue("postgres_url")
    async with (
        Database(DatabaseSettings(max_size=3), url=url) as database,
        PostgresNeighbours(database, timeout=30) as store,
    ):
        yield store


async def questions(store, partition, vector, limit=10):
    return [one.entry.question for one in await store.nearest(partition, vector, limit)]


async def test_the_nearest_come_first_and_no_others(store):
    """So many as were asked for, by similarity."""
    for name, vector in {"x": unit(1, 0), "xy": unit(1, 1), "y": unit(0, 1)}.items():
        await store.add("p", entry(name), vector)
    found = await store.nearest("p", unit(1, 0.1), 2)
    assert [one.entry.question for one in found] == ["x", "xy"]
    assert found[0].similarity == pytest.approx(0.995, abs=1e-3)


async def test_partitions_never_see_each_other(store):
    """What is in one is not found in another."""
    await store.add("a", entry("x"), unit(1, 0))
    assert await questions(store, "b", unit(1, 0)) == []
    await store.drop("b", "x")
    assert await questions(store, "a", unit(1, 0)) == ["x"]


async def test_a_question_has_one_entry(store):
    """Added again it is replaced."""
    await store.add("p", entry("x", "old"), unit(1, 0))
    await store.add("p", entry("x", "new"), unit(0, 1))
    (one,) = await store.nearest("p", unit(0, 1), 10)
    assert (one.entry.group, one.similarity) == ("new", pytest.approx(1.0))


async def test_the_common_part_of_all_vectors_says_nothing(store):
    """Vectors that share a direction are compared without it, once there are some."""
    vectors = np.random.default_rng(1).normal(size=(200, 16)) + 10
    for number, vector in enumerate(vectors):
        await store.add("p", entry(str(number)), unit(*vector))
    if isinstance(store, PostgresNeighbours):
        await store.settled()
    found = await store.nearest("p", unit(*vectors[3]), 200)
    assert found[0].entry.question == "3"
    assert found[0].similarity == pytest.approx(1.0, abs=1e-2)
    assert found[100].similarity < 0.3


async def test_beyond_its_bound_the_oldest_of_the_idle_go():
    """The partition used longest ago gives room, its oldest entries first."""
    store = MemoryNeighbours(max_entries=40)
    for number in range(20):
        await store.add("idle", entry(f"i{number}"), unit(1, number))
    for number in range(22):
        await store.add("busy", entry(f"b{number}"), unit(1, number))
    assert len(store) <= 40
    left = await questions(store, "idle", unit(1, 0), 40)
    assert set(left) == {f"i{number}" for number in range(2, 20)}
    assert len(await questions(store, "busy", unit(1, 0), 40)) == 22


async def test_vectors_of_other_dimensions_are_never_compared(store):
    """Another model's have nothing to do with one another; an odd question finds nothing."""
    await store.add("p", entry("x"), unit(1, 0))
    await store.add("p", entry("y"), unit(1, 0, 0))
    assert await questions(store, "p", unit(1, 0, 0)) == ["y"]
    assert "y" not in await questions(store, "p", unit(1, 0))
    assert await questions(store, "p", unit(1, 0, 0, 0)) == []


async def test_clearing_leaves_nothing(store):
    """All partitions are empty."""
    await store.add("p", entry("x"), unit(1, 0))
    await store.clear()
    assert await questions(store, "p", unit(1, 0)) == []


def test_a_bound_below_one_is_refused():
    """The message names it."""
    with pytest.raises(ConfigurationError, match="max_entries is 0"):
        MemoryNeighbours(0)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30)), max_size=300))
async def test_adding_and_dropping_leave_what_a_dictionary_would(steps):
    """Rows move when others are dropped, and stay with their questions."""
    store, model, random = MemoryNeighbours(), {}, np.random.default_rng(7)
    for add, number in steps:
        name = str(number)
        if add:
            model[name] = unit(*random.normal(size=8))
            await store.add("p", entry(name), model[name])
        else:
            model.pop(name, None)
            await store.drop("p", name)
    assert len(store) == len(model)
    for name, vector in model.items():
        assert (await questions(store, "p", vector, 1)) == [name]
