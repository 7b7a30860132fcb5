"""The checkpointer."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from agentinfra.settings.groups.group import Group
from agentinfra.settings.secret import Secret

__all__ = ["CheckpointerSettings"]

_TYPE = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*[.:][A-Za-z_]\w*$"
"""A module and a name in it."""


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
        allowed_types: Your own types that state may contain, as ``shop.models.Ticket``, beside
            those that the schemas of graphs name.
        encryption_keys: Keys under which state is sealed in the database: the first seals, the
            others open what they have sealed before. 32 bytes each, as base64.
        plain_metadata: Names in the metadata of runs that are not sealed, and can be searched.
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
    allowed_types: tuple[Annotated[str, Field(pattern=_TYPE)], ...] = ()
    encryption_keys: tuple[Secret, ...] = ()
    plain_metadata: tuple[str, ...] = ()
    max_size: int = Field(default=8, ge=1)
    timeout: float = Field(default=10.0, gt=0)
