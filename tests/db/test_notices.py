"""What running processes tell one another over the database."""

import asyncio

from agentinfra.db.database import Database
from agentinfra.db.notices import DatabaseNotices
from agentinfra.settings import DatabaseSettings


async def test_each_reads_what_the_others_say(database):
    """By topic, never its own, and only the newest."""
    board = DatabaseNotices(database)
    assert await board.exchange({"a": "one", "b": "two"}, member="m1", lifetime=60) == []
    assert await board.exchange({"a": "three"}, member="m2", lifetime=60) == [("a", "one")]
    await board.exchange({"a": "four"}, member="m1", lifetime=60)
    read = await board.exchange({"a": "x", "b": "y"}, member="m2", lifetime=60)
    assert sorted(read) == [("a", "four"), ("b", "two")]
    await board.leave("m1")
    assert await board.exchange({"a": "x", "b": "y"}, member="m2", lifetime=60) == []
    await board.leave("m2")


async def test_who_says_nothing_more_is_forgotten(database):
    """A process that was killed leaves by itself."""
    board = DatabaseNotices(database)
    await board.exchange({"killed": "note"}, member="m1", lifetime=0.0)
    assert await board.exchange({"killed": "mine"}, member="m2", lifetime=60) == []
    await board.leave("m2")


async def test_many_at_once_make_one_table_and_hold_nobody_up(postgres_url):
    """Each on a pool of its own, as processes have."""

    async def take_part(number):
        async with Database(DatabaseSettings(max_size=2), url=postgres_url) as database:
            board = DatabaseNotices(database)
            for turn in range(5):
                await board.exchange({"crowd": f"{turn}"}, member=f"m{number}", lifetime=60)
            await everybody.wait()
            others = await board.exchange({"crowd": "last"}, member=f"m{number}", lifetime=60)
            await read.wait()
            await board.leave(f"m{number}")
            return len(others)

    everybody, read = asyncio.Barrier(6), asyncio.Barrier(6)
    assert await asyncio.gather(*map(take_part, range(6))) == [5] * 6
