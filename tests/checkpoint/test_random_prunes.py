"""Random conversations with random prunes in between: what is kept works as if nothing was gone."""

from __future__ import annotations

import asyncio
import operator
import random
import time
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, Send, interrupt

from agentinfra.checkpoint.retention.policies import Policy
from agentinfra.checkpoint.retention.pruner import Pruner

pytestmark = pytest.mark.usefixtures("no_tasks_left")

PER_TURN = 8
"""Checkpoints of one turn, at most."""

ALICE: dict[str, Any] = {"configurable": {"thread_id": "alice"}}

UNNAMED = """
SELECT b.checkpoint_ns, b.channel, b.version FROM checkpoint_blobs b WHERE NOT EXISTS (
    SELECT FROM checkpoints c WHERE c.thread_id = b.thread_id
    AND c.checkpoint_ns = b.checkpoint_ns
    AND c.checkpoint -> 'channel_versions' ->> b.channel = b.version)
"""
LOST = """
SELECT count(*) FROM checkpoint_writes w WHERE NOT EXISTS (
    SELECT FROM checkpoints c WHERE c.thread_id = w.thread_id
    AND c.checkpoint_ns = w.checkpoint_ns AND c.checkpoint_id = w.checkpoint_id)
"""


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]
    docs: list[str]
    seen: list[str]
    turn: int


class Memory(TypedDict, total=False):
    turn: int
    noted: Annotated[list[str], operator.add]


def step(state: State) -> dict[str, Any]:
    turn = state.get("turn", 0) + 1
    return {
        "turn": turn,
        "trail": [f"t{turn}"],
        **({"docs": [f"docs of {turn}"]} if turn % 3 == 1 else {}),
    }


def item(given: dict[str, Any]) -> State:
    return {"log": [f"{given['turn']}.{given['i']}"]}


def ask(state: State) -> State:
    return {"log": [interrupt("?")]} if state["turn"] % 2 else {"log": ["none"]}


def joined(trail: list[str], writes: list[list[str]]) -> list[str]:
    return [*trail, *(mark for write in writes for mark in write)]


class Spread(State, total=False):
    trail: Annotated[list[str], DeltaChannel(joined, snapshot_frequency=3)]


def build(kind: Any) -> StateGraph[Any]:
    """Fan-out, a subgraph that interrupts, and one with a state of its own."""
    asking = StateGraph(State)
    asking.add_node("ask", ask)
    asking.add_edge(START, "ask")
    remembering = StateGraph(Memory)
    remembering.add_node("note", lambda state: {"noted": [str(state["turn"])]})
    remembering.add_node("rest", lambda state: {})
    remembering.add_edge(START, "note")
    remembering.add_edge("note", "rest")
    child = remembering.compile(checkpointer=True)

    async def remember(state: State) -> State:
        return {"seen": (await child.ainvoke({"turn": state["turn"]}))["noted"]}

    graph = StateGraph(kind)
    for name, node in (("step", step), ("item", item), ("remember", remember)):
        graph.add_node(name, node)
    graph.add_node("asking", asking.compile())
    graph.add_edge(START, "step")
    graph.add_conditional_edges(
        "step", lambda s: [Send("item", {"turn": s["turn"], "i": i}) for i in range(2)], ["item"]
    )
    graph.add_edge("item", "remember")
    graph.add_edge("remember", "asking")
    return graph


async def history(graph: Any) -> list[Any]:
    return [state async for state in graph.aget_state_history(ALICE)]


@pytest.mark.filterwarnings("ignore:.*DeltaChannel.*")
@pytest.mark.parametrize("kind", [State, Spread])
@pytest.mark.parametrize("seed", range(8))
async def test_random_prunes_change_nothing_that_is_kept(checkpointer, rows, seed, kind):
    """Runs, answers, forks and replays end as on a saver that was never pruned."""
    chance = random.Random(seed)
    pruned = build(kind).compile(checkpointer=checkpointer.saver)
    whole = build(kind).compile(checkpointer=InMemorySaver())
    for _ in range(12):
        ours, theirs = await history(pruned), await history(whole)
        waiting = bool(ours and ours[0].next)
        act = chance.choice(["turn", "prune", "fork"] if not waiting else ["answer", "prune"])
        if act == "prune" or not ours:
            keep = chance.randint(1, 2)
            await checkpointer.prune(keep_last=keep)
            kept = await history(pruned)
            assert [(s.values, s.next) for s in kept[:keep]] == [
                (s.values, s.next) for s in theirs[:keep]
            ]
            ours = kept
        given: Any = Command(resume=f"{chance.random()}") if waiting else {"log": ["hi"]}
        places = [ALICE, ALICE]
        if act == "fork" and ours:
            at = chance.randrange(min(2, len(ours)))
            places, given = [ours[at].config, theirs[at].config], chance.choice([None, given])
        durability: Any = chance.choice(["sync", "async", "exit"])
        results = await asyncio.gather(
            pruned.ainvoke(given, places[0], durability=durability),
            whole.ainvoke(given, places[1], durability=durability),
            checkpointer.prune(keep_last=2),
        )
        assert values(results[0]) == values(results[1])
        assert (await pruned.aget_state(ALICE)).values == (await whole.aget_state(ALICE)).values
    # Two hours later no run can be under way any more, and nothing is left but what is kept.
    later = time.time() + 7200
    link = checkpointer._link
    await Pruner(link, [Policy(keep_last=1)], now=later, dry_run=False).run()
    left = len(await history(pruned))
    # A delta channel is rebuilt from what was written since its last snapshot.
    assert left == 1 if kind is State else left <= 3 * PER_TURN + 1
    assert rows(LOST) == [(0,)]
    assert rows(UNNAMED) == []


def values(result: Any) -> Any:
    """Return a result without the ids of its interrupts."""
    return {name: value for name, value in result.items() if name != "__interrupt__"}
