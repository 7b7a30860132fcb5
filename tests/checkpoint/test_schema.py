"""The tables are made once, whoever starts at the same time."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from agentinfra.checkpoint import Checkpointer
from agentinfra.settings import CheckpointerSettings
from agentinfra.testing.clock import ManualClock

LOCK = "SELECT pg_advisory_lock(7091611476842321012)"


async def test_many_processes_set_up_at_once(database_url, rows):
    """Eight checkpointers that start together all get a durable saver, and the tables are whole."""
    settings = CheckpointerSettings(max_size=1)
    many = [Checkpointer(settings, url=database_url) for _ in range(8)]
    await asyncio.gather(*(checkpointer.__aenter__() for checkpointer in many))
    try:
        assert [checkpointer.state for checkpointer in many] == ["ready"] * 8
    finally:
        await asyncio.gather(*(checkpointer.aclose() for checkpointer in many))
    assert rows("SELECT v FROM checkpoint_migrations ORDER BY v") == [(v,) for v in range(10)]
    assert rows("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == [(0,)]


async def test_tables_that_are_there_need_no_lock(database_url):
    """A start on finished tables does not wait for whoever holds the lock."""
    async with Checkpointer(CheckpointerSettings(), url=database_url):
        pass
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as other:
        await other.execute(LOCK)
        async with Checkpointer(CheckpointerSettings(), url=database_url) as checkpointer:
            assert checkpointer.state == "ready"


async def test_a_lock_that_is_never_given_back_degrades(database_url):
    """After twenty seconds of waiting for another's set-up the state is in memory, and says why."""
    clock = ManualClock()
    checkpointer = Checkpointer(CheckpointerSettings(), url=database_url, clock=clock)
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as other:
        await other.execute(LOCK)
        start = asyncio.create_task(checkpointer.__aenter__())
        while not start.done():
            sleeping = asyncio.create_task(clock.sleepers(1))
            await asyncio.wait({start, sleeping}, return_when=asyncio.FIRST_COMPLETED)
            sleeping.cancel()
            await clock.advance(5.0)
        assert checkpointer.state == "degraded"
        assert "setting up the tables for 20 s" in checkpointer.reason
        await checkpointer.aclose()


async def test_an_older_schema_is_brought_up_to_date(database_url, rows, graphs):
    """A database of an earlier LangGraph gets the migrations it lacks."""
    async with Checkpointer(CheckpointerSettings(), url=database_url):
        pass
    rows("ALTER TABLE checkpoint_writes DROP COLUMN task_path")
    rows("DELETE FROM checkpoint_migrations WHERE v = 9")
    async with Checkpointer(CheckpointerSettings(), url=database_url) as checkpointer:
        graph = graphs["chat"]().compile(checkpointer=checkpointer.saver)
        run = {"configurable": {"thread_id": "a"}}
        assert (await graph.ainvoke({"log": []}, run))["turns"] == 1


async def test_a_user_without_rights_degrades(database_url, rows):
    """A role that may not create tables is told so, and its state is in memory."""
    rows("CREATE ROLE visitor LOGIN")
    try:
        url = psycopg.conninfo.make_conninfo(database_url, user="visitor")
        async with Checkpointer(CheckpointerSettings(), url=url) as checkpointer:
            assert checkpointer.state == "degraded"
            assert "permission denied for schema public" in checkpointer.reason
    finally:
        rows("DROP ROLE visitor")


@pytest.mark.parametrize("pgbouncer", [False, True])
async def test_statements_are_not_prepared_behind_pgbouncer(database_url, graphs, pgbouncer):
    """With pgbouncer in between no statement stays prepared on a connection."""
    settings = CheckpointerSettings(max_size=1)
    async with Checkpointer(settings, url=database_url, pgbouncer=pgbouncer) as checkpointer:
        graph = graphs["chat"]().compile(checkpointer=checkpointer.saver)
        for turn in range(10):
            await graph.ainvoke({"log": []}, {"configurable": {"thread_id": str(turn)}})
        async with checkpointer._pool.connection() as connection:
            cursor = await connection.execute("SELECT count(*) AS n FROM pg_prepared_statements")
            row = await cursor.fetchone()
    assert (row["n"] == 0) is pgbouncer
