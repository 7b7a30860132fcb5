"""A PostgreSQL of our own, from a wheel: started, shared by processes, stopped with the last."""

from __future__ import annotations

from agentinfra.db.embedded.postgres import TEMPORARY, EmbeddedPostgres

__all__ = ["TEMPORARY", "EmbeddedPostgres"]
