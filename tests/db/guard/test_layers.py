"""The corpus of attacks against each layer alone and all of them: the explanation's table."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest

from agentinfra.db.database import Database
from agentinfra.db.guard import judge
from agentinfra.db.reader_role import READER
from agentinfra.errors import DatabaseError
from agentinfra.settings import DatabaseSettings

CORPUS = Path(__file__).parents[4] / "shared/data/sql/attacks.jsonl"
PAGE = Path(__file__).parents[3] / "docs/explanation/read-only.md"

pytestmark = pytest.mark.skipif(not CORPUS.is_file(), reason="the corpus is not on this machine")

HEAD = "| class | statements | the tree | role and READ ONLY alone | `query` |"


def is_stopped_by_the_tree(sql: str) -> bool:
    return judge(sql).refusal is not None


async def is_stopped_by_role_and_transaction(url: str, sql: str) -> bool:
    """Run it as the reader in a READ ONLY transaction, for a moment, with nothing else around."""
    connection = await asyncpg.connect(url, user=READER)
    try:
        await connection.execute("BEGIN READ ONLY; SELECT 1; SET LOCAL statement_timeout = 200")
        await connection.execute(sql)
    except (asyncpg.PostgresError, asyncpg.InterfaceError):
        return True
    finally:
        with suppress(asyncpg.PostgresError, OSError):
            await connection.close(timeout=1)
    return False


async def is_stopped_by_query(db: Database, sql: str) -> bool:
    """Refused, ended by the server, or cut off where the bounds of rows and bytes are."""
    try:
        return (await db.query(sql, limit=10)).truncated
    except DatabaseError:
        return True


@pytest.mark.usefixtures("embedded_only")
async def test_the_page_has_the_table_of_attacks_and_layers(places, target, traps):
    """What stops how many attacks of each class is measured, and stands in the explanation."""
    attacks = [json.loads(line) for line in CORPUS.read_text().splitlines()]
    url = places.server.url.replace("/postgres?", f"/{target}?")
    maker = await asyncpg.connect(url)
    await maker.execute(traps)
    await maker.close()
    counts: dict[str, list[int]] = {}
    async with Database(DatabaseSettings(max_size=2, statement_timeout=0.3), url=url) as db:
        await db.query("SELECT 1")
        for attack in attacks:
            sql = attack["sql"]
            count = counts.setdefault(attack["class"], [0, 0, 0, 0])
            count[0] += 1
            count[1] += is_stopped_by_the_tree(sql)
            count[2] += await is_stopped_by_role_and_transaction(url, sql)
            count[3] += await is_stopped_by_query(db, sql)
    rows = [f"| {name} | {' | '.join(map(str, counts[name]))} |" for name in sorted(counts)]
    table = "\n".join([HEAD, "|---|---|---|---|---|", *rows])
    print(table)  # noqa: T201 - for whoever brings the page up to date
    assert table in PAGE.read_text()
