"""What goes wrong around a run: broken connections, a silent server, deletions, late databases."""

from __future__ import annotations

import asyncio

import pytest
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.graph import START, StateGraph

from agentinfra.checkpoint import Checkpointer
from agentinfra.errors import CheckpointError, WrongLoopError
from agentinfra.observability.metrics import Metrics
from agentinfra.settings import CheckpointerSettings

pytestmark = pytest.mark.usefixtures("no_tasks_left")

ALICE = {"configurable": {"thread_id": "alice"}}
PLACE = {"configurable": {"thread_id": "alice", "checkpoint_ns": ""}}
TABLES = ("checkpoints", "checkpoint_blobs", "checkpoint_writes")


def counts(rows) -> list[int]:
    return [rows(f"SELECT count(*) FROM {t} WHERE thread_id = 'alice'")[0][0] for t in TABLES]


async def test_runs_outlive_the_connections_they_are_on(checkpointer, rows, graphs):
    """Sessions that end while operations are under way fail none of them: puts are repeated."""
    graph = graphs["chat"]().compile(checkpointer=checkpointer.saver)
    runs = [{"configurable": {"thread_id": f"{n}"}} for n in range(60)]
    work = asyncio.gather(*(graph.ainvoke({"log": []}, run) for run in runs))
    ended = 0
    for _ in range(10):
        ended += len(
            await asyncio.to_thread(
                rows,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = "
                "current_database() AND application_name = 'agentinfra write' LIMIT 1",
            )
        )
    assert ended
    assert {state["turns"] for state in await work} == {1}


async def test_a_silent_server_is_a_typed_error_within_the_deadline(relay):
    """An operation without an answer ends, health says so, and it is ready when answers come."""
    settings = CheckpointerSettings(timeout=0.3, max_size=2)
    async with relay.open(), Checkpointer(settings, url=relay.url) as checkpointer:
        await checkpointer.saver.aput(PLACE, empty_checkpoint(), {}, {})
        relay.flowing.clear()
        reads = (checkpointer.saver.aget_tuple(ALICE) for _ in range(6))
        results = await asyncio.gather(*reads, return_exceptions=True)
        assert {str(error) for error in results} == {
            "checkpoint get failed: the database did not answer within 0.3 s"
        }
        assert {type(error) for error in results} == {CheckpointError}
        assert checkpointer.state == "failed"
        relay.flowing.set()
        assert await checkpointer.saver.aget_tuple(ALICE) is not None
        assert (checkpointer.state, checkpointer.reason) == ("ready", "")


async def test_a_database_that_comes_late_takes_over_what_was_in_memory(
    relay, graphs, eventually, rows
):
    """The same graph begins in memory, goes on in the database, and loses nothing."""
    async with Checkpointer(CheckpointerSettings(), url=relay.url) as checkpointer:
        assert checkpointer.state == "degraded"
        assert checkpointer.reason.startswith("state is not durable")
        graph = graphs["chat"]().compile(checkpointer=checkpointer.saver)
        await graph.ainvoke({"log": []}, ALICE)
        history = [state async for state in graph.aget_state_history(ALICE)]
        async with relay.open():

            async def ready() -> bool:
                return checkpointer.state == "ready"

            await eventually(ready)
            carried = [state async for state in graph.aget_state_history(ALICE)]
            assert [s.values for s in carried] == [s.values for s in history]
            assert (await graph.ainvoke({"log": []}, ALICE))["turns"] == 2
            assert counts(rows)[0] == 6
            await checkpointer.aclose()


