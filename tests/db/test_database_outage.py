"""A database that cannot be reached, goes away, and comes back."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from itertools import pairwise

import pytest

from agentinfra.db.database import Database
from agentinfra.db.embedded import EmbeddedPostgres
from agentinfra.db.outage import Outage
from agentinfra.errors import (
    ConnectionLostError,
    DatabaseError,
    PoolTimeoutError,
    ReadOnlyViolationError,
)
from agentinfra.settings import DatabaseSettings

FEW = DatabaseSettings(max_size=2, connect_timeout=2.0, acquire_timeout=2.0)


async def refusal(url: str) -> str:
    """Enter a database that cannot be, and return what is said."""
    with pytest.raises(ConnectionLostError) as lost:
        await Database(FEW, url=url).__aenter__()
    message = str(lost.value)
    assert "\n" not in message
    assert "p@ss" not in message
    assert "secret" not in message
    return message


async def test_wrong_password(foreign):
    """A wrong password is said to be wrong, and not said."""
    message = await refusal(foreign.url(password="secret"))
    assert "the password of the user is wrong" in message
    assert f"database 'postgres' at 127.0.0.1:{foreign.port} as user 'ada'" in message


async def test_no_password(foreign):
    """A missing password is not called a wrong one."""
    assert "none is given" in await refusal(f"postgresql://ada@127.0.0.1:{foreign.port}/postgres")


async def test_no_certificate(foreign, tmp_path):
    """A certificate that is not where it should be is told from a missing socket."""
    url = foreign.url() + f"?sslmode=verify-full&sslrootcert={tmp_path}/nothing.crt"
    assert "certificate" in await refusal(url)


async def test_no_such_session(foreign):
    """A server of another kind than was asked for is not used."""
    assert "target_session_attrs" in await refusal(foreign.url() + "?target_session_attrs=standby")


async def test_unknown_user(foreign):
    """An unknown user gets no more than a wrong password does."""
    assert "'eve'" in await refusal(foreign.url(user="eve"))


async def test_unknown_database(foreign):
    """An unknown database is named."""
    message = await refusal(foreign.url(database="nowhere"))
    assert "'nowhere'" in message
    assert "there is no such database" in message


async def test_closed_port(foreign):
    """A port nobody listens on is named."""
    message = await refusal(foreign.url(port=1))
    assert "127.0.0.1:1" in message
    assert "nothing listens there" in message


async def test_unknown_host():
    """A host that does not exist is named."""
    message = await refusal("postgresql://ada:p%40ss@db.invalid/app")
    assert "db.invalid" in message
    assert "the host is unknown" in message


async def test_missing_socket(tmp_path):
    """A folder without a socket is named."""
    message = await refusal(f"postgresql://ada@/app?host={tmp_path}")
    assert str(tmp_path) in message
    assert "no such socket" in message


async def test_silent_host():
    """A host that accepts and says nothing does not hold anybody for longer than it may."""

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as silent:
        port = silent.sockets[0].getsockname()[1]
        url = f"postgresql://ada@127.0.0.1:{port}/app?connect_timeout=0.05&sslmode=disable"
        assert "no answer in time" in await refusal(url)


async def test_no_tls(foreign):
    """A server without TLS is not spoken to in the clear when TLS was asked for."""
    assert "TLS" in await refusal(foreign.url() + "?sslmode=require")


async def test_the_first_host_may_be_away(foreign):
    """Of several hosts the first that answers is used."""
    url = foreign.url().replace("127.0.0.1", "127.0.0.1:1,127.0.0.1")
    async with Database(FEW, url=url) as db:
        assert len(await db.query("SELECT 1")) == 1


async def test_a_superuser_reads_with_less(foreign):
    """On a server that is not ours a superuser's reads run with less power, and nothing is made."""
    async with Database(FEW, url=foreign.url()) as db:
        row = await db.query("SELECT current_user::text AS u, session_user::text AS s")
        assert dict(row[0]) == {"u": "pg_read_all_data", "s": "ada"}
        roles = await db.query("SELECT 1 FROM information_schema.enabled_roles WHERE false")
        assert len(roles) == 0
        detail = (await db.probe()).detail
        assert "as pg_read_all_data" in detail
        async with db.connection() as connection:
            assert await connection.fetchval("SHOW default_transaction_read_only") == "on"
            made = "SELECT count(*) FROM pg_roles WHERE rolname = 'agentinfra_reader'"
            assert await connection.fetchval(made) == 0


