"""The PostgreSQL saver: LangGraph's conformance tests, what may be rebuilt, what is counted."""

from __future__ import annotations

import asyncio
import importlib
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass

import ormsgpack
import pytest
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.conformance import checkpointer_test, validate

from agentinfra.checkpoint import Checkpointer
from agentinfra.errors import ConfigurationError
from agentinfra.observability.metrics import Metrics
from agentinfra.settings import CheckpointerSettings

ALICE = {"configurable": {"thread_id": "alice", "checkpoint_ns": ""}}


@dataclass(frozen=True)
class Ticket:
    number: int


@pytest.mark.parametrize("backend", ["postgres", "memory"])
async def test_the_saver_conforms(database_url, backend):
    """LangGraph's own tests for savers pass, those of the extended capabilities too."""
    settings = CheckpointerSettings(backend=backend)

    @checkpointer_test(name="agentinfra")
    async def saver() -> AsyncIterator[object]:
        async with Checkpointer(settings, url=database_url) as checkpointer:
            yield checkpointer.saver

    report = await validate(saver)
    assert report.passed_all(), report.results


async def store(checkpointer: Checkpointer, value: object) -> object:
    """Write a value as a channel of a checkpoint, and read it back."""
    checkpoint = empty_checkpoint()
    checkpoint["channel_values"] = {"x": value}
    checkpoint["channel_versions"] = {"x": "1"}
    await checkpointer.saver.aput(ALICE, checkpoint, {}, {"x": "1"})
    found = await checkpointer.saver.aget_tuple(ALICE)
    assert found is not None
    return found.checkpoint["channel_values"]["x"]


async def test_unknown_types_are_not_rebuilt(checkpointer):
    """A type that is on no list comes back as the data it was made of."""
    assert await store(checkpointer, Ticket(7)) == {"number": 7}


@pytest.mark.parametrize("backend", ["postgres", "memory"])
async def test_own_types_are_rebuilt_when_allowed(database_url, backend):
    """A type given to the checkpointer comes back as itself, whatever the backend."""
    settings = CheckpointerSettings(backend=backend)
    async with Checkpointer(settings, url=database_url, allowed_types=[Ticket]) as checkpointer:
        assert await store(checkpointer, Ticket(7)) == Ticket(7)


async def test_a_saver_can_be_given_more_types(checkpointer):
    """A copy of the saver with a longer list rebuilds what the original does not."""
    await store(checkpointer, Ticket(7))
    longer = checkpointer.saver.with_allowlist([(Ticket.__module__, "Ticket")])
    found = await longer.aget_tuple(ALICE)
    assert found is not None
    assert found.checkpoint["channel_values"]["x"] == Ticket(7)
    assert await store(checkpointer, Ticket(7)) == {"number": 7}


async def test_bytes_that_name_a_function_call_nothing(checkpointer, tmp_path):
    """Who can write to the database cannot have code run by whoever reads it."""
    target = tmp_path / "made"
    call = ormsgpack.packb(("os", "mkdir", str(target)))
    data = ormsgpack.packb(ormsgpack.Ext(0, call))
    assert checkpointer.saver.serde.loads_typed(("msgpack", data)) == str(target)
    assert not target.exists()


async def test_operations_and_bytes_are_counted(database_url, graphs):
    """Durations by operation and the bytes written are on the metrics page."""
    async with (
        Metrics() as metrics,
        Checkpointer(CheckpointerSettings(), url=database_url, metrics=metrics) as checkpointer,
    ):
        await store(checkpointer, b"x" * 5000)
        page = metrics.expose()
    assert 'checkpoint_seconds_count{operation="put",outcome="ok"} 1' in page
    assert 'checkpoint_seconds_count{operation="get",outcome="ok"} 1' in page
    written = next(line for line in page.splitlines() if line.startswith("checkpoint_bytes_total"))
    assert float(written.split()[-1]) == 5000


async def test_conversations_do_not_queue_for_one_lock(database_url, graphs):
    """As many operations as there are connections are under way at the same time."""
    settings = CheckpointerSettings(max_size=3)
    async with Checkpointer(settings, url=database_url) as checkpointer:
        async with checkpointer._link.slots, checkpointer._link.slots:
            graph = graphs["chat"]().compile(checkpointer=checkpointer.saver)
            assert (await graph.ainvoke({"log": []}, ALICE))["turns"] == 1
        runs = ({"configurable": {"thread_id": str(n)}} for n in range(64))
        states = await asyncio.gather(*(graph.ainvoke({"log": []}, run) for run in runs))
        assert {state["turns"] for state in states} == {1}


