"""Conversations as a whole: listed, found by metadata, copied, exported, erased."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from langgraph.types import Command

from agentinfra.checkpoint import Checkpointer, PruneResult
from agentinfra.checkpoint.retention.reachability import boundary_id, moment_of
from agentinfra.checkpoint.store import LongTerm
from agentinfra.errors import CheckpointError, ConfigurationError
from agentinfra.settings import CheckpointerSettings, StoreSettings

pytestmark = pytest.mark.usefixtures("no_tasks_left")

TABLES = ("checkpoints", "checkpoint_blobs", "checkpoint_writes")


def thread(name: str, **metadata: Any) -> dict[str, Any]:
    return {"configurable": {"thread_id": name}, "metadata": metadata}


@pytest.fixture(params=["postgres", "memory"])
async def both(request, database_url):
    async with Checkpointer(CheckpointerSettings(backend=request.param), url=database_url) as made:
        yield made


async def converse(checkpointer: Checkpointer, graphs: Any, name: str, **metadata: Any) -> None:
    graph = graphs["asking"]().compile(checkpointer=checkpointer.saver)
    await graph.ainvoke({"log": []}, thread(name, **metadata))
    await graph.ainvoke(Command(resume="1"), thread(name, **metadata))


async def test_conversations_are_listed_page_by_page(both, graphs):
    """In the order of their ids, with their times, their length and their size."""
    before = datetime.now(UTC)
    for name in ("b", "a", "c"):
        await converse(both, graphs, name)
    first, second = await both.threads(limit=2)
    (third,) = await both.threads(limit=2, after=second.thread_id)
    assert [first.thread_id, second.thread_id, third.thread_id] == ["a", "b", "c"]
    assert await both.threads(after="c") == []
    assert first.checkpoints >= 5
    assert first.bytes > 500
    margin = timedelta(seconds=1)
    assert before - margin < second.began < second.went_on < first.went_on
    assert third.went_on < datetime.now(UTC) + margin
    assert [found.thread_id for found in await both.threads("?")] == ["a", "b", "c"]
    assert [found.thread_id for found in await both.threads("a*")] == ["a"]


async def test_conversations_are_found_by_their_metadata(both, graphs):
    """What a run was given as metadata is searched as JSON that contains other JSON."""
    await converse(both, graphs, "a", user="u1", vip=True)
    await converse(both, graphs, "b", user="u2")
    for wanted, found in (
        ({"user": "u1"}, ["a"]),
        ({"user": "u3"}, []),
        ({"vip": 1}, []),
        ({"parents": {}, "source": "input"}, ["a", "b"]),
        ({}, ["a", "b"]),
    ):
        assert [c.thread_id for c in await both.threads(metadata=wanted)] == found


async def test_what_cannot_be_searched_is_refused(checkpointer):
    """Metadata that is no JSON is an error of ours."""
    with pytest.raises(CheckpointError, match="JSON"):
        await checkpointer.threads(metadata={"a": object()})


async def test_everything_of_a_conversation_is_exported(both, graphs):
    """Each checkpoint with its values, metadata, writes and place; it can be written as JSON."""
    await converse(both, graphs, "a", user="u1")
    found = [checkpoint async for checkpoint in both.export("a")]
    assert len(found) == (await both.threads())[0].checkpoints
    newest = next(checkpoint for checkpoint in found if checkpoint["namespace"] == "")
    assert newest["values"]["log"] == ["turn 0", "turn 0", "answer 1"]
    assert newest["metadata"]["user"] == "u1"
    assert any(write["channel"] == "log" for c in found for write in c["writes"])
    assert {c["parent_checkpoint_id"] for c in found} - {c["checkpoint_id"] for c in found} == {
        None
    }
    assert json.dumps(found, default=str)
    assert [checkpoint async for checkpoint in both.export("nobody")] == []


async def test_an_erased_conversation_is_in_no_table(both, graphs, rows):
    """What went is counted; its copy, and others, stay."""
    await converse(both, graphs, "a*")
    await both.saver.acopy_thread("a*", "ab")
    copied = [checkpoint async for checkpoint in both.export("ab")]
    assert [c["values"] for c in copied] == [c["values"] async for c in both.export("a*")]
    erased = await both.erase("a*")
    assert erased.threads == 1
    assert min(erased.checkpoints, erased.writes, erased.blobs, erased.bytes) > 0
    assert [found.thread_id for found in await both.threads()] == ["ab"]
    if both.link is not None:
        for table in TABLES:
            assert rows(f"SELECT DISTINCT thread_id FROM {table}") == [("ab",)]
    assert await both.erase("nobody") == PruneResult()


@pytest.mark.parametrize("backend", ["postgres", "memory"])
async def test_items_of_a_namespace_are_erased(database_url, backend):
    """Those of namespaces in it go along, those with a similar name stay."""
    async with LongTerm(StoreSettings(backend=backend), url=database_url) as long_term:
        for namespace in (("u", "1"), ("u", "1", "deep"), ("u", "12"), ("v",)):
            await long_term.store.aput(namespace, "k", {"v": 1})
        assert await long_term.erase(("u", "1")) == 2
        assert await long_term.store.alist_namespaces() == [("u", "12"), ("v",)]
        with pytest.raises(ConfigurationError, match="everything|every item"):
            await long_term.erase(())


def test_ids_say_when_they_were_made():
    """An id's time is that of its boundary; other ids say nothing."""
    assert abs(moment_of(boundary_id(1_790_000_000.5)) - 1_790_000_000.5) < 1e-3
    assert [moment_of(text) for text in ("1", "x" * 36, "x" * 14 + "6" + "x" * 21)] == [None] * 3
