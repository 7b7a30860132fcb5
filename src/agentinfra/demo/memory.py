"""What the team remembers beyond one question: decisions and answers, for other processes too.

The caches of a runtime share what they hold over Redis where ``REDIS_URL`` is set. Without Redis
they live in the memory of one process. The demo has a database anyway, so it lets the database be
the shared tier: asked again an hour later, in another process, the same question costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agentinfra.cache.caches import ResponseCache, RoutingCache
from agentinfra.cache.shared.protocol import SharedValue
from agentinfra.demo.bookkeeping import STATE_SCHEMA
from agentinfra.errors import CacheError, DatabaseError

if TYPE_CHECKING:
    from agentinfra.db.database import Database
    from agentinfra.runtime import InfraRuntime

__all__ = ["DatabaseTier", "Memory", "open_memory"]

_GET = f"""
SELECT data, extract(epoch FROM expires - clock_timestamp())::float8 AS ttl
FROM {STATE_SCHEMA}.cache WHERE key = $1 AND expires > clock_timestamp()"""  # noqa: S608

_SET = f"""
INSERT INTO {STATE_SCHEMA}.cache (key, data, expires)
VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3))
ON CONFLICT (key) DO UPDATE SET data = excluded.data, expires = excluded.expires"""  # noqa: S608

_DELETE = f"DELETE FROM {STATE_SCHEMA}.cache WHERE key = $1 RETURNING true"  # noqa: S608
_CLEAR = f"DELETE FROM {STATE_SCHEMA}.cache WHERE starts_with(key, $1)"  # noqa: S608


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """The two caches the team asks.

    Attributes:
        routing: Which agent a question went to.
        response: What an agent answered.
        where: Where they keep what they hold, for people.
    """

    routing: RoutingCache
    response: ResponseCache
    where: str


def open_memory(rt: InfraRuntime, *, durable: bool) -> Memory:
    """Return the runtime's caches, or caches that share the database where there is no Redis.

    Args:
        rt: An entered runtime.
        durable: Whether the database has the demo's tables.
    """
    settings = rt.settings.cache
    if settings.redis_url is not None or not settings.enabled or not durable:
        where = "Redis" if settings.redis_url is not None else "memory"
        return Memory(routing=rt.caches.routing, response=rt.caches.response, where=where)
    options: dict[str, Any] = {
        "namespace": settings.namespace,
        "tenant": settings.tenant,
        "max_bytes": settings.max_bytes,
        "shared": DatabaseTier(rt.db),
        "metrics": rt.metrics,
    }
    return Memory(
        routing=RoutingCache(settings.routing_ttl, settings.routing_size, **options),
        response=ResponseCache(settings.response_ttl, settings.response_size, **options),
        where="database",
    )


class DatabaseTier:
    """A table as the tier that caches of all processes share; see ``cache.shared``.

    Args:
        db: An entered database; its owner ends it.
    """

    def __init__(self, db: Database) -> None:
        self._db = db

    async def get(self, key: str) -> SharedValue | None:
        """Return what is stored under a key, None when there is nothing."""
        with _mapped():
            async with self._db.connection(readonly=False) as connection:
                row = await connection.fetchrow(_GET, key)
        return None if row is None else SharedValue(row["data"], row["ttl"])

    async def set(self, key: str, data: bytes, ttl: float) -> None:
        """Store bytes for ``ttl`` seconds."""
        with _mapped():
            async with self._db.connection(readonly=False) as connection:
                await connection.execute(_SET, key, data, ttl)

    async def delete(self, key: str) -> bool:
        """Drop a key; return whether it was there."""
        with _mapped():
            async with self._db.connection(readonly=False) as connection:
                return bool(await connection.fetchval(_DELETE, key))

    async def clear(self, prefix: str) -> None:
        """Drop every key that starts with ``prefix``."""
        with _mapped():
            async with self._db.connection(readonly=False) as connection:
                await connection.execute(_CLEAR, prefix)


@contextmanager
def _mapped() -> Iterator[None]:
    try:
        yield
    except DatabaseError as error:
        raise CacheError(str(error)) from error
