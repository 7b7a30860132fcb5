"""The database: reads anybody may write, writes, limits, and connections that stay whole."""

from __future__ import annotations

import asyncio
import datetime
import decimal
import json
import os
import signal
import threading

import asyncpg
import pytest

from agentinfra.db.database import Database
from agentinfra.dsn import DSN
from agentinfra.errors import (
    ClosedError,
    ConfigurationError,
    ConnectionLostError,
    DatabaseError,
    NotStartedError,
    PoolTimeoutError,
    QueryError,
    ReadOnlyViolationError,
    StatementTimeoutError,
    WrongLoopError,
)
from agentinfra.observability.metrics import Metrics
from agentinfra.observability.tracing import Tracing
from agentinfra.settings import DatabaseSettings, TracingSettings


@pytest.fixture
async def quiet_loop():
    """Nothing is reported to the loop behind everybody's back."""
    reported: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))
    yield
    assert reported == []


SLOW = "SELECT count(*) FROM generate_series(1, 1000000000)"


async def test_rows_are_plain(database):
    """A read gives columns and rows of Python's own values."""
    kind = database.server.vector_type("vector") if database.server.vector else "float8[]"
    vector = "[1,2]" if database.server.vector else "{1,2}"
    result = await database.query(
        "SELECT 1 AS n, 1.50 AS price, 'x' AS t, date '2026-01-02' AS d, NULL AS z, "
        f"""'{{"a": [1]}}'::jsonb AS j, ARRAY[1, 2] AS l, '{vector}'::{kind} AS v"""
    )
    assert result.columns == ("n", "price", "t", "d", "z", "j", "l", "v")
    assert result.rows == (
        {
            "n": 1,
            "price": decimal.Decimal("1.50"),
            "t": "x",
            "d": datetime.date(2026, 1, 2),
            "z": None,
            "j": {"a": [1]},
            "l": [1, 2],
            "v": [1.0, 2.0],
        },
    )
    assert not result.truncated
    assert result.latency > 0


@pytest.mark.parametrize(
    ("sql", "given", "said"),
    [
        (None, {}, "statement is None"),
        (b"SELECT 1", {}, "statement is b'SELECT 1'"),
        ("SELECT 1", {"timeout": "5"}, "timeout is '5'"),
        ("SELECT 1", {"timeout": float("nan")}, "timeout is nan"),
        ("SELECT 1", {"timeout": float("inf")}, "timeout is inf"),
        ("SELECT 1", {"limit": "5"}, "limit is '5'"),
        ("SELECT 1", {"limit": True}, "limit is True"),
        ("SELECT 1", {"limit": 1.5}, "limit is 1.5"),
    ],
)
async def test_what_no_statement_can_be_run_with_is_named(database, sql, given, said):
    """A statement that is no text, and bounds that are no numbers, are refused by their value."""
    with pytest.raises(QueryError, match=said):
        await database.query(sql, **given)
    if "limit" not in given:
        with pytest.raises(QueryError, match=said):
            await database.execute(sql, **given)


@pytest.mark.parametrize(
    "name", ["role", "app.tenant x", "app.tenant\n", "app.", ".tenant", "a.b;"]
)
async def test_only_settings_of_your_own_can_be_set(database, name):
    """Whatever is no name with a dot is refused before the server sees it."""
    with pytest.raises(QueryError, match="cannot be set for a query"):
        await database.query("SELECT 1", settings={name: "7"})


async def test_arguments(database):
    """Arguments go to the server apart from the statement."""
    result = await database.query("SELECT $1::text AS a, $2::int AS b;", "'; DROP", 2)
    assert dict(result[0]) == {"a": "'; DROP", "b": 2}


async def test_no_rows_have_columns(database):
    """A read that finds nothing still names its columns."""
    result = await database.query("SELECT 1 AS a, 2 AS b WHERE false")
    assert (result.columns, result.rows, result.truncated) == (("a", "b"), (), False)


async def test_columns_of_one_name(database):
    """Columns that share a name are numbered, so that none is lost."""
    result = await database.query("SELECT 1 AS a, 2 AS a, 3 AS a_2, 4, 5")
    assert list(result[0].values()) == [1, 2, 3, 4, 5]
    assert result.columns[:3] == ("a", "a_2", "a_2_2")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 -- a comment",
        "SELECT 1 /* one */;",
        "(SELECT 1)",
        "SELECT 1 UNION SELECT 1 ORDER BY 1",
        "WITH x AS (SELECT 1 AS n) SELECT n FROM x",
        "VALUES (1)",
        "SHOW server_version",
        "EXPLAIN SELECT 1",
        "SELECT FROM (SELECT 1) AS one",
    ],
)
def test_kinds_of_reads(postgres_url, sql):
    """Every kind of read runs, with comments and semicolons."""

    async def main() -> int:
        async with Database(DatabaseSettings(), url=postgres_url) as db:
            return len(await db.query(sql))

    assert asyncio.run(main()) == 1


