"""Memory hands over to the database: nothing is lost, and whoever never pauses does not stop it."""

from __future__ import annotations

import asyncio

import pytest

from agentinfra.checkpoint.standby import Standby

pytestmark = pytest.mark.usefixtures("no_tasks_left")


class Tables:
    """What is carried over, slowly."""

    def __init__(self) -> None:
        self.there: list[int] = []
        self.failing = False

    def look(self, memory: list[int]) -> list[int]:
        return [one for one in memory if one not in self.there]

    async def carry(self, memory: list[int], new: list[int]) -> None:
        for one in new:
            for _ in range(5):
                await asyncio.sleep(0)
            if self.failing:
                raise OSError("the database failed")
            self.there.append(one)


async def store(standby: Standby[list[int]], tables: Tables, numbers: range) -> None:
    """Store as fast as it can."""
    for number in numbers:
        memory = await standby.answering()
        (tables.there if memory is None else memory).append(number)
        await asyncio.sleep(0)


@pytest.mark.parametrize("patience", [60.0, 0.0])
async def test_what_never_pauses_is_handed_over(patience):
    """Operations wait for the end of it, as long as they may; whatever they store is there."""
    standby = Standby[list[int]](list(range(10)), patience=patience)
    tables = Tables()
    storing = asyncio.create_task(store(standby, tables, range(10, 400)))
    await standby.hand_over(tables.look, tables.carry)
    assert standby.memory is None
    if patience:
        assert not storing.done()  # it was not waited for until it paused by itself
    await storing
    assert sorted(tables.there) == list(range(400))


async def test_memory_answers_on_where_the_database_fails():
    """Then nobody waits any more, and the next time goes on from there."""
    standby = Standby[list[int]]([1, 2], patience=60.0)
    tables = Tables()
    tables.failing = True
    with pytest.raises(OSError, match="the database failed"):
        await standby.hand_over(tables.look, tables.carry)
    assert await standby.answering() == [1, 2]
    tables.failing = False
    await standby.hand_over(tables.look, tables.carry)
    assert await standby.answering() is None
    assert tables.there == [1, 2]
