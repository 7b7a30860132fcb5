"""PostgreSQL addresses in every form people paste, taken apart once.

asyncpg and libpq read the same URL differently: one takes unknown query keys for server settings,
the other refuses them, and an unescaped ``@`` in the password moves the host. So the text is
parsed here, and each driver is given the parts in its own words.
"""

from __future__ import annotations

import dataclasses
import math
import re
import ssl
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self, TypeAlias
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["DSN", "Host"]

Host: TypeAlias = tuple[str, int | None]
"""A host and its port, None for the default port. A host that starts with ``/`` is a folder."""

DEFAULT_PORT = 5432

_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_SESSIONS = ("any", "read-write", "read-only", "primary", "standby", "prefer-standby")
_SSL_WORDS = {
    **dict.fromkeys(("true", "1", "yes", "on", "no-verify"), "require"),
    **dict.fromkeys(("false", "0", "no", "off"), "disable"),
}

_ALIASES = {
    "ssl": "sslmode",
    "ssl_mode": "sslmode",
    "timeout": "connect_timeout",
    "schema": "search_path",
    "currentschema": "search_path",
    "applicationname": "application_name",
    "database": "dbname",
    "username": "user",
}
"""Keys of SQLAlchemy, Prisma, JDBC and others, and libpq's name for the same thing."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_BOTH = _words("""
    sslmode sslrootcert sslcert sslkey sslcrl sslpassword sslnegotiation ssl_min_protocol_version
    ssl_max_protocol_version target_session_attrs passfile service krbsrvname gsslib
""")
"""Connection parameters asyncpg and libpq both know."""

_LIBPQ = _BOTH | _words("""
    channel_binding gssencmode gssdelegation require_auth load_balance_hosts hostaddr sslsni
    sslcertmode sslcompression keepalives keepalives_idle keepalives_interval keepalives_count
    tcp_user_timeout
""")

_SERVER = _words("""
    application_name options search_path timezone datestyle intervalstyle statement_timeout
    lock_timeout transaction_timeout idle_session_timeout idle_in_transaction_session_timeout
    default_transaction_read_only default_transaction_isolation default_transaction_deferrable
    client_min_messages extra_float_digits work_mem jit row_security role
""")
"""Server settings people put into URLs; besides, every name with a dot is one."""

_KEPT = _LIBPQ | _SERVER | _words("host port user password dbname connect_timeout pgbouncer")

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
                dialects; see ``docs/reference/database.md``.

        Raises:
            ValueError: It cannot be understood. The message never repeats the text, for it may
                hold a password.
        """
        login, hosts, database, query = _split(_without_scheme(text))
        user, _, password = login.partition(":")
        params, dropped = _classified(query)
        listed = _hosts(params.pop("host", "") or hosts, params.pop("port", ""))
        return cls(
            hosts=listed,
            user=params.pop("user", None) or _decoded(user) or None,
            password=params.pop("password", None) or _decoded(password) or None,
            database=params.pop("dbname", None) or _decoded(database.strip("/")) or None,
            params=MappingProxyType(params),
            dropped=dropped,
        )

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
        return self.replace(hosts=((host, port),))

    def for_this_host(self, resolve: Callable[[str], bool]) -> DSN:
        """Return a copy whose container names are replaced where they mean nothing.

        Outside of its network, a container's name (``db``) does not resolve; its published port
        is reached at ``host.docker.internal`` or at ``localhost``. Names with a dot, addresses
        and folders stay as they are.

        Args:
            resolve: Whether a name can be resolved here. It may block: call this in a thread.
        """
        return self.replace(
            hosts=tuple((_reachable(host, resolve), port) for host, port in self.hosts)
        )

    def asyncpg_kwargs(self) -> dict[str, Any]:
        """Return the arguments for ``asyncpg.connect`` and ``asyncpg.create_pool``."""
        known = {key: value for key, value in self.params.items() if key in _BOTH}
        kwargs: dict[str, Any] = {}
        if known.get("sslrootcert") == "system":  # asyncpg takes the word for a file's name
            del known["sslrootcert"]
            kwargs["ssl"] = ssl.create_default_context()
        if known:
            # Some are not arguments of asyncpg.connect: only a DSN can carry them.
            kwargs["dsn"] = "postgresql://?" + _query(known)
        if self.hosts:
            kwargs["host"] = [host for host, _ in self.hosts]
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
        parts = {key: value for key, value in self.params.items() if key in _LIBPQ}
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
        return {key: value for key, value in self.params.items() if key in _SERVER or "." in key}


