"""Between LangGraph's values and the columns of its tables.

Importing this module imports langgraph.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    CheckpointTuple,
    get_checkpoint_id,
    get_serializable_checkpoint_metadata,
    writes_sort_key,
)
from langgraph.checkpoint.serde.types import TASKS, _DeltaSnapshot

from agentinfra.checkpoint.cipher import opened
from agentinfra.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata
    from langgraph.checkpoint.serde.base import SerializerProtocol

    from agentinfra.checkpoint.cipher import Sealed

__all__ = ["Put", "Writes", "conditions", "is_large", "large_of", "read", "row_size", "with_pieces"]

_LARGE = 16_384
_GLANCE = 200
_MAX_INT = 2**63


@dataclass(slots=True, kw_only=True)
class Put:
    """A checkpoint on its way to the tables.

    Attributes:
        sealed: What seals metadata; then no value is in the checkpoint's own row.
        blobs: Values with a row of their own that are written, by channel.
        kept: Values with a row of their own that should be there already, by channel.
        inline: Everything else, which is in the checkpoint's own row.
    """

    config: RunnableConfig
    checkpoint: Checkpoint
    metadata: CheckpointMetadata
    sealed: Sealed | None = None
    blobs: dict[str, Any] = field(default_factory=dict)
    kept: dict[str, Any] = field(default_factory=dict)
    inline: dict[str, Any] = field(default_factory=dict)

    def sort(self, changed: ChannelVersions) -> None:
        """Say for each value where it goes."""
        versions = self.checkpoint["channel_versions"]
        for channel, value in self.checkpoint["channel_values"].items():
            if isinstance(value, _DeltaSnapshot):
                self.inline[channel] = True  # the mark of a snapshot, which is the blob
            elif self.sealed is None and _fits_json(value):
                self.inline[channel] = value
                continue
            elif channel not in versions and channel not in changed:
                if value is None or isinstance(value, str | int | float):
                    raise CheckpointError(
                        f"channel {channel!r} has no version, and its value cannot be stored "
                        "without one"
                    )
                continue
            (self.blobs if channel in changed else self.kept)[channel] = value

    def restore(self, channels: Iterable[str]) -> None:
        """Write values again that are gone from the tables."""
        for channel in channels:
            self.blobs[channel] = self.kept.pop(channel)

    def columns(self, serde: SerializerProtocol, changed: ChannelVersions) -> tuple[Any, ...]:
        """Return the statement's arguments.

        Raises:
            CheckpointError: A value cannot be stored; the message names its channel.
        """
        configurable = self.config["configurable"]
        versions = {**self.checkpoint["channel_versions"], **changed}
        packed = [_dumps(serde, channel, value) for channel, value in self.blobs.items()]
        metadata: Any = get_serializable_checkpoint_metadata(self.config, self.metadata)
        if self.sealed is not None:
            metadata = self.sealed.fields(metadata)
        return (
            str(configurable["thread_id"]),
            configurable.get("checkpoint_ns", ""),
            self.checkpoint["id"],
            configurable.get("checkpoint_id"),
            _json("checkpoint", {**self.checkpoint, "channel_values": self.inline}),
            _json("metadata", metadata),
            (self.metadata.get("parents") or {}).get(""),
            list(self.kept),
            [str(versions[channel]) for channel in self.kept],
            list(self.blobs),
            [str(versions[channel]) for channel in self.blobs],
            [kind for kind, _ in packed],
            [data for _, data in packed],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Writes:
    """What a task wrote, on its way to the tables."""

    config: RunnableConfig
    writes: Sequence[tuple[str, Any]]
    task_id: str
    task_path: str

    @property
    def replace(self) -> bool:
        """Whether they take the place of what is there: errors, interrupts and the like."""
        return all(channel in WRITES_IDX_MAP for channel, _ in self.writes)

    def columns(self, serde: SerializerProtocol) -> tuple[Any, ...]:
        """Return the statement's arguments.

        Raises:
            CheckpointError: A value cannot be stored; the message names its channel.
        """
        rows: dict[int, tuple[str, str, bytes]] = {}
        for position, (channel, value) in enumerate(self.writes):
            index = WRITES_IDX_MAP.get(channel, position)
            if self.replace or index not in rows:
                rows[index] = (channel, *_dumps(serde, channel, value))
        configurable = self.config["configurable"]
        return (
            str(configurable["thread_id"]),
            configurable.get("checkpoint_ns", ""),
            configurable["checkpoint_id"],
            self.task_id,
            self.task_path,
            list(rows),
            *([row[column] for row in rows.values()] for column in range(3)),
        )


def read(
    serde: SerializerProtocol, next_version: Any, sealed: Sealed | None, row: Mapping[str, Any]
) -> CheckpointTuple:
    """Return the checkpoint a row holds.

    Raises:
        CheckpointError: It is sealed, and cannot be opened.
    """
    checkpoint = json.loads(row["checkpoint"])
    values = dict(checkpoint.get("channel_values") or {})
    for channel, kind, blob, _ in row["blobs"] or ():
        if kind != "empty":
            whole = b"".join(blob) if isinstance(blob, list) else blob
            values[channel] = serde.loads_typed((kind, whole))
    if row["sends"]:
        values[TASKS] = [serde.loads_typed((kind, blob)) for kind, blob in row["sends"]]
        versions = checkpoint["channel_versions"]
        versions[TASKS] = max(versions.values()) if versions else next_version(None, None)
    writes = sorted(row["writes"] or (), key=lambda w: writes_sort_key(w[0], w[1], w[2]))
    place = {"thread_id": row["thread_id"], "checkpoint_ns": row["checkpoint_ns"]}
    parent = row["parent_checkpoint_id"]
    return CheckpointTuple(
        {"configurable": {**place, "checkpoint_id": row["checkpoint_id"]}},
        cast("Checkpoint", {**checkpoint, "channel_values": values}),
        cast("CheckpointMetadata", opened(json.loads(row["metadata"]), sealed)),
        {"configurable": {**place, "checkpoint_id": parent}} if parent else None,
        [
            (task, channel, serde.loads_typed((kind, blob)))
            for _, task, _, channel, kind, blob in writes
        ],
    )


def conditions(
    config: RunnableConfig | None,
    metadata: dict[str, Any] | None,
    before: RunnableConfig | None,
) -> tuple[list[str], list[Any]]:
    """Return what a search asks of checkpoints, and the arguments."""
    wheres: list[str] = []
    args: list[Any] = []

    def where(condition: str, value: Any) -> None:
        args.append(value)
        wheres.append(condition.format(f"${len(args)}"))

    if config:
        place = config["configurable"]
        where("c.thread_id = {}", str(place["thread_id"]))
        if (namespace := place.get("checkpoint_ns")) is not None:
            where("c.checkpoint_ns = {}", namespace)
        if checkpoint_id := get_checkpoint_id(config):
            where("c.checkpoint_id = {}", checkpoint_id)
    if metadata:
        where("c.metadata @> {}::text::jsonb", json.dumps(metadata))
    if before is not None:
        where("c.checkpoint_id < {}", get_checkpoint_id(before))
    return wheres, args


def large_of(row: Mapping[str, Any]) -> dict[str, str]:
    """Return the versions of the values that are not in the row, by channel."""
    return {channel: version for channel, _, _, version in row["blobs"] or () if version}


def with_pieces(row: Mapping[str, Any], pieces: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a row with the values it lacks, in pieces."""
    found: dict[str, dict[int, bytes]] = {}
    for piece in pieces:
        found.setdefault(piece["channel"], {})[piece["number"]] = piece["piece"]
    blobs = [
        (channel, kind, [found[channel][n] for n in sorted(found[channel])], version)
        if version
        else (channel, kind, blob, version)
        for channel, kind, blob, version in row["blobs"]
    ]
    return {**row, "blobs": blobs}


