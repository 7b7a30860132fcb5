"""The database."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from agentinfra.settings.dsn import DSN
from agentinfra.settings.groups.group import BLANK_IS_NONE, Group
from agentinfra.settings.url import DatabaseUrl

__all__ = ["DatabaseSettings"]


def _entries(value: tuple[str, ...], *, parts: int) -> tuple[str, ...]:
    for entry in value:
        names = entry.split(".")
        if len(names) > parts or not all(names):
            form = "schema, schema.table or schema.table.column"[: 24 if parts == 2 else None]
            raise ValueError(f"{entry!r} has to be {form}")
    return value


with warnings.catch_warnings():
    # pydantic still has a deprecated method of that name, which nobody calls here.
    warnings.filterwarnings("ignore", message='Field name "schema"')

    class DatabaseSettings(Group):
        """PostgreSQL with pgvector.

        Attributes:
            enabled: False leaves the database out.
            url: The DSN in any form people paste; None uses the embedded server.
            embedded: False never starts the embedded server.
            data_dir: The embedded server's folder; None is the platform's user data folder, the
                word ``temporary`` a folder that is removed at exit.
            min_size: Connections opened at the start; idle ones are closed after five minutes.
            max_size: Connections at most, for each of the writing and the read-only pool.
            pgbouncer: True for a pgbouncer in transaction mode between us and the server.
            connect_timeout: Seconds a new connection may take.
            acquire_timeout: Seconds to wait for a free connection.
            statement_timeout: Seconds one statement may take.
            schema: The schema of our own tables. None is ``agentinfra`` where that can be made,
                else the first schema on the search path that the user may make tables in.
            readable: What ``query`` may read (``schema`` or ``schema.table``); None is everything
                that is not hidden.
            hidden: What it may not: ``schema``, ``schema.table`` or ``schema.table.column``.
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
        schema: str | None = Field(default=None, min_length=1, max_length=63)  # type: ignore[assignment]
        readable: tuple[str, ...] | None = None
        hidden: tuple[str, ...] = ()
        connect_timeout: float = Field(default=5.0, gt=0)
        acquire_timeout: float = Field(default=10.0, gt=0)
        statement_timeout: float = Field(default=30.0, gt=0)
        row_limit: int = Field(default=1000, ge=1)
        byte_limit: int = Field(default=8_000_000, ge=1000)

        @field_validator("schema")
        @classmethod
        def _is_a_schema(cls, value: str | None) -> str | None:
            if value is not None and value.startswith("pg_"):
                raise ValueError("a schema's name cannot begin with pg_: PostgreSQL keeps those")
            return value

        @field_validator("readable")
        @classmethod
        def _has_no_columns(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
            return value if value is None else _entries(value, parts=2)

        @field_validator("hidden")
        @classmethod
        def _may_have_columns(cls, value: tuple[str, ...]) -> tuple[str, ...]:
            return _entries(value, parts=3)

        @model_validator(mode="after")
        def _says_it_once(self) -> Self:
            """``?pgbouncer=true`` in the URL and the setting are one thing."""
            if self.dsn is not None and self.dsn.pgbouncer:
                object.__setattr__(self, "pgbouncer", True)
            return self

        @property
        def dsn(self) -> DSN | None:
            """The parsed URL, None when none is set."""
            return None if self.url is None else self.url.dsn