@pytest.mark.parametrize(("limit", "truncated"), [(2, True), (3, False), (4, False)])
async def test_row_limit(database, limit, truncated):
    """No more rows come back than the limit, and it is said when there were more."""
    result = await database.query("SELECT g FROM generate_series(1, 3) AS g", limit=limit)
    assert [row["g"] for row in result] == [1, 2, 3][:limit]
    assert result.truncated is truncated


async def test_row_limit_of_explain(database):
    """The limit holds for statements that cannot be wrapped."""
    result = await database.query("EXPLAIN SELECT 1 UNION SELECT 2", limit=1)
    assert len(result) == 1
    assert result.truncated


async def test_byte_limit(postgres_url):
    """Rows beyond the limit of bytes are never sent, even when the first is too large."""
    async with Database(DatabaseSettings(byte_limit=1000), url=postgres_url) as db:
        some = await db.query("SELECT repeat('x', 300) AS t FROM generate_series(1, 9)")
        none = await db.query("SELECT repeat('x', 3000) AS t")
    assert (len(some), some.truncated) == (3, True)
    assert (len(none), none.truncated, none.columns) == (0, True, ("t",))


@pytest.mark.parametrize("sql", ["DELETE FROM t", "SELECT 1; SELECT 2", "SELECT pg_sleep(9)"])
async def test_refused(database, sql):
    """What does more than read is refused before it reaches the server."""
    with pytest.raises(ReadOnlyViolationError) as refused:
        await database.query(sql)
    assert refused.value.statement == sql


async def test_a_new_function_can_be_called(database):
    """A function made after the first read is known when it is called."""
    await database.query("SELECT 1")
    await database.execute("CREATE FUNCTION one() RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1'")
    assert (await database.query("SELECT one() AS n"))[0]["n"] == 1


@pytest.mark.usefixtures("embedded_only")
async def test_reads_have_a_role_of_their_own(database):
    """On the embedded server reads log in as a role that may only read, and check says so."""
    user = await database.query("SELECT current_user::text AS u, session_user::text AS s")
    assert dict(user[0]) == {"u": "agentinfra_reader", "s": "agentinfra_reader"}
    assert "reads as agentinfra_reader" in (await database.probe()).detail


@pytest.mark.usefixtures("embedded_only")
async def test_the_role_reads_what_comes_later(database):
    """Tables and schemas made later can be read, and nothing in them be changed."""
    await database.execute("CREATE SCHEMA later; CREATE TABLE later.things AS SELECT 5 AS n")
    assert (await database.query("SELECT n FROM later.things"))[0]["n"] == 5
    async with database.connection(readonly=True) as connection:
        await connection.execute("SET default_transaction_read_only = off")
        for sql in (
            "UPDATE later.things SET n = 6",
            "CREATE TABLE mine ()",
            "CREATE TEMPORARY TABLE mine ()",
            "SELECT pg_advisory_lock(1)",
            "SELECT pg_terminate_backend(1)",
            "SELECT pg_read_file('PG_VERSION')",
        ):
            with pytest.raises(Exception, match=r"permission denied|must be"):
                await connection.execute(sql)


async def test_readonly_connections(database):
    """A read-only connection refuses writes; one that may write does not."""
    await database.execute("CREATE TABLE plain (n int)")
    with pytest.raises(ReadOnlyViolationError):
        async with database.connection() as connection:
            await connection.execute("INSERT INTO plain VALUES (1)")
    async with database.connection(readonly=False) as connection:
        await connection.execute("INSERT INTO plain VALUES (1)")


async def failing_half_way(database: Database) -> None:
    async with database.transaction(isolation="serializable") as connection:
        await connection.execute("INSERT INTO ledger VALUES (2)")
        raise ZeroDivisionError


async def test_transaction(database):
    """A transaction is committed at its end, and undone when an error leaves it."""
    await database.execute("CREATE TABLE ledger (n int)")
    async with database.transaction() as connection:
        await connection.execute("INSERT INTO ledger VALUES (1)")
    with pytest.raises(ZeroDivisionError):
        await failing_half_way(database)
    assert len(await database.query("TABLE ledger")) == 1


