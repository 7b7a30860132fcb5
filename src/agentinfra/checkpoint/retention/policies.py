"""Which checkpoints a prune drops: decided on plain rows, without a database."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["PruneResult", "Row", "all_but_heads", "boundary_id", "doomed"]

_GREGORIAN_TO_UNIX = 0x01B21DD213814000  # 100 ns steps from 1582-10-15 to 1970-01-01


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneResult:
    """What a prune dropped, or would drop.

    Attributes:
        threads: Conversations that lost something.
        checkpoints: Checkpoints.
        writes: Intermediate writes, those without a checkpoint included.
        blobs: Stored channel values.
        bytes: Bytes of the writes and values; 0 where state is in memory.
    """

    threads: int = 0
    checkpoints: int = 0
    writes: int = 0
    blobs: int = 0
    bytes: int = 0

    def __add__(self, other: PruneResult) -> PruneResult:
        names = (field.name for field in fields(self))
        return PruneResult(**{name: getattr(self, name) + getattr(other, name) for name in names})


class Row(NamedTuple):
    """What a prune has to know of a checkpoint.

    Attributes:
        namespace: Empty for the graph itself; ``name`` for a subgraph with a state of its own,
            ``name:task`` for one call of a subgraph.
        id: The checkpoint's id.
        parent: The id of the checkpoint before it.
        sends_before: Whether pending sends stand with its parent, as before version 4 of
            LangGraph's format.
        root: The checkpoint of the graph itself in which a subgraph runs.
    """

    namespace: str
    id: str
    parent: str | None
    sends_before: bool
    root: str | None


def boundary_id(epoch: float) -> str:
    """Return the smallest checkpoint id of a moment: ids of earlier checkpoints sort before it.

    LangGraph's ids are UUIDs of version 6, which start with their time.

    Args:
        epoch: Seconds since 1970.
    """
    steps = max(0, round(epoch * 10_000_000) + _GREGORIAN_TO_UNIX)
    high, middle, low = steps >> 28, (steps >> 12) & 0xFFFF, steps & 0xFFF
    return f"{high:08x}-{middle:04x}-6{low:03x}-0000-000000000000"


def doomed(rows: Iterable[Row], *, keep_last: int, lost_before: str) -> dict[str, set[str]]:
    """Return the ids to drop from one conversation, by namespace.

    What is kept is the graph's newest checkpoints, those a run may stand on at this moment, and
    whatever a run that starts from one of them loads: the calls of subgraphs made from it, and of
    each subgraph with a state of its own the checkpoint that was the newest then.

    Args:
        rows: Every checkpoint of the conversation.
        keep_last: The graph's checkpoints to keep.
        lost_before: A younger checkpoint nothing has followed yet may have a run under way. Calls
            whose checkpoint of the graph is not there are dropped when they are older than this
            id; younger ones may have been saved before it.
    """
    spaces = _by_namespace(rows)
    roots = spaces.get("", [])
    kept = _newest(roots, keep_last) | _ends(roots, since=lost_before)
    known = {row.id for row in roots}
    dropped: dict[str, set[str]] = {}
    for namespace, space in spaces.items():
        if namespace == "":
            ids = known - kept
        elif ":" not in namespace:
            ids = {row.id for row in space} - _loaded(space, kept, keep_last)
        else:
            dead = known - kept
            ids = {row.id for row in space if row.root in dead or _lost(row, known, lost_before)}
        if ids:
            dropped[namespace] = ids
    return dropped


def all_but_heads(rows: Iterable[Row]) -> dict[str, set[str]]:
    """Return what LangGraph's ``keep_latest`` drops: all but each namespace's newest.

    A call of a subgraph goes whole where its checkpoint of the graph does.
    """
    spaces = _by_namespace(rows)
    known = {row.id for row in spaces.get("", ())}
    kept = _newest(spaces.get("", []), 1)
    dropped: dict[str, set[str]] = {}
    for namespace, space in spaces.items():
        ids = {row.id for row in space}
        root = max(space, key=lambda row: row.id).root
        if ":" not in namespace or root not in known or root in kept:
            ids -= _newest(space, 1)
        if ids:
            dropped[namespace] = ids
    return dropped


def _by_namespace(rows: Iterable[Row]) -> dict[str, list[Row]]:
    spaces: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        spaces[row.namespace].append(row)
    return spaces


def _newest(space: list[Row], number: int) -> set[str]:
    newest = sorted(space, key=lambda row: row.id, reverse=True)[:number]
    parents = {row.parent for row in newest if row.sends_before and row.parent is not None}
    return {row.id for row in newest} | parents


def _ends(roots: list[Row], *, since: str) -> set[str]:
    parents = {row.parent for row in roots}
    return {row.id for row in roots if row.id >= since and row.id not in parents}


def _loaded(space: list[Row], kept: set[str], keep_last: int) -> set[str]:
    """Return what runs that start from kept checkpoints of the graph load of a subgraph's state."""
    if not kept:
        return _newest(space, keep_last)
    loaded = _newest(space, 1) | {row.id for row in space if row.root in kept}
    for root in kept:
        before = [row for row in space if row.id < root]
        if before:
            loaded |= _newest(before, 1)
    return loaded


def _lost(row: Row, roots: set[str], before: str) -> bool:
    return row.root is not None and row.root not in roots and row.id < before