def _without_scheme(text: str) -> str:
    bare = text.strip().strip("\"'").removeprefix("jdbc:")
    scheme, separator, rest = bare.partition("://")
    if not separator:
        raise ValueError("must look like postgresql://user:password@host:port/database")
    if not re.fullmatch(r"postgres(ql)?(\+\w+)?", scheme, re.IGNORECASE):
        raise ValueError("must start with postgresql:// or postgres://")
    return rest


def _split(rest: str) -> tuple[str, str, str, str]:
    """Cut into login, hosts, path and query; the last ``@`` before the path ends the login."""
    head, _, tail = rest.partition("?")
    at = head.rfind("@")
    if at < 0 and (odd := re.match(r"[^=&]*@", tail)):
        # No key=value in front of an @: the question mark belongs to the password.
        at = len(head) + odd.end()
    login, place = (rest[:at], rest[at + 1 :]) if at >= 0 else ("", rest)
    where, _, query = place.partition("?")
    hosts, _, path = where.partition("/")
    return login, hosts, path, query


def _classified(query: str) -> tuple[dict[str, str], tuple[str, ...]]:
    params: dict[str, str] = {}
    dropped = []
    for pair in filter(None, query.split("&")):
        name, _, raw = pair.partition("=")
        key = _ALIASES.get(name.lower(), name.lower())
        if key not in _KEPT and "." not in key:
            dropped.append(name)
        elif key == "host" and key in params:  # SQLAlchemy repeats the key for each host
            params[key] += "," + _decoded(raw)
        else:
            params[key] = _checked(key, _decoded(raw))
    return params, tuple(dropped)


def _checked(key: str, value: str) -> str:
    if key == "sslmode":
        value = _SSL_WORDS.get(value.lower(), value.lower().replace("_", "-"))
        if value not in _SSL_MODES:
            raise ValueError(f"sslmode must be one of {', '.join(_SSL_MODES)}")
    if key == "target_session_attrs" and value not in _SESSIONS:
        raise ValueError(f"target_session_attrs must be one of {', '.join(_SESSIONS)}")
    if key == "connect_timeout" and not re.fullmatch(r"\d+(\.\d+)?", value):
        raise ValueError("connect_timeout must be a number of seconds")
    return value


def _hosts(listed: str, ports: str) -> tuple[Host, ...]:
    hosts = [_host(part) for part in listed.split(",")] if listed else []
    if not ports:
        return tuple(hosts)
    given = [_port(port) for port in ports.split(",")]
    hosts = hosts or [("localhost", None)]
    if len(given) == 1:
        given *= len(hosts)
    if len(given) != len(hosts):
        raise ValueError("there must be one port for all hosts, or one for each")
    return tuple((host, given[i] or own) for i, (host, own) in enumerate(hosts))


def _host(part: str) -> Host:
    if part.startswith("/"):
        return part, None
    found = re.fullmatch(r"(?:\[([^\[\]]*)\]|([^:\[\]]*))(?::(.*))?", part.strip())
    if found is None:
        raise ValueError("a host cannot be read: put an IPv6 address into [brackets]")
    return _decoded(found[1] or found[2] or "") or "localhost", _port(found[3] or "")


def _port(text: str) -> int | None:
    if not text:
        return None
    if not text.isdecimal() or not 0 < int(text) < 65536:
        # The text stays out of the message: behind a lost @ it is the password.
        raise ValueError(
            "the port must be a number from 1 to 65535; "
            "if it is part of a password, the '@' in front of the host is missing"
        )
    return int(text)


def _decoded(text: str) -> str:
    """Decode ``%40`` and the like; text whose escapes make no sense stands for itself."""
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        return text


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
