"""Which checkpoints a prune drops: decided on plain rows, without a database."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from agentinfra.checkpoint.retention.policies import Policy

__all__ = [
    "LOST_AFTER",
    "Row",
    "Weight",
    "all_but_heads",
    "boundary_id",
    "doomed",
    "has_aged",
    "moment_of",
]

LOST_AFTER = 3600.0
"""Seconds after which no run is expected to go on from where nothing has followed."""

_GREGORIAN_TO_UNIX = 0x01B21DD213814000  # 100 ns steps from 1582-10-15 to 1970-01-01


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
        deltas: Delta channels whose value is spread over the checkpoints before it.
        holds: Those whose value stands in this one.
    """

    namespace: str
    id: str
    parent: str | None
    sends_before: bool
    root: str | None
    deltas: frozenset[str] = frozenset()
    holds: frozenset[str] = frozenset()


class Weight(NamedTuple):
    """What a checkpoint weighs.

    Attributes:
        namespace: As a row's.
        id: As a row's.
        root: As a row's.
        bytes: Its own and its writes'.
        blobs: The values it names: channel, version, bytes.
    """

    namespace: str
    id: str
    root: str | None
    bytes: int
    blobs: tuple[tuple[str, str, int], ...]


def boundary_id(epoch: float) -> str:
    """Return the smallest checkpoint id of a moment: ids of earlier checkpoints sort before it.

    LangGraph's ids are UUIDs of version 6, which start with their time.

    Args:
        epoch: Seconds since 1970.
    """
    steps = max(0, round(epoch * 10_000_000) + _GREGORIAN_TO_UNIX)
    high, middle, low = steps >> 28, (steps >> 12) & 0xFFFF, steps & 0xFFF
    return f"{high:08x}-{middle:04x}-6{low:03x}-0000-000000000000"


def moment_of(identifier: str) -> float | None:
    """Return when an id was made, in seconds since 1970; None where it does not say."""
    if len(identifier) != 36 or identifier[14] != "6":  # UUIDs of version 6, LangGraph's own
        return None
    try:
        steps = int(identifier[:8] + identifier[9:13] + identifier[15:18], 16)
    except ValueError:
        return None
    return (steps - _GREGORIAN_TO_UNIX) / 10_000_000


def doomed(
    rows: Iterable[Row],
    policies: Sequence[Policy],
    *,
    now: float,
    lost_before: str,
    weights: Sequence[Weight] = (),
) -> dict[str, set[str]]:
    """Return the ids to drop from one conversation, by namespace.

    What is kept is what every policy spares of the graph's checkpoints, those a run may stand on
    at this moment, and whatever a run that starts from one of them loads: what its delta channels
    are rebuilt from, the calls of subgraphs made from it, and of each subgraph with a state of its
    own the checkpoint that was the newest then.

    Args:
        rows: Every checkpoint of the conversation.
        policies: Those for this conversation.
        now: The time, in seconds since 1970.
        lost_before: A younger checkpoint nothing has followed yet may have a run under way. Calls
            whose checkpoint of the graph is not there are dropped when they are older than this
            id; younger ones may have been saved before it.
        weights: What each checkpoint weighs, for policies that count bytes.
    """
    spaces = _by_namespace(rows)
    roots = spaces.get("", [])
    shortening = _about("", policies)
    kept = _spared(roots, shortening, now, weights) | _ends(roots, since=lost_before)
    kept = _rebuilt_from(roots, kept)
    known = {row.id for row in roots}
    dropped: dict[str, set[str]] = {}
    for namespace, space in spaces.items():
        mine = _about(namespace, policies)
        if not (shortening or mine):
            continue
        if namespace == "":
            ids = known - kept
        elif ":" not in namespace:
            asked = mine or ([] if roots else shortening)
            spared = _spared(space, asked, now, weights) if asked else set[str]()
            ids = {row.id for row in space} - _rebuilt_from(space, _loaded(space, kept) | spared)
        else:
            dead = known - kept
            ids = {row.id for row in space if row.root in dead or _lost(row, known, lost_before)}
        if ids:
            dropped[namespace] = ids
    return dropped


def has_aged(rows: Sequence[Row], policies: Iterable[Policy], *, now: float) -> bool:
    """Return whether a policy lets the whole conversation go."""
    newest = max((row.id for row in rows), default="")
    ages = [policy.older_than for policy in policies if policy.older_than is not None]
    before = max((boundary_id(now - age) for age in ages), default="")
    return "" < newest < before and all(_tells_time(row) for row in rows)


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


def _about(namespace: str, policies: Iterable[Policy]) -> list[Policy]:
    return [policy for policy in policies if policy.namespace == namespace and policy.shortens]


def _spared(
    space: list[Row], policies: Iterable[Policy], now: float, weights: Sequence[Weight]
) -> set[str]:
    """Return what every one of the policies leaves; the newest always is."""
    kept = {row.id for row in space}
    for policy in policies:
        if policy.keep_last is not None:
            kept &= _newest(space, policy.keep_last)
        if policy.checkpoints_older_than is not None:
            boundary = boundary_id(now - policy.checkpoints_older_than)
            kept &= {row.id for row in space if row.id >= boundary or not _tells_time(row)}
        if policy.keep_bytes is not None:
            kept &= _within(space, weights, policy.keep_bytes)
    with_parents = [row for row in space if row.id in kept and row.sends_before]
    return kept | _newest(space, 1) | {row.parent for row in with_parents if row.parent is not None}


def _within(space: list[Row], weights: Iterable[Weight], most: int) -> set[str]:
    """Return the newest checkpoints whose bytes, with what they name and call, are few enough."""
    heavy: dict[str, list[Weight]] = defaultdict(list)
    names = {row.namespace for row in space}
    for weight in weights:
        owner = weight.id if weight.namespace in names else weight.root
        heavy[owner or ""].append(weight)
    total, counted, kept = 0, set[tuple[str, str, str]](), set[str]()
    for row in sorted(space, key=lambda row: row.id, reverse=True):
        for weight in heavy[row.id]:
            total += weight.bytes
            for channel, version, size in weight.blobs:
                key = (weight.namespace, channel, version)
                total += 0 if key in counted else size
                counted.add(key)
        if total > most:
            break
        kept.add(row.id)
    return kept


def _rebuilt_from(space: list[Row], ids: set[str]) -> set[str]:
    """Return checkpoints with those that their delta channels are rebuilt from."""
    known = {row.id: row for row in space}
    found = set(ids)
    for identifier in ids:
        row = known.get(identifier)
        needed = set(row.deltas) if row is not None else set[str]()
        while needed and row is not None and row.parent is not None:
            row = known.get(row.parent)
            if row is not None:
                found.add(row.id)
                needed -= row.holds
    return found


def _loaded(space: list[Row], kept: set[str]) -> set[str]:
    """Return what runs that start from kept checkpoints of the graph load of a subgraph's state."""
    if not kept:
        return set()
    loaded = _newest(space, 1) | {row.id for row in space if row.root in kept}
    for root in kept:
        before = [row for row in space if row.id < root]
        if before:
            loaded |= _newest(before, 1)
    return loaded


def _tells_time(row: Row) -> bool:
    return moment_of(row.id) is not None


def _lost(row: Row, roots: set[str], before: str) -> bool:
    return row.root is not None and row.root not in roots and row.id < before