async def test_refusals_of_the_server_have_a_code(database):
    """What the server refuses is a QueryError with its code, without the data of its detail."""
    with pytest.raises(QueryError) as unknown:
        await database.query("SELECT * FROM nowhere")
    assert unknown.value.sqlstate == "42P01"
    assert "nowhere" in str(unknown.value)
    await database.execute("CREATE TABLE secrets (t text PRIMARY KEY)")
    await database.execute("INSERT INTO secrets VALUES ($1)", "hunter2")
    with pytest.raises(QueryError) as twice:
        await database.execute("INSERT INTO secrets VALUES ($1)", "hunter2")
    assert twice.value.sqlstate == "23505"
    assert "hunter2" not in str(twice.value)


async def test_wrong_arguments(database):
    """Arguments the driver refuses are a QueryError, too."""
    with pytest.raises(QueryError):
        await database.query("SELECT $1::int AS n", "many")
    with pytest.raises(QueryError):
        await database.query("SELECT $1::int AS n")


@pytest.mark.parametrize("call", ["query", "execute"])
async def test_statement_timeout(database, call):
    """A statement that takes longer than it may is ended, and its connection is good for more."""
    with pytest.raises(StatementTimeoutError):
        await getattr(database, call)(SLOW, timeout=0.05)
    assert (await database.query("SELECT 1 AS n"))[0]["n"] == 1


async def test_a_statement_may_be_given_more_time(postgres_url):
    """A time-out of a call goes before the session's, whichever is longer."""
    async with Database(DatabaseSettings(statement_timeout=0.05), url=postgres_url) as db:
        slow = "SELECT pg_sleep(0.1)"
        with pytest.raises(StatementTimeoutError):
            await db.execute(slow)
        assert await db.execute(slow, timeout=30) == "SELECT 1"
        numbers = "SELECT count(*) FROM generate_series(1, 1000000)"
        assert len(await db.query(numbers, timeout=30)) == 1


async def test_own_timeouts_stay_timeouts(database):
    """A time-out of the caller's own block is not taken for one of the database."""
    with pytest.raises(TimeoutError):
        async with database.connection(), asyncio.timeout(0.01):
            await asyncio.Event().wait()
    with pytest.raises(FileNotFoundError):
        async with database.transaction():
            raise FileNotFoundError


async def test_acquire_timeout(postgres_url):
    """Waiting for a connection ends."""
    settings = DatabaseSettings(max_size=1, acquire_timeout=0.05)
    async with Database(settings, url=postgres_url) as db, db.connection():
        with pytest.raises(PoolTimeoutError, match="MAX_SIZE"):
            await db.query("SELECT 1")
        assert (await db.probe()).state == "degraded"
        assert db.state == "degraded"


async def test_check_is_ready_again(postgres_url):
    """A check that succeeds makes the database ready again."""
    settings = DatabaseSettings(max_size=1, acquire_timeout=0.05)
    async with Database(settings, url=postgres_url) as db:
        async with db.connection():
            await db.probe()
        row = await db.probe()
        vector = db.server.vector
    assert (row.state, row.reason) == ("ready", "")
    assert row.latency is not None
    assert row.detail.startswith("PostgreSQL 1")
    assert ("pgvector 0.8" if vector else "no pgvector") in row.detail


@pytest.mark.usefixtures("embedded_only")
async def test_a_session_that_hangs(postgres_url, database):
    """A server that does not answer is failed for the check, and works again when it does."""
    settings = DatabaseSettings(max_size=1, connect_timeout=0.2)
    async with Database(settings, url=postgres_url) as db:
        async with db.connection() as connection:
            pid = connection.get_server_pid()
        os.kill(pid, signal.SIGSTOP)
        try:
            assert (await db.probe()).state == "failed"
            assert "0.2 s" in db.reason
        finally:
            os.kill(pid, signal.SIGCONT)
        assert (await db.probe()).state == "ready"


@pytest.mark.usefixtures("embedded_only")
async def test_sessions_are_reset(postgres_url):
    """What one block sets in its session, the next one does not see."""
    async with Database(DatabaseSettings(max_size=1), url=postgres_url) as db:
        async with db.connection() as connection:
            await connection.execute("SET work_mem = '7MB'")
        async with db.connection(reset=False) as connection:
            assert await connection.fetchval("SHOW work_mem") != "7MB"
            await connection.execute("SET work_mem = '9MB'")
        async with db.connection() as connection:  # said to leave nothing behind, and did
            assert await connection.fetchval("SHOW work_mem") == "9MB"
        async with db.connection() as connection:
            assert await connection.fetchval("SHOW work_mem") != "9MB"


