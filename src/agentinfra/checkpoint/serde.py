"""How state becomes bytes, and what may be made of bytes.

Importing this module imports langgraph.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["WRITTEN", "StrictSerializer", "Written"]


class Written:
    """Counts the bytes one operation serialises."""

    __slots__ = ("bytes",)

    def __init__(self) -> None:
        self.bytes = 0


WRITTEN: ContextVar[Written | None] = ContextVar("agentinfra_checkpoint_written", default=None)
"""Where the running operation counts its bytes; it goes along into the saver's threads."""


class StrictSerializer(JsonPlusSerializer):
    """LangGraph's serialiser with an allow-list.

    As it comes, it imports and calls whatever the bytes name, which makes everybody who can
    write to the database able to run code here. This one rebuilds LangGraph's list of harmless
    types and the given ones; any other value comes back as the data it was made of, with a
    warning in the log.

    Args:
        types: Your own types that may be rebuilt.
    """

    def __init__(self, types: Iterable[type] = ()) -> None:
        super().__init__(allowed_msgpack_modules=tuple(types) or None)

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """Return a value's kind and bytes."""
        kind, data = super().dumps_typed(obj)
        if (written := WRITTEN.get()) is not None:
            written.bytes += len(data)
        return kind, data
