"""What a cache needs of the tier all processes share, said without a vendor."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Claim", "CoordinatedTier", "Listener", "SharedTier", "SharedValue"]


class SharedValue(NamedTuple):
    """Bytes another process may have written.

    Attributes:
        data: The bytes.
        ttl: Seconds they have left; infinite where they never expire, or say so themselves.
    """

    data: bytes
    ttl: float


class Claim(NamedTuple):
    """What was found when a value, or else the right to load it, was asked for.

    Attributes:
        data: The bytes under the key, fresh or not; None where there are none.
        granted: True where the asker is to load: it holds the lease.
        taken: True where somebody else holds it.
    """

    data: bytes | None = None
    granted: bool = False
    taken: bool = False


class SharedTier(Protocol):
    """A store of bytes beside the memory of one process.

    Each method raises ``CacheError`` when the store fails. While the store is known to be away
    they return at once, as if nothing were stored.
    """

    async def get(self, key: str) -> SharedValue | None:
        """Return what is stored under a key, None when there is nothing."""
        ...

    async def set(self, key: str, data: bytes, ttl: float) -> None:
        """Store bytes for ``ttl`` seconds; infinite ones for ever."""
        ...

    async def delete(self, key: str) -> bool:
        """Drop a key; return whether it was there."""
        ...

    async def clear(self, prefix: str) -> None:
        """Drop every key that starts with ``prefix``."""
        ...


class Listener(Protocol):
    """Told what others change: a cache with the memory in front of the tier."""

    def changed(self, keys: Iterable[str]) -> None:
        """Others wrote or dropped keys."""
        ...

    def cleared(self) -> None:
        """Others dropped everything, or what they changed was not heard."""
        ...

    def untagged(self, tag: str) -> None:
        """Others dropped what has a tag."""
        ...


@runtime_checkable
class CoordinatedTier(SharedTier, Protocol):
    """A store in which processes agree who loads, and hear what others change.

    A lease is the right to load a key and to store what was loaded. Every write and every
    deletion of the key ends it: what was loaded before cannot overwrite what came after.
    """

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return what is stored under each key."""
        ...

    async def claim(
        self, keys: Sequence[str], token: str, lease: float, fresh_for: float
    ) -> list[Claim]:
        """Return each key's value, and where it is not fresh for so long try for its lease."""
        ...

    async def renew(self, keys: Sequence[str], token: str, lease: float) -> int:
        """Hold leases for longer; return how many still hold."""
        ...

    async def settle(
        self, pairs: Sequence[tuple[str, bytes | None]], token: str, ttl: float
    ) -> list[bool]:
        """Store what was loaded, None for nothing, where the lease holds, and end the lease."""
        ...

    async def put(self, pairs: Sequence[tuple[str, bytes]], ttl: float, origin: str) -> None:
        """Store bytes, end the leases on them and tell all listeners but ``origin``."""
        ...

    async def drop(self, keys: Sequence[str], origin: str) -> int:
        """Drop keys and the leases on them, tell the others; return how many there were."""
        ...

    async def wipe(self, prefix: str, origin: str) -> None:
        """Drop every key that starts with ``prefix``, leases too, and tell the others."""
        ...

    async def stamps(self, keys: Sequence[str], ttl: float) -> list[bytes] | None:
        """Return the stamp of each tag, made where there is none, kept for ``ttl`` seconds more.

        None where they cannot be had.
        """
        ...

    async def drop_tag(self, prefix: str, tag: str, key: str, origin: str) -> None:
        """Drop a tag's stamp, so that no value stored under it counts, and tell the others."""
        ...

    def outdated(self, keys: Iterable[str]) -> None:
        """Find nothing under keys until they were dropped: a write of theirs was given up."""
        ...

    def listen(self, prefix: str, origin: str, listener: Listener) -> None:
        """Tell a listener of changes under a prefix that did not come from itself."""
        ...