async def until(holds) -> None:
    while not holds():  # noqa: ASYNC110
        await asyncio.sleep(0.005)


async def asked_again(clock, times: int = 1) -> None:
    """Let the task that asks for the server do so, and go to sleep again."""
    for _ in range(times):
        await clock.sleepers(1)
        await clock.advance(0.5)
    await clock.sleepers(1)


async def test_down_at_the_start(foreign, clock):
    """A database that was down at the start is asked for, and comes back by itself."""
    await asyncio.to_thread(foreign.stop)
    db = Database(FEW, url=foreign.url(), clock=clock)
    with pytest.raises(ConnectionLostError) as first:
        await db.__aenter__()
    db.degrade(str(first.value))
    await asked_again(clock, times=3)
    with pytest.raises(ConnectionLostError, match=r"nothing listens there.* asked again"):
        await db.query("SELECT 1")
    assert (await db.probe()).state == "degraded"
    await asyncio.to_thread(foreign.start)
    await clock.advance(0.5)
    await until(lambda: db.state == "ready")
    assert len(await db.query("SELECT 1")) == 1
    assert db.reason == ""
    await db.aclose()


async def test_a_database_that_nobody_keeps_is_not_asked_for(foreign, clock):
    """Where entering fails, nothing goes on behind anybody's back."""
    await asyncio.to_thread(foreign.stop)
    before = asyncio.all_tasks()
    with pytest.raises(ConnectionLostError):
        await Database(FEW, url=foreign.url(), clock=clock).__aenter__()
    assert asyncio.all_tasks() == before


async def test_one_task_asks_for_all(clock):
    """However many call meanwhile, the server is asked once at a time, and by nobody else."""
    attempts = 0

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal attempts
        attempts += 1
        await reader.read()
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as silent:
        port = silent.sockets[0].getsockname()[1]
        url = f"postgresql://ada@127.0.0.1:{port}/app?connect_timeout=0.05&sslmode=disable"
        db = Database(FEW, url=url, clock=clock)
        with pytest.raises(ConnectionLostError):
            await db.__aenter__()
        db.degrade("away")
        calls = [db.query("SELECT 1") for _ in range(20)]
        failures = await asyncio.gather(*calls, return_exceptions=True)
        await asked_again(clock)
        await db.aclose()
    assert all(isinstance(failure, ConnectionLostError) for failure in failures)
    assert attempts == 2


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_a_restart(foreign, clock, mode):
    """While the server is away calls fail at once; after its return everything works again."""
    async with Database(FEW, url=foreign.url(), clock=clock) as db:
        await db.execute("CREATE TABLE IF NOT EXISTS restarted (n int)")
        await asyncio.to_thread(foreign.stop, mode)
        with pytest.raises(ConnectionLostError):
            await db.query("SELECT 1")
        with pytest.raises(ConnectionLostError, match=r"asked again every 0.5 s"):
            await db.execute("SELECT 1")
        row = await db.probe()
        assert row.state == "failed"
        assert "nothing listens there" in row.reason
        await asyncio.to_thread(foreign.start)
        await clock.sleepers(1)
        await clock.advance(0.5)
        await until(lambda: db.state == "ready")
        assert len(await db.query("SELECT 1")) == 1
        await db.execute("INSERT INTO restarted VALUES (1)")
        assert (await db.probe()).state == "ready"


async def test_a_short_restart_is_not_seen(foreign):
    """A read after a restart goes to a new connection; nobody sees an error."""
    async with Database(FEW, url=foreign.url()) as db:
        await db.query("SELECT 1")
        await asyncio.to_thread(foreign.stop)
        await asyncio.to_thread(foreign.start)
        assert len(await db.query("SELECT 1")) == 1
        assert db.state == "ready"


