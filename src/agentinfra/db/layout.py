# ruff: noqa: S608 - names are quoted
"""The schema of our own tables, and the steps that bring it from every earlier layout to today's.

Steps are only ever added at the end. They run in one transaction, under one lock: of processes
that start together one runs them, and the others find them done.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agentinfra.db.ledger import make_ledger
from agentinfra.db.questions import make_questions
from agentinfra.db.scope import DEFAULT_SCHEMA, quoted
from agentinfra.errors import DatabaseError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

__all__ = ["LOCK", "MIGRATIONS", "NOTICES", "Layout", "Place", "choose", "grants", "migrate"]

MIGRATIONS = "agentinfra_migrations"
"""The table that marks a schema as ours, with a row for every step that was taken."""

NOTICES = "agentinfra_notices"
"""The table in which running processes tell one another something."""

_COLLECTIONS = "agentinfra_collections"

LOCK = 7_013_246_129
"""Any number, as long as every process takes the same."""

_PATIENCE = "30s"

_SCHEMAS = f"""
SELECT s.nspname::text AS name,
       to_regclass(quote_ident(s.nspname) || '.{MIGRATIONS}') IS NOT NULL AS ours,
       to_regclass(quote_ident(s.nspname) || '.{_COLLECTIONS}') IS NOT NULL AS collections,
       has_schema_privilege(s.oid, 'CREATE') AS may_create
FROM pg_catalog.pg_namespace s
WHERE s.nspname IN ($1, 'public') OR s.nspname = ANY (current_schemas(false))
ORDER BY s.nspname <> $1, array_position(current_schemas(false), s.nspname)
"""
"""The schemas our tables may be in, the wanted one first, then along the search path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A schema that may be ours.

    Attributes:
        name: Its name.
        ours: Whether it holds our table of steps.
        collections: Whether it holds collections of vectors.
        may_create: Whether we may make tables in it.
    """

    name: str
    ours: bool
    collections: bool
    may_create: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where our tables are, and how far they are.

    Attributes:
        schema: Their schema, which may not exist yet.
        steps: The steps that were taken.
        earlier: Schemas that hold collections of an earlier layout.
        lacking: Why no tables can be made there; empty where they can.
    """

    schema: str
    steps: frozenset[str]
    earlier: tuple[str, ...]
    lacking: str

    @property
    def newest(self) -> bool:
        """Whether every step was taken, and nothing of an earlier layout is left."""
        return not self.earlier and self.steps >= {name for name, _ in _STEPS}

    def check(self) -> None:
        """Refuse to make tables where they cannot be made.

        Raises:
            DatabaseError: With what to do.
        """
        if self.lacking:
            raise DatabaseError(self.lacking)


async def choose(
    connection: Any, *, wanted: str | None, may_create_schema: bool, login: str
) -> Layout:
    """Find out where our tables are or can be.

    Args:
        connection: Logged in as who writes.
        wanted: The schema of the settings; None is ``agentinfra`` where that is or can be made,
            else the first on the search path where the user may make tables.
        may_create_schema: Whether the user may create schemas.
        login: The user, for the sentence.
    """
    named = wanted or DEFAULT_SCHEMA
    places = [Place(**dict(row)) for row in await connection.fetch(_SCHEMAS, named)]
    schema, lacking = _chosen(places, named, wanted is None, may_create_schema, login)
    steps: frozenset[str] = frozenset()
    if any(place.ours and place.name == schema for place in places):
        rows = await connection.fetch(f"SELECT name FROM {quoted(schema)}.{MIGRATIONS}")
        steps = frozenset(row[0] for row in rows)
    earlier = [place.name for place in places if place.collections and place.name != schema]
    return Layout(schema=schema, steps=steps, earlier=tuple(earlier), lacking=lacking)


def _chosen(
    places: Sequence[Place],
    named: str,
    anywhere: bool,  # noqa: FBT001
    may_create_schema: bool,  # noqa: FBT001
    login: str,
) -> tuple[str, str]:
    known = {place.name: place for place in places}
    if named in known and (known[named].may_create or known[named].ours):
        return named, ""
    if named not in known and may_create_schema:
        return named, ""
    if anywhere:
        mine = [place for place in places if place.ours]
        usable = mine or [place for place in places if place.may_create and place.name != "public"]
        usable = usable or [place for place in places if place.may_create]
        if usable and named not in known:
            return usable[0].name, ""
    return named, (
        f"user {login!r} can make no tables in schema {named!r}: have the database's owner run "
        f"`agentinfra migrate --grant-to {login}`, or name a schema of the user's own in "
        "AGENTINFRA_DATABASE__SCHEMA"
    )