async def test_cancelled_while_waiting(postgres_url, quiet_loop):
    """A caller cancelled in the queue leaves the pool whole."""
    async with Database(DatabaseSettings(max_size=1), url=postgres_url) as db:
        async with db.connection():
            waiting = asyncio.create_task(db.query("SELECT 1"))
            await asyncio.sleep(0.005)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        assert len(await db.query("SELECT 1")) == 1


async def until_active(db: Database, words: str, active: int = 1) -> None:
    """Wait until so many sessions run a statement with these words."""
    count = (
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' "
        "AND pid <> pg_backend_pid() AND strpos(query, $1) > 0"
    )
    async with db.connection(readonly=False) as connection:
        while await connection.fetchval(count, words) != active:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("times", [1, 2])
async def test_cancelled_while_reading(postgres_url, database, quiet_loop, times):
    """A read cancelled in the middle, once or twice, ends on the server too."""
    async with Database(DatabaseSettings(max_size=1), url=postgres_url) as db:
        for _ in range(3):
            reading = asyncio.create_task(db.query(f"{SLOW} AS read_{times}"))
            await until_active(database, f"read_{times}")
            for _ in range(times):
                reading.cancel()
                await asyncio.sleep(0)
            with pytest.raises(asyncio.CancelledError):
                await reading
            await until_active(database, f"read_{times}", 0)
        assert len(await db.query("SELECT 1")) == 1


@pytest.mark.parametrize("times", [1, 2])
async def test_cancelled_in_a_transaction(postgres_url, database, quiet_loop, times):
    """A transaction that is cancelled, once or twice, is undone."""
    async with Database(DatabaseSettings(max_size=1), url=postgres_url) as db:
        await db.execute(f"CREATE TABLE cancelled_{times} (n int)")

        async def work() -> None:
            async with db.transaction() as connection:
                await connection.execute(f"INSERT INTO cancelled_{times} VALUES (1)")
                await connection.execute(f"{SLOW} AS written_{times}")

        task = asyncio.create_task(work())
        await until_active(database, f"written_{times}")
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(await db.query(f"TABLE cancelled_{times}")) == 0
        async with db.transaction() as connection:
            await connection.execute(f"INSERT INTO cancelled_{times} VALUES (1)")


async def test_a_changed_table_is_read(database):
    """A statement prepared before its table changed runs after it, too."""
    await database.execute("CREATE TABLE growing AS SELECT 1 AS a")
    for _ in range(2):
        await database.query("SELECT * FROM growing")
    await database.execute("ALTER TABLE growing ADD COLUMN b int DEFAULT 2")
    assert dict((await database.query("SELECT * FROM growing"))[0]) == {"a": 1, "b": 2}


async def test_life(postgres_url):
    """It is used between entering and leaving, on the loop it was entered on."""
    db = Database(DatabaseSettings(), url=postgres_url)
    with pytest.raises(NotStartedError):
        await db.query("SELECT 1")
    async with db:
        elsewhere = asyncio.to_thread(lambda: asyncio.run(db.query("SELECT 1")))
        with pytest.raises(WrongLoopError):
            await elsewhere
    with pytest.raises(ClosedError):
        await db.query("SELECT 1")


async def test_closing_does_not_wait_for_ever(postgres_url):
    """A connection nobody gives back is cut off when its time to come back is over."""
    db = Database(DatabaseSettings(acquire_timeout=0.05), url=postgres_url)
    await db.__aenter__()
    held = await db.pool.acquire()
    await db.aclose()
    with pytest.raises(asyncpg.InterfaceError):
        await held.fetchval("SELECT 1")


async def test_switched_off():
    """A database that is switched off says so, in its state and in its errors."""
    async with Database(DatabaseSettings(enabled=False)) as db:
        assert (await db.probe()).state == "disabled"
        with pytest.raises(DatabaseError, match="AGENTINFRA_DATABASE__ENABLED"):
            await db.query("SELECT 1")


async def test_nothing_configured():
    """Without an address and without the embedded server there is a sentence on what to set."""
    with pytest.raises(ConfigurationError, match="DATABASE_URL"):
        await Database(DatabaseSettings(embedded=False)).__aenter__()
    with pytest.raises(ConfigurationError, match="number"):
        Database(DatabaseSettings(), url="postgresql://ada:pw@h:port/db")


