"""Where a database is and how to log in, in the words of each driver."""

from __future__ import annotations

import dataclasses
import math
import re
import ssl
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from agentinfra.errors import ConfigurationError
from agentinfra.settings.dsn.parts import Host, classified, parts_of
from agentinfra.settings.dsn.reading import read
from agentinfra.settings.dsn.service import service_parameters
from agentinfra.settings.dsn.words import BOTH, LIBPQ, SERVER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["DSN"]

DEFAULT_PORT = 5432

_DOCKER_FALLBACKS = ("host.docker.internal", "localhost")


@dataclass(frozen=True, slots=True, kw_only=True)
class DSN:
    """Where a database is and how to log in.

    Attributes:
        hosts: Hosts in the order they are tried; empty for the driver's default.
        user: The role; None for the driver's default.
        password: Its password, never in ``repr`` or ``str``.
        database: The database; None for the driver's default.
        params: Connection parameters and server settings, in libpq's names.
        dropped: Query keys that mean nothing here (another driver's pool size ...).
    """

    hosts: tuple[Host, ...] = ()
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    database: str | None = None
    params: Mapping[str, str] = field(
        default_factory=lambda: MappingProxyType({}), repr=False, hash=False
    )
    dropped: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Take an address apart.

        Args:
            text: ``postgresql://user:password@host:port/database?key=value`` in any of its
                dialects, libpq's ``key=value`` string, or either in a ``psql`` command; see
                ``docs/reference/database.md``.

        Raises:
            ValueError: It cannot be understood, or could mean two servers. The message never
                repeats the text, for it may hold a password.
        """
        return cls(**read(text))

    def __str__(self) -> str:
        return self.masked()

    @property
    def pgbouncer(self) -> bool:
        """Whether the address says that a pgbouncer is in between (``?pgbouncer=true``)."""
        return self.params.get("pgbouncer", "").lower() in ("true", "1", "yes", "on")

    @property
    def connect_timeout(self) -> float | None:
        """Seconds a connection may take to open, None where the address does not say."""
        return float(self.params.get("connect_timeout", 0)) or None

    def replace(self, **changes: Any) -> DSN:
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def with_host(self, host: str, port: int | None = None) -> DSN:
        """Return a copy for one other host."""
        params = {key: value for key, value in self.params.items() if key != "hostaddr"}
        return self.replace(hosts=((host, port),), params=MappingProxyType(params))

    def with_service(self) -> DSN:
        """Return a copy that says itself what the service it names says; this reads a file.

        asyncpg, which is left to look for a service that there is not, goes to the local server.

        Raises:
            ConfigurationError: There is no such service, or it cannot be understood.
        """
        params = dict(self.params)
        name = params.pop("service", "")
        if not name:
            return self
        try:
            found = DSN(**parts_of(*classified(service_parameters(name).items())))
        except ValueError as error:
            raise ConfigurationError(f"the service {name!r} {error}") from None
        return found.replace(
            hosts=self.hosts or found.hosts,
            user=self.user or found.user,
            password=self.password or found.password,
            database=self.database or found.database,
            params=MappingProxyType({**found.params, **params}),
        )

    def for_this_host(self, resolve: Callable[[str], bool]) -> DSN:
        """Return a copy whose container names are replaced where they mean nothing.

        Outside of its network, a container's name (``db``) does not resolve; its published port
        is reached at ``host.docker.internal`` or at ``localhost``. Names with a dot, addresses
        and folders stay as they are.

        Args:
            resolve: Whether a name can be resolved here. It may block: call this in a thread.
        """
        if "hostaddr" in self.params:  # nothing has to be resolved
            return self
        return self.replace(
            hosts=tuple((_reachable(host, resolve), port) for host, port in self.hosts)
        )

    def asyncpg_kwargs(self) -> dict[str, Any]:
        """Return the arguments for ``asyncpg.connect`` and ``asyncpg.create_pool``.

        Raises:
            ConfigurationError: The address names a service that there is not.
        """
        if "service" in self.params:
            return self.with_service().asyncpg_kwargs()
        known = {key: value for key, value in self.params.items() if key in BOTH}
        kwargs: dict[str, Any] = {}
        if known.get("sslrootcert") == "system":  # asyncpg takes the word for a file's name
            del known["sslrootcert"]
            kwargs["ssl"] = ssl.create_default_context()
        if known:
            # Some are not arguments of asyncpg.connect: only a DSN can carry them.
            kwargs["dsn"] = "postgresql://?" + _query(known)
        if self.hosts:
            addresses = self.params.get("hostaddr")  # where the hosts are, for drivers that ask
            names = [host for host, _ in self.hosts]
            kwargs["host"] = addresses.split(",") if addresses else names
            kwargs["port"] = [port or DEFAULT_PORT for _, port in self.hosts]
        for key in ("user", "password", "database"):
            if (value := getattr(self, key)) is not None:
                kwargs[key] = value
        if self.connect_timeout is not None:
            kwargs["timeout"] = self.connect_timeout
        if settings := self._server_settings():
            kwargs["server_settings"] = settings
        return kwargs

    def psycopg_conninfo(self) -> str:
        """Return the connection string for psycopg, in libpq's ``key='value'`` form."""
        parts = {key: value for key, value in self.params.items() if key in LIBPQ}
        if self.hosts:
            parts["host"] = ",".join(host for host, _ in self.hosts)
            parts["port"] = ",".join(str(port or DEFAULT_PORT) for _, port in self.hosts)
        login = {"user": self.user, "password": self.password, "dbname": self.database}
        parts |= {key: value for key, value in login.items() if value is not None}
        if self.connect_timeout is not None:
            parts["connect_timeout"] = str(math.ceil(self.connect_timeout))
        settings = self._server_settings()
        options = [settings.pop("options", "")]
        options += [f"-c {key}={_option(value)}" for key, value in settings.items()]
        if any(options):
            parts["options"] = " ".join(filter(None, options))
        return " ".join(f"{key}={_conninfo(value)}" for key, value in parts.items())

    def masked(self) -> str:
        """Return the address for people and logs: without the password."""
        login = quote(self.user or "") + (":***" if self.password else "")
        hosts = ",".join(
            _shown(host) + (f":{port}" if port else "")
            for host, port in self.hosts
            if not host.startswith("/")
        )
        shown = dict(self.params)
        if "sslpassword" in shown:
            shown["sslpassword"] = "***"
        folders = [host for host, _ in self.hosts if host.startswith("/")]
        if folders:
            shown["host"] = ",".join(folders)
        where = f"{login}@{hosts}" if login else hosts
        tail = "?" + _query(shown) if shown else ""
        return f"postgresql://{where}/{quote(self.database or '')}{tail}"

    def _server_settings(self) -> dict[str, str]:
        return {key: value for key, value in self.params.items() if key in SERVER or "." in key}


def _reachable(host: str, resolve: Callable[[str], bool]) -> str:
    if host == "localhost" or re.search(r"[./:]", host) or resolve(host):
        return host
    return next((name for name in _DOCKER_FALLBACKS if resolve(name)), host)


def _query(params: Mapping[str, str]) -> str:
    return "&".join(f"{key}={quote(value, safe='/,*')}" for key, value in params.items())


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _option(value: str) -> str:
    return re.sub(r"([\\ ])", r"\\\1", value)


def _conninfo(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
