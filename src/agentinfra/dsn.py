"""The address of a database in the forms people paste; see `agentinfra.settings.dsn`."""

from __future__ import annotations

from agentinfra.settings.dsn import DSN

__all__ = ["DSN"]
