"""What holds wherever the database is: embedded, behind a pooler, as anybody, in any database."""

from __future__ import annotations

import asyncio
import operator
import secrets
import shutil
from typing import Annotated, TypedDict

import asyncpg
import pytest
from langgraph.graph import START, StateGraph

from agentinfra import InfraRuntime, Settings
from agentinfra.db.database import Database
from agentinfra.errors import (
    ConfigurationError,
    DatabaseError,
    QueryError,
    ReadOnlyViolationError,
    StatementTimeoutError,
    VectorError,
)
from agentinfra.settings import DatabaseSettings

pytestmark = pytest.mark.skipif(
    shutil.which("pgbouncer", path="/usr/sbin:/usr/bin") is None,
    reason="pgbouncer is not installed",
)

PLACES = ("embedded", "pgbouncer", "ordinary", "second", "postgres15", "postgres16")


@pytest.fixture(params=PLACES)
async def place(places, request):
    """A database at each of the places."""
    url = await places.url(request.param)
    async with Database(DatabaseSettings(max_size=4), url=url) as db:
        await db.execute("DROP TABLE IF EXISTS placed; CREATE TABLE placed AS SELECT 7 AS n")
        yield db


async def test_reads_and_refusals(place):
    """Reads give rows, what does more is refused, and what is not there is the server's error."""
    for _ in range(3):
        result = await place.query("SELECT n, sum(n) AS s FROM placed WHERE n > $1 GROUP BY n", 1)
        assert result.rows == ({"n": 7, "s": 7},)
    with pytest.raises(ReadOnlyViolationError):
        await place.query("DELETE FROM placed")
    with pytest.raises(QueryError) as unknown:
        await place.query("SELECT datediff(n, n) FROM placed")
    assert unknown.value.sqlstate == "42883"
    with pytest.raises(StatementTimeoutError):
        await place.query("SELECT count(*) FROM generate_series(1, 1000000000)", timeout=0.05)
    assert len(await place.query("EXPLAIN (ANALYZE) SELECT * FROM placed")) > 1


async def test_many_at_once(place):
    """More callers than connections get their own answers."""
    results = await asyncio.gather(*(place.query("SELECT $1::int AS n", n) for n in range(60)))
    assert [result[0]["n"] for result in results] == list(range(60))


async def test_vectors(place):
    """Collections are made, indexed, searched and dropped, in a schema of ours."""
    store = place.vectors("placed")
    if not place.server.vector:
        with pytest.raises(VectorError, match="no pgvector"):
            await store.upsert([{"id": "a"}], embeddings=[[1, 0]])
        return
    await store.upsert([{"id": "a", "text": "x"}, {"id": "b"}], embeddings=[[1, 0], [0, 1]])
    await store.upsert([{"id": "a", "text": "x"}], embeddings=[[1, 0]])
    assert await store.create_index()
    assert [hit.id for hit in await store.search([1, 0.1], top_k=2)] == ["a", "b"]
    assert await store.delete(["b"]) == 1
    with pytest.raises(ReadOnlyViolationError, match="remembers"):
        await place.query(f"SELECT * FROM {place.server.layout.schema}.vec_placed")
    await store.drop()
    assert await store.count() == 0


async def test_cancelled_and_used_again(place):
    """A cancelled read leaves the pool whole."""
    for _ in range(20):
        reading = asyncio.create_task(place.query("SELECT count(*) FROM generate_series(1, 99999)"))
        await asyncio.sleep(0.001)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
    assert len(await place.query("SELECT 1")) == 1


