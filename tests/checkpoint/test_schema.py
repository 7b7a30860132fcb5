"""The tables are made once, whoever starts at the same time."""

from __future__ import annotations

import asyncio

import psycopg

from agentinfra.checkpoint import Checkpointer
from agentinfra.settings import CheckpointerSettings

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
    """After half of an operation's time the state is in memory, and says what it waits for."""
    settings = CheckpointerSettings(timeout=1.0)
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as other:
        await other.execute(LOCK)
        async with Checkpointer(settings, url=database_url) as checkpointer:
            assert checkpointer.state == "degraded"
            assert "another transaction holds a lock" in checkpointer.reason


async def test_a_transaction_of_others_does_not_hold_the_set_up_up(database_url, rows):
    """The tables are made beside a transaction that has looked at the database and goes on."""
    async with await psycopg.AsyncConnection.connect(database_url) as other:
        await other.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
        await other.execute("SELECT count(*) FROM pg_class")
        async with Checkpointer(CheckpointerSettings(), url=database_url) as checkpointer:
            assert checkpointer.state == "ready"


async def test_an_index_that_was_left_half_built_is_built_again(database_url, rows):
    """What an interrupted concurrent build left behind does not stay for ever."""
    async with Checkpointer(CheckpointerSettings(), url=database_url):
        pass
    invalid = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid"
    rows(
        "UPDATE pg_index SET indisvalid = false "
        "WHERE indexrelid = 'checkpoint_blobs_thread_id_idx'::regclass"
    )
    assert rows(invalid) == [("checkpoint_blobs_thread_id_idx",)]
    async with Checkpointer(CheckpointerSettings(), url=database_url) as checkpointer:
        assert checkpointer.state == "ready"
    assert rows(invalid) == []
    assert rows("SELECT to_regclass('checkpoint_blobs_thread_id_idx') IS NOT NULL") == [(True,)]


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
