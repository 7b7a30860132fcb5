"""The runtime's own life."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from agentinfra.settings.groups.group import Group

__all__ = ["RuntimeSettings"]


class RuntimeSettings(Group):
    """The runtime's own life.

    Attributes:
        start_timeout: Seconds each resource may take to start.
        stop_timeout: Seconds leaving may take in all: running work gets three fifths, closing the
            rest.
        serve: ``host:port`` where /livez, /readyz and /metrics are served; None serves nothing.
        required: Resources without which entering fails, instead of going on degraded.
    """

    start_timeout: float = Field(default=30.0, gt=0)
    stop_timeout: float = Field(default=10.0, gt=0)
    serve: str | None = None
    required: tuple[
        Literal["llm", "database", "cache", "checkpointer", "logging", "metrics", "tracing"], ...
    ] = ()

    @field_validator("serve")
    @classmethod
    def _is_an_address(cls, value: str | None) -> str | None:
        if not value:
            return None
        host, _, port = value.rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65535:
            raise ValueError("must be host:port, as in 127.0.0.1:9464")
        return value
