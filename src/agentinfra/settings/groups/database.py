"""The database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from agentinfra.settings.dsn import DSN
from agentinfra.settings.groups.group import BLANK_IS_NONE, Group
from agentinfra.settings.url import DatabaseUrl

__all__ = ["DatabaseSettings"]


class DatabaseSettings(Group):
    """PostgreSQL with pgvector.

    Attributes:
        enabled: False leaves the database out.
        url: The DSN in any form people paste; None uses the embedded server.
        embedded: False never starts the embedded server.
        data_dir: The embedded server's folder; None is the platform's user data folder, the word
            ``temporary`` a folder that is removed at exit.
        min_size: Connections opened at the start; idle ones are closed after five minutes.
        max_size: Connections at most, for each of the writing and the read-only pool.
        pgbouncer: True for a pgbouncer in transaction mode between us and the server.
        connect_timeout: Seconds a new connection may take.
        acquire_timeout: Seconds to wait for a free connection.
        statement_timeout: Seconds one statement may take.
        row_limit: Rows ``query`` returns at most where the call names no limit.
        byte_limit: Bytes ``query`` returns at most.
    """

    enabled: bool = True
    url: Annotated[DatabaseUrl | None, BLANK_IS_NONE] = None
    embedded: bool = True
    data_dir: Path | None = None
    min_size: int = Field(default=1, ge=0)
    max_size: int = Field(default=10, ge=1)
    pgbouncer: bool = False
    connect_timeout: float = Field(default=5.0, gt=0)
    acquire_timeout: float = Field(default=10.0, gt=0)
    statement_timeout: float = Field(default=30.0, gt=0)
    row_limit: int = Field(default=1000, ge=1)
    byte_limit: int = Field(default=8_000_000, ge=1000)

    @property
    def dsn(self) -> DSN | None:
        """The parsed URL, None when none is set."""
        return None if self.url is None else self.url.dsn
