"""A database that says nothing: connections stay open, and no answer comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from langgraph.checkpoint.base import empty_checkpoint

from agentinfra import InfraRuntime, Settings
from agentinfra.checkpoint import Checkpointer
from agentinfra.checkpoint.store import LongTerm
from agentinfra.errors import CheckpointError
from agentinfra.settings import CheckpointerSettings, StoreSettings

pytestmark = pytest.mark.usefixtures("no_tasks_left")

PLACE = {"configurable": {"thread_id": "alice", "checkpoint_ns": ""}}
USER = ("users", "1")
LONG = 60.0
"""Seconds in which what is bounded has ended on any machine; what is not, never does."""


async def first_of(found: AsyncIterator[Any]) -> Any:
    return await anext(found)


def operations(checkpoints: Checkpointer, long_term: LongTerm) -> dict[str, Any]:
    """Return every operation there is, by its name."""
    saver, store = checkpoints.saver, long_term.store
    stored = {"configurable": {**PLACE["configurable"], "checkpoint_id": empty_checkpoint()["id"]}}
    return {
        "get": saver.aget_tuple(PLACE),
        "list": first_of(saver.alist(PLACE)),
        "put": saver.aput(PLACE, empty_checkpoint(), {}, {}),
        "put_writes": saver.aput_writes(stored, [("a", 1)], "task"),
        "delete": saver.adelete_thread("alice"),
        "delete_for_runs": saver.adelete_for_runs(["run"]),
        "copy": saver.acopy_thread("alice", "bob"),
        "shorten": saver.aprune(["alice"]),
        "prune": checkpoints.prune(older_than=1.0),
        "threads": checkpoints.threads(),
        "erase": checkpoints.erase("alice"),
        "export": first_of(checkpoints.export("alice")),
        "item": store.aget(USER, "k"),
        "store": store.aput(USER, "k", {"v": 1}),
        "search": store.asearch(USER),
        "namespaces": store.alist_namespaces(),
        "sweep": long_term.sweep(),
        "forget": long_term.erase(USER),
    }


async def outcomes(checkpoints: Checkpointer, long_term: LongTerm) -> dict[str, Any]:
    every = operations(checkpoints, long_term)
    results = await asyncio.gather(*every.values(), return_exceptions=True)
    return dict(zip(every, results, strict=True))


async def test_every_operation_ends_with_a_typed_error_and_heals(relay):
    """Each within its deadline, new ones too; health says why, until answers come again."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(relay.open())
        checkpoints = await stack.enter_async_context(
            Checkpointer(CheckpointerSettings(timeout=0.3, max_size=4), url=relay.url)
        )
        long_term = await stack.enter_async_context(
            LongTerm(StoreSettings(timeout=0.3, max_size=4), url=relay.url)
        )
        before = await outcomes(checkpoints, long_term)
        assert not {name for name, result in before.items() if isinstance(result, CheckpointError)}
        relay.flowing.clear()
        async with asyncio.timeout(LONG):
            for _ in range(2):
                silent = await outcomes(checkpoints, long_term)
                assert {name: type(result) for name, result in silent.items()} == dict.fromkeys(
                    silent, CheckpointError
                )
            for part in (checkpoints, long_term):
                row = await part.probe()
                assert row.state == "failed"
                assert "did not answer within 0.3 s" in row.reason
        relay.flowing.set()
        async with asyncio.timeout(LONG):
            while (await checkpoints.probe()).state != "ready":
                pass
            await checkpoints.saver.aput(PLACE, empty_checkpoint(), {}, {})
            await long_term.store.aput(USER, "k", {"v": 2})
        assert await checkpoints.saver.aget_tuple(PLACE) is not None
        assert (checkpoints.state, long_term.state) == ("ready", "ready")


async def test_leaving_is_bounded(relay, eventually):
    """Work that waits for an answer is cut off; what is left of connections ends by itself."""
    off = {"enabled": False}
    settings = Settings(
        llm=off,
        cache=off,
        logging={"level": "error"},
        database={"url": relay.url},
        runtime={"stop_timeout": 1},
    )
    async with relay.open(), asyncio.timeout(LONG):
        async with InfraRuntime(settings) as rt:
            await rt.checkpointer.aput(PLACE, empty_checkpoint(), {}, {})
            relay.flowing.clear()
            waiting = asyncio.create_task(rt.checkpointer.aget_tuple(PLACE))
            storing = asyncio.create_task(rt.store.aput(USER, "k", {"v": 1}))
            await asyncio.sleep(0)
        ended = await asyncio.gather(waiting, storing, return_exceptions=True)
        assert all(isinstance(result, Exception) for result in ended), ended

        async def nothing_is_left() -> bool:
            names = {task.get_coro().__qualname__ for task in asyncio.all_tasks()}
            return not any("Pool" in name or "_leave" in name for name in names)

        await eventually(nothing_is_left)
