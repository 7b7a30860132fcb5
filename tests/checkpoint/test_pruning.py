"""Pruning real conversations: what stays works, what goes is gone."""

from __future__ import annotations

import asyncio
import operator
import time
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.base.id import uuid6
from langgraph.graph import START, StateGraph
from langgraph.types import Command, Send, interrupt

from agentinfra.checkpoint import Checkpointer, PruneResult
from agentinfra.errors import CheckpointError, ConfigurationError, QueryError
from agentinfra.observability.metrics import Metrics
from agentinfra.settings import CheckpointerSettings

pytestmark = pytest.mark.usefixtures("no_tasks_left")

TABLES = ("checkpoints", "checkpoint_writes", "checkpoint_blobs")


def thread(name: str) -> dict[str, Any]:
    return {"configurable": {"thread_id": name}}


@pytest.fixture
def counts(rows):
    """The number of rows of each table."""

    def count() -> tuple[int, ...]:
        return tuple(rows(f"SELECT count(*) FROM {table}")[0][0] for table in TABLES)

    return count


async def talk(graph: Any, name: str, turns: int) -> None:
    for _ in range(turns):
        await graph.ainvoke({"log": []}, thread(name))


async def history(graph: Any, name: str) -> list[Any]:
    return [state async for state in graph.aget_state_history(thread(name))]


async def test_a_shortened_conversation_goes_on(checkpointer, graphs, counts):
    """After a prune the conversation has its state, its newest checkpoint, and goes on."""
    graph = graphs["chat"]().compile(checkpointer=checkpointer.saver)
    await talk(graph, "alice", 5)
    before = counts()
    result = await checkpointer.prune(keep_last=1)
    after = counts()
    assert result == PruneResult(
        threads=1,
        checkpoints=before[0] - after[0],
        writes=before[1] - after[1],
        blobs=before[2] - after[2],
        bytes=result.bytes,
    )
    assert result.bytes > 0
    assert after[0] == 1
    [only] = await history(graph, "alice")
    assert (only.values["turns"], only.parent_config) == (5, None)
    state = await graph.ainvoke({"log": []}, thread("alice"))
    assert state["log"] == [f"turn {turn}" for turn in range(6)]


async def test_what_is_kept_can_be_returned_to(checkpointer, graphs):
    """Each of the kept checkpoints has the state it had, and a run can start from it."""
    graph = graphs["chat"]().compile(checkpointer=checkpointer.saver)
    await talk(graph, "alice", 4)
    before = (await history(graph, "alice"))[:4]
    await checkpointer.prune(keep_last=4)
    after = await history(graph, "alice")
    assert [(s.config, s.values, s.next) for s in after] == [
        (s.config, s.values, s.next) for s in before
    ]
    state = await graph.ainvoke({"log": ["fork"]}, after[3].config)
    assert state["log"][-2:] == ["fork", f"turn {after[3].values['turns']}"]


async def test_no_blob_or_write_is_left_without_its_checkpoint(checkpointer, graphs, rows):
    """Every blob belongs to a kept checkpoint, and every kept checkpoint has its blobs."""
    graph = graphs["asking"]().compile(checkpointer=checkpointer.saver)
    for answer in range(4):
        await graph.ainvoke({"log": []}, thread("alice"))
        await graph.ainvoke(Command(resume=str(answer)), thread("alice"))
    needed = """
        SELECT c.thread_id, c.checkpoint_ns, v.key, v.value FROM checkpoints c,
        jsonb_each_text(c.checkpoint -> 'channel_versions') v
        WHERE NOT c.checkpoint -> 'channel_values' ? v.key
    """
    stored = "SELECT thread_id, checkpoint_ns, channel, version FROM checkpoint_blobs"
    missing_before = len(rows(f"{needed} EXCEPT {stored}"))
    await checkpointer.prune(keep_last=2)
    everything = needed.partition("WHERE")[0]
    assert rows(f"{stored} EXCEPT {everything}") == []
    assert len(rows(f"{needed} EXCEPT {stored}")) <= missing_before
    writes = "SELECT thread_id, checkpoint_ns, checkpoint_id FROM checkpoint_writes"
    kept = "SELECT thread_id, checkpoint_ns, checkpoint_id FROM checkpoints"
    assert rows(f"{writes} EXCEPT {kept}") == []