async def test_a_server_of_its_own(data_dir):
    """Without an address it starts the embedded server, and stops it."""
    async with Database(DatabaseSettings(data_dir=data_dir)) as db:
        assert db.dsn.hosts[0][0] == str(data_dir)
        assert db.server.vector
    assert not (data_dir / "postmaster.pid").exists()


def test_threads_share_a_new_database(tmp_path):
    """Eight loops that enter at once on a new folder all get a database that is set up."""
    together, seen = threading.Barrier(8), []

    async def life() -> None:
        async with Database(DatabaseSettings(data_dir=tmp_path / "data")) as db:
            row = await db.query("SELECT current_user::text AS u, '[1]'::vector AS v")
            seen.append((row[0]["u"], row[0]["v"]))
            await asyncio.to_thread(together.wait)

    threads = [threading.Thread(target=lambda: asyncio.run(life())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [("agentinfra_reader", [1.0])] * 8
    assert not (tmp_path / "data" / "postmaster.pid").exists()


async def test_through_a_pgbouncer(postgres_url):
    """With a pgbouncer in between nothing is set in sessions or prepared, and reads are reads."""
    joint = "&" if "?" in postgres_url else "?"
    async with Database(DatabaseSettings(), url=f"{postgres_url}{joint}pgbouncer=true") as db:
        assert (await db.query("SHOW statement_timeout"))[0]["statement_timeout"] == "30s"
        assert (await db.query("SHOW search_path"))[0]
        with pytest.raises(ReadOnlyViolationError):
            async with db.connection() as connection:
                await connection.execute("CREATE TABLE bounced ()")
        async with db.connection(readonly=False) as connection:
            ours = (
                "SELECT count(*) FROM pg_settings WHERE source = 'session' AND name LIKE 'random%'"
            )
            assert await connection.fetchval(ours) == 0
            assert await connection.fetchval("SELECT count(*) FROM pg_prepared_statements") == 0


@pytest.mark.usefixtures("embedded_only")
async def test_spans_and_metrics(postgres_url):
    """Each operation is a span and is counted; refusals are counted by their reason."""
    spans = []
    async with Metrics() as metrics, Tracing(TracingSettings()) as tracing:
        tracing.subscribe(spans.append)
        async with Database(DatabaseSettings(), url=postgres_url, metrics=metrics) as db:
            await db.query("SELECT generate_series(1, 3) AS n")
            for sql in ("DELETE FROM t", "SELECT * FROM nowhere"):
                with pytest.raises(DatabaseError):
                    await db.query(sql)
            async with db.connection():
                held = metrics.expose()
        page = metrics.expose()
    select, delete, unknown = spans
    address = DSN.parse(postgres_url).hosts[0][0]
    assert select.name == f"SELECT {address}"
    assert select.kind == "client"
    assert dict(select.attributes) == {
        "db.system.name": "postgresql",
        "db.operation.name": "SELECT",
        "db.response.returned_rows": 3,
        "server.address": address,
    }
    assert delete.attributes["error.type"] == "ReadOnlyViolationError"
    assert "nowhere" not in json.dumps(dict(unknown.attributes))
    assert 'db_query_seconds_count{operation="SELECT",outcome="ok"} 1' in page
    assert 'db_query_seconds_count{operation="SELECT",outcome="QueryError"} 1' in page
    assert 'db_refused_statements_total{reason="statement"} 1' in page
    assert 'db_pool_connections{pool="read",state="in_use"} 1' in held
    assert 'db_pool_connections{pool="read",state="idle"} 0' in page


async def test_many_at_once(database):
    """More callers than connections all get their turn."""
    results = await asyncio.gather(*(database.query("SELECT $1::int AS n", n) for n in range(40)))
    assert [result[0]["n"] for result in results] == list(range(40))


async def test_lost_is_an_error_of_databases():
    """Whoever catches DatabaseError catches a lost connection."""
    assert issubclass(ConnectionLostError, DatabaseError)


async def test_a_long_statement_is_judged_like_a_short_one(database):
    """What takes long to judge is judged beside the event loop, with the same verdict."""
    numbers = ", ".join(map(str, range(3000)))
    result = await database.query(f"SELECT 1 AS found WHERE 2999 IN ({numbers})")
    assert result.rows == ({"found": 1},)
    turns = 0

    async def count():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        counting = group.create_task(count())
        for operands, others_ran in (("1", False), (numbers, True)):
            before = turns  # a refusal asks the server nothing: only a thread lets others run
            with pytest.raises(ReadOnlyViolationError):
                await database.query(f"DELETE FROM pg_class WHERE oid IN ({operands})")
            assert (turns > before) == others_ran
        counting.cancel()
