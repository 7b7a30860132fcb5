"""Commands on a Redis server, through aiocache: bounded in time, with one kind of error."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from agentinfra._mechanics.closing import finish
from agentinfra._mechanics.vendors import load
from agentinfra.cache.shared.protocol import SharedValue
from agentinfra.errors import CacheError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import BlockingConnectionPool, Redis

    from agentinfra._mechanics.clock import Clock

__all__ = ["RedisStore", "StoreBusyError"]

_CLOSE_GRACE = 2.0
_BATCH = 500


class StoreBusyError(CacheError):
    """Every connection was at work for too long; the server itself may be well."""


class RedisStore:
    """The few commands a cache needs. Every method raises ``CacheError`` when Redis fails.

    A command waits in line for a connection, and then for its answer; each takes the timeout at
    most. Only the second is the server's failure.

    Made by :meth:`connect` on the event loop it is used on; whoever makes it closes it.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``.
        timeout: Seconds each command may wait for its turn, and again for its answer.
        max_connections: Connections at most.
        clock: Where time comes from.

    Raises:
        ConfigurationError: The URL cannot be used.
    """

    vendors = ("redis.asyncio", "aiocache.backends.redis")

    def __init__(self, url: str, *, timeout: float, max_connections: int, clock: Clock) -> None:
        from aiocache.backends.redis import RedisCache
        from aiocache.serializers import NullSerializer
        from redis.exceptions import RedisError

        def pool(**_: Any) -> BlockingConnectionPool:
            # aiocache takes no URL, and its own pool raises where this one waits.
            return _pool(url, max_connections, timeout)

        # No timeout of aiocache's own: it is a `wait_for`, which can lose a cancellation.
        self._cache = RedisCache(
            serializer=NullSerializer(encoding=None), timeout=None, connection_pool_class=pool
        )
        self._client: Redis = self._cache.client
        self._failures = (RedisError, OSError, TimeoutError)
        self._slots = asyncio.Semaphore(max_connections)
        self._timeout = timeout
        self._clock = clock

    @staticmethod
    def load_vendors() -> None:
        """Import what the store is made of.

        Raises:
            MissingPackageError: A package is not installed.
        """
        load("redis.asyncio", extra="redis")
        load("aiocache.backends.redis")

    async def ping(self) -> None:
        """Ask whether the server is there."""
        async with self._command():
            await self._cache.raw("ping")

    async def reconnect(self) -> None:
        """Drop idle connections, which are dead when the server was away, and ask again."""
        async with self._command():
            await self._client.connection_pool.disconnect(inuse_connections=False)
        await self.ping()

    async def get(self, key: str) -> SharedValue | None:
        """Return what is stored under a key, with the time it has left."""
        async with self._command():
            data = await self._cache.get(key)
            if data is None:
                return None
            left = await self._cache.raw("pttl", key)
        if left == -2:  # it expired between the two
            return None
        return SharedValue(data, float("inf") if left == -1 else left / 1000)

    async def set(self, key: str, data: bytes, ttl: float) -> None:
        """Store bytes; times below a millisecond count as one."""
        async with self._command():
            # `raw`: aiocache's own `set` sends SETEX and PSETEX, which are deprecated.
            await self._cache.raw("set", key, data, px=max(1, int(ttl * 1000)))

    async def delete(self, *keys: str) -> int:
        """Drop keys; return how many there were."""
        async with self._command():
            return int(await self._cache.raw("unlink", *keys) or 0)

    async def delete_prefix(self, prefix: str) -> None:
        """Drop every key that starts with a prefix, a few hundred at a time."""
        # aiocache's own `clear` sends KEYS, which stops the server while it looks.
        pattern = "".join(f"\\{c}" if c in "*?[]^\\" else c for c in prefix) + "*"
        cursor: int | None = None
        while cursor != 0:
            async with self._command():
                cursor, keys = await self._client.scan(cursor or 0, match=pattern, count=_BATCH)
                if keys:
                    await self._client.unlink(*keys)

    async def aclose(self) -> None:
        """Close every connection."""
        # The client's own `aclose`: aiocache calls its deprecated `close`.
        await finish(self._client.aclose(), grace=_CLOSE_GRACE, name="close redis")

    @asynccontextmanager
    async def _command(self) -> AsyncIterator[None]:
        await self._turn()
        try:
            async with self._clock.timeout_at(self._clock.now() + self._timeout):
                yield
        except self._failures as error:
            what = " ".join(str(error).split()) or f"no answer within {self._timeout:g} s"
            raise CacheError(f"Redis failed ({type(error).__name__}): {what}") from error
        finally:
            self._slots.release()

    async def _turn(self) -> None:
        if not self._slots.locked():
            await self._slots.acquire()
            return
        try:
            async with self._clock.timeout_at(self._clock.now() + self._timeout):
                await self._slots.acquire()
        except TimeoutError:
            raise StoreBusyError(
                f"all connections to Redis were at work for {self._timeout:g} s"
            ) from None


def _pool(url: str, max_connections: int, timeout: float) -> BlockingConnectionPool:
    from redis.asyncio import BlockingConnectionPool
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    try:
        return BlockingConnectionPool.from_url(
            url,
            max_connections=max_connections,
            timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
        )
    except ValueError as error:
        # `error` may hold the URL, and the URL a password.
        raise ConfigurationError(
            f"the Redis URL cannot be used ({type(error).__name__}): "
            "give redis://host:port/database, rediss:// or unix:///path"
        ) from None