async def test_an_interrupt_in_a_subgraph_can_be_resumed(checkpointer, graphs):
    """The call that waits is kept with the checkpoint it belongs to; finished calls go."""
    graph = graphs["asking"]().compile(checkpointer=checkpointer.saver)
    await graph.ainvoke({"log": []}, thread("alice"))
    await graph.ainvoke(Command(resume="one"), thread("alice"))
    await graph.ainvoke({"log": []}, thread("alice"))
    before = await graph.aget_state(thread("alice"), subgraphs=True)
    await checkpointer.prune(keep_last=1)
    after = await graph.aget_state(thread("alice"), subgraphs=True)
    assert after.values == before.values
    assert after.tasks[0].state.values == before.tasks[0].state.values
    state = await graph.ainvoke(Command(resume="two"), thread("alice"))
    assert state["log"][-1] == "answer two"


class Fan(TypedDict, total=False):
    items: list[int]
    done: Annotated[list[str], operator.add]


async def test_parallel_interrupts_can_be_resumed(checkpointer):
    """A fan-out that waits in each of its branches keeps what the finished branches wrote."""

    def spread(state: Fan) -> list[Send]:
        return [Send("work", {"items": [item]}) for item in state["items"]]

    def work(state: Fan) -> Fan:
        [item] = state["items"]
        return {"done": [f"{item} done" if item == 0 else f"{item} {interrupt(item)}"]}

    builder = StateGraph(Fan)
    builder.add_node("start", lambda state: {})
    builder.add_node("work", work)
    builder.add_edge(START, "start")
    builder.add_conditional_edges("start", spread, ["work"])
    graph = builder.compile(checkpointer=checkpointer.saver)
    await graph.ainvoke({"items": [1]}, thread("fan"))
    await graph.ainvoke(Command(resume="first"), thread("fan"))
    waiting = await graph.ainvoke({"items": [0, 1, 2]}, thread("fan"))
    await checkpointer.prune(keep_last=1)
    answers = {found.id: f"answer {found.value}" for found in waiting["__interrupt__"]}
    state = await graph.ainvoke(Command(resume=answers), thread("fan"))
    assert state["done"] == ["1 first", "0 done", "1 answer 1", "2 answer 2"]


async def test_a_subgraph_with_a_state_of_its_own_keeps_it(checkpointer, graphs):
    """A subgraph compiled with a checkpointer of its own remembers across turns and prunes."""
    inner = graphs["chat"]().compile(checkpointer=True)

    async def delegate(state: dict[str, Any]) -> dict[str, Any]:
        found = await inner.ainvoke({"log": []})
        return {"log": [f"inner turn {found['turns']}"]}

    builder = graphs["chat"]()
    builder.add_node("delegate", delegate)
    builder.add_edge("count", "delegate")
    graph = builder.compile(checkpointer=checkpointer.saver)
    for turn in (1, 2, 3):
        state = await graph.ainvoke({"log": []}, thread("alice"))
        assert state["log"][-1] == f"inner turn {turn}"
        await checkpointer.prune(keep_last=1)


async def test_conversations_that_have_aged_go_whole(checkpointer, graphs, counts):
    """Only conversations that stood still for so long are dropped, and nothing of them stays."""
    graph = graphs["asking"]().compile(checkpointer=checkpointer.saver)
    await talk(graph, "old", 2)
    await talk(graph, "continued", 1)
    await asyncio.sleep(0.005)
    moment = time.time()
    await asyncio.sleep(0.005)
    await talk(graph, "continued", 1)
    await talk(graph, "new", 1)
    result = await checkpointer.prune(older_than=time.time() - moment, keep_last=1000)
    assert result.threads == 1
    assert await history(graph, "old") == []
    assert await history(graph, "continued")
    assert await history(graph, "new")
    await checkpointer.prune(older_than=0)
    assert counts() == (0, 0, 0)


