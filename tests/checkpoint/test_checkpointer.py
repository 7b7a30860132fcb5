"""The checkpointer's states, and conversations that outlive what carries them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from agentinfra.checkpoint import Checkpointer, PruneResult
from agentinfra.errors import CheckpointError, ClosedError, NotStartedError
from agentinfra.observability.metrics import Metrics
from agentinfra.settings import CheckpointerSettings

pytestmark = pytest.mark.usefixtures("no_tasks_left")

SESSIONS = (
    "SELECT count(*) FROM pg_stat_activity "
    "WHERE application_name IN ('agentinfra write', 'agentinfra read') "
    "AND datname = current_database()"
)
ALICE = {"configurable": {"thread_id": "alice"}}


async def no_sessions(rows) -> bool:
    return rows(SESSIONS) == [(0,)]


async def is_ready(checkpointer) -> bool:
    return (await checkpointer.probe()).state == "ready"


async def test_a_conversation_is_continued_by_another_process(database_url, graphs):
    """What one checkpointer stored, another on the same database goes on from."""
    for turns in (1, 2):
        async with Checkpointer(CheckpointerSettings(), url=database_url) as checkpointer:
            graph = graphs["chat"]().compile(checkpointer=checkpointer.saver)
            state = await graph.ainvoke({"log": []}, ALICE)
            assert state["turns"] == turns
    assert state["log"] == ["turn 0", "turn 1"]


async def test_an_interrupt_is_resumed_after_a_restart(database_url, graphs):
    """A graph that waits for an answer inside of a subgraph goes on in a new process."""
    async with Checkpointer(CheckpointerSettings(), url=database_url) as checkpointer:
        graph = graphs["asking"]().compile(checkpointer=checkpointer.saver)
        assert "__interrupt__" in await graph.ainvoke({"log": []}, ALICE)
    async with Checkpointer(CheckpointerSettings(), url=database_url) as checkpointer:
        graph = graphs["asking"]().compile(checkpointer=checkpointer.saver)
        state = await graph.ainvoke(Command(resume="42"), ALICE)
    assert state["log"][-1] == "answer 42"


async def test_on_postgres_it_is_ready(checkpointer):
    """With a database the state is ready and the check says how long it took."""
    health = await checkpointer.probe()
    assert (health.state, health.reason, health.detail) == ("ready", "", "PostgreSQL")
    assert health.latency is not None


async def test_memory_by_choice_is_ready(graphs):
    """The memory backend is no degradation, and says that nothing is durable."""
    settings = CheckpointerSettings(backend="memory")
    async with Checkpointer(settings, url=None) as checkpointer:
        assert isinstance(checkpointer.saver, InMemorySaver)
        graph = graphs["chat"]().compile(checkpointer=checkpointer.saver)
        await graph.ainvoke({"log": []}, ALICE)
        assert (await graph.ainvoke({"log": []}, ALICE))["turns"] == 2
        health = await checkpointer.probe()
        assert (health.state, health.reason) == ("ready", "")
        assert "nothing outlives the process" in health.detail
        assert (await checkpointer.prune(older_than=0, dry_run=True)).threads == 1
        assert (await graph.aget_state(ALICE)).values["turns"] == 2
        assert (await checkpointer.prune(keep_last=1)).checkpoints > 1
        assert (await graph.ainvoke({"log": []}, ALICE))["turns"] == 3
        assert (await checkpointer.prune(older_than=0)).threads == 1
        assert await checkpointer.prune(older_than=0) == PruneResult()


async def test_disabled_graphs_run_and_keep_nothing(graphs):
    """The saver that keeps nothing lets graphs run, interrupt and start anew."""
    async with Checkpointer(CheckpointerSettings(enabled=False), url=None) as checkpointer:
        assert (checkpointer.state, bool(checkpointer.reason)) == ("disabled", True)
        chat = graphs["chat"]().compile(checkpointer=checkpointer.saver)
        for _ in range(2):
            assert (await chat.ainvoke({"log": []}, ALICE))["turns"] == 1
        assert [state async for state in chat.aget_state_history(ALICE)] == []
        assert (await chat.aget_state(ALICE)).values == {}
        asking = graphs["asking"]().compile(checkpointer=checkpointer.saver)
        assert "__interrupt__" in await asking.ainvoke({"log": []}, ALICE)
        assert "__interrupt__" in await asking.ainvoke(Command(resume="lost"), ALICE)
        await checkpointer.saver.adelete_thread("alice")


def test_disabled_graphs_run_without_a_loop(graphs):
    """The saver that keeps nothing has the synchronous methods too."""

    async def made():
        async with Checkpointer(CheckpointerSettings(enabled=False), url=None) as checkpointer:
            return checkpointer.saver

    saver = asyncio.run(made())
    graph = graphs["chat"]().compile(checkpointer=saver)
    assert graph.invoke({"log": []}, ALICE)["turns"] == 1
    assert list(graph.get_state_history(ALICE)) == []
    saver.delete_thread("alice")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (None, "there is no database: set DATABASE_URL"),
        ("host=127.0.0.1 port=1 user=u password=hunter2 dbname=d", "nothing listens there"),
        ("postgresql://u:hunter2@127.0.0.1:1/d?nonsense=hunter2", "nothing listens there"),
    ],
)
async def test_without_a_database_state_is_kept_in_memory_and_said_not_to_last(
    url, reason, graphs, capfd
):
    """No database is a degradation with its reason, in the state, the log and the metrics."""
    async with (
        Metrics() as metrics,
        Checkpointer(CheckpointerSettings(), url=url, metrics=metrics) as checkpointer,
    ):
        assert checkpointer.state == "degraded"
        assert checkpointer.reason.startswith("state is not durable: ")
        assert reason in checkpointer.reason
        assert 'resource_degraded{resource="checkpointer"} 1' in metrics.expose()
        graph = graphs["chat"]().compile(checkpointer=checkpointer.saver)
        await graph.ainvoke({"log": []}, ALICE)
        assert (await graph.ainvoke({"log": []}, ALICE))["turns"] == 2
    logged = "".join(capfd.readouterr())
    assert "checkpoint.not_durable" in logged
    assert "hunter2" not in logged + checkpointer.reason


async def test_the_saver_is_only_there_while_entered(database_url):
    """Before entering and after leaving there is no saver."""
    checkpointer = Checkpointer(CheckpointerSettings(), url=database_url)
    with pytest.raises(NotStartedError):
        _ = checkpointer.saver
    async with checkpointer:
        saver = checkpointer.saver
    with pytest.raises(ClosedError):
        _ = checkpointer.saver
    with pytest.raises(ClosedError):
        await saver.aget_tuple(ALICE)


async def test_closing_leaves_no_connection(database_url, rows, graphs, eventually):
    """After leaving the database has no session of ours, and no task of the pool runs."""
    settings = CheckpointerSettings(max_size=4)
    async with Checkpointer(settings, url=database_url) as checkpointer:
        graph = graphs["chat"]().compile(checkpointer=checkpointer.saver)
        runs = ({"configurable": {"thread_id": str(n)}} for n in range(20))
        await asyncio.gather(*(graph.ainvoke({"log": []}, run) for run in runs))
        assert 1 <= rows(SESSIONS)[0][0] <= 5
    await eventually(lambda: no_sessions(rows))


async def test_a_killed_connection_is_replaced(checkpointer, rows, graphs):
    """Sessions the server ended are noticed before they are handed out."""
    graph = graphs["chat"]().compile(checkpointer=checkpointer.saver)
    await graph.ainvoke({"log": []}, ALICE)
    rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'agentinfra write'"
    )
    assert (await graph.ainvoke({"log": []}, ALICE))["turns"] == 2
    assert checkpointer.state == "ready"


async def test_a_database_that_dies_is_a_typed_error_and_comes_back(
    checkpointer, postgres, graphs, eventually
):
    """While the server is away runs fail at once with our error; afterwards they go on."""
    graph = graphs["chat"]().compile(checkpointer=checkpointer.saver)
    await graph.ainvoke({"log": []}, ALICE)
    postgres.stop()
    try:
        for _ in range(2):
            async with asyncio.timeout(2.0):
                with pytest.raises(CheckpointError, match=r"checkpoint get failed: database"):
                    await graph.ainvoke({"log": []}, ALICE)
        async with asyncio.timeout(2.0):
            reads = (checkpointer.saver.aget_tuple(ALICE) for _ in range(100))
            results = await asyncio.gather(*reads, return_exceptions=True)
        assert {type(result) for result in results} == {CheckpointError}
        health = await checkpointer.probe()
        assert (health.state, health.latency) == ("failed", None)
        assert health.reason.startswith("the database cannot be reached")
        assert "\n" not in health.reason
    finally:
        postgres.start()
    await eventually(lambda: is_ready(checkpointer))
    assert (await graph.ainvoke({"log": []}, ALICE))["turns"] == 2


async def test_the_cause_of_an_error_is_kept(checkpointer, rows):
    """The error of the database is behind ours, which is one line."""
    rows("DROP TABLE checkpoint_writes")
    with pytest.raises(CheckpointError, match='relation "checkpoint_writes"') as caught:
        await checkpointer.saver.aget_tuple(ALICE)
    assert caught.value.__cause__ is not None
    assert "\n" not in str(caught.value)
    with pytest.raises(CheckpointError, match="checkpoint list failed"):
        _ = [found async for found in checkpointer.saver.alist(ALICE)]


async def test_work_waits_in_line_for_a_connection(database_url):
    """More work than connections waits as long as it takes; the timeout is for the database."""
    settings = CheckpointerSettings(max_size=1)
    checkpointer = Checkpointer(settings, url=database_url, connect_timeout=0.25)
    async with checkpointer:
        reads = (checkpointer.saver.aget_tuple(ALICE) for _ in range(500))
        work = asyncio.gather(*reads)
        await asyncio.sleep(0)
        assert (await checkpointer.probe()).state == "ready"
        assert await work == [None] * 500


async def test_a_cancelled_start_leaves_nothing(database_url, rows, eventually):
    """Cancelling while the tables are set up closes every connection."""
    for steps in (1, 2, 5, 20, 200, 2000):
        checkpointer = Checkpointer(CheckpointerSettings(), url=database_url)
        start = asyncio.create_task(checkpointer.__aenter__())
        for _ in range(steps):
            await asyncio.sleep(0)
        start.cancel()
        await asyncio.wait({start})
        assert start.cancelled()
        await checkpointer.aclose()
    await eventually(lambda: no_sessions(rows))


@pytest.mark.parametrize(
    ("package", "sentence"),
    [
        ("psycopg", "state is not durable: the package 'psycopg' is not installed"),
        ("langgraph", "the package 'langgraph' is not installed"),
    ],
)
def test_a_missing_package_degrades(package, sentence):
    """Without psycopg state is in memory; without LangGraph asking for the saver says why not."""
    code = f"""
        import asyncio, sys
        sys.modules[{package!r}] = None
        from agentinfra.checkpoint import Checkpointer
        from agentinfra.errors import CheckpointError
        from agentinfra.settings import CheckpointerSettings

        async def main():
            async with Checkpointer(CheckpointerSettings(), url="dbname=x") as checkpointer:
                print(checkpointer.state, "|", checkpointer.reason)
                try:
                    print(type(checkpointer.saver).__name__)
                except CheckpointError as error:
                    print(error)

        asyncio.run(main())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    state, saver = done.stdout.strip().splitlines()
    assert state == f"degraded | {sentence}: pip install 'agentinfra'"
    assert saver == (
        "MemorySaver"
        if package == "psycopg"
        else f"there is no checkpointer: {sentence}: pip install 'agentinfra'"
    )


def test_importing_the_checkpointer_is_light():
    """Importing the checkpointer imports neither langgraph nor psycopg."""
    code = (
        "import agentinfra.checkpoint, sys; "
        "print({'langgraph', 'psycopg', 'psycopg_pool', 'langchain_core'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
