"""Leaving a runtime while graphs run: what they have done is stored."""

from __future__ import annotations

import asyncio
import operator
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.graph import START, StateGraph

from agentinfra import InfraRuntime, Settings, instrument_graph
from agentinfra.testing import faults

pytestmark = pytest.mark.usefixtures("no_tasks_left")

ALICE = {"configurable": {"thread_id": "alice"}}


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]


def runtime(url: str, server: Any) -> InfraRuntime:
    return InfraRuntime(
        Settings(
            llm={"base_url": server.base_url, "api_key": "x"},
            database={"url": url},
            cache={"enabled": False},
            logging={"level": "warning"},
        )
    )


def two_steps(first: Any) -> StateGraph[Any]:
    """A node, and another one that only has to be reached."""
    graph = StateGraph(State)
    graph.add_node("first", first)
    graph.add_node("second", lambda _: {"log": ["second"]})
    graph.add_edge(START, "first")
    graph.add_edge("first", "second")
    return graph


async def stored(url: str, server: Any) -> list[str]:
    async with runtime(url, server) as rt:
        found = await rt.checkpointer.aget_tuple(ALICE)
        return list(found.checkpoint["channel_values"]["log"])


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_a_run_whose_model_still_answers_is_stored_to_its_end(
    database_url, openai_server, durability
):
    """The last checkpoint of a run that was allowed to end is there."""
    openai_server.fail(faults.slow(first_byte=0.05))
    async with runtime(database_url, openai_server) as rt:

        async def ask(state: State) -> State:
            await rt.llm.chat_completion([{"role": "user", "content": "Hello"}])
            return {"log": ["answered"]}

        graph = two_steps(ask).compile(checkpointer=rt.checkpointer)
        run = asyncio.create_task(graph.ainvoke({"log": []}, ALICE, durability=durability))
        await openai_server.wait_for_requests(1)
    assert (await run)["log"] == ["answered", "second"]
    assert await stored(database_url, openai_server) == ["answered", "second"]


async def test_a_node_that_is_seen_is_waited_for(database_url, openai_server):
    """An instrumented node keeps the runtime open also where it uses nothing of it."""
    began, goes_on = asyncio.Event(), asyncio.Event()

    async def wait(state: State) -> State:
        began.set()
        await goes_on.wait()
        return {"log": ["waited"]}

    async with runtime(database_url, openai_server) as rt:
        graph = instrument_graph(two_steps(wait).compile(checkpointer=rt.checkpointer))
        run = asyncio.create_task(graph.ainvoke({"log": []}, ALICE))
        await began.wait()
        asyncio.get_running_loop().call_later(0.05, goes_on.set)
    assert (await run)["log"] == ["waited", "second"]
    assert await stored(database_url, openai_server) == ["waited", "second"]
