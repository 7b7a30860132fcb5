"""Redis as an aiocache backend: for its decorators, serializers, plugins and locks.

Importing this module imports aiocache.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from aiocache.base import BaseCache
from aiocache.serializers import JsonSerializer

from agentinfra.cache.shared.connection import RedisConnection
from agentinfra.cache.shared.redis_store import RedisStore, StoreRefusedError
from agentinfra.cache.shared.scripts import COMPARE_AND_SET, RELEASE
from agentinfra.errors import CacheError

__all__ = ["RedisCache"]

T = TypeVar("T")


class RedisCache(BaseCache):  # type: ignore[misc]  # aiocache has no types
    """An aiocache Redis cache that goes on without its server.

    Connects when it is first used, on the loop it is used on; ``close`` ends it, and so does
    leaving its ``async with``. While Redis is away or refuses, gets are misses and sets do
    nothing; what was to be changed meanwhile is dropped there before it is used again. Fractions
    of a second are times like others, and more callers than connections wait.

    Example:
        ``@aiocache.cached(cache=RedisCache, url="redis://127.0.0.1:6379/0", ttl=60)``

    Args:
        serializer: As in aiocache; None writes JSON.
        url: See `RedisTier`.
        connection: A connection its owner has entered, in place of ``url``.
        max_connections: Connections at most.
        options: ``plugins``, ``namespace``, ``key_builder``, ``timeout`` and ``ttl`` of aiocache;
            its timeout, 5 s, bounds the wait for a connection and the answer together.
    """

    NAME = "redis"

    def __init__(
        self,
        serializer: Any = None,
        *,
        url: str = "redis://127.0.0.1:6379/0",
        connection: RedisConnection | None = None,
        max_connections: int = 16,
        **options: Any,
    ) -> None:
        super().__init__(serializer=serializer or JsonSerializer(), **({"timeout": None} | options))
        self._url = url
        self._max_connections = max_connections
        self._given = connection
        self._own: RedisConnection | None = None
        self._opening = asyncio.Lock()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @classmethod
    def parse_uri_path(cls, path: str) -> dict[str, Any]:
        """Return the options a URI's path stands for: a whole URL is given as ``url``."""
        del path
        return {}

    def _build_key(self, key: Any, namespace: str | None = None) -> str:
        name = key.value if hasattr(key, "value") else key
        prefix = namespace if namespace is not None else self.namespace
        return f"{prefix}:{name}" if prefix else str(name)

    async def _get(self, key: str, encoding: str | None = "utf-8", **_: Any) -> Any:
        return _decoded(await self._ask(lambda store: store.get(key), None), encoding)

    _gets = _get

    async def _multi_get(
        self, keys: list[str], encoding: str | None = "utf-8", **_: Any
    ) -> list[Any]:
        nothing: list[bytes | None] = [None] * len(keys)
        found = await self._ask(lambda store: store.get_many(keys), nothing)
        return [_decoded(data, encoding) for data in found]

    async def _set(
        self, key: str, value: Any, ttl: Any = None, _cas_token: Any = None, _conn: Any = None
    ) -> Any:
        if _cas_token is not None:
            words = (COMPARE_AND_SET, [key], _cas_token, value, _milliseconds(ttl))
            return (await self._ask(lambda store: store.run(*words), [0], keys=[key]))[0]
        done = await self._ask(
            lambda store: store.execute("SET", key, value, *_px(ttl)), None, [key]
        )
        return bool(done)

    async def _multi_set(
        self, pairs: Iterable[tuple[str, Any]], ttl: Any = None, _conn: Any = None
    ) -> bool:
        for key, value in pairs:
            await self._set(key, value, ttl)
        return True

    async def _add(self, key: str, value: Any, ttl: Any = None, _conn: Any = None) -> bool:
        words = ("SET", key, value, *_px(ttl), "NX")
        async with self._turn(key):
            done = await self._ask(lambda store: store.execute(*words), instead=False, keys=[key])
        if done is None:
            raise ValueError(f"Key {key} already exists, use .set to update the value")
        return bool(done)

    async def _exists(self, key: str, _conn: Any = None) -> bool:
        return bool(await self._ask(lambda store: store.execute("EXISTS", key), 0))

    async def _increment(self, key: str, delta: int, _conn: Any = None) -> int:
        try:
            connection = await self._connected()
            done = await connection.change(
                lambda store: store.execute("INCRBY", key, delta), delta, keys=[key]
            )
        except StoreRefusedError as error:
            if "not an integer" in str(error):
                raise TypeError("Value is not an integer") from None
            return delta
        except CacheError:
            return delta
        return int(done)

    async def _expire(self, key: str, ttl: float, _conn: Any = None) -> bool:
        words = ("PEXPIRE", key, _milliseconds(ttl)) if ttl else ("PERSIST", key)
        return bool(await self._ask(lambda store: store.execute(*words), 0))

    async def _delete(self, key: str, _conn: Any = None) -> int:
        return int(await self._ask(lambda store: store.execute("UNLINK", key), 0, [key]))

    async def _clear(self, namespace: str | None = None, _conn: Any = None) -> bool:
        prefix = f"{namespace}:" if namespace else ""
        await self._ask(lambda store: store.delete_matching(prefix), None)
        return True

    async def _raw(
        self, command: str, *args: Any, encoding: Any = "utf-8", _conn: Any = None, **more: Any
    ) -> Any:
        async def run(store: RedisStore) -> Any:
            return await store.call(command, *args, **more)

        answer = await self._ask(run, None)
        if command in ("get", "keys", "mget"):
            many = isinstance(answer, list)
            return (
                [_decoded(one, encoding) for one in answer] if many else _decoded(answer, encoding)
            )
        return answer

    async def _redlock_release(self, key: str, value: Any) -> Any:
        async with self._turn(key):
            return (await self._ask(lambda store: store.run(RELEASE, [key], value), [0]))[0]

    def _turn(self, key: str) -> asyncio.Lock:
        # RedLock notes who holds a key after the answer to its taking or release was read. Were two
        # of them under way on two connections, the loser's answer could be read first: it would
        # find nobody to wait for and go on beside the winner.
        return self._turns.setdefault(key, asyncio.Lock())

    async def _close(self, *_: Any, **__: Any) -> None:
        own, self._own = self._own, None
        if own is not None:
            await own.aclose()

    async def _ask(
        self,
        command: Callable[[RedisStore], Awaitable[Any]],
        instead: Any,
        keys: Iterable[str] | None = None,
    ) -> Any:
        """Run a command; give ``instead`` where Redis is away or refuses."""
        try:
            connection = await self._connected()
            if keys is None:
                return await connection.read(command, instead)
            return await connection.change(command, instead, keys=keys)
        except CacheError:
            return instead

    async def _connected(self) -> RedisConnection:
        if self._given is not None:
            return self._given
        if self._own is not None:
            return self._own
        # A second caller waits: going on without Redis it would take a lock another one has.
        async with self._opening:
            if self._own is None:
                own = RedisConnection(self._url, max_connections=self._max_connections)
                self._own = await own.__aenter__()
            return self._own


def _decoded(data: Any, encoding: str | None) -> Any:
    return data.decode(encoding) if encoding is not None and isinstance(data, bytes) else data


def _milliseconds(ttl: Any) -> int:
    return max(1, int(float(ttl) * 1000)) if ttl else 0


def _px(ttl: Any) -> tuple[Any, ...]:
    return ("PX", _milliseconds(ttl)) if ttl else ()
