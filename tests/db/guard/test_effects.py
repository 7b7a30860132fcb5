"""Attacks run for real, through `query`: whoever is logged in, none of them has an effect."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path

import asyncpg
import pytest

from agentinfra.db.database import Database
from agentinfra.db.guard import examine
from agentinfra.errors import DatabaseError, QueryError
from agentinfra.settings import DatabaseSettings

CORPUS = Path(__file__).parents[4] / "shared/data/sql/attacks.jsonl"

STATE = """
SELECT (SELECT jsonb_agg(v ORDER BY id) FROM victim v)::text,
       (SELECT last_value FROM victim_seq),
       (SELECT array_agg(oid::text ORDER BY oid) FROM pg_class WHERE relnamespace
            NOT IN (SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_(temp|toast)'))::text,
       (SELECT count(*) FROM pg_proc), (SELECT count(*) FROM pg_roles),
       (SELECT count(*) FROM pg_largeobject_metadata),
       (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory')
"""

CALLS = (
    "pg_read_file('PG_VERSION')",
    "write_it()",
    "nextval('victim_seq')",
    "lo_create(0)",
    "pg_advisory_lock(5)",
    "set_config('work_mem', '9MB', false)",
)

OWN = (
    "SELECT said_to_read()",
    "SELECT * FROM v_writes",
    "SELECT 1 @+@ 1",
    "SELECT (1).writes_of",
    "SELECT x.writes_of FROM abs(1) AS x",
    "EXPLAIN (ANALYZE) SELECT said_to_read()",
    "EXPLAIN (ANALYZE) SELECT * FROM v_writes",
    "EXPLAIN ANALYZE DELETE FROM victim",
    "WITH d AS (DELETE FROM victim RETURNING 1) SELECT * FROM d",
    "SELECT 1; DELETE FROM victim",
    "SELECT * FROM victim FOR UPDATE",
)


def attacks() -> list[str]:
    """The corpus, where it is on this machine, and our own."""
    lines = CORPUS.read_text().splitlines() if CORPUS.is_file() else []
    found = [json.loads(line) for line in lines]
    return [*(one["sql"] for one in found if one["class"] != "legit"), *OWN]


def mutated(call: str, chance: random.Random) -> str:
    """Write a call otherwise, so that it means the same."""
    name, bracket, rest = call.partition("(")
    if chance.random() < 0.4:
        name = "".join(chance.choice((c.upper(), c)) for c in name)
    kind = chance.randrange(5)
    if kind == 0:
        name = f'"{name.lower()}"'
    elif kind == 1:
        name = (
            'U&"'
            + "".join(f"\\{ord(c):04x}" if chance.random() < 0.5 else c for c in name.lower())
            + '"'
        )
    elif kind == 2:
        name = f"pg_catalog.{name}" if "write" not in name else f"public.{name}"
    gap = chance.choice(("", " ", "\n", "/* ; */", " -- x\n", "/* /* */ */"))
    rest = rest.replace(
        "'PG_VERSION'",
        chance.choice(
            ("'PG_VERSION'", "$q$PG_VERSION$q$", "E'PG\\x5fVERSION'", "U&'PG\\005FVERSION'")
        ),
    )
    return f"{name}{gap}{bracket}{rest}"


PLACES = (
    "SELECT {}",
    "SELECT 1 WHERE {} IS NOT NULL",
    "SELECT 1 ORDER BY {}",
    "SELECT count(*) FILTER (WHERE {} IS NULL)",
    "VALUES ({})",
    "SELECT ARRAY[{}]",
    "SELECT CASE WHEN true THEN {} END",
    "SELECT (SELECT {})",
    "WITH x AS (SELECT {}) TABLE x",
    "SELECT 1 UNION ALL SELECT 2 WHERE {} IS NULL",
    "SELECT * FROM (SELECT {}) AS q",
    "SELECT sum(1) OVER (ORDER BY {})",
    "SELECT 1 GROUP BY {}",
    "SELECT 1 HAVING {} IS NULL",
    "SELECT COALESCE({})",
    "SELECT ROW({}) IS NULL",
    "SELECT * FROM LATERAL (SELECT {}) AS q",
    "SELECT ({})::text",
    "SELECT NULLIF({}, NULL)",
    "SELECT EXISTS (SELECT {})",
    "SELECT 1 IN (SELECT 1 WHERE {} IS NULL)",
    "SELECT xmlforest({} AS a)",
    "SELECT JSON_ARRAY({})",
    "EXPLAIN (ANALYZE) SELECT {}",
    "EXPLAIN SELECT {}",
)


async def urls(places, name: str) -> dict[str, str]:
    """The ways to log in: as the embedded server's reader, as owner, as superuser via pgbouncer."""
    embedded = places.server.url.replace("/postgres?", f"/{name}?")
    await places.url("pgbouncer")
    pooled = places.pgbouncer.url.replace("/postgres?", f"/{name}?")
    return {
        "reader": embedded,
        "owner": embedded.replace("postgres@", "owning@"),
        "superuser through a pgbouncer": pooled,
    }


@pytest.mark.parametrize("who", ["reader", "owner", "superuser through a pgbouncer"])
async def test_no_attack_has_an_effect(places, target, traps, who):
    """Attacks of the corpus, our own, and calls written in many ways and places, change nothing."""
    logins = await urls(places, target)
    maker = logins["reader"].replace("postgres@", "owning@" if who == "owner" else "postgres@")
    admin = await asyncpg.connect(logins["reader"])
    await admin.execute("GRANT ALL ON SCHEMA public TO owning")
    made = await asyncpg.connect(maker)
    await made.execute(traps)
    await made.close()
    chance = random.Random(11)
    everything = attacks()
    for call, place in itertools.product(CALLS, PLACES):
        everything.append(place.replace("{}", mutated(call, chance)))
    settings = DatabaseSettings(max_size=2, statement_timeout=0.2)
    async with Database(settings, url=logins[who]) as db:
        await db.query("SELECT 1")
        before = await admin.fetchrow(STATE)
        for sql in everything:
            try:
                await db.query(sql, limit=10)
            except DatabaseError:
                pass
            assert db.state == "ready", sql
        assert await admin.fetchrow(STATE) == before
        assert len(await db.query("SELECT id FROM victim")) == 2
    await admin.close()


@pytest.mark.parametrize("seed", range(8))
def test_no_spelling_hides_a_denied_call(seed):
    """Comments, case, quotes, dollar quotes and Unicode escapes change nothing of a verdict."""
    chance = random.Random(seed)
    denied = [call for call in CALLS if "write_it" not in call]
    for call, place in itertools.product(denied, PLACES):
        sql = place.replace("{}", mutated(call, chance))
        try:
            assert examine(sql).refusal is not None, sql
        except QueryError as error:  # what is no SQL is not run either
            assert error.sqlstate == "42601", sql