async def migrate(connection: Any, layout: Layout) -> tuple[str, ...]:
    """Take the steps that are missing, and return their names. Call it outside of transactions.

    Raises:
        DatabaseError: Tables cannot be made there.
    """
    if layout.newest:
        return ()
    layout.check()
    async with connection.transaction():
        await connection.execute(f"SET LOCAL lock_timeout = '{_PATIENCE}'")
        await connection.execute("SELECT pg_catalog.pg_advisory_xact_lock($1)", LOCK)
        await connection.execute(_begin(layout.schema))
        rows = await connection.fetch(f"SELECT name FROM {quoted(layout.schema)}.{MIGRATIONS}")
        taken = {row[0] for row in rows}
        missing = [(name, step) for name, step in _STEPS if name not in taken]
        for name, step in missing:
            await step(connection, layout.schema)
            await connection.execute(
                f"INSERT INTO {quoted(layout.schema)}.{MIGRATIONS} (name) VALUES ($1)", name
            )
        for earlier in layout.earlier:
            await _move(connection, earlier, layout.schema)
    return tuple(name for name, _ in missing)


def grants(schema: str, role: str) -> tuple[str, ...]:
    """Return what lets a role use our tables, and make collections of its own."""
    place, who = quoted(schema), quoted(role)
    return (
        f"GRANT USAGE, CREATE ON SCHEMA {place} TO {who}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {place} TO {who}",
        (
            f"ALTER DEFAULT PRIVILEGES IN SCHEMA {place} "
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {who}"
        ),
    )


def _begin(schema: str) -> str:
    """Return what makes the schema and the table of steps; a schema that is there may be ours."""
    place = quoted(schema)
    return f"""
    DO $do$ BEGIN
        IF to_regnamespace({_literal(place)}) IS NULL THEN CREATE SCHEMA {place}; END IF;
    END $do$;
    CREATE TABLE IF NOT EXISTS {place}.{MIGRATIONS} (
        name text PRIMARY KEY,
        taken_at timestamptz NOT NULL DEFAULT now()
    )
    """


async def _collections(connection: Any, schema: str) -> None:
    await connection.execute(
        f"""
        CREATE TABLE IF NOT EXISTS {quoted(schema)}.{_COLLECTIONS} (
            name text PRIMARY KEY,
            dimensions integer NOT NULL,
            model text,
            asked_model text,
            asked_dimensions integer,
            created_at timestamptz NOT NULL DEFAULT now()
        )
        """
    )


async def _move(connection: Any, earlier: str, schema: str) -> None:
    """Bring the collections of an earlier schema here; one whose name is taken stays there."""
    there, here = quoted(earlier), quoted(schema)
    if not await connection.fetchval(
        "SELECT to_regclass($1) IS NOT NULL", f"{there}.{_COLLECTIONS}"
    ):
        return  # another process was faster
    rows = await connection.fetch(
        f"SELECT name FROM {there}.{_COLLECTIONS} WHERE name NOT IN "
        f"(SELECT name FROM {here}.{_COLLECTIONS})"
    )
    for row in rows:
        table = quoted(f"vec_{row['name']}")
        await connection.execute(f"ALTER TABLE IF EXISTS {there}.{table} SET SCHEMA {here}")
    columns = "name, dimensions, model, asked_model, asked_dimensions, created_at"
    await connection.execute(
        f"INSERT INTO {here}.{_COLLECTIONS} ({columns}) SELECT {columns} "
        f"FROM {there}.{_COLLECTIONS} ON CONFLICT DO NOTHING"
    )
    await connection.execute(f"DROP TABLE {there}.{_COLLECTIONS}")
    await _words(connection, schema)


async def _words(connection: Any, schema: str) -> None:
    """Let words be written or left out: they were made with every row, which slowed loads down."""
    rows = await connection.fetch(
        "SELECT c.relname::text AS name FROM pg_catalog.pg_class c "
        "JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tsv' "
        "WHERE c.relnamespace = to_regnamespace($1) AND starts_with(c.relname, 'vec_') "
        "AND a.attgenerated = 's'",
        quoted(schema),
    )
    for row in rows:
        table, index = quoted(row["name"]), quoted(f"vecidx_{row['name'][4:]}_words")
        await connection.execute(
            f"ALTER TABLE {quoted(schema)}.{table} ALTER COLUMN tsv DROP EXPRESSION"
        )
        await connection.execute(f"DROP INDEX IF EXISTS {quoted(schema)}.{index}")


async def _notices(connection: Any, schema: str) -> None:
    # Unlogged: what running processes say of themselves is of no use after a crash of the server.
    await connection.execute(
        f"""
        CREATE UNLOGGED TABLE IF NOT EXISTS {quoted(schema)}.{NOTICES} (
            topic text NOT NULL,
            member text NOT NULL,
            note text NOT NULL,
            until timestamptz NOT NULL,
            PRIMARY KEY (topic, member)
        )
        """
    )


_STEPS: tuple[tuple[str, Callable[[Any, str], Awaitable[None]]], ...] = (
    ("0001 collections of vectors", _collections),
    ("0002 words of vectors are written or left out", _words),
    ("0003 notices of running processes", _notices),
    ("0004 the ledger of budgets", make_ledger),
    ("0005 questions found by meaning", make_questions),
)
"""The steps, oldest first. One that was published never changes."""


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
