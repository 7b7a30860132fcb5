"""Services: addresses by name, in libpq's ``pg_service.conf``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from configparser import ConfigParser, Error
from pathlib import Path

from agentinfra.errors import ConfigurationError

__all__ = ["service_parameters"]

_SYSTEM = ("/etc/postgresql-common", "/etc")


def service_parameters(name: str) -> dict[str, str]:
    """Return the connection parameters of a service, from the first file that has it.

    Files are those libpq reads: ``PGSERVICEFILE`` or ``~/.pg_service.conf``, then the system's.

    Raises:
        ConfigurationError: No file has it, or one cannot be read.
    """
    for file in _files():
        sections = ConfigParser(
            delimiters="=", comment_prefixes="#", interpolation=None, strict=False
        )
        try:
            sections.read(file, encoding="utf-8")
        except (Error, ValueError, OSError) as error:
            raise ConfigurationError(f"{file} cannot be read: {type(error).__name__}") from None
        if sections.has_section(name):
            return dict(sections.items(name))
    raise ConfigurationError(
        f"there is no service {name!r} in pg_service.conf: add it, or name the file that has it "
        "in PGSERVICEFILE"
    )


def _files() -> Iterator[Path]:
    own = os.environ.get("PGSERVICEFILE")
    yield Path(own) if own else Path("~/.pg_service.conf").expanduser()
    folder = os.environ.get("PGSYSCONFDIR")
    for each in (folder,) if folder else _SYSTEM:
        yield Path(each, "pg_service.conf")
