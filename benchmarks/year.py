"""A year of traffic in small: conversations go on, the clock runs, and a policy keeps them small.

Runs and prunes share one process and one server. The size is what the tables hold of live rows, for
PostgreSQL gives room back to itself and not to the disk.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any

import psycopg
from langgraph.checkpoint.base import empty_checkpoint

from agentinfra.checkpoint import Checkpointer, Policy, PruneResult
from agentinfra.checkpoint.retention.pruner import Pruner
from agentinfra.db.embedded import EmbeddedPostgres
from agentinfra.settings import CheckpointerSettings
from benchmarks.report import Claim, Result, Table

NAME = "year"

TURNS = 20
STEPS = 3
"""Checkpoints of a turn."""

KEPT = 2
"""Checkpoints that the policy leaves a conversation."""

AT_ONCE = 32
TEXT = 500

_BYTES = """
SELECT coalesce((SELECT sum(octet_length(blob)) FROM checkpoint_blobs), 0)
    + coalesce((SELECT sum(octet_length(blob)) FROM checkpoint_writes), 0)
    + coalesce((SELECT sum(pg_column_size(c.*)) FROM checkpoints c), 0)
"""
_LOCKED = """
SELECT coalesce(max(extract(epoch FROM now() - query_start)), 0) FROM pg_stat_activity
WHERE wait_event_type = 'Lock' AND application_name = 'agentinfra write'
"""


class Watch:
    """What pruning took, and how long anybody waited for a lock meanwhile."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.result = PruneResult()
        self.longest_step = self.longest_wait = 0.0
        self.sizes: list[int] = []
        self.over = asyncio.Event()


async def run(*, quick: bool) -> Result:
    """Let 10,000 conversations of 20 turns go on under a policy, in ten waves."""
    threads, waves = (200, 4) if quick else (10_000, 10)
    async with EmbeddedPostgres("temporary") as server:
        settings = CheckpointerSettings(max_size=16)
        async with Checkpointer(settings, url=server.url) as checkpointer:
            watch = Watch()
            begun = time.perf_counter()
            looking = asyncio.create_task(_look(server.url, watch))
            keeping = asyncio.create_task(_keep(checkpointer, server.url, watch))
            per_wave = threads // waves
            for wave in range(waves):
                await _wave(checkpointer.saver, range(wave * per_wave, (wave + 1) * per_wave))
            watch.over.set()
            await asyncio.gather(looking, keeping)
            took = time.perf_counter() - begun
            await _prune(checkpointer, watch)
            size = await _ask(server.url, _BYTES)
            left = await _ask(server.url, "SELECT count(*) FROM checkpoints")
    return _result(watch, threads=threads, took=took, size=size, left=left)


def _result(watch: Watch, *, threads: int, took: float, size: int, left: int) -> Result:
    stored = threads * TURNS * STEPS
    # What a conversation keeps: its last state, at most twice, and the rows around it.
    bound = threads * (KEPT * TURNS * TEXT + 4_000)
    peak = max([*watch.sizes, size])
    share = watch.seconds / took
    table = Table(
        title=f"{threads:,} conversations of {TURNS} turns under Policy(keep_last={KEPT})",
        columns=("what", "value"),
        rows=(
            ("checkpoints stored", f"{stored:,}"),
            ("left", f"{left:,}"),
            ("taken by prunes while runs went on", f"{watch.result.checkpoints:,}"),
            ("largest size between prunes (MB)", f"{peak / 1e6:.1f}"),
            ("size at the end (MB)", f"{size / 1e6:.1f}"),
            ("the pruner's share of the time", f"{share:.3f}"),
            ("longest transaction of a prune (ms)", f"{watch.longest_step * 1000:.1f}"),
            ("longest wait for a lock that was seen (ms)", f"{watch.longest_wait * 1000:.1f}"),
        ),
    )
    claims = (
        Claim("size_of_its_bound", size / bound, "<=", 1),
        Claim("checkpoints_left_of_what_is_kept", left / (threads * KEPT), "<=", 1),
        Claim("longest_transaction_of_a_prune_s", watch.longest_step, "<=", 1),
    )
    return Result(name=NAME, versions={}, tables=(table,), claims=claims)


async def _wave(saver: Any, numbers: range) -> None:
    waiting = iter(numbers)

    async def converse() -> None:
        for number in waiting:
            await _talk(saver, f"t{number:06}")

    await asyncio.gather(*(converse() for _ in range(AT_ONCE)))


async def _talk(saver: Any, thread: str) -> None:
    """Store what a graph of two nodes does in so many turns: a growing list, and a counter."""
    config: dict[str, Any] = {"configurable": {"thread_id": thread, "checkpoint_ns": ""}}
    messages: list[str] = []
    for step in range(TURNS * STEPS):
        changed = {"step": f"{step:032}"}
        if step % STEPS == 0:
            messages = [*messages, "x" * TEXT]
            changed["messages"] = changed["step"]
        checkpoint = empty_checkpoint()
        checkpoint["channel_values"] = {"messages": messages, "step": step}
        said = f"{step - step % STEPS:032}"
        checkpoint["channel_versions"] = {"messages": said, "step": changed["step"]}
        config = await saver.aput(config, checkpoint, {"step": step}, changed)
        await saver.aput_writes(config, [("messages", "x" * TEXT)], "task")


async def _keep(checkpointer: Checkpointer, url: str, watch: Watch) -> None:
    while not watch.over.is_set():
        await _prune(checkpointer, watch)
        watch.sizes.append(await _ask(url, _BYTES))
        await asyncio.sleep(1)


async def _prune(checkpointer: Checkpointer, watch: Watch) -> None:
    link = checkpointer.link
    assert link is not None

    class Timed(Pruner):
        async def _step(self, step: Any) -> PruneResult:
            begun = time.perf_counter()
            try:
                return await super()._step(step)
            finally:
                watch.longest_step = max(watch.longest_step, time.perf_counter() - begun)

    # Two hours later: no run stands on anything but the newest.
    later = time.time() + 7200
    begun = time.perf_counter()
    pruner = Timed(link, [Policy(keep_last=KEPT)], now=later, dry_run=False)
    watch.result += await pruner.run()
    watch.seconds += time.perf_counter() - begun


async def _look(url: str, watch: Watch) -> None:
    while not watch.over.is_set():
        watch.longest_wait = max(watch.longest_wait, float(await _ask(url, _LOCKED)))
        await asyncio.sleep(0.02)


async def _ask(url: str, question: str) -> Any:
    ask = partial(psycopg.AsyncConnection.connect, url, autocommit=True)
    async with await ask() as connection:
        found = await (await connection.execute(question)).fetchone()
        return found[0] if found else 0