def row_size(row: Mapping[str, Any]) -> int:
    """Return about how many bytes have to be decoded."""
    blobs = sum(
        sum(map(len, blob)) if isinstance(blob, list) else len(blob or b"")
        for _, _, blob, _ in row["blobs"] or ()
    )
    return blobs + sum(len(w[5]) for w in row["writes"] or ()) + len(row["checkpoint"])


def is_large(values: Iterable[Any]) -> bool:
    """Say at a glance whether encoding may take long enough to be felt by others."""
    size, seen, left = 0, 0, list(values)
    while left:
        value = left.pop()
        seen += 1
        if isinstance(value, str | bytes | bytearray):
            size += len(value)
        elif isinstance(value, dict):
            left.extend(value.values())
        elif isinstance(value, list | tuple | set | frozenset):
            left.extend(value)
        elif value is not None and not isinstance(value, int | float):
            size += 256  # an object: how much hangs on it is not looked at
            left.extend(vars(value).values() if hasattr(value, "__dict__") else ())
        if size > _LARGE or seen + len(left) > _GLANCE:
            return True
    return False


def _fits_json(value: Any) -> bool:
    """Return whether PostgreSQL's JSON gives a value back as it was."""
    kind = type(value)
    if value is None or kind is bool:
        return True
    if kind is int:
        return bool(-_MAX_INT <= value < _MAX_INT)
    if kind is float:
        # Numbers are decimals there: 1e300 would come back as an integer of 301 digits.
        return (
            math.isfinite(value)
            and "e+" not in repr(value)
            and (value != 0 or repr(value) == "0.0")
        )
    return kind is str and "\x00" not in value and (value.isascii() or not _has_halves(value))


def _has_halves(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _dumps(serde: SerializerProtocol, channel: str, value: Any) -> tuple[str, bytes]:
    try:
        return serde.dumps_typed(value)
    except CheckpointError as error:
        raise CheckpointError(f"the value of channel {channel!r}: {error}") from error.__cause__


def _json(what: str, value: Any) -> str:
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"the {what} cannot be stored as JSON: {error}") from error
