"""What an address is made of, before it is a value; the same for every form it is written in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv6Address
from types import MappingProxyType
from typing import TypeAlias, TypedDict
from urllib.parse import unquote

from agentinfra.settings.dsn.words import KNOWN, checked, named

__all__ = ["Host", "Parts", "classified", "decoded", "parts_of"]

Host: TypeAlias = tuple[str, int | None]
"""A host and its port, None for the default port. A host that starts with ``/`` is a folder."""

_SOCKET = re.compile(r"(/.*)/\.s\.PGSQL\.(\d+)")
_PLACEHOLDER = re.compile(r"[\[{<](your|db)?[-_ ]?password[\]}>]", re.IGNORECASE)


class Parts(TypedDict):
    """The fields of a DSN."""

    hosts: tuple[Host, ...]
    user: str | None
    password: str | None
    database: str | None
    params: Mapping[str, str]
    dropped: tuple[str, ...]


def parts_of(
    params: dict[str, str], dropped: Iterable[str] = (), *, hosts: str = "", port: int | None = None
) -> Parts:
    """Return the parts that parameters name, taken out of them.

    Args:
        params: Parameters in libpq's names, host and login among them.
        dropped: Keys that mean nothing.
        hosts: Hosts and their ports as in a URL, where the parameters name none.
        port: The default port, None for PostgreSQL's.

    Raises:
        ValueError: A host or a port cannot be read, or a placeholder stands for the password.
    """
    named, ports = params.pop("host", ""), params.pop("port", "")
    addresses = params.get("hostaddr", "")
    listed = _hosts(named or addresses, ports) if named or addresses else _in_url(hosts, ports)
    if addresses and addresses.count(",") + 1 != len(listed):
        raise ValueError("there must be one hostaddr for each host")
    password = params.pop("password", None) or None
    if password and _PLACEHOLDER.fullmatch(password):
        raise ValueError("the password is still a placeholder: put the real one in its place")
    return Parts(
        hosts=tuple((host, own or port) for host, own in listed),
        user=params.pop("user", None) or None,
        password=password,
        database=params.pop("dbname", None) or None,
        params=MappingProxyType(params),
        dropped=tuple(dropped),
    )


def classified(pairs: Iterable[tuple[str, str]]) -> tuple[dict[str, str], list[str]]:
    """Sort pairs into parameters in libpq's names, and keys that mean nothing here.

    Raises:
        ValueError: A value is none that its parameter may have.
    """
    params: dict[str, str] = {}
    dropped = []
    for name, value in pairs:
        key = named(name)
        if not value:  # as to libpq: not set
            continue
        if key == "unix_sock":  # pg8000 names the socket itself
            key = "host"
        if key not in KNOWN and "." not in key:
            # They are told: one that is no word may be the rest of a password.
            dropped.append(name if re.fullmatch(r"[A-Za-z_.\-]{1,40}", name) else "***")
        elif key == "host" and key in params:  # SQLAlchemy repeats the key for each host
            params[key] += "," + value
        else:
            params[key] = checked(key, value)
    return params, dropped


def decoded(text: str) -> str:
    """Decode ``%40`` and the like; text whose escapes make no sense stands for itself."""
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        return text


def _in_url(listed: str, ports: str) -> tuple[Host, ...]:
    hosts = [_host(part.strip(), decoded) for part in listed.split(",")] if listed else []
    return _with_ports(hosts, ports)


def _hosts(listed: str, ports: str) -> tuple[Host, ...]:
    """Read hosts as parameters name them: nothing is escaped, IPv6 stands without brackets."""
    hosts = [
        (part, None) if _is_ipv6(part) else _host(part, str)
        for part in map(str.strip, listed.split(","))
    ]
    return _with_ports(hosts, ports)


def _with_ports(hosts: list[Host], ports: str) -> tuple[Host, ...]:
    if not ports:
        return tuple(hosts)
    given = [_port(port) for port in ports.split(",")]
    hosts = hosts or [("localhost", None)]
    if len(given) == 1:
        given *= len(hosts)
    if len(given) != len(hosts):
        raise ValueError("there must be one port for all hosts, or one for each")
    return tuple((host, given[i] or own) for i, (host, own) in enumerate(hosts))


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


def _host(part: str, decode: Callable[[str], str]) -> Host:
    if part.startswith("/"):
        return _folder(part)
    found = re.fullmatch(r"(?:\[([^\[\]]*)\]|([^:\[\]]*))(?::(.*))?", part)
    if found is None:
        raise ValueError("a host cannot be read: put an IPv6 address into [brackets]")
    name, port = decode(found[1] or found[2] or "") or "localhost", _port(found[3] or "")
    if name.startswith("/"):
        folder, own = _folder(name)
        return folder, port or own
    if not re.fullmatch(r"[\w.\-:%]+", name):
        raise ValueError(
            "a host holds a character that no host has: if it is part of the password, "
            "escape it (@ as %40, / as %2F, ? as %3F, # as %23)"
        )
    return name, port


def _folder(path: str) -> Host:
    """Return the folder of a socket, and the port where the socket itself is named."""
    found = _SOCKET.fullmatch(path)
    return (path, None) if found is None else (found[1], _port(found[2]))


def _port(text: str) -> int | None:
    text = text.strip()
    if not text:
        return None
    if not (text.isascii() and text.isdecimal()) or not 0 < int(text[:6]) < 65536:
        # The text stays out of the message: behind a lost @ it is the password.
        raise ValueError(
            "the port must be a number from 1 to 65535; "
            "if it is part of a password, the '@' in front of the host is missing"
        )
    return int(text)
