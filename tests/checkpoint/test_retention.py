"""What a prune drops, decided on rows."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st
from langgraph.checkpoint.base.id import uuid6

from agentinfra.checkpoint.retention.policies import Policy, PruneResult
from agentinfra.checkpoint.retention.reachability import Row, boundary_id, doomed


def doomed_by(rows, *, keep_last, lost_before):
    return doomed(rows, [Policy(keep_last=keep_last)], now=0, lost_before=lost_before)


def row(namespace="", name="1", parent=None, sends_before=False, root=None):
    return Row(namespace, name, parent, sends_before, root)


def test_ids_sort_around_the_boundary_of_their_moment():
    """Ids made before a moment sort before its boundary, ids made after do not."""
    before = str(uuid6())
    time.sleep(0.002)
    moment = time.time()
    time.sleep(0.002)
    after = str(uuid6())
    assert before < boundary_id(moment) <= after


@given(st.floats(0, 4e9), st.floats(0, 4e9))
def test_boundaries_are_in_the_order_of_their_moments(first, second):
    """Earlier moments have smaller boundaries, all of one length and version."""
    earlier, later = sorted((first, second))
    assert boundary_id(earlier) <= boundary_id(later)
    assert len(boundary_id(first)) == 36
    assert boundary_id(first)[14] == "6"


def test_moments_before_the_calendar_have_the_first_boundary():
    """An age beyond all time finds nothing that is older."""
    assert boundary_id(-1e12) == "00000000-0000-6000-0000-000000000000"


namespaces = st.sampled_from(["", "own", "own|deep"])
AGED = "~"
"""Nothing is young enough to have a run under way."""


@given(st.lists(st.tuples(namespaces, st.integers(0, 40)), unique=True), st.integers(1, 5))
def test_the_newest_of_each_namespace_stay(ids, keep_last):
    """The graph keeps its newest; a subgraph's state what runs from those load, and its newest."""
    rows = [row(namespace, f"{number:03}") for namespace, number in ids]
    gone = doomed_by(rows, keep_last=keep_last, lost_before=AGED)
    roots = sorted(f"{number:03}" for name, number in ids if name == "")
    assert gone.get("", set()) == set(roots[:-keep_last])
    for namespace in {name for name, _ in ids} - {""}:
        mine = sorted(f"{number:03}" for name, number in ids if name == namespace)
        loaded = {max((i for i in mine if i < root), default="") for root in roots[-keep_last:]}
        kept = loaded | {mine[-1]} if roots else set(mine[-keep_last:])
        assert gone.get(namespace, set()) == set(mine) - kept


def test_what_a_kept_checkpoint_gave_a_subgraph_stays():
    """Checkpoints a subgraph's state got in a kept step of the graph are kept with it."""
    rows = [
        row("", "1"),
        row("", "4"),
        *(row("own", i, root=r) for i, r in [("2", "1"), ("3", "1"), ("5", "4"), ("6", "4")]),
    ]
    assert doomed_by(rows, keep_last=1, lost_before=AGED) == {"": {"1"}, "own": {"2"}}


def test_the_end_of_a_branch_is_kept_while_a_run_may_stand_on_it():
    """What nothing follows yet is kept for a while, however much else is newer."""
    rows = [
        row("", "1"),
        row("", "2", parent="1"),
        row("", "3", parent="1"),
        row("", "4", parent="3"),
    ]
    assert doomed_by(rows, keep_last=1, lost_before="2") == {"": {"1", "3"}}
    assert doomed_by(rows, keep_last=1, lost_before="3") == {"": {"1", "2", "3"}}


@given(st.lists(st.integers(0, 20), unique=True), st.lists(st.integers(0, 20)), st.integers(1, 3))
def test_a_call_lives_as_long_as_the_checkpoint_it_belongs_to(roots, calls, keep_last):
    """Calls of subgraphs go with their root checkpoint, all of their checkpoints at once."""
    ids = sorted(f"{number:03}" for number in roots)
    rows = [row("", name, parent=before) for before, name in zip([None, *ids], ids, strict=False)]
    for number in set(calls):
        rows += [row(f"sub:{number}", f"{900 + n}", root=f"{number:03}") for n in range(2)]
    gone = doomed_by(rows, keep_last=keep_last, lost_before="")
    kept = set(sorted(roots)[-keep_last:])
    for number in set(calls):
        dropped = number in roots and number not in kept
        assert gone.get(f"sub:{number}", set()) == ({"900", "901"} if dropped else set())


def test_a_call_without_its_root_goes_when_it_is_old():
    """A call may be saved before its root checkpoint: only old ones count as lost."""
    rows = [row("", "5"), row("s:1", "3", root="2"), row("s:2", "7", root="6"), row("s:3", "1")]
    assert doomed_by(rows, keep_last=1, lost_before="4") == {"s:1": {"3"}}


def test_pending_sends_of_old_formats_are_kept():
    """Before version 4 the parent of a kept checkpoint is kept with it."""
    rows = [row("", "1"), row("", "2", parent="1"), row("", "3", parent="2", sends_before=True)]
    assert doomed_by(rows, keep_last=1, lost_before=AGED) == {"": {"1"}}


def test_results_add_up():
    """The result of a prune is the sum of its parts."""
    one = PruneResult(threads=1, checkpoints=2, writes=3, blobs=4, bytes=5)
    assert one + one == PruneResult(threads=2, checkpoints=4, writes=6, blobs=8, bytes=10)
