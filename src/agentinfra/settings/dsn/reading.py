"""Reading an address: as a URL, as libpq's ``key=value`` string, or as people paste either."""

from __future__ import annotations

import difflib
import re

from agentinfra.settings.dsn.parts import Parts, classified, decoded, parts_of
from agentinfra.settings.dsn.pasted import unwrapped
from agentinfra.settings.dsn.words import KNOWN, MEANINGLESS, named

__all__ = ["read"]

_SCHEMES = frozenset({"postgres", "postgresql", "pgsql", "psql", "postgis", "timescale"})
_PORTS = {"cockroachdb": 26257}
"""What speaks PostgreSQL's protocol under a name of its own, and its default port."""

_PLACE = frozenset({"host", "hostaddr", "port"})

_WHERE = _PLACE | {"user", "password", "dbname"}

_FORM = "must look like postgresql://user:password@host:port/database"
_PAIR = re.compile(
    r"""\s*([\w.]+)\s*=\s*
    ('(?:[^'\\]|\\.)*'|(?:[^\s'\\]|\\.)(?:[^\s\\]|\\.)*|)
    (?:\s+|$)""",
    re.VERBOSE,
)
_ESCAPE = "escape what belongs to the password: @ as %40, / as %2F, ? as %3F, # as %23"


def read(text: str) -> Parts:
    """Take an address of any form apart.

    Raises:
        ValueError: It cannot be understood, or could mean two servers. The message never repeats
            the text, for it may hold a password.
    """
    bare, around = unwrapped(text)
    if any(ord(character) < 32 or ord(character) == 127 for character in bare):
        raise ValueError("holds a line break or another control character")
    scheme, separator, rest = bare.removeprefix("jdbc:").partition("://")
    if separator and re.fullmatch(r"[\w+.\-:]+", scheme):
        return _url(scheme, rest, around)
    if re.match(r"[\w ]+=[^;]*;[\w ]+=", bare):
        raise ValueError(f"is in the form of .NET (Host=...;Port=...): it {_FORM}")
    if re.match(r"[\w.]+\s*=", bare):
        return _conninfo(bare, around)
    if around and re.fullmatch(r"[\w.\-]*", bare):  # psql -h host database
        return parts_of(classified({**around, "dbname": bare}.items())[0])
    raise ValueError(_FORM)


def _url(scheme: str, rest: str, around: dict[str, str]) -> Parts:
    kind = scheme.lower().partition("+")[0]
    if kind not in _SCHEMES | set(_PORTS):
        raise ValueError("must start with postgresql:// or postgres://")
    login, hosts, database, query = _split(rest)
    params, dropped = classified(_pairs(query))
    user, _, password = login.partition(":")
    written = {"user": user, "password": password, "dbname": database.rstrip("/")}
    for key, value in written.items():
        if value and not params.get(key):
            params[key] = decoded(value)
    if hosts:
        around = {key: value for key, value in around.items() if key not in _PLACE}
    params = classified(around.items())[0] | params
    return parts_of(params, dropped, hosts=hosts, port=_PORTS.get(kind))


def _split(rest: str) -> tuple[str, str, str, str]:
    """Cut into login, hosts, path and query; the last ``@`` before the path ends the login."""
    head, _, tail = rest.partition("?")
    at = head.rfind("@")
    if at < 0 and "/" not in head and "@" in tail:
        if (odd := re.match(r"[^=&]*@", tail)) is None:
            raise ValueError(f"could mean two servers: {_ESCAPE}")
        # No key=value in front of an @: the question mark belongs to the password.
        at = len(head) + odd.end()
    slash = rest.find("/")
    if 0 <= slash < at and _are_hosts(rest[:slash].split("@", 1)[-1]):
        # To libpq the first slash ends the hosts: postgresql://a:5432/b@c is a database of `a`.
        raise ValueError(f"could mean two servers: {_ESCAPE}")
    login, place = (rest[:at], rest[at + 1 :]) if at >= 0 else ("", rest)
    where, _, query = place.partition("?")
    hosts, _, path = where.partition("/")
    return login, hosts, path, query


def _are_hosts(text: str) -> bool:
    """Say whether a text can be hosts and their ports."""
    host = re.compile(r"(\[[^\[\]]*\]|[^:@\[\]]*)(:\d*)?")
    return all(host.fullmatch(part) for part in text.split(","))


def _pairs(query: str) -> list[tuple[str, str]]:
    pairs = []
    for pair in filter(None, query.split("&")):
        name, equals, raw = pair.partition("=")
        if not equals:
            raise ValueError("holds a parameter without a value: write & of a password as %26")
        if not raw and named(name) in _WHERE:  # to libpq, empty takes away what is in front of it
            raise ValueError(
                f"could mean two servers: {named(name)} is empty behind the question mark"
            )
        if "@" in raw and named(name) not in KNOWN:
            # postgresql://user:123/4?x=y@host is no address of a host called `user`.
            raise ValueError(f"could mean two servers: {_ESCAPE}")
        pairs.append((decoded(name), decoded(raw)))
    return pairs


def _conninfo(text: str, around: dict[str, str]) -> Parts:
    pairs, at = dict(around), 0
    while at < len(text):
        found = _PAIR.match(text, at)
        if found is None:
            raise ValueError("cannot be read as key=value pairs: put values with blanks in quotes")
        pairs[named(found[1])] = _unquoted(found[2])
        at = found.end()
    params, dropped = classified(pairs.items())
    for name in dropped:
        if name not in MEANINGLESS:
            raise ValueError(_unknown(name))
    return parts_of(params, dropped)


def _unknown(name: str) -> str:
    """Return what is said of a parameter that there is not, as libpq refuses it: perhaps a host.

    It is named where it is a slip of the pen only: it may be a part of a password with blanks.
    """
    close = difflib.get_close_matches(name, KNOWN, n=1, cutoff=0.8)
    if close:
        return f"there is no connection parameter {name!r} (did you mean {close[0]!r}?)"
    return "holds a connection parameter that there is not: put values with blanks in quotes"


def _unquoted(value: str) -> str:
    bare = value[1:-1] if value.startswith("'") else value
    return re.sub(r"\\(.)", r"\1", bare)
