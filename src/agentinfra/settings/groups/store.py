"""The long-term store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field

from agentinfra.settings.groups.group import Group
from agentinfra.settings.secret import Secret

if TYPE_CHECKING:
    from agentinfra.settings.groups.checkpointer import CheckpointerSettings

__all__ = ["StoreSettings"]


class StoreSettings(Group):
    """LangGraph's long-term store.

    Attributes:
        enabled: False gives graphs no store; None is as the checkpointer.
        backend: ``postgres``, or ``memory`` for a store that dies with the process; None is as the
            checkpointer.
        dimensions: Length of the vectors by which items are searched; None makes no vectors.
        embedding_model: The model that makes them; None is the configured one.
        fields: Paths of what is embedded of an item; ``$`` is all of it.
        ttl: Seconds an item lives that is stored without a time of its own; None for ever.
        refresh_on_read: Whether reading an item lets it live as long again.
        encryption_keys: Keys under which items are sealed in the database, as the checkpointer's;
            None are those, an empty list seals nothing.
        plain_fields: Names of an item's own fields that are not sealed, and can be filtered.
        max_size: Connections at most, of the database's.
        timeout: Seconds an operation may take, its wait for a connection included.
    """

    enabled: bool | None = None
    backend: Literal["postgres", "memory"] | None = None
    dimensions: int | None = Field(default=None, ge=1, le=16_000)
    embedding_model: str | None = None
    fields: tuple[str, ...] = ("$",)
    ttl: float | None = Field(default=None, ge=60)
    refresh_on_read: bool = True
    encryption_keys: tuple[Secret, ...] | None = None
    plain_fields: tuple[str, ...] = ()
    max_size: int = Field(default=8, ge=1)
    timeout: float = Field(default=10.0, gt=0)

    def beside(self, checkpointer: CheckpointerSettings) -> Self:
        """Return the settings with what is as the checkpointer's taken from there."""
        enabled = checkpointer.enabled if self.enabled is None else self.enabled
        backend = self.backend or checkpointer.backend
        keys = self.encryption_keys
        keys = checkpointer.encryption_keys if keys is None else keys
        return self.model_copy(
            update={"enabled": enabled, "backend": backend, "encryption_keys": keys}
        )
