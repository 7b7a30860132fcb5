"""A database of its own for a checkpointer without a runtime: composition, as a runtime does it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentinfra.db.database import Database
from agentinfra.settings import DatabaseSettings

if TYPE_CHECKING:
    from agentinfra.observability.metrics import Metrics

__all__ = ["Database", "own_database"]


def own_database(url: str, *, size: int, connect_timeout: float, metrics: Metrics) -> Database:
    """Return a database that nobody has entered yet.

    Raises:
        ConfigurationError: The URL cannot be understood; the message does not repeat it.
    """
    settings = DatabaseSettings(
        embedded=False, min_size=0, max_size=size, connect_timeout=connect_timeout
    )
    return Database(settings, url=url, metrics=metrics)
