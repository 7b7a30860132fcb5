"""What happens while a database says nothing: connections stay open, and no answer comes.

A relay in front of the server lets bytes through, or keeps them. Conversations and a program that
uses the store go on all the while.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from langgraph.checkpoint.base import empty_checkpoint

from agentinfra import InfraRuntime, Settings
from agentinfra.db.embedded import EmbeddedPostgres
from benchmarks.report import Claim, Result, Table

NAME = "silence"

LIMIT = 2.0
"""Seconds an operation may take."""

STOPPING = 4.0
"""Seconds leaving may take."""

SLACK = 0.5
"""Seconds that a busy machine may add to either."""


class Relay:
    """A way to the server's socket that can fall silent."""

    def __init__(self, socket: str) -> None:
        self._socket = socket
        self._tasks: set[asyncio.Task[Any]] = set()
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.port = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Relay]:
        """Take connections."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, to = await asyncio.open_unix_connection(self._socket)
        for source, target in ((reader, to), (there, writer)):
            task = asyncio.create_task(self._pump(source, target))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65_536):
                await self.flowing.wait()
                target.write(data)
                await target.drain()
        except OSError:
            pass
        finally:
            target.close()


class Seen:
    """How operations ended, by name, and how long the slowest of them took."""

    def __init__(self) -> None:
        self.ended: Counter[str] = Counter()
        self.slowest = 0.0
        self.health: Counter[str] = Counter()


async def run(*, quick: bool) -> Result:
    """Be silent for 30 s, and look at operations, health, healing and leaving."""
    seconds = 3.0 if quick else 30.0
    before, silent, after = Seen(), Seen(), Seen()
    async with EmbeddedPostgres("temporary") as server:
        relay = Relay(f"{server.data_dir}/.s.PGSQL.5432")
        async with relay.open():
            rt = InfraRuntime(_settings(relay.port))
            async with rt:
                await _use(rt, before, 1.0)
                relay.flowing.clear()
                await _use(rt, silent, seconds)
                relay.flowing.set()
                healed = await _until_healed(rt)
                await _use(rt, after, 1.0)
                relay.flowing.clear()
                begun = time.perf_counter()
            left = time.perf_counter() - begun
    return _result(seconds, {"before": before, "silent": silent, "after": after}, healed, left)


def _settings(port: int) -> Settings:
    off = {"enabled": False}
    return Settings(
        llm=off,
        cache=off,
        logging={"level": "error"},
        database={"url": f"postgresql://postgres@127.0.0.1:{port}/postgres"},
        checkpointer={"timeout": LIMIT},
        store={"timeout": LIMIT},
        runtime={"stop_timeout": STOPPING},
    )


async def _use(rt: InfraRuntime, seen: Seen, seconds: float) -> None:
    end = time.perf_counter() + seconds
    talks = [_repeat(work, seen, end) for number in range(8) for work in _operations(rt, number)]
    await asyncio.gather(_ask(rt, seen, end), *talks)


def _operations(rt: InfraRuntime, number: int) -> list[Callable[[], Awaitable[Any]]]:
    place = {"configurable": {"thread_id": f"t{number}", "checkpoint_ns": ""}}
    saver, store = rt.checkpointer, rt.store
    return [
        lambda: saver.aput(place, empty_checkpoint(), {}, {}),  # type: ignore[arg-type]
        lambda: saver.aget_tuple(place),  # type: ignore[arg-type]
        lambda: store.aput(("a",), f"k{number}", {"v": number}),
        lambda: store.asearch(("a",)),
    ]


async def _repeat(work: Callable[[], Awaitable[Any]], seen: Seen, end: float) -> None:
    while (begun := time.perf_counter()) < end:
        try:
            await work()
        except Exception as error:
            seen.ended[type(error).__name__] += 1
        else:
            seen.ended["well"] += 1
        seen.slowest = max(seen.slowest, time.perf_counter() - begun)
        await asyncio.sleep(0.005)


async def _ask(rt: InfraRuntime, seen: Seen, end: float) -> None:
    while time.perf_counter() < end:
        report = await rt.health()
        for name in ("checkpointer", "store"):
            seen.health[report[name].state] += 1
        await asyncio.sleep(0.25)


async def _until_healed(rt: InfraRuntime) -> float:
    begun = time.perf_counter()
    while True:
        try:
            for work in _operations(rt, 0):
                await work()
        except Exception:
            await asyncio.sleep(0.01)
        else:
            return time.perf_counter() - begun


def _result(seconds: float, found: dict[str, Seen], healed: float, left: float) -> Result:
    silent, after = found["silent"], found["after"]
    rows = [
        (
            name,
            ", ".join(f"{number:,} {how}" for how, number in sorted(seen.ended.items())),
            f"{seen.slowest:.2f}",
            ", ".join(f"{number} {state}" for state, number in sorted(seen.health.items())),
        )
        for name, seen in found.items()
    ]
    others = sum(number for how, number in silent.ended.items() if how != "CheckpointError")
    claims = (
        Claim("silent_slowest_operation_s", silent.slowest, "<=", LIMIT + SLACK),
        Claim("silent_ended_otherwise", others, "==", 0),
        Claim("said_ready_while_silent", silent.health["ready"], "<=", 2),
        Claim("failed_after_it_healed", after.ended.total() - after.ended["well"], "==", 0),
        Claim("healed_within_s", healed, "<=", LIMIT),
        Claim("left_silent_within_s", left, "<=", STOPPING + SLACK),
    )
    table = Table(
        title=f"a database that is silent for {seconds:g} s, operations of {LIMIT:g} s at most; "
        f"healed after {healed:.2f} s, left while silent in {left:.2f} s",
        columns=("phase", "operations", "slowest (s)", "health of checkpointer and store"),
        rows=tuple(rows),
    )
    return Result(name=NAME, versions={}, tables=(table,), claims=claims)
