"""One cache's part of the shared tier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from agentinfra.errors import CacheError
from agentinfra.observability.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from agentinfra.cache.codec import Codec
    from agentinfra.cache.shared.protocol import SharedTier
    from agentinfra.cache.tally import Tally

__all__ = ["Fetched", "Sharing"]

_log = get_logger("agentinfra.cache")
V = TypeVar("V")
T = TypeVar("T")


class Fetched(NamedTuple, Generic[V]):
    """A value from the shared tier.

    Attributes:
        value: The value.
        ttl: Seconds it has left there.
        newest: False where this process wrote the key while it was on its way.
    """

    value: V
    ttl: float
    newest: bool


class Sharing(Generic[V]):
    """Reads and writes one cache's values; a failure is counted and never raised.

    Args:
        tier: The store.
        codec: How values become bytes.
        tally: The cache's counts.
        prefix: What the keys of this cache start with.
    """

    __slots__ = ("_codec", "_fetching", "_prefix", "_refused", "_tally", "_tier")

    def __init__(self, tier: SharedTier, codec: Codec[V], tally: Tally, *, prefix: str) -> None:
        self._tier = tier
        self._codec = codec
        self._tally = tally
        self._prefix = prefix
        self._fetching: dict[str, object] = {}
        self._refused: set[str] = set()

    async def fetch(self, key: str) -> Fetched[V] | None:
        """Return the value of a key, None when there is none that can be read."""
        mark = self._fetching.setdefault(key, object())
        try:
            found = await self._safely(self._tier.get(self._prefix + key))
        finally:
            newest = self._fetching.get(key) is mark
            if newest:
                del self._fetching[key]
        if found is None:
            return None
        try:
            return Fetched(self._codec.decode(found.data), found.ttl, newest)
        except CacheError:
            self._tally.count("error")
            return None

    async def store(self, key: str, value: V, ttl: float) -> None:
        """Write a value; one that would not come back as it is stays in this process."""
        data = self._codec.encode(value)
        if data is not None:
            await self._safely(self._tier.set(self._prefix + key, data, ttl))
            return
        kind = type(value).__name__
        if kind not in self._refused:
            self._refused.add(kind)
            _log.warning("cache.value_not_shared", type=kind)
        await self.delete(key)

    async def delete(self, key: str) -> bool:
        """Drop a key; return whether it is known to have been there."""
        return bool(await self._safely(self._tier.delete(self._prefix + key)))

    async def clear(self) -> None:
        """Drop every key of this cache."""
        self._fetching.clear()
        await self._safely(self._tier.clear(self._prefix))

    def supersede(self, key: str) -> None:
        """Mark what is being fetched for a key as older than what this process writes."""
        self._fetching.pop(key, None)

    async def _safely(self, operation: Awaitable[T]) -> T | None:
        try:
            return await operation
        except CacheError:
            self._tally.count("error")
            return None
