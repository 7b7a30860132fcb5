"""The checkpointer."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from agentinfra.settings.groups.group import Group

__all__ = ["CheckpointerSettings"]


class CheckpointerSettings(Group):
    """The LangGraph checkpointer.

    Attributes:
        enabled: False gives graphs a saver that keeps nothing.
        backend: ``postgres``, or ``memory`` for a saver that dies with the process.
        retention_days: Age at which ``prune`` drops a conversation; None keeps all.
        keep_last: Checkpoints a conversation keeps when pruned.
        checkpoint_days: Age at which ``prune`` drops a single checkpoint; None keeps all.
        keep_bytes: Bytes a conversation keeps when pruned; None counts none.
        prune_every: Seconds between two prunes in the background, by one process of all, where
            one of these four is set; None prunes only when asked.
        max_size: Connections at most, of the database's.
        timeout: Seconds an operation may take, its wait for a connection included.
    """

    enabled: bool = True
    backend: Literal["postgres", "memory"] = "postgres"
    retention_days: float | None = Field(default=None, gt=0)
    keep_last: int = Field(default=1, ge=1)
    checkpoint_days: float | None = Field(default=None, gt=0)
    keep_bytes: int | None = Field(default=None, ge=1)
    prune_every: float | None = Field(default=3600.0, gt=0)
    max_size: int = Field(default=8, ge=1)
    timeout: float = Field(default=10.0, gt=0)
