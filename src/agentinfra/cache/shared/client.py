"""Clients for the URLs people have: one server, a sentinel's master, a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from agentinfra.errors import ConfigurationError

if TYPE_CHECKING:
    from redis.asyncio import Redis, RedisCluster

__all__ = ["connect", "is_cluster"]

_PLAIN = {"valkey": "redis", "valkeys": "rediss"}


def is_cluster(url: str) -> bool:
    """Say whether a URL is a cluster's."""
    return urlsplit(url).scheme.endswith("+cluster")


def connect(url: str, *, max_connections: int, timeout: float) -> Redis | RedisCluster:
    """Return a client of a URL's server; it connects when it is first used.

    Args:
        url: ``redis://``, ``rediss://``, ``valkey://``, ``valkeys://`` or ``unix://``;
            ``redis+sentinel://host:port,host:port/service/database`` and
            ``redis+cluster://host:port``, with ``rediss+`` for TLS.
        max_connections: Connections at most, to each server.
        timeout: Seconds connecting may take.

    Raises:
        ConfigurationError: The URL cannot be used.
    """
    from redis.exceptions import RedisError

    scheme = urlsplit(url).scheme
    base, _, kind = scheme.partition("+")
    options = {
        "max_connections": max_connections,
        "socket_connect_timeout": timeout,
        "socket_keepalive": base != "unix" or None,
    }
    options = {name: value for name, value in options.items() if value is not None}
    base = _PLAIN.get(base, base)
    rest = url[len(scheme) :]
    try:
        if kind == "sentinel":
            return _sentinel(url, tls=base == "rediss", options=options)
        if kind == "cluster":
            return _cluster(base + rest, options)
        return _single(base + rest, timeout, options)
    except (ValueError, RedisError) as error:
        # `error` may hold the URL, and the URL a password.
        raise ConfigurationError(
            f"the Redis URL cannot be used ({type(error).__name__}): give redis://host:port/0, "
            "rediss://, valkey://, unix:///path, redis+sentinel://host:port/service/0 or "
            "redis+cluster://host:port"
        ) from None


def _single(url: str, timeout: float, options: dict[str, Any]) -> Redis:
    from redis.asyncio import BlockingConnectionPool, Redis

    # The usual pool raises where this one waits.
    return Redis(
        connection_pool=BlockingConnectionPool.from_url(
            url, timeout=timeout, retry=_no_retry(), **options
        )
    )


def _cluster(url: str, options: dict[str, Any]) -> RedisCluster:
    from redis.asyncio import RedisCluster

    return RedisCluster.from_url(url, **options)


def _sentinel(url: str, *, tls: bool, options: dict[str, Any]) -> Redis:
    from redis.asyncio import Sentinel

    parts = urlsplit(url)
    account, _, hosts = parts.netloc.rpartition("@")
    user, _, password = account.partition(":")
    service, _, database = parts.path.strip("/").partition("/")
    asked = dict(parse_qsl(parts.query))
    if not service:
        raise ValueError("no service")
    login = {"username": unquote(user) or None, "password": unquote(password) or None}
    sentinel = Sentinel(  # type: ignore[no-untyped-call]
        [_address(host) for host in hosts.split(",")],
        sentinel_kwargs={
            "password": asked.get("sentinel_password"),
            "socket_connect_timeout": options["socket_connect_timeout"],
            "socket_timeout": options["socket_connect_timeout"],
        },
        ssl=tls,
        db=int(database or 0),
        retry=_no_retry(),
        **{name: value for name, value in login.items() if value is not None},
        **options,
    )
    master: Redis = sentinel.master_for(service)
    return master


def _address(host: str) -> tuple[str, int]:
    name, _, port = host.rpartition(":")
    return (name, int(port)) if name else (port, 26379)


def _no_retry() -> Any:
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    return Retry(NoBackoff(), 0)
