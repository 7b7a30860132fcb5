"""State in memory: by choice, or until the database is there.

Importing this module imports langgraph.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.types import TASKS

from agentinfra.checkpoint.link import observed
from agentinfra.checkpoint.retention.policies import PruneResult
from agentinfra.checkpoint.retention.reachability import (
    LOST_AFTER,
    Row,
    Weight,
    all_but_heads,
    boundary_id,
    doomed,
    has_aged,
)
from agentinfra.observability.semconv import SPAN_CHECKPOINT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from contextlib import AbstractContextManager

    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import (
        BaseCheckpointSaver,
        ChannelVersions,
        Checkpoint,
        CheckpointMetadata,
        CheckpointTuple,
    )
    from langgraph.checkpoint.serde.base import SerializerProtocol

    from agentinfra._mechanics.clock import Clock
    from agentinfra.checkpoint.retention.policies import Policy
    from agentinfra.observability.metrics import Metrics

__all__ = ["MemorySaver", "carry_over", "erase", "not_carried", "prune"]

Place: TypeAlias = tuple[str, str, str]
"""Where a checkpoint is: its thread, namespace and id."""


class MemorySaver(InMemorySaver):
    """LangGraph's saver in memory, seen like the one on PostgreSQL.

    Args:
        serde: How state becomes bytes.
        metrics: Where operations are counted.
        clock: Where time comes from.
    """

    def __init__(self, serde: SerializerProtocol, *, metrics: Metrics, clock: Clock) -> None:
        super().__init__(serde=serde)
        self._metrics = metrics
        self._clock = clock

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return a checkpoint, the newest where the configuration names none."""
        with self._seen("get", config):
            return self.get_tuple(config)

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Keep a checkpoint."""
        with self._seen("put", config):
            return self.put(config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Keep what a task wrote."""
        with self._seen("put_writes", config):
            self.put_writes(config, writes, task_id, task_path)

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy a conversation: checkpoints, values and writes."""
        source, target = str(source_thread_id), str(target_thread_id)
        if source not in self.storage:
            return
        for namespace, saved in self.storage[source].items():
            self.storage[target][namespace].update(saved)
        for space, kept in list(self.writes.items()):
            if space[0] == source:
                self.writes[target, space[1], space[2]] = dict(kept)
        for blob, value in list(self.blobs.items()):
            if blob[0] == source:
                self.blobs[target, blob[1], blob[2], blob[3]] = value

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Drop the checkpoints of runs, with what only they need."""
        runs = {str(run) for run in run_ids}
        for thread in list(self.storage):
            for namespace, saved in self.storage[thread].items():
                said = {i: self.serde.loads_typed(row[1]) for i, row in saved.items()}
                gone = {i for i, metadata in said.items() if metadata.get("run_id") in runs}
                _drop(self, (thread, namespace), gone, dry_run=False)

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Shorten conversations to their newest checkpoints, or drop them; as in the database.

        Raises:
            NotImplementedError: A conversation has a delta channel, and cannot be shortened.
        """
        for thread in map(str, thread_ids):
            if strategy == "delete":
                self.delete_thread(thread)
                continue
            rows = _rows(self, thread) if thread in self.storage else []
            if any(row.deltas for row in rows):
                raise NotImplementedError(
                    f"keep_latest can't prune threads that use a DeltaChannel: {thread}"
                )
            for namespace, ids in all_but_heads(rows).items():
                _drop(self, (thread, namespace), ids, dry_run=False)

    def _seen(self, operation: str, config: RunnableConfig) -> AbstractContextManager[None]:
        thread = config["configurable"]["thread_id"]
        return observed(operation, thread, self._metrics, self._clock, kind=SPAN_CHECKPOINT)


def not_carried(memory: InMemorySaver, carried: dict[Place, int]) -> list[Place]:
    """Return the places of checkpoints to carry over, the oldest first, and of threads that went.

    Args:
        memory: Where they are.
        carried: With how many writes those were that are carried over already.
    """
    found = {_place(item.config): len(item.pending_writes or ()) for item in memory.list(None)}
    gone = {place for place in carried if place[0] not in memory.storage}
    new = [place for place, writes in found.items() if carried.get(place) != writes]
    return [*sorted(gone), *reversed(new)]


async def carry_over(
    memory: InMemorySaver,
    places: Iterable[Place],
    carried: dict[Place, int],
    saver: BaseCheckpointSaver[Any],
) -> None:
    """Store checkpoints that are kept in memory, and drop the threads that are not any more.

    Args:
        memory: Where they are.
        places: What to carry over, as `not_carried` says it.
        carried: Is told what was carried over.
        saver: Stores them.

    Raises:
        CheckpointError: The database failed.
    """
    for place in places:
        if place[0] not in memory.storage:
            if place in carried:
                await saver.adelete_thread(place[0])
                for one in [one for one in carried if one[0] == place[0]]:
                    del carried[one]
            continue
        if (item := memory.get_tuple(_config(place))) is None:
            continue  # a prune took it meanwhile
        carried[place] = -1  # of what fails nobody knows whether it was stored
        await _store(item, saver)
        carried[place] = len(item.pending_writes or ())


async def _store(item: CheckpointTuple, saver: BaseCheckpointSaver[Any]) -> None:
    place = dict(item.config["configurable"])
    parent = item.parent_config["configurable"] if item.parent_config else {}
    place["checkpoint_id"] = parent.get("checkpoint_id")
    versions = item.checkpoint["channel_versions"]
    await saver.aput({"configurable": place}, item.checkpoint, item.metadata, versions)
    for task, channel, value in item.pending_writes or ():
        await saver.aput_writes(item.config, [(channel, value)], task)


def _place(config: RunnableConfig) -> Place:
    place = config["configurable"]
    return str(place["thread_id"]), place.get("checkpoint_ns", ""), str(place["checkpoint_id"])


def _config(place: Place) -> RunnableConfig:
    names = ("thread_id", "checkpoint_ns", "checkpoint_id")
    return {"configurable": dict(zip(names, place, strict=True))}


def prune(
    memory: InMemorySaver, policies: Sequence[Policy], *, now: float, dry_run: bool
) -> PruneResult:
    """Drop from memory what a prune drops from the database.

    Args:
        memory: The saver.
        policies: What may go.
        now: The time, in seconds since 1970.
        dry_run: Count, and drop nothing.
    """
    total = PruneResult()
    lost_before = boundary_id(now - LOST_AFTER)
    for thread in list(memory.storage):
        mine = [policy for policy in policies if policy.is_about(thread)]
        rows = _rows(memory, thread)
        if has_aged(rows, mine, now=now):
            spaces = {row.namespace for row in rows}
            dropped = {s: {row.id for row in rows if row.namespace == s} for s in spaces}
        else:
            weights = _weights(memory, thread, rows)
            dropped = doomed(rows, mine, now=now, lost_before=lost_before, weights=weights)
        total += PruneResult(threads=1 if dropped else 0)
        for namespace, ids in dropped.items():
            total += _drop(memory, (thread, namespace), ids, dry_run=dry_run)
        if not any(memory.storage[thread].values()):
            del memory.storage[thread]
    return total


def erase(memory: InMemorySaver, thread: str) -> PruneResult:
    """Drop a conversation from memory, and return what that was."""
    if thread not in memory.storage:
        return PruneResult()
    total = PruneResult(threads=1)
    for namespace, saved in memory.storage[thread].items():
        total += _drop(memory, (thread, namespace), set(saved), dry_run=True)
    memory.delete_thread(thread)
    return total


def _rows(memory: InMemorySaver, thread: str) -> list[Row]:
    rows = []
    for namespace, saved in memory.storage[thread].items():
        for identifier, (kept, said, parent) in saved.items():
            metadata, checkpoint = memory.serde.loads_typed(said), memory.serde.loads_typed(kept)
            root = (metadata.get("parents") or {}).get("")
            versions = checkpoint["channel_versions"]
            sent = {w[1] for w in memory.writes.get((thread, namespace, parent or ""), {}).values()}
            spread = metadata.get("counters_since_delta_snapshot") or ()
            blobs = ((c, memory.blobs.get((thread, namespace, c, v))) for c, v in versions.items())
            holds = {channel for channel, blob in blobs if blob and blob[0] != "empty"}
            rows.append(
                Row(
                    namespace,
                    identifier,
                    parent,
                    checkpoint["v"] < 4 and TASKS in sent,
                    root,
                    frozenset(channel for channel in spread if channel in versions),
                    frozenset(holds),
                )
            )
    return rows


def _weights(memory: InMemorySaver, thread: str, rows: list[Row]) -> list[Weight]:
    weights = []
    for row in rows:
        checkpoint = memory.storage[thread][row.namespace][row.id][0]
        writes = memory.writes.get((thread, row.namespace, row.id), {})
        size = len(checkpoint[1]) + sum(len(value[2][1]) for value in writes.values())
        versions = memory.serde.loads_typed(checkpoint)["channel_versions"]
        blobs = tuple(
            (channel, str(version), len(memory.blobs[thread, row.namespace, channel, version][1]))
            for channel, version in versions.items()
            if (thread, row.namespace, channel, version) in memory.blobs
        )
        weights.append(Weight(row.namespace, row.id, row.root, size, blobs))
    return weights


def _drop(
    memory: InMemorySaver, space: tuple[str, str], ids: set[str], *, dry_run: bool
) -> PruneResult:
    thread, namespace = space
    saved = memory.storage[thread][namespace]
    writes = [key for key in memory.writes if key[:2] == space and key[2] in ids]
    named = {
        pair
        for identifier, (checkpoint, _, _) in saved.items()
        if identifier not in ids
        for pair in memory.serde.loads_typed(checkpoint)["channel_versions"].items()
    }
    blobs = [key for key in memory.blobs if key[:2] == space and key[2:] not in named]
    sizes = [len(value[2][1]) for key in writes for value in memory.writes[key].values()]
    sizes += [len(memory.blobs[blob][1]) for blob in blobs]
    taken = PruneResult(
        checkpoints=len(ids), writes=len(writes), blobs=len(blobs), bytes=sum(sizes)
    )
    if not dry_run:
        for identifier in ids:
            del saved[identifier]
        for identifier, (checkpoint, said, parent) in saved.items():
            if parent in ids:
                saved[identifier] = (checkpoint, said, None)
        for key in writes:
            del memory.writes[key]
        for blob in blobs:
            del memory.blobs[blob]
    return taken
