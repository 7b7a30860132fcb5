"""What a cache needs of the tier all processes share, said without a vendor."""

from __future__ import annotations

from typing import NamedTuple, Protocol

__all__ = ["SharedTier", "SharedValue"]


class SharedValue(NamedTuple):
    """Bytes another process may have written.

    Attributes:
        data: The bytes.
        ttl: Seconds they have left; infinite where they never expire.
    """

    data: bytes
    ttl: float


class SharedTier(Protocol):
    """A store of bytes beside the memory of one process.

    Each method raises ``CacheError`` when the store fails. While the store is known to be away
    they return at once, as if nothing were stored.
    """

    async def get(self, key: str) -> SharedValue | None:
        """Return what is stored under a key, None when there is nothing."""
        ...

    async def set(self, key: str, data: bytes, ttl: float) -> None:
        """Store bytes for ``ttl`` seconds."""
        ...

    async def delete(self, key: str) -> bool:
        """Drop a key; return whether it was there."""
        ...

    async def clear(self, prefix: str) -> None:
        """Drop every key that starts with ``prefix``."""
        ...