async def test_a_dry_run_counts_and_changes_nothing(checkpointer, graphs, counts):
    """A dry run tells what the same call would drop."""
    graph = graphs["asking"]().compile(checkpointer=checkpointer.saver)
    await talk(graph, "a", 3)
    await talk(graph, "b", 2)
    before = counts()
    trial = await checkpointer.prune(keep_last=1, dry_run=True)
    whole = await checkpointer.prune(older_than=0, dry_run=True)
    assert counts() == before
    assert (whole.checkpoints, whole.writes, whole.blobs) == before
    assert await checkpointer.prune(keep_last=1) == trial
    assert await checkpointer.prune(keep_last=1) == PruneResult()


async def test_the_settings_say_what_is_kept(database_url, graphs, counts):
    """Without arguments the retention of the settings counts, and nothing ages without one."""
    settings = CheckpointerSettings(retention_days=1e-9, keep_last=2)
    async with Checkpointer(settings, url=database_url) as checkpointer:
        graph = graphs["chat"]().compile(checkpointer=checkpointer.saver)
        await talk(graph, "alice", 3)
        assert (await checkpointer.prune(older_than=3600)).threads == 1
        assert len(await history(graph, "alice")) == 2
        await checkpointer.prune()
        assert counts() == (0, 0, 0)
    async with Checkpointer(CheckpointerSettings(), url=database_url) as checkpointer:
        graph = graphs["chat"]().compile(checkpointer=checkpointer.saver)
        await talk(graph, "alice", 3)
        await checkpointer.prune()
        assert len(await history(graph, "alice")) == 1


@pytest.mark.parametrize("arguments", [{"older_than": -1.0}, {"keep_last": 0}])
async def test_arguments_without_sense_are_refused(checkpointer, arguments):
    """A negative age and keeping nothing are errors that name the argument."""
    with pytest.raises(ConfigurationError, match=next(iter(arguments))):
        await checkpointer.prune(**arguments)


async def test_many_conversations_are_pruned_page_by_page(checkpointer, rows, counts):
    """More conversations than fit on a page are all looked at."""
    values = (f"('t{n // 2}', '{uuid6()}', '{{\"v\": 4}}')" for n in range(2 * 503))
    rows(
        f"INSERT INTO checkpoints (thread_id, checkpoint_id, checkpoint) VALUES {', '.join(values)}"
    )
    rows(
        "UPDATE checkpoints SET parent_checkpoint_id = (SELECT min(c.checkpoint_id) FROM "
        "checkpoints c WHERE c.thread_id = checkpoints.thread_id)"
    )
    assert (await checkpointer.prune(keep_last=1)).threads == 503
    assert (await checkpointer.prune(older_than=0)).threads == 503
    assert counts() == (0, 0, 0)


async def test_two_prunes_at_once_share_the_work(database_url, checkpointer, graphs):
    """Prunes of two processes do not fail, and together drop what one would."""
    graph = graphs["chat"]().compile(checkpointer=checkpointer.saver)
    await asyncio.gather(*(talk(graph, f"t{number}", 3) for number in range(20)))
    expected = await checkpointer.prune(keep_last=1, dry_run=True)
    async with Checkpointer(CheckpointerSettings(), url=database_url) as other:
        first, second = await asyncio.gather(checkpointer.prune(), other.prune())
    assert first.checkpoints + second.checkpoints == expected.checkpoints
    assert first.blobs + second.blobs == expected.blobs


async def test_pruning_while_graphs_run_loses_nothing(checkpointer, graphs):
    """Conversations that go on during prunes end with their whole state."""
    graph = graphs["asking"]().compile(checkpointer=checkpointer.saver)

    async def converse(name: str) -> list[str]:
        state: dict[str, Any] = {}
        for turn in range(6):
            await graph.ainvoke({"log": []}, thread(name))
            state = await graph.ainvoke(Command(resume=f"{turn}"), thread(name))
        return [line for line in state["log"] if line.startswith("answer")][-1:]

    talks = [asyncio.create_task(converse(f"t{number}")) for number in range(4)]
    while not all(talk.done() for talk in talks):
        await checkpointer.prune(keep_last=1)
    assert [talk.result() for talk in talks] == [["answer 5"]] * 4
    for number in range(4):
        assert (await graph.aget_state(thread(f"t{number}"))).values["turns"] == 6


