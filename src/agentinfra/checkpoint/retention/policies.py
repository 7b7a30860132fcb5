"""Which checkpoints a prune drops: decided on plain rows, without a database."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["PruneResult", "Row", "boundary_id", "doomed"]

_GREGORIAN_TO_UNIX = 0x01B21DD213814000  # 100 ns steps from 1582-10-15 to 1970-01-01


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneResult:
    """What a prune dropped, or would drop.

    Attributes:
        threads: Conversations that lost something.
        checkpoints: Checkpoints.
        writes: Intermediate writes, those without a checkpoint included.
        blobs: Stored channel values.
    """

    threads: int = 0
    checkpoints: int = 0
    writes: int = 0
    blobs: int = 0

    def __add__(self, other: PruneResult) -> PruneResult:
        return PruneResult(
            threads=self.threads + other.threads,
            checkpoints=self.checkpoints + other.checkpoints,
            writes=self.writes + other.writes,
            blobs=self.blobs + other.blobs,
        )


class Row(NamedTuple):
    """What a prune has to know of a checkpoint.

    Attributes:
        namespace: Empty for the graph itself; ``name`` for a subgraph with a state of its own,
            ``name:task`` for one call of a subgraph.
        id: The checkpoint's id.
        parent: The id of the checkpoint before it.
        version: The version of LangGraph's checkpoint format.
        root: The checkpoint of the graph itself in which a subgraph runs.
    """

    namespace: str
    id: str
    parent: str | None
    version: int
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

    The graph, and each subgraph with a state of its own, keeps its newest checkpoints. One call
    of a subgraph lives as long as the checkpoint of the graph it belongs to: it is what an
    interrupt inside of it is resumed from.

    Args:
        rows: Every checkpoint of the conversation.
        keep_last: Checkpoints to keep in each namespace.
        lost_before: Calls whose checkpoint of the graph is not there are dropped when they are
            older than this id; younger ones may have been saved before it.
    """
    spaces: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        spaces[row.namespace].append(row)
    roots = {row.id for row in spaces.get("", ())}
    kept_roots = _newest(spaces.get("", []), keep_last)
    dropped: dict[str, set[str]] = {}
    for namespace, space in spaces.items():
        if ":" not in namespace:
            ids = {row.id for row in space} - _newest(space, keep_last)
        else:
            dead = roots - kept_roots
            ids = {row.id for row in space if row.root in dead or _lost(row, roots, lost_before)}
        if ids:
            dropped[namespace] = ids
    return dropped


def _newest(space: list[Row], number: int) -> set[str]:
    newest = sorted(space, key=lambda row: row.id, reverse=True)[:number]
    # Before version 4 a checkpoint's pending sends stand with its parent.
    parents = {row.parent for row in newest if row.version < 4 and row.parent is not None}
    return {row.id for row in newest} | parents


def _lost(row: Row, roots: set[str], before: str) -> bool:
    return row.root is not None and row.root not in roots and row.id < before
