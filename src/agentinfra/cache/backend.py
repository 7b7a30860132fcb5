"""The bounded memory tier as an aiocache backend, for its decorators, plugins and serializers.

Importing this module imports aiocache, and gives Redis as such a backend too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableMapping
from typing import Any

from aiocache.base import SENTINEL, BaseCache
from aiocache.serializers import NullSerializer

from agentinfra._mechanics.clock import SYSTEM_CLOCK, Clock
from agentinfra.cache.memory import MemoryTier
from agentinfra.cache.shared.backend import RedisCache
from agentinfra.cache.sizing import estimate_bytes

__all__ = ["LRUMemoryCache", "RedisCache"]


class LRUMemoryCache(BaseCache):  # type: ignore[misc]  # aiocache has no types
    """An aiocache memory cache with a bound: the least recently used entry goes first.

    Values expire when they are met, so there are no timers; a value set anew has its own time.
    ``get`` and ``set`` skip aiocache's layers where no plugin needs them: they do not look at
    ``timeout``, since nothing waits, nor at ``AIOCACHE_DISABLE``.

    Example:
        ``@aiocache.cached(cache=LRUMemoryCache, max_size=500, ttl=60)``

    Args:
        serializer: As in aiocache; None stores values as they are.
        max_size: Entries held at most.
        max_bytes: Bytes held at most, estimated; None sets no bound and estimates nothing.
        clock: Where time comes from.
        options: ``plugins``, ``namespace``, ``key_builder``, ``timeout`` and ``ttl`` of aiocache.
    """

    NAME = "lru-memory"

    def __init__(
        self,
        serializer: Any = None,
        *,
        max_size: int = 5000,
        max_bytes: int | None = None,
        clock: Clock = SYSTEM_CLOCK,
        **options: Any,
    ) -> None:
        super().__init__(serializer=serializer or NullSerializer(), **({"timeout": None} | options))
        self._sized = max_bytes is not None
        self._tier: MemoryTier[Any, Any] = MemoryTier(
            max_size=max_size, max_bytes=max_bytes, clock=clock
        )

    def __len__(self) -> int:
        return len(self._tier)

    async def get(self, key: Any, *args: Any, **more: Any) -> Any:
        """Return the value of a key; ``default``, ``loads_fn`` and the rest as in aiocache."""
        if self._plugins or args or more:
            return await super().get(key, *args, **more)
        return self._serializer.loads(self._tier.get(self.build_key(key, self.namespace), None))

    async def set(self, key: Any, value: Any, *args: Any, **more: Any) -> Any:
        """Store a value; ``ttl``, ``dumps_fn`` and the rest as in aiocache."""
        if self._plugins or args or more.keys() - {"ttl"}:
            return await super().set(key, value, *args, **more)
        # aiocache's decorators hand its "not given" along.
        ttl = more.get("ttl", SENTINEL)
        if ttl is SENTINEL:
            ttl = self.ttl
        name = self.build_key(key, self.namespace)
        return await self._set(name, self._serializer.dumps(value), ttl)

    @classmethod
    def parse_uri_path(cls, _path: str) -> dict[str, Any]:
        """Return the options a URI's path stands for: none."""
        return {}

    async def _get(self, key: Any, **_: Any) -> Any:
        return self._tier.get(key, None)

    _gets = _get

    async def _multi_get(self, keys: Iterable[Any], **_: Any) -> list[Any]:
        return [self._tier.get(key, None) for key in keys]

    async def _set(
        self, key: Any, value: Any, ttl: Any = None, _cas_token: Any = None, _conn: Any = None
    ) -> Any:
        if _cas_token is not None and _cas_token != self._tier.get(key, None):
            return 0
        size = estimate_bytes(value) if self._sized else 0
        self._tier.set(key, value, size=size, ttl=ttl or None)
        return True

    async def _multi_set(
        self, pairs: Iterable[tuple[Any, Any]], ttl: Any = None, _conn: Any = None
    ) -> bool:
        for key, value in pairs:
            await self._set(key, value, ttl)
        return True

    async def _add(self, key: Any, value: Any, ttl: Any = None, _conn: Any = None) -> bool:
        if await self._exists(key):
            raise ValueError(f"Key {key} already exists, use .set to update the value")
        return bool(await self._set(key, value, ttl))

    async def _exists(self, key: Any, _conn: Any = None) -> bool:
        return self._tier.get(key, _NONE) is not _NONE

    async def _increment(self, key: Any, delta: int, _conn: Any = None) -> int:
        try:
            value = int(self._tier.get(key, 0)) + delta
        except ValueError:
            raise TypeError("Value is not an integer") from None
        if not self._tier.replace(key, value):
            await self._set(key, value)
        return value

    async def _expire(self, key: Any, ttl: Any, _conn: Any = None) -> bool:
        return self._tier.touch(key, ttl or None)

    async def _delete(self, key: Any, _conn: Any = None) -> int:
        return int(self._tier.delete(key))

    async def _clear(self, namespace: Any = None, _conn: Any = None) -> bool:
        if not namespace:
            self._tier.clear()
        for key in self._tier:
            if str(key).startswith(str(namespace)):
                self._tier.delete(key)
        return True

    async def _raw(
        self, command: str, *args: Any, encoding: Any = None, _conn: Any = None, **more: Any
    ) -> Any:
        del encoding  # values are held as they are
        return getattr(_Mapping(self._tier), command)(*args, **more)

    async def _redlock_release(self, key: Any, value: Any) -> int:
        if self._tier.get(key, _NONE) != value:
            return 0
        return int(self._tier.delete(key))


_NONE = object()


class _Mapping(MutableMapping[Any, Any]):
    """What ``raw`` runs its commands on: the tier as a dictionary."""

    def __init__(self, tier: MemoryTier[Any, Any]) -> None:
        self._tier = tier

    def __getitem__(self, key: Any) -> Any:
        value = self._tier.get(key, _NONE)
        if value is _NONE:
            raise KeyError(key)
        return value

    def __setitem__(self, key: Any, value: Any) -> None:
        self._tier.set(key, value)

    def __delitem__(self, key: Any) -> None:
        if not self._tier.delete(key):
            raise KeyError(key)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._tier)

    def __len__(self) -> int:
        return len(self._tier)