async def test_conversations_are_there_while_they_are_taken_over(relay, rows):
    """None seems to have no history meanwhile; what is stored and deleted then counts as well."""
    async with Checkpointer(CheckpointerSettings(), url=relay.url) as checkpointer:
        saver = checkpointer.saver
        every = [{"configurable": {"thread_id": f"t{n}", "checkpoint_ns": ""}} for n in range(40)]
        for place in every:
            await saver.aput(place, empty_checkpoint(), {}, {})
        seen_in_tables = []
        async with relay.open():
            while checkpointer.state != "ready":
                known = await asyncio.gather(*map(saver.aget_tuple, every[1:]))
                assert None not in known
                if not seen_in_tables and rows("SELECT to_regclass('checkpoints')") != [(None,)]:
                    seen_in_tables = rows("SELECT 1 FROM checkpoints WHERE thread_id = 't0'")
                    if seen_in_tables:  # half of them are there: one goes, and one comes
                        await saver.adelete_thread("t0")
                        late = {"configurable": {"thread_id": "late", "checkpoint_ns": ""}}
                        await saver.aput(late, empty_checkpoint(), {}, {})
                await asyncio.sleep(0)
            threads = {thread for (thread,) in rows("SELECT thread_id FROM checkpoints")}
            assert threads >= {f"t{n}" for n in range(1, 40)}
            assert seen_in_tables
            assert "t0" not in threads
            assert "late" in threads
            await checkpointer.aclose()


async def test_a_deleted_conversation_stays_deleted_while_a_run_goes_on(database_url, rows):
    """A run under way ends as ever and stores nothing; a new one begins from nothing."""
    entered, going = asyncio.Event(), asyncio.Event()

    async def slow(state):
        entered.set()
        await going.wait()
        return {"log": ["slow"]}

    builder = StateGraph(dict)
    for name in ("slow", "more"):
        builder.add_node(name, slow)
    builder.add_edge(START, "slow")
    builder.add_edge("slow", "more")
    async with (
        Metrics() as metrics,
        Checkpointer(CheckpointerSettings(), url=database_url, metrics=metrics) as checkpointer,
    ):
        graph = builder.compile(checkpointer=checkpointer.saver)
        run = asyncio.create_task(graph.ainvoke({"secret": "4111"}, ALICE, durability="sync"))
        await entered.wait()
        await checkpointer.saver.adelete_thread("alice")
        going.set()
        assert (await run)["log"] == ["slow"]
        assert counts(rows) == [0, 0, 0]
        assert "checkpoints_refused_total 2" in metrics.expose()
        assert (await graph.aget_state(ALICE)).values == {}
        await graph.ainvoke({"fresh": 1}, ALICE)
        assert counts(rows)[0] > 0
        assert "secret" not in (await graph.aget_state(ALICE)).values


async def test_what_a_checkpoint_names_is_written_again_where_it_is_gone(checkpointer, rows):
    """Values that were taken away between two checkpoints of a run are stored with the next."""
    first = empty_checkpoint()
    first["channel_values"] = {"docs": ["a", "b"], "n": 1}
    first["channel_versions"] = {"docs": "1", "n": "1"}
    place = await checkpointer.saver.aput(PLACE, first, {}, {"docs": "1", "n": "1"})
    rows("DELETE FROM checkpoint_blobs")
    second = empty_checkpoint() | {"channel_values": {"docs": ["a", "b"], "n": 2}}
    second["channel_versions"] = {"docs": "1", "n": "2"}
    await checkpointer.saver.aput(place, second, {}, {"n": "2"})
    found = await checkpointer.saver.aget_tuple(ALICE)
    assert found.checkpoint["channel_values"] == {"docs": ["a", "b"], "n": 2}


async def test_another_loop_is_refused_and_harms_nothing(checkpointer):
    """Use from a second event loop is a typed error; the first goes on."""

    async def use():
        return await asyncio.gather(
            *(checkpointer.saver.aget_tuple(ALICE) for _ in range(20)), return_exceptions=True
        )

    results = await asyncio.to_thread(lambda: asyncio.run(use()))
    assert {type(error) for error in results} == {WrongLoopError}
    assert await use() == [None] * 20


async def test_a_value_that_cannot_be_stored_is_named(checkpointer):
    """The error names the channel and what is wrong with the value."""
    checkpoint = empty_checkpoint()
    checkpoint["channel_values"] = {"tool": object()}
    checkpoint["channel_versions"] = {"tool": "1"}
    with pytest.raises(CheckpointError, match=r"channel 'tool': it cannot be stored: .*object"):
        await checkpointer.saver.aput(PLACE, checkpoint, {}, {"tool": "1"})
