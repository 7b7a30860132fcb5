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
        max_size: Connections at most.
    """

    enabled: bool = True
    backend: Literal["postgres", "memory"] = "postgres"
    retention_days: float | None = Field(default=None, gt=0)
    keep_last: int = Field(default=1, ge=1)
    max_size: int = Field(default=4, ge=1)
