"""Addresses: what is shown of them hides passwords, what is sent is given by one method."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Any, ClassVar, Self
from urllib.parse import unquote

from pydantic_core import core_schema

from agentinfra.settings.dsn import DSN
from agentinfra.settings.secret import text_of

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler

__all__ = ["CollectorUrl", "DatabaseUrl", "HttpUrl", "RedisUrl", "Url"]

_MASK = "***"
_SECRET_NAME = re.compile(
    r"key|token|secret|pass|pwd|auth|sig|cred|jwt|session|code", re.IGNORECASE
)
_TOKEN = re.compile(
    r"(?=.*[a-z])(?=.*[A-Z])(?=.*[0-9])[\w\-~%]{16,}|[0-9a-fA-F]{32,}|(sk|pk|ghp|xox\w)[-_]\S{8,}"
)
_ESCAPE = "escape what belongs to the password: @ as %40, / as %2F, ? as %3F, # as %23"


class Url(str):
    """An address, as text in which passwords and tokens are hidden.

    As a ``str`` it is what may be shown, so that nothing written with it gives a secret away:
    messages, dumps, logs. Compared, it is the real address. `get_secret_value` gives that.

    Args:
        real: The address.

    Raises:
        ValueError: It cannot be used. The message does not repeat it.
    """

    __slots__ = ("_real",)
    _real: str

    schemes: ClassVar[tuple[str, ...]] = ()
    host_required: ClassVar[bool] = True

    def __new__(cls, real: Any) -> Self:  # noqa: D102 - a constructor
        real = cls._checked(text_of(real.get_secret_value() if isinstance(real, Url) else real))
        self = super().__new__(cls, cls._shown(real))
        self._real = real
        return self

    def get_secret_value(self) -> str:
        """Return the real address, password included."""
        return self._real

    def __eq__(self, other: object) -> bool:
        return self._real == (other._real if isinstance(other, Url) else other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self._real)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._real,)

    @classmethod
    def _checked(cls, text: str) -> str:
        return _checked(text, cls.schemes, host_required=cls.host_required)

    @classmethod
    def _shown(cls, real: str) -> str:
        return _masked(real)

    @classmethod
    def __get_pydantic_core_schema__(
        cls, _source: Any, _handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        text = core_schema.str_schema()
        return core_schema.no_info_plain_validator_function(
            cls,
            json_schema_input_schema=text,
            serialization=core_schema.plain_serializer_function_ser_schema(
                str, return_schema=text, when_used="json"
            ),
        )


class HttpUrl(Url):
    """The address of a server that speaks HTTP."""

    __slots__ = ()
    schemes = ("http", "https")

    @property
    def without_login(self) -> str:
        """The real address without user and password, which few clients take in it."""
        scheme, _, rest = self._real.partition("://")
        authority = re.split(r"[/?]", rest, maxsplit=1)[0]
        return f"{scheme}://{rest[authority.rfind('@') + 1 :]}"

    @property
    def authorization(self) -> str | None:
        """The header that logs in with user and password; None where there is no user."""
        authority = re.split(r"[/?]", self._real.partition("://")[2], maxsplit=1)[0]
        login, at, _ = authority.rpartition("@")
        user, _, password = login.partition(":")
        pair = f"{unquote(user)}:{unquote(password)}"
        return f"Basic {b64encode(pair.encode()).decode()}" if at else None

    @classmethod
    def _checked(cls, text: str) -> str:
        if "#" in text:
            raise ValueError("has a fragment (#...), which no server is sent")
        return super()._checked(text)


class CollectorUrl(HttpUrl):
    """The address of a collector; ``host:port`` alone, as gRPC has it, is spoken to plainly."""

    __slots__ = ()

    @classmethod
    def _checked(cls, text: str) -> str:
        bare = re.fullmatch(r"([\w.\-]+|\[[0-9a-fA-F:.]+\]):[0-9]+(/\S*)?", text)
        return super()._checked(f"http://{text}" if bare else text)


class RedisUrl(Url):
    """The address of a Redis or a Valkey, of its sentinels, or of a cluster."""

    __slots__ = ()
    schemes = ("redis", "rediss", "valkey", "valkeys", "unix")
    many = ("redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster")
    host_required = False

    @classmethod
    def _checked(cls, text: str) -> str:
        scheme, _, rest = text.partition("://")
        if scheme.lower() not in cls.many:
            return super()._checked(text)
        if re.search(r"[\s\x00-\x1f\x7f]", text):
            raise ValueError("holds white space or a control character")
        authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
        for place in authority.rpartition("@")[2].split(","):
            _check_place(place, host_required=True)
        return f"{scheme.lower()}://{rest}"


class DatabaseUrl(Url):
    """The address of a PostgreSQL, in any form; `dsn` is what it says."""

    __slots__ = ()

    @property
    def dsn(self) -> DSN:
        """The address taken apart."""
        return DSN.parse(self._real)

    @classmethod
    def _checked(cls, text: str) -> str:
        DSN.parse(text)
        return text

    @classmethod
    def _shown(cls, real: str) -> str:
        return DSN.parse(real).masked()


def _checked(text: str, schemes: Iterable[str], *, host_required: bool) -> str:
    if re.search(r"[\s\x00-\x1f\x7f]", text):
        raise ValueError("holds white space or a control character")
    scheme, separator, rest = text.partition("://")
    if not separator or scheme.lower() not in schemes:
        raise ValueError("must start with " + " or ".join(f"{name}://" for name in schemes))
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    path, question, query = rest[len(authority) :].partition("?")
    if "@" in path or (not path and question and "@" in query):
        # An unescaped slash in a password would make another server out of what is before it.
        raise ValueError(f"could mean two servers: {_ESCAPE}")
    _check_place(authority.rpartition("@")[2], host_required=host_required)
    return f"{scheme.lower()}://{rest}"


def _check_place(place: str, *, host_required: bool) -> None:
    found = re.fullmatch(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::(.*))?", place)
    if found is None:
        raise ValueError("the host cannot be read: put an IPv6 address into [brackets]")
    host, port = found[1], found[2]
    if port is not None and not (re.fullmatch(r"[0-9]{1,5}", port) and 0 < int(port) < 65536):
        # The text stays out of the message: behind a lost @ it is the password.
        raise ValueError(
            "the port must be a number from 1 to 65535; "
            "if it is part of a password, the '@' in front of the host is missing"
        )
    if host.startswith("["):
        _check_ipv6(host[1:-1])
    elif host_required and not host:
        raise ValueError("names no host")
    elif not re.fullmatch(r"[\w.\-]*", host):
        raise ValueError(f"the host holds a character that no host has: {_ESCAPE}")


def _check_ipv6(text: str) -> None:
    try:
        IPv6Address(text)
    except ValueError:
        raise ValueError("the address in [brackets] is not IPv6") from None


def _masked(url: str) -> str:
    scheme, _, rest = url.partition("://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    login, at, place = authority.rpartition("@")
    if at:
        user, _, password = login.partition(":")
        # Without a password the name is a token: https://token@host, https://token:@host.
        login = f"{user}:{_MASK}" if password and not _TOKEN.fullmatch(user) else _MASK
    path, question, query = rest[len(authority) :].partition("?")
    path = "/".join(_MASK if _TOKEN.fullmatch(part) else part for part in path.split("/"))
    query = "&".join(_hidden(pair) for pair in query.split("&"))
    return f"{scheme}://{login}{at}{place}{path}{question}{query}"


def _hidden(pair: str) -> str:
    name, equals, value = pair.partition("=")
    if not equals:
        return _MASK if _TOKEN.fullmatch(name) else name
    secret = _SECRET_NAME.search(name) or _TOKEN.fullmatch(value)
    return f"{name}={_MASK if secret else value}"
