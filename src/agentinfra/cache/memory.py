"""The memory tier: least recently used goes first, and nothing outlives its time."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, Literal, TypeAlias, TypeVar

from agentinfra._mechanics.clock import SYSTEM_CLOCK, Clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Drop", "MemoryTier"]

V = TypeVar("V")
D = TypeVar("D")

Drop: TypeAlias = Literal["eviction", "expiration"]
"""Why an entry went without being asked to."""

_FOREVER = float("inf")


class MemoryTier(Generic[V]):
    """A dictionary with a bound on entries, a bound on bytes and a time to live.

    Synchronous, for the tasks of one event loop. It holds the values themselves, not copies.
    An entry past its time is dropped when it is met: it is never handed out as fresh, but it is
    counted until then.

    Args:
        max_size: Entries held at most; 0 holds none.
        max_bytes: Bytes held at most, by the sizes given to :meth:`set`; None sets no bound.
        clock: Where time comes from.
        dropped: Called with the reason for each entry that is dropped for room or age.
    """

    __slots__ = ("_bytes", "_dropped", "_entries", "_max_bytes", "_max_size", "_now")

    def __init__(
        self,
        *,
        max_size: int,
        max_bytes: int | None = None,
        clock: Clock = SYSTEM_CLOCK,
        dropped: Callable[[Drop], None] | None = None,
    ) -> None:
        # key: (value, fresh until, dead from, size). A plain tuple: making a named one would
        # double the cost of a set.
        self._entries: OrderedDict[str, tuple[V, float, float, int]] = OrderedDict()
        self._bytes = 0
        self._max_size = max_size
        self._max_bytes = _FOREVER if max_bytes is None else max_bytes
        self._now = clock.now
        self._dropped = dropped

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the keys, the least recently used first."""
        return iter(tuple(self._entries))

    @property
    def bytes(self) -> int:
        """The sizes of all entries together."""
        return self._bytes

    def get(self, key: str, default: D) -> V | D:
        """Return the fresh value of a key, and make it the most recently used."""
        entry = self._entries.get(key)
        if entry is None:
            return default
        if self._now() >= entry[1]:
            self._expire(key, entry[2])
            return default
        self._entries.move_to_end(key)
        return entry[0]

    def stale(self, key: str, default: D) -> V | D:
        """Return the value of a key that is fresh or in its stale time."""
        entry = self._entries.get(key)
        if entry is None or self._expire(key, entry[2]):
            return default
        self._entries.move_to_end(key)
        return entry[0]

    def set(
        self, key: str, value: V, *, size: int = 0, ttl: float | None = None, stale: float = 0.0
    ) -> bool:
        """Hold a value, dropping others for it where there is no room.

        Args:
            key: Its key; an older value of it goes.
            value: The value.
            size: Its bytes.
            ttl: Seconds it is fresh; None for ever.
            stale: Seconds after that in which :meth:`stale` still returns it.

        Returns:
            Whether it is held: one larger than the whole tier is not.
        """
        older = self._entries.pop(key, None)
        if older is not None:
            self._bytes -= older[3]
        if size > self._max_bytes or self._max_size < 1:
            return False
        fresh = _FOREVER if ttl is None else self._now() + ttl
        self._entries[key] = (value, fresh, fresh + stale, size)
        self._bytes += size
        while len(self._entries) > self._max_size or self._bytes > self._max_bytes:
            self._make_room()
        return True

    def touch(self, key: str, ttl: float | None) -> bool:
        """Give the value of a key a new time to live; return whether there is one."""
        entry = self._entries.get(key)
        if entry is None or self._expire(key, entry[2]):
            return False
        fresh = _FOREVER if ttl is None else self._now() + ttl
        self._entries[key] = (entry[0], fresh, fresh, entry[3])
        return True

    def replace(self, key: str, value: V) -> bool:
        """Change the value of a key and leave its times alone; return whether there is one."""
        entry = self._entries.get(key)
        if entry is None or self._expire(key, entry[2]):
            return False
        self._entries[key] = (value, *entry[1:])
        return True

    def delete(self, key: str) -> bool:
        """Drop a key; return whether there was a value that could still be had."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return False
        self._bytes -= entry[3]
        return self._now() < entry[2]

    def clear(self) -> None:
        """Drop everything."""
        self._entries.clear()
        self._bytes = 0

    def _expire(self, key: str, dead: float) -> bool:
        if self._now() < dead:
            return False
        self.delete(key)
        if self._dropped is not None:
            self._dropped("expiration")
        return True

    def _make_room(self) -> None:
        _, (_, _, dead, size) = self._entries.popitem(last=False)
        self._bytes -= size
        if self._dropped is not None:
            self._dropped("expiration" if self._now() >= dead else "eviction")
