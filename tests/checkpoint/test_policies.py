"""Policies as values: what each lets go, alone and together."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from langgraph.checkpoint.base.id import uuid6

from agentinfra.checkpoint import Checkpointer, Policy, PruneResult
from agentinfra.checkpoint.retention.reachability import Row, Weight, boundary_id, doomed
from agentinfra.errors import ConfigurationError
from agentinfra.settings import CheckpointerSettings

pytestmark = pytest.mark.usefixtures("no_tasks_left")

HOUR = 3600.0


def thread(name: str) -> dict[str, Any]:
    return {"configurable": {"thread_id": name}}


def chain(namespace: str, *ids: str, root: str | None = None) -> list[Row]:
    """Checkpoints that follow one another."""
    before = [None, *ids]
    return [Row(namespace, i, p, False, root) for i, p in zip(ids, before, strict=False)]


def gone(rows: list[Row], *policies: Policy, now: float = 0, weights: Any = ()) -> Any:
    return doomed(rows, policies, now=now, lost_before="~", weights=weights)


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({}, "lets nothing go"),
        ({"threads": "a*"}, "lets nothing go"),
        ({"keep_last": 0}, "keep_last=0"),
        ({"older_than": -1}, "older_than=-1"),
        ({"keep_bytes": 0}, "keep_bytes=0"),
        ({"checkpoints_older_than": float("nan")}, "checkpoints_older_than=nan"),
        ({"namespace": "own", "older_than": 1}, "only whole conversations age"),
    ],
)
def test_a_policy_that_makes_no_sense_cannot_be_made(said, complaint):
    """It is an error that names the value, where the policy is written."""
    with pytest.raises(ConfigurationError, match=complaint):
        Policy(**said)


@pytest.mark.parametrize(
    ("pattern", "about", "not_about"),
    [
        ("*", ["", "a", "a\nb"], []),
        ("test-*", ["test-", "test-1"], ["atest-1", "test"]),
        ("?%_*", ["a%_", "b%_c"], ["aab", "%_"]),
        ("a.b", ["a.b"], ["aXb"]),
    ],
)
def test_a_pattern_knows_two_wildcards(pattern, about, not_about):
    """Whatever else stands in a pattern stands for itself."""
    policy = Policy(threads=pattern, keep_last=1)
    assert [name for name in about + not_about if policy.is_about(name)] == about


def test_single_checkpoints_age():
    """Those that are older go, but never the newest, and never what tells no time."""
    now = 1_000_000.0
    old, older, young = (boundary_id(now - HOUR * n) for n in (2, 3, 0.5))
    policy = Policy(checkpoints_older_than=HOUR)
    assert gone(chain("", older, old, young), policy, now=now) == {"": {older, old}}
    assert gone(chain("", older, old), policy, now=now) == {"": {older}}
    assert gone(chain("", "1", "2"), policy, now=now) == {}


def test_what_any_of_them_lets_go_goes():
    """Policies are combined: a checkpoint stays when every one of them spares it."""
    now = 1_000_000.0
    ids = [boundary_id(now - HOUR * n) for n in (4, 3, 2, 1)]
    few, young = Policy(keep_last=3), Policy(checkpoints_older_than=2.5 * HOUR)
    assert gone(chain("", *ids), few, now=now) == {"": {ids[0]}}
    assert gone(chain("", *ids), few, young, now=now) == {"": set(ids[:2])}


def test_bytes_are_counted_once():
    """A value that several checkpoints name weighs once; calls weigh with their checkpoint."""
    rows = chain("", "1", "2", "3") + chain("sub:1", "9", root="2")
    weights = [
        Weight("", "3", None, 10, (("docs", "v1", 100),)),
        Weight("", "2", None, 10, (("docs", "v1", 100),)),
        Weight("sub:1", "9", "2", 50, ()),
        Weight("", "1", None, 10, (("docs", "v0", 100),)),
    ]
    assert gone(rows, Policy(keep_bytes=280), weights=weights) == {}
    assert gone(rows, Policy(keep_bytes=279), weights=weights) == {"": {"1"}}
    assert gone(rows, Policy(keep_bytes=169), weights=weights) == {"": {"1", "2"}, "sub:1": {"9"}}
    assert gone(rows, Policy(keep_bytes=1), weights=weights) == {"": {"1", "2"}, "sub:1": {"9"}}


def test_a_subgraphs_history_can_be_spared():
    """What the graph's checkpoints do not need of a subgraph goes, unless its own policy keeps it.

    A policy of a subgraph touches nothing else.
    """
    rows = chain("", "10", "20") + chain("own", "11", "12", "13", "21") + chain("other", "14", "15")
    last = Policy(keep_last=1)
    assert gone(rows, last)["own"] == {"11", "12"}
    assert gone(rows, last, Policy(keep_last=3, namespace="own"))["own"] == {"11"}
    assert gone(rows, Policy(keep_last=1, namespace="own")) == {"own": {"11", "12"}}


async def talk(graph: Any, name: str, turns: int = 1) -> None:
    for _ in range(turns):
        await graph.ainvoke({"log": []}, thread(name))


async def length(checkpointer: Checkpointer, name: str) -> int:
    return len([found async for found in checkpointer.saver.alist(thread(name))])


@pytest.mark.parametrize("backend", ["postgres", "memory"])
async def test_policies_work_on_real_conversations(database_url, graphs, backend):
    """By pattern, by age, by count and by bytes; a dry run counts what the same call takes."""
    settings = CheckpointerSettings(backend=backend)
    async with Checkpointer(settings, url=database_url) as checkpointer:
        graph = graphs["chat"]().compile(checkpointer=checkpointer.saver)
        for name in ("test-1", "alice", "bob"):
            await talk(graph, name, 3)
        await asyncio.sleep(0.005)
        moment = time.time()
        await asyncio.sleep(0.005)
        await talk(graph, "bob")
        old = await checkpointer.prune(
            Policy(checkpoints_older_than=time.time() - moment), dry_run=True
        )
        assert old.checkpoints == 8 + 8 + 9
        for policies, left in (
            ([Policy(threads="test-*", older_than=0)], (0, 9, 12)),
            ([Policy(keep_last=1, threads="b*"), Policy(older_than=0, threads="a*")], (0, 0, 1)),
        ):
            tried = await checkpointer.prune(*policies, dry_run=True)
            assert await checkpointer.prune(*policies) == tried
            assert tried.bytes > 0
            assert await checkpointer.prune(*policies) == PruneResult()
            names = ("test-1", "alice", "bob")
            assert tuple([await length(checkpointer, name) for name in names]) == left
        await talk(graph, "bob", 5)
        assert (await checkpointer.prune(Policy(keep_bytes=2**40))).threads == 0
        assert (await checkpointer.prune(Policy(keep_bytes=1))).threads == 1
        assert await length(checkpointer, "bob") == 1
        assert (await graph.aget_state(thread("bob"))).values["turns"] == 9


async def test_long_conversations_go_in_batches(checkpointer, rows):
    """However long one is, no transaction takes more of it than others can wait for."""
    ids = [str(uuid6()) for _ in range(1203)]
    for name in ("short", "aged"):
        pairs = zip(ids, [None, *ids], strict=False)
        values = (
            f"('{name}', '{mine}', {'NULL' if before is None else repr(before)}, '{{\"v\": 4}}')"
            for mine, before in pairs
        )
        columns = "thread_id, checkpoint_id, parent_checkpoint_id, checkpoint"
        rows(f"INSERT INTO checkpoints ({columns}) VALUES {', '.join(values)}")
    kept = Policy(threads="short", keep_last=2)
    aged = Policy(threads="aged", older_than=0)
    tried = await checkpointer.prune(kept, aged, dry_run=True)
    assert (tried.threads, tried.checkpoints) == (2, 1201 + 1203)
    assert await checkpointer.prune(kept, aged) == tried
    assert rows("SELECT checkpoint_id FROM checkpoints ORDER BY 1") == [(i,) for i in ids[-2:]]


async def test_a_dry_run_locks_nothing(checkpointer, graphs, rows, database_url):
    """It counts beside somebody who holds every row."""
    import psycopg

    graph = graphs["chat"]().compile(checkpointer=checkpointer.saver)
    await talk(graph, "alice", 3)
    with psycopg.connect(database_url) as other:
        other.execute("LOCK TABLE checkpoints, checkpoint_blobs, checkpoint_writes IN SHARE MODE")
        tried = await checkpointer.prune(keep_last=1, dry_run=True)
    assert tried.checkpoints == 8
    assert await checkpointer.prune(keep_last=1) == tried