def joined(log: list[str], new: list[list[str]]) -> list[str]:
    return [*log, *(line for lines in new for line in lines)]


@pytest.mark.filterwarnings("ignore:.*DeltaChannel.*")
async def test_delta_channels_are_shortened_to_their_last_snapshot(checkpointer, counts):
    """What a value is rebuilt from stays, and what lies before that goes."""

    def build(snapshots: int) -> StateGraph[Any]:
        kind = Annotated[list[str], DeltaChannel(joined, snapshot_frequency=snapshots)]
        builder = StateGraph(TypedDict("Log", {"log": kind}, total=False))
        builder.add_node("say", lambda state: {"log": [f"line {len(state.get('log', []))}"]})
        builder.add_edge(START, "say")
        return builder

    graph = build(5).compile(checkpointer=checkpointer.saver)
    unending = build(1000).compile(checkpointer=checkpointer.saver)
    for _ in range(6):
        await graph.ainvoke({"log": []}, thread("alice"))
        await unending.ainvoke({"log": []}, thread("bob"))
    bobs = len(await history(unending, "bob"))
    result = await checkpointer.prune(keep_last=1)
    assert result.checkpoints > 6
    assert 1 < len(await history(graph, "alice")) < 10
    assert len(await history(unending, "bob")) == bobs
    for each, name in ((graph, "alice"), (unending, "bob")):
        state = await each.ainvoke({"log": []}, thread(name))
        assert state["log"] == [f"line {n}" for n in range(7)]
    await checkpointer.prune(older_than=0)
    assert counts() == (0, 0, 0)


async def test_ids_that_tell_no_time_do_not_age(checkpointer, rows):
    """A conversation whose ids are not LangGraph's own is never old."""
    rows("INSERT INTO checkpoints (thread_id, checkpoint_id, checkpoint) VALUES ('a', '1', '{}')")
    assert await checkpointer.prune(older_than=0) == PruneResult()


async def test_writes_without_a_checkpoint_are_swept_when_they_are_old(checkpointer, rows):
    """A write may come before its checkpoint; after an hour it is an orphan."""
    hour = 3600 * 10_000_000
    for age in (2 * hour, 0):
        now = uuid6()
        steps = now.time - age
        old = f"{steps >> 28:08x}-{(steps >> 12) & 0xFFFF:04x}-6{steps & 0xFFF:03x}{str(now)[18:]}"
        run = {"configurable": {"thread_id": "a", "checkpoint_ns": "", "checkpoint_id": old}}
        await checkpointer.saver.aput_writes(run, [("log", "x")], "task")
    assert await checkpointer.prune() == PruneResult(writes=1, bytes=2)
    assert rows("SELECT count(*) FROM checkpoint_writes") == [(1,)]


async def test_a_prune_is_counted(database_url, graphs):
    """What was dropped is on the metrics page."""
    async with (
        Metrics() as metrics,
        Checkpointer(CheckpointerSettings(), url=database_url, metrics=metrics) as checkpointer,
    ):
        graph = graphs["chat"]().compile(checkpointer=checkpointer.saver)
        await talk(graph, "alice", 3)
        result = await checkpointer.prune()
        assert f"checkpoints_pruned_total {result.checkpoints}" in metrics.expose()


async def test_a_failed_prune_is_a_typed_error(checkpointer, rows):
    """A database that refuses gives our error with the database's behind it."""
    rows("DROP TABLE checkpoint_blobs")
    rows("INSERT INTO checkpoints (thread_id, checkpoint_id, checkpoint) VALUES ('a', '1', '{}')")
    rows("INSERT INTO checkpoints (thread_id, checkpoint_id, checkpoint) VALUES ('a', '2', '{}')")
    with pytest.raises(CheckpointError, match="checkpoint prune failed") as caught:
        await checkpointer.prune()
    assert isinstance(caught.value.__cause__, QueryError)
