"""Where our tables are, and how they get there from every earlier layout."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator

import asyncpg
import pytest

from agentinfra.cli import main
from agentinfra.db.database import Database
from agentinfra.errors import DatabaseError
from agentinfra.settings import DatabaseSettings


@pytest.fixture
async def fresh(places) -> AsyncIterator[str]:
    """The address of a database that nobody has used yet."""
    name = f"layout_{secrets.token_hex(4)}"
    server = await asyncpg.connect(places.server.url)
    await server.execute(f"CREATE DATABASE {name}")
    yield places.server.url.replace("/postgres?", f"/{name}?")
    await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await server.close()


async def run(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


EARLIER = (
    "CREATE EXTENSION vector",
    """CREATE TABLE public.agentinfra_collections (name text PRIMARY KEY, dimensions integer NOT
    NULL, model text, asked_model text, asked_dimensions integer, created_at timestamptz NOT
    NULL DEFAULT now())""",
    "INSERT INTO public.agentinfra_collections (name, dimensions) VALUES ('old', 2), ('gone', 2)",
    """CREATE TABLE public.vec_old (id text CONSTRAINT vecidx_old_id PRIMARY KEY, text text NOT
    NULL, metadata jsonb NOT NULL, embedding vector(2) NOT NULL, tsv tsvector GENERATED ALWAYS
    AS (to_tsvector('english', left(text, 250000))) STORED, updated_at timestamptz NOT NULL
    DEFAULT now())""",
    "INSERT INTO public.vec_old VALUES ('a', 'x', '{}', '[1,0]')",
    "CREATE TABLE public.vec_mine AS SELECT 1 AS n",
)
"""What the versions before schemas of our own left in a database."""


async def test_collections_of_an_earlier_layout_are_brought_along(fresh):
    """They are found where they belong now, and nothing else is touched."""
    await run(fresh, *EARLIER)
    async with Database(DatabaseSettings(), url=fresh) as db:
        assert db.server.layout.newest
        assert [hit.id for hit in await db.vectors("old").search([1, 0])] == ["a"]
        await db.vectors("old").upsert([{"id": "b"}], embeddings=[[0, 1]])
        assert await db.vectors("old").create_index()
        assert await db.vectors("gone").count() == 0
        left = await db.query("SELECT relname FROM pg_class WHERE relname LIKE 'vec\\_%'")
        assert {row["relname"] for row in left} == {"vec_old", "vec_mine"}
        mine = await db.query("SELECT n FROM public.vec_mine")
        assert len(mine) == 1


async def test_words_that_were_made_with_each_row_are_written_now(fresh):
    """A collection of the first step takes rows whose words are written, or left out."""
    async with Database(DatabaseSettings(), url=fresh) as db:
        await db.vectors("old").upsert([{"id": "a", "text": "x"}], embeddings=[[1, 0]])
        table = f'{db.server.schema}."vec_old"'
        await db.execute(f"ALTER TABLE {table} DROP COLUMN tsv")
        await db.execute(
            f"ALTER TABLE {table} ADD COLUMN tsv tsvector "
            "GENERATED ALWAYS AS (to_tsvector('english', text)) STORED"
        )
        await db.execute(
            f"DELETE FROM {db.server.schema}.agentinfra_migrations WHERE name LIKE '0002%'"
        )
    async with Database(DatabaseSettings(), url=fresh) as db:
        await db.vectors("old").upsert([{"id": "b", "text": "y"}], embeddings=[[0, 1]])
        assert await db.vectors("old").count() == 2


async def test_processes_that_start_together_take_the_steps_once(fresh):
    """Of many that find an earlier layout one brings it along, and all go on."""
    await run(fresh, *EARLIER)

    async def start() -> int:
        async with Database(DatabaseSettings(max_size=2), url=fresh) as db:
            return await db.vectors("old").count()

    assert await asyncio.gather(*(start() for _ in range(6))) == [1] * 6


async def test_a_schema_of_ones_own(fresh):
    """The setting names the schema, beside tables of the user's that stay readable."""
    await run(fresh, "CREATE SCHEMA shared", "CREATE TABLE shared.items AS SELECT 5 AS n")
    async with Database(DatabaseSettings(schema="shared"), url=fresh) as db:
        await db.vectors("docs").upsert([{"id": "a"}], embeddings=[[1.0, 0.0]])
        assert (await db.query("SELECT n FROM shared.items"))[0]["n"] == 5
        with pytest.raises(DatabaseError, match="refused"):
            await db.query("SELECT * FROM shared.vec_docs")
        made = await db.query("SELECT 1 FROM pg_namespace WHERE nspname = 'agentinfra'")
        assert len(made) == 0


async def test_a_user_who_may_make_nothing(fresh, places):
    """Reads work, collections say what to run, and after that they work as well."""
    await run(
        places.server.url,
        "DO $$ BEGIN CREATE ROLE small LOGIN; EXCEPTION WHEN duplicate_object THEN END $$",
    )
    await run(fresh, "CREATE EXTENSION vector", "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    url = fresh.replace("postgres@", "small@")
    async with Database(DatabaseSettings(), url=url) as db:
        assert len(await db.query("SELECT 1")) == 1
        with pytest.raises(DatabaseError, match="agentinfra migrate --grant-to small"):
            await db.vectors("docs").upsert([{"id": "a"}], embeddings=[[1.0, 0.0]])


def test_the_owner_migrates_for_others(places, monkeypatch, capsys, clean_name):
    """The command makes the tables and grants them; the user can then make collections."""
    url = asyncio.run(prepared(places, clean_name))
    monkeypatch.setenv("DATABASE_URL", url)
    assert main(["migrate", "--grant-to", "small"]) == 0
    assert "schema agentinfra:" in capsys.readouterr().out
    assert main(["migrate", "--json"]) == 0
    assert '"taken": []' in capsys.readouterr().out

    async def use() -> int:
        async with Database(DatabaseSettings(), url=url.replace("postgres@", "small@")) as db:
            await db.vectors("docs").upsert([{"id": "a"}], embeddings=[[1.0, 0.0]])
            return await db.vectors("docs").count()

    assert asyncio.run(use()) == 1
    asyncio.run(run(places.server.url, f"DROP DATABASE {clean_name} WITH (FORCE)"))


@pytest.fixture
def clean_name() -> str:
    return f"layout_{secrets.token_hex(4)}"


async def prepared(places, name: str) -> str:
    await run(
        places.server.url,
        "DO $$ BEGIN CREATE ROLE small LOGIN; EXCEPTION WHEN duplicate_object THEN END $$",
        f"CREATE DATABASE {name}",
    )
    return places.server.url.replace("/postgres?", f"/{name}?")


async def test_each_database_has_its_own_grants(fresh):
    """A second database's tables can be read, those made by others before us too."""
    await run(fresh, "CREATE TABLE items AS SELECT 1 AS n")
    async with Database(DatabaseSettings(), url=fresh) as db:
        assert len(await db.query("SELECT n FROM items")) == 1
        with pytest.raises(Exception, match="permission denied"):
            async with db.connection() as connection:
                await connection.fetchval("SELECT pg_try_advisory_lock(7)")