async def test_listing_gives_its_connection_back_before_it_is_read(database_url, graphs):
    """A reader of the history can use the saver meanwhile, with a single connection."""
    settings = CheckpointerSettings(max_size=1)
    async with Checkpointer(settings, url=database_url) as checkpointer:
        graph = graphs["chat"]().compile(checkpointer=checkpointer.saver)
        await graph.ainvoke({"log": []}, ALICE)
        async for found in checkpointer.saver.alist(ALICE):
            assert await checkpointer.saver.aget_tuple(found.config) == found


async def test_the_synchronous_methods_work_from_a_thread(checkpointer, graphs):
    """Code in another thread can use the saver as LangGraph's own."""
    graph = graphs["chat"]().compile(checkpointer=checkpointer.saver)
    await graph.ainvoke({"log": []}, ALICE)
    found = await asyncio.to_thread(checkpointer.saver.get_tuple, ALICE)
    assert found is not None
    assert threading.current_thread() is threading.main_thread()


async def test_work_under_way_is_waited_for(database_url, graphs):
    """Draining waits for the checkpoints that are being written."""
    settings = CheckpointerSettings(max_size=1)
    async with Checkpointer(settings, url=database_url) as checkpointer:
        graph = graphs["chat"]().compile(checkpointer=checkpointer.saver)
        async with checkpointer._link.slots:
            run = asyncio.create_task(graph.ainvoke({"log": []}, ALICE))
            while len(checkpointer._inflight) == 0:  # noqa: ASYNC110 - it waits for our connection
                await asyncio.sleep(0)
            end = asyncio.get_running_loop().time() + 5.0
            leaving = asyncio.create_task(checkpointer.drain(until=end, wind_down=end))
            await asyncio.sleep(0)
            assert not leaving.done()
        assert (await run)["turns"] == 1
        assert await leaving == 0


@pytest.mark.parametrize("path", ["types_of_a_shop.Ticket", "types_of_a_shop:Ticket"])
async def test_types_are_named_in_the_settings(database_url, tmp_path, monkeypatch, path):
    """A type that no schema names comes back as itself where the settings name it."""
    (tmp_path / "types_of_a_shop.py").write_text(
        "from dataclasses import dataclass\n@dataclass\nclass Ticket:\n    number: int\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    ticket = importlib.import_module("types_of_a_shop").Ticket(7)
    for types, found in (((path,), ticket), ((), {"number": 7})):
        settings = CheckpointerSettings(allowed_types=types)
        async with Checkpointer(settings, url=database_url) as checkpointer:
            checkpoint = empty_checkpoint()
            checkpoint["channel_values"] = {"x": [ticket]}
            checkpoint["channel_versions"] = {"x": "1"}
            place = {"configurable": {"thread_id": "alice", "checkpoint_ns": ""}}
            await checkpointer.saver.aput(place, checkpoint, {}, {"x": "1"})
            stored = await checkpointer.saver.aget_tuple(ALICE)
            assert stored.checkpoint["channel_values"] == {"x": [found]}
    with pytest.raises(ConfigurationError, match="allowed_types"):
        CheckpointerSettings(allowed_types=("Ticket",))


@pytest.mark.parametrize("length", [131_000, 131_072, 131_080, 1_000_000])
async def test_large_values_come_in_pieces(checkpointer, length):
    """A value of any size comes back whole, with small ones beside it; a listing has it too."""
    checkpoint = empty_checkpoint()
    values = {"large": "x" * (length - 5), "other": ["y" * length], "small": [1]}
    checkpoint["channel_values"] = values
    checkpoint["channel_versions"] = dict.fromkeys(values, "1")
    place = await checkpointer.saver.aput(ALICE, checkpoint, {}, dict.fromkeys(values, "1"))
    found = await checkpointer.saver.aget_tuple(place)
    assert found.checkpoint["channel_values"] == values
    assert [one async for one in checkpointer.saver.alist(ALICE)] == [found]
