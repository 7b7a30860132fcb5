"""What is left of conversations when a server or a process is killed in the middle of them.

Each kill is SIGKILL at a random moment: of a backend of the server, after which that ends all of
them and recovers from its log; of a process that converses, which another one goes on from.
"""

from __future__ import annotations

import asyncio
import operator
import os
import random
import signal
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, TypedDict

import psycopg
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.graph import START, StateGraph

from agentinfra.checkpoint import Checkpointer
from agentinfra.db.embedded import EmbeddedPostgres
from agentinfra.errors import CheckpointError
from agentinfra.settings import CheckpointerSettings
from benchmarks.report import Claim, Result, Table

NAME = "kills"

TALKS = 8
"""Conversations at the same time."""

# What a checkpoint names and the tables lack; a channel that was emptied has no row.
_HALF = """
SELECT count(*) FROM checkpoints c WHERE NOT EXISTS (
    SELECT FROM checkpoint_blobs b WHERE b.thread_id = c.thread_id
    AND b.checkpoint_ns = c.checkpoint_ns AND b.channel = 'log'
    AND b.version = c.checkpoint -> 'channel_versions' ->> 'log'
) AND c.checkpoint -> 'channel_versions' ? 'log'
"""
_ORPHANS = """
SELECT count(*) FROM checkpoint_blobs b WHERE NOT EXISTS (
    SELECT FROM checkpoints c WHERE c.thread_id = b.thread_id
    AND c.checkpoint_ns = b.checkpoint_ns
    AND c.checkpoint -> 'channel_versions' ->> b.channel = b.version
)
"""


class State(TypedDict, total=False):
    """What a conversation holds."""

    log: Annotated[list[str], operator.add]
    turns: int


class Account:
    """What was acknowledged, and what is wrong with what was found."""

    def __init__(self) -> None:
        self.acknowledged: set[tuple[str, str]] = set()
        self.errors = 0
        self.healed: list[float] = []
        self.lost = self.broken = self.twice = 0


async def run(*, quick: bool) -> Result:
    """Kill the server 500 times and a process 100 times, and look at what is there."""
    servers, processes = (5, 2) if quick else (500, 100)
    accounts = {
        "the server": (servers, await kill_servers(servers, seed=1)),
        "a process": (processes, await kill_processes(processes, seed=2)),
    }
    rows, claims = [], []
    for killed, (number, account) in accounts.items():
        usual = statistics.median(account.healed or [0.0])
        slowest = max(account.healed, default=0.0)
        rows.append(
            (
                killed,
                number,
                len(account.acknowledged),
                account.lost,
                account.broken,
                account.twice,
                account.errors,
                f"{usual:.2f}",
                f"{slowest:.2f}",
            )
        )
        name = killed.split()[1]
        claims += [
            Claim(f"{name}_acknowledged_and_lost", account.lost, "==", 0),
            Claim(f"{name}_half_written", account.broken, "==", 0),
            Claim(f"{name}_done_twice", account.twice, "==", 0),
        ]
    healed = max(accounts["the server"][1].healed, default=0.0)
    claims.append(Claim("server_healed_within_s", healed, "<=", 2))
    columns = ("killed", "kills", "puts", "lost", "half", "twice", "errors", "healed in s", "most")
    table = Table(
        title="conversations whose server or process is killed", columns=columns, rows=rows
    )
    return Result(name=NAME, versions={}, tables=(table,), claims=tuple(claims))


async def kill_servers(number: int, *, seed: int) -> Account:
    """Kill a backend so many times while conversations go on.

    Healing is counted from when the server takes connections again to the next put.
    """
    chance, account = random.Random(seed), Account()
    async with EmbeddedPostgres("temporary") as server:
        await _be_durable(server.url)
        settings = CheckpointerSettings(max_size=TALKS)
        async with Checkpointer(settings, url=server.url) as checkpointer:
            heard = asyncio.Event()
            saver = _noted(checkpointer.saver, account, heard)
            over = asyncio.Event()
            talks = [
                asyncio.create_task(_talk(saver, f"t{n}", account, over)) for n in range(TALKS)
            ]
            for _ in range(number):
                heard.clear()
                await heard.wait()
                await asyncio.sleep(chance.random() * 0.05)
                await _kill_backend(server.url, chance)
                begun = time.perf_counter()
                heard.clear()
                await asyncio.wait_for(heard.wait(), 60)
                account.healed.append(time.perf_counter() - begun)
            over.set()
            await asyncio.gather(*talks)
            await _judge(server.url, checkpointer.saver, account)
    return account


async def kill_processes(number: int, *, seed: int) -> Account:
    """Kill so many processes, one after the other; each goes on where the last one was killed."""
    chance, account = random.Random(seed), Account()
    async with EmbeddedPostgres("temporary") as server:
        for _ in range(number):
            await _one_process(server.url, chance, account)
        async with Checkpointer(CheckpointerSettings(), url=server.url) as checkpointer:
            await _judge(server.url, checkpointer.saver, account)
    return account


