"""What checkpoints cost beside LangGraph's own saver, on one server and in turns."""

from __future__ import annotations

import asyncio
import statistics
import time
import uuid
from contextlib import AsyncExitStack
from importlib.metadata import version
from typing import Any

import psycopg
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from agentinfra.checkpoint import Checkpointer
from agentinfra.db.embedded import EmbeddedPostgres
from agentinfra.settings import CheckpointerSettings
from benchmarks.report import Claim, Result, Table

NAME = "checkpointer"

OURS, CONNECTION, POOL = "agentinfra", "stock, one connection", "stock, pool of 16"
SIZES = {"2 KB": 2_000, "50 KB": 50_000}
DISKS = {"as it is": 0, "commits of 4 ms": 4_000}
CONVERSATIONS = (1, 64)


async def run(*, quick: bool) -> Result:
    """Measure puts and gets a second of each saver, in turns, and the loop's longest stall."""
    seconds, rounds = (0.5, 1) if quick else (1.5, 3)
    async with EmbeddedPostgres("temporary") as server, AsyncExitStack() as undo:
        savers = await _savers(server.url, undo)
        tables, ratios = [], {}
        for disk, delay in DISKS.items():
            await _commit_delay(server.url, delay)
            found = await _rates(savers, seconds=seconds, rounds=rounds)
            tables.append(_table(disk, found))
            ratios[disk] = {case: rates[OURS] / rates[POOL] for case, rates in found.items()}
        await _commit_delay(server.url, 0)
        stalls = {f"{mb} MB": await _stall(savers[OURS], mb) for mb in (1, 10)}
    tables.append(
        Table(
            title="the loop's longest stall while a state of messages is loaded (median of 5)",
            columns=("state", "ms"),
            rows=tuple((size, f"{stall:.1f}") for size, stall in stalls.items()),
        )
    )
    plain, slow = ratios["as it is"], ratios["commits of 4 ms"]
    claims = (
        Claim("puts_2kb_64_of_stock_pool", plain["put 2 KB, 64"], ">=", 4),
        Claim("puts_2kb_64_of_stock_pool_slow_disk", slow["put 2 KB, 64"], ">=", 8),
        Claim("gets_2kb_64_of_stock_pool", plain["get 2 KB, 64"], ">=", 2.5),
        Claim("puts_50kb_64_of_stock_pool", plain["put 50 KB, 64"], ">=", 1.8),
        Claim("gets_50kb_64_of_stock_pool", plain["get 50 KB, 64"], ">=", 1.8),
        Claim("puts_2kb_1_of_stock_pool", plain["put 2 KB, 1"], ">=", 0.95),
        Claim("stall_of_1_mb_ms", stalls["1 MB"], "<=", 2),
        Claim("stall_of_10_mb_ms", stalls["10 MB"], "<=", 5),
    )
    versions = {
        name: version(name)
        for name in ("asyncpg", "psycopg", "langgraph-checkpoint", "langgraph-checkpoint-postgres")
    }
    return Result(name=NAME, versions=versions, tables=tuple(tables), claims=claims)


async def _savers(url: str, undo: AsyncExitStack) -> dict[str, Any]:
    settings = CheckpointerSettings(max_size=16)
    ours = await undo.enter_async_context(Checkpointer(settings, url=url))
    one = await undo.enter_async_context(AsyncPostgresSaver.from_conn_string(url))
    options = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    pool: Any = AsyncConnectionPool(url, min_size=16, max_size=16, kwargs=options, open=False)
    await undo.enter_async_context(pool)
    return {OURS: ours.saver, CONNECTION: one, POOL: AsyncPostgresSaver(pool)}


async def _commit_delay(url: str, microseconds: int) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(f"ALTER SYSTEM SET commit_delay = {microseconds}")
        await connection.execute("ALTER SYSTEM SET commit_siblings = 0")
        for setting in ("fsync", "synchronous_commit"):  # without them no commit waits
            await connection.execute(f"ALTER SYSTEM SET {setting} = on")
        await connection.execute("SELECT pg_reload_conf()")
    await asyncio.sleep(0.2)


async def _rates(
    savers: dict[str, Any], *, seconds: float, rounds: int
) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, list[float]]] = {}
    for _ in range(rounds):
        for size, length in SIZES.items():
            for number in CONVERSATIONS:
                for name, saver in savers.items():
                    puts, gets = await _rate(saver, length, number, seconds)
                    found.setdefault(f"put {size}, {number}", {}).setdefault(name, []).append(puts)
                    found.setdefault(f"get {size}, {number}", {}).setdefault(name, []).append(gets)
    return {
        case: {name: statistics.median(rates) for name, rates in each.items()}
        for case, each in found.items()
    }


async def _rate(saver: Any, length: int, number: int, seconds: float) -> tuple[float, float]:
    """Return puts and gets a second of so many conversations at once."""
    run = uuid.uuid4().hex
    configs = [
        {"configurable": {"thread_id": f"{run}-{n}", "checkpoint_ns": ""}} for n in range(number)
    ]
    done = 0

    async def put(config: dict[str, Any], end: float) -> None:
        nonlocal done
        turn = 0
        while time.perf_counter() < end:
            turn += 1
            checkpoint = empty_checkpoint()
            checkpoint["channel_values"] = {"messages": ["x" * length], "turn": turn}
            checkpoint["channel_versions"] = {"messages": f"{turn:032}", "turn": f"{turn:032}"}
            config = await saver.aput(config, checkpoint, {}, checkpoint["channel_versions"])
            done += 1

    async def get(config: dict[str, Any], end: float) -> None:
        nonlocal done
        while time.perf_counter() < end:
            await saver.aget_tuple(config)
            done += 1

    rates = []
    for work in (put, get):
        done, begun = 0, time.perf_counter()
        await asyncio.gather(*(work(config, begun + seconds) for config in configs))
        rates.append(done / (time.perf_counter() - begun))
    return rates[0], rates[1]


async def _stall(saver: Any, megabytes: int) -> float:
    from langchain_core.messages import HumanMessage

    texts = [HumanMessage("word " * 90, id=str(n)) for n in range(megabytes * 1_000_000 // 560)]
    checkpoint = empty_checkpoint()
    checkpoint["channel_values"], checkpoint["channel_versions"] = {"m": texts}, {"m": "1"}
    config = {"configurable": {"thread_id": f"stall {megabytes}", "checkpoint_ns": ""}}
    await saver.aput(config, checkpoint, {}, {"m": "1"})
    longest = []
    for _ in range(5):
        gaps: list[float] = [0.0]

        async def tick(gaps: list[float] = gaps) -> None:
            last = time.perf_counter()
            while True:
                await asyncio.sleep(0.0005)
                now = time.perf_counter()
                gaps.append(now - last - 0.0005)
                last = now

        ticking = asyncio.create_task(tick())
        await asyncio.sleep(0.01)
        await saver.aget_tuple(config)
        ticking.cancel()
        longest.append(max(gaps) * 1000)
    return statistics.median(longest)


def _table(disk: str, found: dict[str, dict[str, float]]) -> Table:
    return Table(
        title=f"operations a second by state and conversations at once, disk {disk}",
        columns=("case", OURS, CONNECTION, POOL, "of the pool"),
        rows=tuple(
            (
                case,
                *(f"{rates[name]:,.0f}" for name in (OURS, CONNECTION, POOL)),
                f"{rates[OURS] / rates[POOL]:.2f}",
            )
            for case, rates in found.items()
        ),
    )