async def test_a_server_that_dies_again_and_again_under_load(foreign):
    """No read is wrong, no write is half done, and after each return all work as before."""
    over = asyncio.Event()
    right = refused = 0

    async def read(number: int) -> None:
        nonlocal right, refused
        while not over.is_set():
            try:
                rows = await db.query("SELECT n FROM generate_series(1, $1::int) AS n", number)
                assert [row["n"] for row in rows] == list(range(1, number + 1))
                right += 1
            except DatabaseError:
                refused += 1
                await asyncio.sleep(0.002)

    async def write() -> None:
        while not over.is_set():
            try:
                async with db.transaction() as connection:
                    await connection.execute("INSERT INTO pairs VALUES (1)")
                    await connection.execute("INSERT INTO pairs VALUES (2)")
            except DatabaseError:
                await asyncio.sleep(0.002)

    async with Database(DatabaseSettings(max_size=4), url=foreign.url()) as db:
        await db.execute("DROP TABLE IF EXISTS pairs; CREATE TABLE pairs (n int)")
        tasks = [asyncio.create_task(read(number)) for number in range(2, 8)]
        tasks += [asyncio.create_task(write()) for _ in range(3)]
        for _ in range(3):
            before = right
            await until(lambda before=before: right > before + 20)
            await asyncio.to_thread(foreign.stop, "immediate")
            await asyncio.to_thread(foreign.start)
            await until(lambda: db.state == "ready")
        before = right
        await until(lambda: right > before + 20)
        over.set()
        await asyncio.gather(*tasks)
        counts = await db.query("SELECT n, count(*) AS c FROM pairs GROUP BY n ORDER BY n")
        assert counts[0]["c"] == counts[1]["c"] > 0
        assert refused > 0


async def kill_others(db: Database) -> None:
    async with db.connection(readonly=False) as connection:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND usename = current_user"
        )


async def until_it_runs(db: Database, words: str) -> None:
    running = (
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE state = 'active' AND pid <> pg_backend_pid() AND strpos(query, $1) > 0"
    )
    async with db.connection(readonly=False) as connection:
        while not await connection.fetchval(running, words):  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_a_killed_read_is_sent_again(foreign):
    """A read whose connection is killed under it is sent once more."""
    async with (
        Database(FEW, url=foreign.url()) as db,
        Database(FEW, url=foreign.url()) as other,
    ):
        reading = asyncio.create_task(db.query("SELECT count(*) FROM generate_series(1, 3000000)"))
        await until_it_runs(other, "3000000")
        await kill_others(other)
        assert (await reading)[0]["count"] == 3_000_000


async def test_a_killed_write_is_not(foreign):
    """A write whose connection is killed under it is reported, and never sent again."""
    async with (
        Database(FEW, url=foreign.url()) as db,
        Database(FEW, url=foreign.url()) as other,
    ):
        await db.execute("DROP TABLE IF EXISTS killed; CREATE TABLE killed (n bigint)")
        slow = "INSERT INTO killed SELECT count(*) FROM generate_series(1, 100000000)"
        writing = asyncio.create_task(db.execute(slow))
        await until_it_runs(other, "INSERT INTO killed")
        await kill_others(other)
        with pytest.raises(ConnectionLostError):
            await writing
        assert len(await db.query("TABLE killed")) == 0


async def break_in_transaction(db: Database, other: Database) -> None:
    async with db.transaction() as connection:
        await kill_others(other)
        await connection.execute("SELECT 1")


async def break_in_own_transaction(db: Database, other: Database) -> None:
    async with db.connection() as connection, connection.transaction():
        await kill_others(other)
        await connection.execute("SELECT 1")


async def break_and_raise(db: Database, other: Database) -> None:
    async with db.transaction():
        await kill_others(other)
        raise KeyError("mine")


