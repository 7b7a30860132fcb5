"""Connections outlive the callers that go away, and backends that do not stop keep their place."""

from __future__ import annotations

import asyncio
import os
import random
import signal

import pytest

from agentinfra.db.database import Database
from agentinfra.errors import PoolTimeoutError
from agentinfra.settings import DatabaseSettings

SLOW = "SELECT count(*) FROM generate_series(1, 1000000000)"


def backends(db: Database) -> set[int]:
    """The backends of the reading pool."""
    return {
        holder._con.get_server_pid()
        for holder in db._access.read.raw._holders
        if holder._con is not None and not holder._con.is_closed()
    }


async def until(holds) -> None:
    while not holds():  # noqa: ASYNC110
        await asyncio.sleep(0.005)


@pytest.mark.timeout(1_800)
@pytest.mark.usefixtures("embedded_only")
async def test_cancellations_cost_no_connection(postgres_url, thorough):
    """Whenever callers go away, in any step of a read, the connections stay the same ones."""
    moments = random.Random(7)
    async with Database(DatabaseSettings(max_size=3, min_size=3), url=postgres_url) as db:
        busy = [db.query("SELECT count(*) FROM generate_series(1, 30000)") for _ in range(12)]
        await asyncio.gather(*busy)
        before = backends(db)
        assert len(before) == 3
        for _ in range(3_400 if thorough else 60):  # three each
            calls = [
                asyncio.create_task(db.query("SELECT count(*), $1::int FROM pg_class", n))
                for n in range(5)
            ]
            for _ in range(moments.randrange(12)):
                await asyncio.sleep(0)
            for call in moments.sample(calls, 3):
                call.cancel()
            done = await asyncio.gather(*calls, return_exceptions=True)
            assert sum(isinstance(one, asyncio.CancelledError) for one in done) <= 3
            assert not [one for one in done if isinstance(one, Exception)]
        assert [row["n"] for row in await db.query("SELECT 1 AS n")] == [1]
        assert backends(db) == before


async def test_a_connection_nobody_waits_for_is_used_by_the_next(postgres_url):
    """A caller who is cancelled while a connection is made leaves it to the next one."""
    async with Database(DatabaseSettings(min_size=0, max_size=1), url=postgres_url) as db:
        first = asyncio.create_task(db.query("SELECT 1"))
        await asyncio.sleep(0.001)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert len(await db.query("SELECT 1")) == 1
        assert db._access.read._connecting._left == []


@pytest.mark.usefixtures("embedded_only")
async def test_a_backend_that_does_not_stop_keeps_its_place(postgres_url, database):
    """It counts against the pool, is refused beyond it, shows in health, and comes back whole."""
    settings = DatabaseSettings(max_size=1, acquire_timeout=600)
    async with Database(settings, url=postgres_url) as db:
        (pid,) = await backends_after(db)
        reading = asyncio.create_task(db.query(SLOW, timeout=60))
        await until_working(database, pid)
        os.kill(pid, signal.SIGSTOP)  # neither the clock nor a cancellation reaches it now
        try:
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            async with asyncio.timeout(60):  # nobody waits as long for what is not to be had
                for _ in range(2):  # one who waits when it is found out, and one who comes later
                    with pytest.raises(PoolTimeoutError, match=f"backends {pid}"):
                        await db.query("SELECT 1")
                row = await db.probe()
            assert row.state == "degraded"
            assert str(pid) in row.reason
            assert db._access.read.raw.get_size() == 1
        finally:
            os.kill(pid, signal.SIGCONT)
        await until(lambda: not db._access.read.stuck)
        assert len(await db.query("SELECT 1")) == 1
        assert backends(db) == {pid}
        assert (await db.probe()).state == "ready"


async def backends_after(db: Database) -> set[int]:
    await db.query("SELECT 1")
    return backends(db)


async def until_working(database: Database, pid: int) -> None:
    working = (
        "SELECT state = 'active' AND strpos(query, '1000000000') > 0 "
        "FROM pg_stat_activity WHERE pid = $1"
    )
    async with database.connection(readonly=False) as connection:
        while not await connection.fetchval(working, pid):  # noqa: ASYNC110
            await asyncio.sleep(0.005)


@pytest.mark.usefixtures("embedded_only")
async def test_leaving_does_not_wait_for_what_does_not_stop(postgres_url, database):
    """Closing ends within its own time though a backend does not."""
    settings = DatabaseSettings(max_size=1, acquire_timeout=0.2)
    db = Database(settings, url=postgres_url)
    await db.__aenter__()
    (pid,) = await backends_after(db)
    reading = asyncio.create_task(db.query(SLOW, timeout=60))
    await until_working(database, pid)
    os.kill(pid, signal.SIGSTOP)
    try:
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        async with asyncio.timeout(10):
            await db.aclose()
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_a_kept_connection_is_given_to_whoever_waits(postgres_url):
    """Reads keep connections for a moment, and never from somebody who wants one."""
    async with Database(DatabaseSettings(max_size=1, acquire_timeout=5), url=postgres_url) as db:
        for _ in range(20):
            await db.query("SELECT 1")
            async with db.connection() as connection:
                assert await connection.fetchval("SELECT 1") == 1
        await db.execute("DROP TABLE IF EXISTS handed; CREATE TABLE handed (n int)")
        mixed = [db.query("TABLE handed") for _ in range(10)]
        mixed += [db.execute("SELECT 1") for _ in range(10)]
        await asyncio.gather(*mixed)
        await db.query("TABLE handed")
        await db.execute("DROP TABLE handed")  # a read that is over holds no lock on it


async def test_a_session_lock_does_not_outlive_the_read(postgres_url, database):
    """A lock that somebody's function takes in a read is gone with the read."""
    await database.execute(
        "CREATE OR REPLACE FUNCTION locking() RETURNS int STABLE LANGUAGE sql SECURITY DEFINER "
        "AS 'SELECT 1 FROM (SELECT pg_advisory_lock(4711)) AS l'"
    )
    taken = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711"
    await database.query("SELECT locking()")
    async with database.connection(readonly=False) as connection:
        while await connection.fetchval(taken):  # noqa: ASYNC110
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("turns", range(4))
async def test_a_connection_that_comes_back_as_its_time_is_up_is_free(postgres_url, turns):
    """Whichever comes first, the news or the end of its time, it does not keep its place."""
    loop = asyncio.get_running_loop()
    real, ahead = loop.time, 0.0
    loop.time = lambda: real() + ahead

    async def late() -> None:
        nonlocal ahead
        ahead = 60.0
        for _ in range(turns):
            await asyncio.sleep(0)

    async with Database(DatabaseSettings(max_size=1), url=postgres_url) as db:
        pool = db._access.write
        await pool.give_back(await pool.acquire(), reset=False, undo=late)
        for _ in range(20):
            await asyncio.sleep(0)
        assert pool.stuck == ()
        assert await db.execute("SELECT 1") == "SELECT 1"


async def test_what_is_handed_to_a_caller_that_just_left_is_passed_on(postgres_url):
    """A read cancelled in the very moment it is handed a connection loses none."""
    settings = DatabaseSettings(max_size=1, acquire_timeout=5)
    async with Database(settings, url=postgres_url) as db:
        await db.query("SELECT 1")

        async def first() -> None:
            await db.query("SELECT 1")  # hands its connection on as it ends
            waiting.cancel()

        reading = asyncio.create_task(first())
        await asyncio.sleep(0)
        waiting = asyncio.create_task(db.query("SELECT 2 AS n"))
        await reading
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert (await db.query("SELECT 3 AS n"))[0]["n"] == 3
