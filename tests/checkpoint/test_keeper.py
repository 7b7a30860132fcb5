"""Pruning and sweeping in the background: by one process at a time, and only what somebody said."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from agentinfra import InfraRuntime, Settings
from agentinfra.checkpoint import Checkpointer, Policy
from agentinfra.checkpoint.keeper import Keeper
from agentinfra.checkpoint.store import LongTerm
from agentinfra.settings import CheckpointerSettings, StoreSettings

pytestmark = pytest.mark.usefixtures("no_tasks_left")

ALICE = {"configurable": {"thread_id": "alice"}}
USER = ("users", "1")


class Process:
    """What one process has: a checkpointer, a store, and who keeps them small."""

    def __init__(self, url: str, **settings: Any) -> None:
        self.checkpoints = Checkpointer(CheckpointerSettings(**settings), url=url)
        backend = self.checkpoints._settings.backend
        self.long_term = LongTerm(StoreSettings(backend=backend), url=url)
        self.keeper = Keeper(self.checkpoints, self.long_term, every=None)

    async def enter(self, stack: AsyncExitStack) -> Process:
        for part in (self.checkpoints, self.long_term, self.keeper):
            await stack.enter_async_context(part)
        return self

    async def talk(self, graphs: Any) -> None:
        graph = graphs["chat"]().compile(checkpointer=self.checkpoints.saver)
        for _ in range(3):
            await graph.ainvoke({"log": []}, ALICE)

    async def length(self) -> int:
        return len([found async for found in self.checkpoints.saver.alist(ALICE)])


async def test_one_process_of_all_does_what_is_due(database_url, graphs, rows):
    """Whoever comes first takes it on; the others find it done until it is due again."""
    async with AsyncExitStack() as stack:
        first = await Process(database_url, keep_last=1).enter(stack)
        second = await Process(database_url, keep_last=1).enter(stack)
        await first.talk(graphs)
        await first.long_term.store.aput(USER, "k", {"v": 1}, ttl=0.0001)
        await first.keeper.look(3600)
        assert await first.length() == 1
        await first.talk(graphs)
        await asyncio.gather(*(process.keeper.look(3600) for process in (first, second)))
        assert await first.length() > 1
        rows("UPDATE agentinfra_duties SET due = now()")
        await second.keeper.look(3600)
        assert await first.length() == 1
        assert rows("SELECT count(*) FROM store") == [(0,)]
        assert rows("SELECT name FROM agentinfra_duties ORDER BY 1") == [("prune",), ("sweep",)]


@pytest.mark.parametrize("backend", ["postgres", "memory"])
async def test_nothing_goes_that_nobody_has_let_go(database_url, graphs, backend):
    """Without a policy conversations are left alone; one that is set later counts at once."""
    async with AsyncExitStack() as stack:
        process = await Process(database_url, backend=backend).enter(stack)
        assert process.checkpoints.policies == ()
        await process.talk(graphs)
        before = await process.length()
        await process.keeper.look(0.0)
        assert await process.length() == before
        process.checkpoints.policies = [Policy(keep_last=2)]
        await process.keeper.look(0.0)
        assert await process.length() == 2


async def test_a_database_that_fails_is_asked_again(database_url, graphs, rows, capfd):
    """A failure is logged, and the next time it is tried again."""
    async with AsyncExitStack() as stack:
        process = await Process(database_url, keep_last=1).enter(stack)
        await process.talk(graphs)
        rows("ALTER TABLE checkpoint_blobs RENAME TO elsewhere")
        await process.keeper.look(0.0)
        assert "checkpoint.keeping_failed" in capfd.readouterr().err
        rows("ALTER TABLE elsewhere RENAME TO checkpoint_blobs")
        await process.keeper.look(0.0)
        assert await process.length() == 1


async def test_an_error_that_nobody_thought_of_ends_no_keeping(graphs, clock, eventually, capfd):
    """Whatever a look fails with is logged, and the task looks again when it is time."""
    async with AsyncExitStack() as stack:
        process = await Process("", backend="memory").enter(stack)
        await process.talk(graphs)
        process.checkpoints.policies = [object()]  # type: ignore[list-item]

        async def has_failed() -> bool:
            return "AttributeError: 'object'" in capfd.readouterr().err

        async def is_short() -> bool:
            return await process.length() == 1

        keeper = Keeper(process.checkpoints, process.long_term, every=1, clock=clock)
        async with keeper:
            for _ in range(2):
                await clock.advance(1)
                await eventually(has_failed)
            process.checkpoints.policies = [Policy(keep_last=1)]
            await clock.advance(1)
            await eventually(is_short)


async def test_a_runtime_keeps_its_conversations_small(database_url, graphs, clock, eventually):
    """It looks a minute after the start, and then as often as the settings say."""
    off = {"enabled": False}
    settings = Settings(
        llm=off,
        cache=off,
        database={"url": database_url},
        checkpointer={"keep_last": 1, "prune_every": 600},
        logging={"level": "warning"},
    )
    async with InfraRuntime(settings, clock=clock) as rt:
        graph = graphs["chat"]().compile(checkpointer=rt.checkpointer)

        async def is_short() -> bool:
            return len([found async for found in rt.checkpointer.alist(ALICE)]) == 1

        for seconds in (60, 600):
            for _ in range(2):
                await graph.ainvoke({"log": []}, ALICE)
            assert not await is_short()
            async with rt.db.connection(readonly=False) as connection:
                await connection.execute("UPDATE agentinfra_duties SET due = now()")
            await clock.advance(seconds)
            await eventually(is_short)


async def test_leaving_does_not_wait_for_a_prune(database_url, graphs, rows, clock):
    """A prune that is under way is cut short, and taken up again by the next."""
    import psycopg

    async with AsyncExitStack() as stack:
        process = await Process(database_url, keep_last=1).enter(stack)
        await process.talk(graphs)
        before = await process.length()
        keeper = Keeper(process.checkpoints, process.long_term, every=1, clock=clock)
        with psycopg.connect(database_url) as other:
            other.execute("LOCK TABLE checkpoint_blobs IN ACCESS EXCLUSIVE MODE")
            async with keeper:
                await clock.advance(1)
                while not len(process.checkpoints._inflight):  # noqa: ASYNC110
                    await asyncio.sleep(0)
            assert len(process.checkpoints._inflight) == 0
        assert await process.length() == before