@pytest.mark.parametrize(
    ("work", "error"),
    [
        (break_in_transaction, ConnectionLostError),
        (break_in_own_transaction, ConnectionLostError),
        (break_and_raise, KeyError),
    ],
)
async def test_a_broken_transaction_shows_why(foreign, work, error):
    """A connection that breaks in a transaction is reported as lost; an own error stays itself."""
    async with (
        Database(FEW, url=foreign.url()) as db,
        Database(FEW, url=foreign.url()) as other,
    ):
        with pytest.raises(error):
            await work(db, other)
        assert len(await db.query("SELECT 1")) == 1


async def test_no_room_for_one_more(foreign):
    """A server without room for another connection is said to be full, and not to be away."""
    async with Database(FEW, url=foreign.url()) as db:
        await db.execute("DROP ROLE IF EXISTS few; CREATE ROLE few LOGIN PASSWORD 'p@ss'")
        await db.execute("ALTER ROLE few CONNECTION LIMIT 2")
        async with Database(FEW, url=foreign.url(user="few")) as full, full.connection():
            with pytest.raises((ConnectionLostError, PoolTimeoutError), match="has no connection"):
                async with full.connection():
                    pass
            assert full.state == "ready"


async def test_an_ordinary_user(foreign):
    """An ordinary user of another's server reads as it is, in transactions that cannot write."""
    async with Database(FEW, url=foreign.url()) as db:
        await db.execute("DROP ROLE IF EXISTS bob; CREATE ROLE bob LOGIN PASSWORD 'p@ss'")
        async with Database(FEW, url=foreign.url(user="bob")) as bob:
            assert (await bob.query("SELECT current_user::text AS u"))[0]["u"] == "bob"
            assert "as the same user" in (await bob.probe()).detail
            with pytest.raises(ReadOnlyViolationError):
                async with bob.connection() as connection:
                    await connection.execute("CREATE TABLE bobs ()")


async def test_the_embedded_server_is_started_again(data_dir, clock):
    """An embedded server that was killed is started again by whoever needs it next."""
    async with (
        EmbeddedPostgres(data_dir) as server,
        Database(FEW, url=server.url, clock=clock) as db,
    ):
        await db.execute("CREATE TABLE IF NOT EXISTS survivors (n int)")
        pid = int((data_dir / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)
        while (await server.probe()).state == "ready":  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        while db.state == "ready":  # its sessions outlive it for a moment
            with suppress(DatabaseError):
                await db.execute("TABLE survivors")
        await clock.sleepers(1)
        await clock.advance(0.5)
        await until(lambda: db.state == "ready")
        assert len(await db.query("TABLE survivors")) == 0
        assert db.state == "ready"
    assert not (data_dir / "postmaster.pid").exists()


async def test_an_address_that_is_asked_for(clock):
    """A database whose server did not start says why, and asks again at the next attempt."""
    asked = []

    async def address():
        asked.append(clock.now())
        raise DatabaseError("the disk is full")

    db = Database(FEW, url=address, clock=clock)
    with pytest.raises(DatabaseError, match="the disk is full"):
        await db.__aenter__()
    db.degrade("the disk is full")
    with pytest.raises(DatabaseError, match="the disk is full"):
        await db.query("SELECT 1")
    assert len(asked) == 1
    await clock.advance(0.6)  # it is asked again beside the callers
    assert len(asked) > 1
    await db.aclose()


async def test_a_crashed_server_is_asked_for_soon_and_then_less_often(clock):
    """It is back in less than a second, or away for long; whoever waits is not kept waiting."""
    asked: list[float] = []

    async def ask() -> None:
        asked.append(clock.now())
        raise ConnectionLostError("it is starting")

    outage = Outage(
        clock, began=lambda _: None, ended=lambda: None, ask=ask, connected=lambda: False
    )
    began = clock.now()
    outage.failed("it crashed")
    outage.watch()
    for _ in range(40):
        await clock.advance(0.05)
    await outage.close()
    waits = [later - earlier for earlier, later in pairwise([began, *asked])]
    assert [round(wait, 2) for wait in waits] == [0.05, 0.1, 0.2, 0.4, 0.5, 0.5]
