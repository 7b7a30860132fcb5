"""The read-only guard against statements it was not made with: attacks, and real analytics."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from agentinfra.db.guard import FUNCTIONS_SQL, check_readonly, examine, functions_of, judge

if TYPE_CHECKING:
    from collections.abc import Iterator

CORPUS = Path(__file__).parents[4] / "shared/data/sql"
pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is not on this machine")

BELOW_THE_GUARD = {
    "comment_break": "harmless by itself; it is given back with a newline, so it breaks nothing",
    "user_function_write": "refused with the database's own list of functions",
    "other_schema_secret": "the role may not read it",
    "view_write_rule": "the READ ONLY transaction and the role",
    "gen_rows_huge": "the limits of rows and bytes",
    "recursive_bomb": "the statement time-out",
    "array_agg_mem": "the statement time-out",
    "temp_spill": "the statement time-out",
}
"""Attacks whose text only reads, and what stops them."""


def attacks() -> list[dict[str, str]]:
    """Give the attacks of the corpus."""
    file = CORPUS / "attacks.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []


def analytics() -> list[str]:
    """Give the analytics statements of the corpus."""
    found: list[str] = []
    for file in sorted(CORPUS.glob("defog_*.csv")):
        with file.open(newline="") as rows:
            for row in csv.DictReader(rows):
                found += expanded(row["query"])
    return found


def expanded(query: str) -> Iterator[str]:
    """Give every statement of a query: alternatives stand between ``;`` and within ``{a, b}``."""
    for statement in filter(str.strip, query.split(";")):
        choice = re.search(r"\{([^}]+)\}", statement)
        columns = [column.strip() for column in choice[1].split(",")] if choice else []
        for chosen in [*columns, ", ".join(columns)] if choice else [""]:
            filled = statement.replace(choice[0], chosen) if choice else statement
            yield filled.replace("{}", chosen)


@pytest.mark.parametrize("attack", attacks(), ids=lambda attack: attack["name"])
def test_attack_is_judged(attack: dict[str, str]):
    """An attack is refused, unless its text is a mere read and a layer below stops it."""
    refused = judge(attack["sql"]).refusal is not None
    harmless = attack["class"] == "legit" or attack["name"] in BELOW_THE_GUARD
    assert refused is not harmless


def test_the_page_shows_what_is_measured():
    """The table of the explanation has the numbers of this corpus and this guard."""
    page = (Path(__file__).parents[3] / "docs/explanation/read-only.md").read_text()
    counts: dict[str, list[int]] = {}
    for attack in attacks():
        count = counts.setdefault(attack["class"], [0, 0])
        count[0] += 1
        count[1] += judge(attack["sql"]).refusal is not None
    for name, (statements, refused) in counts.items():
        assert f"| {name} | {statements} | {refused} |" in page


def test_comment_does_not_break_out():
    """A statement that ends in a comment can be wrapped without losing what follows."""
    wrapped = f"SELECT * FROM ({check_readonly('SELECT 1 --')}) AS q LIMIT 1"
    assert judge(wrapped).kind == "select"


@pytest.mark.parametrize("sql", analytics())
def test_analytics_pass(sql: str):
    """A real analytics question in SQL is never refused."""
    assert judge(sql).refusal is None


async def test_analytics_pass_with_the_functions_of_a_server(places: Any):
    """Every function of real analytics is one a server declares free of side effects."""
    verdicts = [examine(sql) for sql in analytics()]
    names = {name for verdict in verdicts for name in verdict.touched.names}
    connection = await asyncpg.connect(places.server.url)
    try:
        known = functions_of(await connection.fetch(FUNCTIONS_SQL, sorted(names)))
    finally:
        await connection.close()
    judged = [verdict.with_functions(known) for verdict in verdicts]
    assert [verdict for verdict in judged if verdict.refusal is not None] == []
    assert all(new.statement == old.statement for new, old in zip(judged, verdicts, strict=True))
