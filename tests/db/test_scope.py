"""What SQL of others may read: what the settings say, and never what the agent remembers."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import asyncpg
import pytest

from agentinfra.db.database import Database
from agentinfra.db.guard import examine
from agentinfra.db.scope import Scope, Seen, name_of
from agentinfra.errors import QueryError, ReadOnlyViolationError
from agentinfra.settings import DatabaseSettings, Settings

MADE = """
CREATE TABLE orders (id int, total int);
CREATE TABLE people (id int, name text, pin text);
INSERT INTO people VALUES (1, 'Ada', '4711');
CREATE SCHEMA secret;
CREATE TABLE secret.plans (id int);
CREATE VIEW names AS SELECT id, name FROM people;
"""


@pytest.fixture
async def fresh(places) -> AsyncIterator[str]:
    """The address of a database with some tables."""
    name = f"scope_{secrets.token_hex(4)}"
    server = await asyncpg.connect(places.server.url)
    await server.execute(f"CREATE DATABASE {name}")
    url = places.server.url.replace("/postgres?", f"/{name}?")
    made = await asyncpg.connect(url)
    await made.execute(MADE)
    await made.close()
    yield url
    await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await server.close()


HIDDEN = DatabaseSettings(hidden=("secret", "public.orders", "public.people.pin"))


READ = (
    "SELECT * FROM secret.plans",
    "TABLE orders",
    "SELECT 1 FROM people p JOIN public.orders o ON true",
    "WITH o AS (SELECT id FROM orders) SELECT * FROM o",
    "SELECT pin FROM people",
    "SELECT p.pin FROM people p",
    "SELECT (p).pin FROM people p",
    "SELECT * FROM people",
    "SELECT p.* FROM people p",
    "SELECT p FROM people p",
    "SELECT to_jsonb(people) FROM people",
    "SELECT a, c FROM people AS p (a, b, c)",
    "SELECT count(*) FROM people WHERE pin LIKE '4%'",
    "SELECT id FROM people ORDER BY pin",
    "SELECT 1 FROM people a JOIN people b USING (pin)",
    "SELECT name FROM people NATURAL JOIN names",
    "TABLE people",
    "EXPLAIN (ANALYZE) SELECT max(pin) FROM people",
    "SELECT (SELECT pin FROM people LIMIT 1)",
)
"""What reads something of `HIDDEN`."""


@pytest.mark.parametrize("sql", READ)
async def test_what_is_hidden_cannot_be_read(fresh, sql):
    """Schemas, tables and columns that are hidden are refused wherever they are named."""
    async with Database(HIDDEN, url=fresh) as db:
        with pytest.raises((ReadOnlyViolationError, QueryError), match="refused|denied"):
            await db.query(sql)


@pytest.mark.parametrize("sql", READ)
def test_the_guard_alone_refuses_what_is_hidden(sql):
    """It does so without the role's help, which there is none of on most servers."""
    scope = Scope(ours="agentinfra", hidden=HIDDEN.hidden)
    touched = examine(sql).touched
    tables = {"secret.plans", "public.orders", "public.people", "public.names"}
    seen = {}
    for relation in touched.relations:
        schema = relation.schema or "public"
        if f"{schema}.{relation.name}" in tables:
            seen[name_of(relation)] = Seen(schema=schema, name=relation.name, beside_ours=False)
    assert scope.judge(touched, seen) is not None


async def test_what_is_not_hidden_can_be_read(fresh):
    """Everything else is as it was, views over what is hidden too."""
    async with Database(HIDDEN, url=fresh) as db:
        assert (await db.query("SELECT id, name FROM people"))[0]["name"] == "Ada"
        assert (await db.query("SELECT p.name FROM people p WHERE p.id = 1"))[0]["name"] == "Ada"
        assert (await db.query("SELECT * FROM names"))[0]["name"] == "Ada"
        assert (await db.query("SELECT count(*) AS n FROM people"))[0]["n"] == 1
        assert (await db.query("WITH o AS (SELECT 1 AS n) SELECT n FROM o"))[0]["n"] == 1
        assert len(await db.query("SELECT table_name FROM information_schema.tables")) > 0


async def test_only_what_is_readable(fresh):
    """With a list only what stands on it can be read, by the role as by the guard."""
    async with Database(DatabaseSettings(readable=("public.names",)), url=fresh) as db:
        assert (await db.query("SELECT * FROM names"))[0]["name"] == "Ada"
        for sql in ("SELECT 1 FROM people", "SELECT 1 FROM secret.plans"):
            with pytest.raises(ReadOnlyViolationError):
                await db.query(sql)
        async with db.connection() as connection:
            for table in ("people", "secret.plans"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.fetch(f"SELECT 1 FROM {table}")
    async with Database(DatabaseSettings(), url=fresh) as db:
        assert len(await db.query("SELECT id FROM people")) == 1


async def test_what_is_hidden_goes_before_what_is_readable(fresh):
    """A hidden table or column of a readable schema stays hidden."""
    settings = DatabaseSettings(
        readable=("public", "secret.plans"),
        hidden=("public.orders", "public.people.pin", "secret"),
    )
    async with Database(settings, url=fresh) as db:
        assert (await db.query("SELECT name FROM people"))[0]["name"] == "Ada"
        for sql in ("SELECT id FROM orders", "SELECT pin FROM people", "TABLE secret.plans"):
            with pytest.raises(ReadOnlyViolationError, match="hidden"):
                await db.query(sql)


async def test_conversations_are_out_of_reach(fresh):
    """What the checkpointer keeps cannot be read, and a table of that name elsewhere can."""
    made = await asyncpg.connect(fresh)
    await made.execute("CREATE TABLE checkpoints (n int); INSERT INTO checkpoints VALUES (3)")
    async with Database(DatabaseSettings(), url=fresh) as db:
        assert (await db.query("SELECT n FROM checkpoints"))[0]["n"] == 3
        await made.execute("CREATE TABLE checkpoint_migrations (v int)")
        for sql in ("SELECT n FROM checkpoints", "TABLE public.checkpoints"):
            with pytest.raises(ReadOnlyViolationError, match="remembers"):
                await db.query(sql)
    await made.close()


def test_entries_are_checked():
    """An entry that cannot mean anything is refused when the settings are made."""
    for bad in ({"readable": ("a.b.c",)}, {"hidden": ("a.b.c.d",)}, {"hidden": ("a.",)}):
        with pytest.raises(Exception, match="has to be"):
            Settings(database=bad)