async def test_settings_of_a_call_serve_row_level_security(place):
    """What a call sets is seen by policies and by nobody else, and no statement changes it."""
    await place.execute(
        "DROP TABLE IF EXISTS tenants; CREATE TABLE tenants (tenant text, n int);"
        "INSERT INTO tenants VALUES ('a', 1), ('b', 2);"
        "DROP VIEW IF EXISTS mine; CREATE VIEW mine AS SELECT n FROM tenants "
        "WHERE tenant = current_setting('app.tenant', true)"
    )
    numbers = {}
    for tenant in ("a", "b", "a"):
        result = await place.query("SELECT n FROM mine", settings={"app.tenant": tenant})
        numbers[tenant] = [row["n"] for row in result]
    assert numbers == {"a": [1], "b": [2]}
    assert len(await place.query("SELECT n FROM mine")) == 0
    with pytest.raises(ReadOnlyViolationError):
        await place.query("SELECT set_config('app.tenant', 'b', false), n FROM mine")
    with pytest.raises(QueryError, match="dot"):
        await place.query("SELECT 1", settings={"role": "postgres"})
    await place.execute("DROP VIEW mine")


@pytest.mark.parametrize("where", PLACES)
async def test_conversations(places, where):
    """A graph's conversation is kept and gone on with, in tables made where they can be."""

    class State(TypedDict):
        turns: Annotated[list[str], operator.add]

    builder = StateGraph(State)
    builder.add_node("say", lambda state: {"turns": [f"turn {len(state['turns'])}"]})
    builder.add_edge(START, "say")
    settings = Settings.only(
        database={"url": await places.url(where)},
        llm={"enabled": False},
        logging={"level": "error"},
    )
    config = {"configurable": {"thread_id": secrets.token_hex(4)}}
    for turns in (2, 4):
        async with InfraRuntime(settings) as rt:
            graph = builder.compile(checkpointer=rt.checkpointer)
            state = await graph.ainvoke({"turns": ["said"]}, config)
            assert len(state["turns"]) == turns
            assert rt.checkpoints.state == "ready"


async def test_a_pgbouncer_is_named(places):
    """A pooler that nobody spoke of is named, with the setting that suits it."""
    await places.url("pgbouncer")
    with pytest.raises(ConfigurationError, match="PGBOUNCER=true"):
        await Database(DatabaseSettings(), url=places.pgbouncer.bare_url).__aenter__()


async def test_setting_and_address_are_one_thing(places):
    """The setting and the word in the URL do the same."""
    url = await places.url("pgbouncer")
    assert DatabaseSettings(url=url).pgbouncer
    settings = DatabaseSettings(url=places.pgbouncer.bare_url, pgbouncer=True)
    async with Database(settings) as db:
        assert db.server.pooled
        assert "through a pgbouncer" in (await db.probe()).detail


async def test_an_ordinary_user_is_told_what_to_run(places):
    """Where the role cannot be made, health says which sentences make it; then reads use it."""
    url = await places.url("ordinary")
    async with Database(DatabaseSettings(), url=url) as db:
        detail = (await db.probe()).detail
        assert 'GRANT agentinfra_reader TO "app"' in detail
        await db.execute("CREATE TABLE IF NOT EXISTS app.lent AS SELECT 1 AS n")
    owner = await asyncpg.connect(url.replace("app@", "postgres@"))
    try:
        await owner.execute(
            "GRANT agentinfra_reader TO app; GRANT USAGE ON SCHEMA app TO agentinfra_reader"
        )
        async with Database(DatabaseSettings(), url=url) as db:  # it may read nothing here yet
            assert (await db.query("SELECT current_user::text AS u"))[0]["u"] == "app"
        await owner.execute("GRANT SELECT ON app.lent TO agentinfra_reader")
        async with Database(DatabaseSettings(), url=url) as db:
            assert "as agentinfra_reader" in (await db.probe()).detail
            row = (await db.query("SELECT n, current_user::text AS u FROM app.lent"))[0]
            assert row == {"n": 1, "u": "agentinfra_reader"}
            await db.execute("CREATE TABLE IF NOT EXISTS app.kept AS SELECT 1 AS n")
            with pytest.raises(DatabaseError, match="permission denied"):
                await db.query("SELECT n FROM app.kept")
    finally:
        await owner.execute(
            "REVOKE ALL ON app.lent FROM agentinfra_reader;"
            "REVOKE agentinfra_reader FROM app; REVOKE ALL ON SCHEMA app FROM agentinfra_reader"
        )
        await owner.close()
