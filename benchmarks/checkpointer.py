"""What checkpoints cost beside LangGraph's own saver, on one server and in turns."""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
import uuid
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from importlib.metadata import version
from typing import Any, NamedTuple, TypeAlias

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


class Pace(NamedTuple):
    """Operations a second, and microseconds of this process's CPU each."""

    rate: float
    cpu: float


class Stall(NamedTuple):
    """What held the loop, in milliseconds."""

    longest: float
    garbage: float
    computed: float


Found: TypeAlias = dict[str, dict[str, Pace]]
"""By case, and by saver."""


async def run(*, quick: bool) -> Result:
    """Measure puts and gets a second of each saver, in turns, and the loop's longest stall."""
    seconds, rounds = (0.5, 1) if quick else (1.5, 3)
    async with EmbeddedPostgres("temporary") as server, AsyncExitStack() as undo:
        savers = await _savers(server.url, undo)
        for saver in savers.values():  # one opens its connections when they are wanted
            await _rate(saver, SIZES["2 KB"], max(CONVERSATIONS), 0.2)
        tables, ratios = [], {}
        for disk, delay in DISKS.items():
            await _commit_delay(server.url, delay)
            found = await _rates(savers, seconds=seconds, rounds=rounds)
            tables.append(_table(disk, found))
            ratios[disk] = {case: each[OURS].rate / each[POOL].rate for case, each in found.items()}
        await _commit_delay(server.url, 0)
        stalls = {f"{mb} MB": await _stall(savers[OURS], mb) for mb in (1, 10)}
        gc.collect()
        gc.freeze()  # what was imported, and whatever else is there
        stalls |= {f"{mb} MB, frozen": await _stall(savers[OURS], mb) for mb in (1, 10)}
        gc.unfreeze()
    tables.append(
        Table(
            title="the loop's longest stall while a state of messages is loaded (median of 5), the "
            "longest collection of all garbage in it, and what the loop itself computes in one go; "
            "frozen: after gc.freeze()",
            columns=("state", "stall ms", "garbage ms", "loop's CPU ms"),
            rows=tuple((size, *(f"{ms:.1f}" for ms in stall)) for size, stall in stalls.items()),
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
        Claim("stall_of_1_mb_ms", stalls["1 MB"].longest, "<=", 2),
        Claim("stall_of_10_mb_ms", stalls["10 MB"].longest, "<=", 5),
        Claim("stall_of_10_mb_frozen_ms", stalls["10 MB, frozen"].longest, "<=", 5),
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


async def _rates(savers: dict[str, Any], *, seconds: float, rounds: int) -> Found:
    found: dict[str, dict[str, list[Pace]]] = {}
    for _ in range(rounds):
        for size, length in SIZES.items():
            for number in CONVERSATIONS:
                for name, saver in savers.items():
                    paces = await _rate(saver, length, number, seconds)
                    for work, pace in zip(("put", "get"), paces, strict=True):
                        case = found.setdefault(f"{work} {size}, {number}", {})
                        case.setdefault(name, []).append(pace)
    return {
        case: {
            name: Pace(*(statistics.median(values) for values in zip(*paces, strict=True)))
            for name, paces in each.items()
        }
        for case, each in found.items()
    }


async def _rate(saver: Any, length: int, number: int, seconds: float) -> tuple[Pace, Pace]:
    """Measure puts and gets of so many conversations at once."""
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

    paces = []
    for work in (put, get):
        done, begun, spent = 0, time.perf_counter(), time.process_time()
        await asyncio.gather(*(work(config, begun + seconds) for config in configs))
        spent = time.process_time() - spent
        paces.append(Pace(done / (time.perf_counter() - begun), 1e6 * spent / done))
    return paces[0], paces[1]


async def _stall(saver: Any, megabytes: int) -> Stall:
    from langchain_core.messages import HumanMessage

    texts = [HumanMessage("word " * 90, id=str(n)) for n in range(megabytes * 1_000_000 // 560)]
    checkpoint = empty_checkpoint()
    checkpoint["channel_values"], checkpoint["channel_versions"] = {"m": texts}, {"m": "1"}
    config = {"configurable": {"thread_id": f"stall {megabytes}", "checkpoint_ns": ""}}
    await saver.aput(config, checkpoint, {}, {"m": "1"})
    found = []
    with _collections() as collections:
        for _ in range(5):
            stalls: list[tuple[float, float]] = []
            ticking = asyncio.create_task(_tick(stalls))
            await asyncio.sleep(0.01)
            collections[:] = [0.0]
            await saver.aget_tuple(config)
            ticking.cancel()
            gaps, spent = zip(*stalls, strict=True)
            found.append([max(gaps), max(collections), max(spent)])
    return Stall(*(1000 * statistics.median(column) for column in zip(*found, strict=True)))


async def _tick(stalls: list[tuple[float, float]]) -> None:
    """Note how late each turn of the loop is, and how much of it the loop has computed."""
    last, spent = time.perf_counter(), time.thread_time()
    while True:
        await asyncio.sleep(0.0005)
        now, by_now = time.perf_counter(), time.thread_time()
        stalls.append((now - last - 0.0005, by_now - spent))
        last, spent = now, by_now


@contextmanager
def _collections() -> Iterator[list[float]]:
    """Give the seconds of each collection of all garbage."""
    seconds: list[float] = []
    begun = 0.0

    def note(phase: str, about: dict[str, int]) -> None:
        nonlocal begun
        if phase == "start":
            begun = time.perf_counter()
        elif about["generation"] == 2:
            seconds.append(time.perf_counter() - begun)

    gc.callbacks.append(note)
    try:
        yield seconds
    finally:
        gc.callbacks.remove(note)


def _table(disk: str, found: Found) -> Table:
    return Table(
        title=f"operations a second by state and conversations at once, disk {disk}; CPU of the "
        "client a single one",
        columns=("case", OURS, CONNECTION, POOL, "of the pool", "CPU us", "pool's CPU us"),
        rows=tuple(
            (
                case,
                *(f"{each[name].rate:,.0f}" for name in (OURS, CONNECTION, POOL)),
                f"{each[OURS].rate / each[POOL].rate:.2f}",
                *(f"{each[name].cpu:,.0f}" for name in (OURS, POOL)),
            )
            for case, each in found.items()
        ),
    )
