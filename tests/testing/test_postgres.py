"""The database of a test run: shared by its processes, gone with the last of them."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest

from agentinfra.db.embedded import EmbeddedPostgres
from agentinfra.testing.postgres import shared_server

PROGRAM = """
import sys, asyncio, asyncpg
from agentinfra.testing.postgres import shared_server

async def started(url):
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval("SELECT pg_postmaster_start_time()::text")
    finally:
        await connection.close()

with shared_server(sys.argv[1]) as server, server.database() as url:
    # Told after the loop is over: asyncio.run keeps a SIGINT to itself that comes at its end.
    print(asyncio.run(started(url)), flush=True)
    sys.stdin.read()
"""


def folder_of(run):
    return Path(tempfile.gettempdir()) / f"agentinfra-pg-{run}"


@pytest.fixture
def run():
    return uuid.uuid4().hex[:12]


@contextmanager
def another(run):
    """Give another process of the run, which uses the server until its input ends."""
    command = [sys.executable, "-c", PROGRAM, run]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as one:
        yield one
        one.kill()


@pytest.fixture
def process(run):
    with another(run) as one:
        yield one


def gone(folder):
    """Wait until a folder is gone; its watcher is nobody's child."""
    end = time.monotonic() + 60
    while folder.exists() and time.monotonic() < end:
        time.sleep(0.01)
    return not folder.exists()


async def asked(url, query):
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_processes_of_a_run_share_a_server(run, process):
    """The server is the same for all, and stays until the last of them has left."""
    theirs = process.stdout.readline().strip()
    with shared_server(run) as server:
        process.communicate("")
        with server.database() as url:
            assert await asked(url, "SELECT pg_postmaster_start_time()::text") == theirs
        assert folder_of(run).exists()
    assert not folder_of(run).exists()


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_ended_leaves_nothing(run, process, kind):
    """A signal that ends the run ends its server, and its folder goes."""
    assert process.stdout.readline()
    process.send_signal(kind)
    process.wait(20)
    assert not folder_of(run).exists()


def test_a_process_that_is_killed_takes_nothing_from_the_others(run, process):
    """The server goes on for the rest of the run, and goes with the last one's life."""
    theirs = process.stdout.readline()
    with another(run) as last:
        assert last.stdout.readline() == theirs
        process.kill()
        process.wait(20)
        with another(run) as newcomer:
            assert newcomer.stdout.readline() == theirs
        last.kill()
    assert gone(folder_of(run))


async def test_a_folder_that_nobody_watches_is_swept(run):
    """What nobody could clear away, the next start of a server does."""
    folder_of(run).mkdir()
    async with EmbeddedPostgres("temporary"):
        assert not folder_of(run).exists()


async def test_one_run_knows_nothing_of_another(run):
    """What a test does to the whole server is not there in the next run."""
    with shared_server(run) as server, server.database() as url:
        await asked(url, "CREATE ROLE visitor")
    with shared_server(run) as server, server.database() as url:
        assert await asked(url, "SELECT count(*) FROM pg_roles WHERE rolname = 'visitor'") == 0


async def test_a_database_begins_empty_and_complete(postgres_server):
    """Each has pgvector and what the first use would set up, and no table of the user's."""
    query = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
    with postgres_server.database() as first, postgres_server.database() as second:
        assert first != second
        assert await asked(first, "SELECT '[1,2]'::vector::text") == "[1,2]"
        await asked(first, "CREATE TABLE notes (id int)")
        assert await asked(second, query) == 0
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await asked(first, query)


async def test_the_server_writes_nothing_through(postgres_server):
    """Nothing a test stores is worth waiting for a disk."""
    with postgres_server.database() as url:
        for name in ("fsync", "full_page_writes", "synchronous_commit"):
            assert await asked(url, f"SHOW {name}") == "off"


def test_data_that_nobody_uses_any_more_is_removed(tmp_path, monkeypatch, run):
    """Data of versions no longer installed does not stay for ever; what is in use does."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    old = tmp_path / "agentinfra" / "testing-postgres-old"
    new = tmp_path / "agentinfra" / "testing-postgres-new"
    for folder in (old, new):
        folder.mkdir(parents=True)
    os.utime(old, (0, 0))
    with shared_server(run) as server, server.database() as url:
        assert asyncio.run(asked(url, "SELECT 1")) == 1
    assert not old.exists()
    assert new.exists()
    (kept,) = {*new.parent.iterdir()} - {new}
    assert (kept / "data" / "PG_VERSION").exists()