async def _be_durable(url: str) -> None:
    """Have the server, which is a throw-away and does not by itself, write what it acknowledges.

    To the machine's own memory, which outlives the server: that the disk has it is another matter.
    """
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute("ALTER SYSTEM SET synchronous_commit = on")
        await connection.execute("SELECT pg_reload_conf()")
    await asyncio.sleep(0.2)


async def _one_process(url: str, chance: random.Random, account: Account) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.kills", url),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[1],
    )
    output = process.stdout
    assert output is not None
    left = chance.randint(1, 60)  # puts after which it is killed, and a moment later
    while line := await output.readline():
        thread, _, checkpoint = line.decode().partition(" ")
        if not checkpoint.endswith("\n"):
            break  # it was killed while it said so
        account.acknowledged.add((thread, checkpoint.strip()))
        left -= 1
        if left == 0:
            await asyncio.sleep(chance.random() * 0.01)
            process.kill()
    await process.wait()


async def _talk(saver: Any, name: str, account: Account, over: asyncio.Event) -> None:
    graph = _graph().compile(checkpointer=saver)
    place = {"configurable": {"thread_id": name}}
    while not over.is_set():
        try:
            # Not `next`, which leaves out a node that has run, and whose outcome is to be applied.
            under_way = (await graph.aget_state(place)).tasks
            await graph.ainvoke(None if under_way else {"log": []}, place, durability="sync")
        except CheckpointError:
            account.errors += 1
            await asyncio.sleep(0.02)


def _graph() -> StateGraph[Any]:
    """Two nodes a turn, each of which says which one of the conversation it is."""
    graph = StateGraph(State)
    graph.add_node("first", lambda state: {"log": [f"first {state.get('turns', 0)}"]})
    graph.add_node(
        "second",
        lambda state: {
            "log": [f"second {state.get('turns', 0)}"],
            "turns": state.get("turns", 0) + 1,
        },
    )
    graph.add_edge(START, "first")
    graph.add_edge("first", "second")
    return graph


def _noted(saver: Any, account: Account, heard: asyncio.Event) -> Any:
    put: Callable[..., Awaitable[dict[str, Any]]] = saver.aput

    async def noted(*args: Any) -> dict[str, Any]:
        stored = await put(*args)
        place = stored["configurable"]
        account.acknowledged.add((place["thread_id"], place["checkpoint_id"]))
        heard.set()
        return stored

    saver.aput = noted
    return saver


async def _kill_backend(url: str, chance: random.Random) -> None:
    """Kill a backend that works for conversations, and wait until the server is there again."""
    wanted = "SELECT pid FROM pg_stat_activity WHERE application_name = 'agentinfra write'"
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        pids = [row[0] for row in await (await connection.execute(wanted)).fetchall()]
    os.kill(chance.choice(pids), signal.SIGKILL)
    while any(_lives(pid) for pid in pids):  # noqa: ASYNC110 - the server ends them all
        await asyncio.sleep(0.005)
    while True:
        with suppress(psycopg.Error):
            async with await psycopg.AsyncConnection.connect(url):
                return
        await asyncio.sleep(0.005)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def _judge(url: str, saver: Any, account: Account) -> None:
    """Compare what is there with what was acknowledged."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        rows = await connection.execute("SELECT thread_id, checkpoint_id FROM checkpoints")
        there = {(row[0], row[1]) for row in await rows.fetchall()}
        for question in (_HALF, _ORPHANS):
            found = await (await connection.execute(question)).fetchone()
            account.broken += found[0] if found else 0
    account.lost = len(account.acknowledged - there)
    async with AsyncPostgresSaver.from_conn_string(url) as stock:
        for name in sorted({thread for thread, _ in there}):
            place = {"configurable": {"thread_id": name}}
            ours, theirs = await saver.aget_tuple(place), await stock.aget_tuple(place)
            account.broken += ours != theirs
            log = ours.checkpoint["channel_values"].get("log", [])
            said = [f"{node} {turn}" for turn in range(len(log)) for node in ("first", "second")]
            account.twice += log != said[: len(log)]


async def _converse(url: str) -> None:
    """Talk until killed, and print each checkpoint that was acknowledged."""
    account, heard = Account(), asyncio.Event()
    async with Checkpointer(CheckpointerSettings(), url=url) as checkpointer:
        saver = _noted(checkpointer.saver, account, heard)
        put = saver.aput

        async def printed(*args: Any) -> dict[str, Any]:
            stored: dict[str, Any] = await put(*args)
            place = stored["configurable"]
            print(f"{place['thread_id']} {place['checkpoint_id']}", flush=True)
            return stored

        saver.aput = printed
        never = asyncio.Event()
        await asyncio.gather(*(_talk(saver, f"t{n}", account, never) for n in range(TALKS)))


if __name__ == "__main__":
    asyncio.run(_converse(sys.argv[1]))
