"""How the database is found: at an address as it is meant here, or on a server of our own."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from agentinfra._mechanics.vendors import MissingPackageError, load
from agentinfra.db.embedded import EmbeddedPostgres
from agentinfra.db.guard import load_parser
from agentinfra.errors import ConfigurationError
from agentinfra.observability.logging import get_logger
from agentinfra.settings.dsn import DSN

if TYPE_CHECKING:
    from agentinfra.protocols import Address
    from agentinfra.settings import DatabaseSettings

__all__ = ["Route", "missing_packages", "parsed"]

_log = get_logger("agentinfra.database")


class Route:
    """The way to the server.

    Args:
        settings: Whether there may be an embedded server, and where.
        url: The address that goes before the settings', or what says it; without either it is
            an embedded server of our own.

    Raises:
        ConfigurationError: The address cannot be understood.
    """

    def __init__(self, settings: DatabaseSettings, url: str | Address | None) -> None:
        self._settings = settings
        self._ask = None if isinstance(url, str) else url
        self._known = parsed(url) if isinstance(url, str) else settings.dsn
        self._server: EmbeddedPostgres | None = None

    async def find(self) -> DSN:
        """Find the server; start it when it is ours.

        Raises:
            ConfigurationError: There is neither an address nor an embedded server.
            MissingPackageError: The embedded server is not installed.
            DatabaseError: It does not start.
        """
        given = await self._given()
        if given is not None:
            if given.dropped:
                _log.info("database.url_keys_ignored", keys=given.dropped)
            return await _meant_here(given)
        if not self._settings.embedded:
            raise ConfigurationError(
                "there is no database: set DATABASE_URL, or AGENTINFRA_DATABASE__EMBEDDED=true"
            )
        return (await self._embedded(self._settings.data_dir)).dsn

    async def revive(self, data_dir: str) -> None:
        """Start an embedded server again that died, whoever started it first.

        Args:
            data_dir: Its folder; empty for any other server, which is its owner's affair.

        Raises:
            DatabaseError: It does not start.
        """
        if self._server is not None:
            await self._server.revive()
        elif data_dir:
            await self._embedded(Path(data_dir))

    async def close(self) -> None:
        """Stop our own server, unless others use it."""
        server, self._server = self._server, None
        if server is not None:
            await server.aclose()

    async def _given(self) -> DSN | None:
        return self._known if self._ask is None else parsed(await self._ask())

    async def _embedded(self, data_dir: Path | None) -> EmbeddedPostgres:
        server = EmbeddedPostgres(data_dir)
        await server.__aenter__()
        self._server = server
        return server


async def _meant_here(given: DSN) -> DSN:
    """Return the address with names of containers replaced where they mean nothing."""
    resolves: dict[str, bool] = {}
    given.for_this_host(lambda name: resolves.setdefault(name, False))  # which names matter
    for name in resolves:
        resolves[name] = await _resolves(name)
    dsn = given.for_this_host(resolves.__getitem__)
    if dsn != given:
        _log.info("database.host_replaced", given=str(given), used=str(dsn))
    return dsn


async def _resolves(name: str) -> bool:
    try:
        await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return True


def parsed(url: str) -> DSN:
    """Return an address as it is understood.

    Raises:
        ConfigurationError: It cannot be.
    """
    try:
        return DSN.parse(url)
    except ValueError as error:
        raise ConfigurationError(f"the database's URL cannot be used: it {error}") from None


def missing_packages() -> str:
    """Return what to install for what works without it but in part; empty when nothing lacks."""
    try:
        load_parser()
        load("pgvector.asyncpg")
    except MissingPackageError as error:
        return str(error)
    return ""
