"""LangGraph's own saver and ours on the same tables: each goes on with what the other began."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command

from agentinfra.checkpoint import Checkpointer
from agentinfra.settings import CheckpointerSettings

ALICE = {"configurable": {"thread_id": "alice"}}
PLACE = {"configurable": {"thread_id": "alice", "checkpoint_ns": ""}}


@pytest.fixture
async def stock(checkpointer, database_url) -> AsyncIterator[AsyncPostgresSaver]:
    async with AsyncPostgresSaver.from_conn_string(database_url) as saver:
        yield saver


async def test_it_is_langgraphs_saver(checkpointer):
    """Programs that look for the vendor's class find it."""
    assert isinstance(checkpointer.saver, AsyncPostgresSaver)


@pytest.mark.parametrize("ours_first", [True, False])
async def test_a_conversation_goes_on_with_the_other(checkpointer, stock, graphs, ours_first):
    """Turns, an interrupt in a subgraph and its answer may each be another saver's."""
    savers = [checkpointer.saver, stock] if ours_first else [stock, checkpointer.saver]
    for turn in range(4):
        graph = graphs["asking"]().compile(checkpointer=savers[turn % 2])
        assert "__interrupt__" in await graph.ainvoke({"log": []}, ALICE)
        graph = graphs["asking"]().compile(checkpointer=savers[(turn + 1) % 2])
        state = await graph.ainvoke(Command(resume=str(turn)), ALICE)
        assert state["log"][-2:] == [f"turn {turn}", f"answer {turn}"]


@pytest.mark.parametrize(
    "value",
    ["a\x00b", "x\ud83d", 2**70, -(2**63), 1e300, 0.5, True, None, {"a": [2**70, "\ud83d"]}, b"x"],
)
async def test_values_mean_the_same_to_both(checkpointer, stock, value):
    """What either stores comes back from the other as it was, in channels and in writes."""
    checkpoint = empty_checkpoint()
    checkpoint["channel_values"] = {"x": value}
    checkpoint["channel_versions"] = {"x": "1"}
    place = await checkpointer.saver.aput(PLACE, checkpoint, {"step": 1}, {"x": "1"})
    await checkpointer.saver.aput_writes(place, [("x", value)], "task")
    mine, theirs = await checkpointer.saver.aget_tuple(ALICE), await stock.aget_tuple(ALICE)
    assert mine == theirs
    found = mine.checkpoint["channel_values"]["x"]
    assert (type(found), found) == (type(value), value)
    assert mine.pending_writes == [("task", "x", value)]


async def test_the_history_is_the_same_to_both(checkpointer, stock, graphs):
    """Every checkpoint of a conversation, with parents, metadata and writes, reads the same."""
    graph = graphs["asking"]().compile(checkpointer=checkpointer.saver)
    for _ in range(4):
        await graph.ainvoke({"log": []}, ALICE)
        await graph.ainvoke(Command(resume="1"), ALICE)
    ours = [found async for found in checkpointer.saver.alist(ALICE)]
    theirs = [found async for found in stock.alist(ALICE)]
    assert len(ours) > 20
    assert sorted(ours, key=place_of) == sorted(theirs, key=place_of)
    for args in ({"filter": {"step": 1}}, {"before": ours[3].config}, {"limit": 5}):
        mine = [found async for found in checkpointer.saver.alist(PLACE, **args)]
        assert mine == [found async for found in stock.alist(PLACE, **args)]
        assert mine


def place_of(found: Any) -> list[str]:
    return sorted(found.config["configurable"].values())


def add(state: list[str], writes: list[list[str]]) -> list[str]:
    return state + [item for write in writes for item in write]


class Delta(TypedDict, total=False):
    log: Annotated[list[str], DeltaChannel(add)]


async def test_delta_channels_are_rebuilt_by_both(checkpointer, stock):
    """A value that is spread over its history is the same, whoever wrote its parts."""
    builder = StateGraph(Delta)
    builder.add_node("say", lambda state: {"log": [f"{len(state.get('log', []))}"]})
    builder.add_edge(START, "say")
    for saver in (checkpointer.saver, stock, checkpointer.saver):
        state = await builder.compile(checkpointer=saver).ainvoke({"log": ["hi"]}, ALICE)
    assert state["log"] == ["hi", "1", "hi", "3", "hi", "5"]
    place = {"config": PLACE, "channels": ["log"]}
    assert await checkpointer.saver.aget_delta_channel_history(
        **place
    ) == await stock.aget_delta_channel_history(**place)


async def test_it_conforms_through_a_pooler(database_url, checkpointer, pgbouncer):
    """Behind a pgbouncer in transaction mode all of LangGraph's tests for savers pass."""

    @checkpointer_test(name="agentinfra")
    async def saver() -> AsyncIterator[object]:
        async with Checkpointer(CheckpointerSettings(), url=pgbouncer) as pooled:
            assert pooled.state == "ready", pooled.reason
            yield pooled.saver

    report = await validate(saver)
    assert report.passed_all(), report.results


async def test_the_synchronous_methods_are_all_there(checkpointer, graphs):
    """Copying, listing and deleting work from another thread as well."""
    saver = checkpointer.saver
    await graphs["chat"]().compile(checkpointer=saver).ainvoke({"log": []}, ALICE)

    def elsewhere() -> tuple[int, int]:
        saver.copy_thread("alice", "bob")
        copied = len(list(saver.list({"configurable": {"thread_id": "bob"}})))
        saver.delete_for_runs(["nobody"])
        saver.delete_thread("bob")
        return copied, len(list(saver.list({"configurable": {"thread_id": "bob"}})))

    copied, left = await asyncio.to_thread(elsewhere)
    assert (copied, left) == (3, 0)
    with pytest.raises(asyncio.InvalidStateError):
        saver.copy_thread("alice", "bob")
