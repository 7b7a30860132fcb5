"""The memory tier: the dead go first, then the least recently used; nothing outlives its time."""

from __future__ import annotations

from collections import OrderedDict
from heapq import heapify, heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Generic, Literal, TypeAlias, TypeVar

from agentinfra._mechanics.clock import SYSTEM_CLOCK, Clock
from agentinfra.cache.admission import Eviction, TinyLFU

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

__all__ = ["Drop", "MemoryTier"]

K = TypeVar("K", bound="Hashable")
V = TypeVar("V")
D = TypeVar("D")

Drop: TypeAlias = Literal["eviction", "expiration", "refused"]
"""Why an entry went, or never came, without being asked to."""

_FOREVER = float("inf")
_FEWEST = 64


class MemoryTier(Generic[K, V]):
    """A dictionary with a bound on entries, a bound on bytes and a time to live.

    Synchronous, for the tasks of one event loop. It holds the values themselves, not copies.
    An entry past its time is never handed out as fresh. It is dropped when it is met, when
    another one is set, and by `sweep`; so the dead never take the place of the living.

    Args:
        max_size: Entries held at most; 0 holds none.
        max_bytes: Bytes held at most, by the sizes given to `set`; None sets no bound.
        eviction: Who goes when there is no room.
        clock: Where time comes from.
        dropped: Called with the reason and the key for each entry dropped for room or age, and for
            each value that is too large to be held.
    """

    __slots__ = (
        "_admission",
        "_bytes",
        "_deaths",
        "_dropped",
        "_entries",
        "_max_bytes",
        "_max_size",
        "_now",
        "_numbers",
        "_tagged",
    )

    def __init__(
        self,
        *,
        max_size: int,
        max_bytes: int | None = None,
        eviction: Eviction = "lru",
        clock: Clock = SYSTEM_CLOCK,
        dropped: Callable[[Drop, K], None] | None = None,
    ) -> None:
        # key: (value, fresh until, dead from, size, tags). A plain tuple: making a named one would
        # double the cost of a set.
        self._entries: OrderedDict[K, tuple[V, float, float, int, tuple[str, ...]]] = OrderedDict()
        # (dead from, number, key), soonest first; the number spares comparing keys. What was set
        # anew or dropped leaves its line behind, which is passed over when its time comes; there
        # are never more lines than twice the entries and 64.
        self._deaths: list[tuple[float, int, K]] = []
        self._numbers = count()
        self._tagged: dict[str, set[K]] = {}
        self._bytes = 0
        self._max_size = max_size
        self._max_bytes = _FOREVER if max_bytes is None else max_bytes
        self._now = clock.now
        self._dropped = dropped
        self._admission: TinyLFU[K] | None = None if eviction == "lru" else TinyLFU(max_size)

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[K]:
        """Iterate over the keys, the least recently used first."""
        return iter(tuple(self._entries))

    @property
    def bytes(self) -> int:
        """The sizes of all entries together."""
        return self._bytes

    def get(self, key: K, default: D) -> V | D:
        """Return the fresh value of a key, and make it the most recently used."""
        if self._admission is not None:
            self._admission.asked(key)
        entry = self._entries.get(key)
        if entry is None:
            return default
        if self._now() >= entry[1]:
            self._expire(key, entry[2])
            return default
        self._entries.move_to_end(key)
        return entry[0]

    def stale(self, key: K, default: D) -> V | D:
        """Return the value of a key that is fresh or in its stale time."""
        entry = self._entries.get(key)
        if entry is None or self._expire(key, entry[2]):
            return default
        self._entries.move_to_end(key)
        return entry[0]

    def fresh_for(self, key: K) -> float:
        """Return the seconds a key's value is fresh for; 0 or less where it is not."""
        entry = self._entries.get(key)
        return 0.0 if entry is None else entry[1] - self._now()

    def set(
        self,
        key: K,
        value: V,
        *,
        size: int = 0,
        ttl: float | None = None,
        stale: float = 0.0,
        tags: tuple[str, ...] = (),
    ) -> bool:
        """Hold a value, dropping others for it where there is no room.

        Args:
            key: Its key; an older value of it goes.
            value: The value.
            size: Its bytes.
            ttl: Seconds it is fresh; None for ever.
            stale: Seconds after that in which `stale` still returns it.
            tags: What `delete_tagged` finds it by.

        Returns:
            Whether it is held: one larger than the whole tier is not.
        """
        older = self._entries.pop(key, None)
        if older is not None:
            self._forget(key, older[3], older[4])
        if size > self._max_bytes or self._max_size < 1:
            if self._max_size and self._dropped is not None:
                self._dropped("refused", key)
            return False
        now = self._now()
        fresh = _FOREVER if ttl is None else now + ttl
        dead = fresh + stale if stale else fresh
        self._entries[key] = (value, fresh, dead, size, tags)
        self._bytes += size
        if self._admission is not None:
            self._admission.entered(key)
        if tags:
            self._tag(key, tags)
        if dead != _FOREVER:
            self._expect(dead, key)
        if self._deaths and self._deaths[0][0] <= now:
            self._bury(now)
        while len(self._entries) > self._max_size or self._bytes > self._max_bytes:
            self._make_room()
        return True

    def touch(self, key: K, ttl: float | None) -> bool:
        """Give the value of a key a new time to live; return whether there is one."""
        entry = self._entries.get(key)
        if entry is None or self._expire(key, entry[2]):
            return False
        fresh = _FOREVER if ttl is None else self._now() + ttl
        self._entries[key] = (entry[0], fresh, fresh, *entry[3:])
        if fresh != _FOREVER:
            self._expect(fresh, key)
        return True

    def replace(self, key: K, value: V) -> bool:
        """Change the value of a key and leave its times alone; return whether there is one."""
        entry = self._entries.get(key)
        if entry is None or self._expire(key, entry[2]):
            return False
        self._entries[key] = (value, *entry[1:])
        return True

    def delete(self, key: K) -> bool:
        """Drop a key; return whether there was a value that could still be had."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return False
        self._forget(key, entry[3], entry[4])
        return self._now() < entry[2]

    def delete_tagged(self, tag: str) -> list[K]:
        """Drop every entry with a tag; return the keys of those that could still be had."""
        return [key for key in tuple(self._tagged.get(tag, ())) if self.delete(key)]

    def clear(self) -> None:
        """Drop everything."""
        self._entries.clear()
        self._deaths.clear()
        self._tagged.clear()
        self._bytes = 0
        if self._admission is not None:
            self._admission.clear()

    def sweep(self) -> None:
        """Drop what is dead."""
        self._bury(self._now())

    def _bury(self, now: float) -> None:
        """Drop every entry whose time is over, the soonest first."""
        deaths = self._deaths
        while deaths and deaths[0][0] <= now:
            key = heappop(deaths)[2]
            entry = self._entries.get(key)
            if entry is not None:
                self._expire(key, entry[2])

    def _expect(self, dead: float, key: K) -> None:
        heappush(self._deaths, (dead, next(self._numbers), key))
        if len(self._deaths) > 2 * len(self._entries) + _FEWEST:
            self._deaths = [
                (entry[2], next(self._numbers), key)
                for key, entry in self._entries.items()
                if entry[2] != _FOREVER
            ]
            heapify(self._deaths)

    def _expire(self, key: K, dead: float) -> bool:
        if self._now() < dead:
            return False
        self.delete(key)
        if self._dropped is not None:
            self._dropped("expiration", key)
        return True

    def _make_room(self) -> None:
        if self._admission is None:
            key, (_, _, _, size, tags) = self._entries.popitem(last=False)
        else:
            key = self._admission.victim(self._entries)
            _, _, _, size, tags = self._entries.pop(key)
        self._forget(key, size, tags)
        if self._dropped is not None:
            self._dropped("eviction", key)

    def _tag(self, key: K, tags: tuple[str, ...]) -> None:
        for tag in tags:
            self._tagged.setdefault(tag, set()).add(key)

    def _forget(self, key: K, size: int, tags: tuple[str, ...]) -> None:
        self._bytes -= size
        if self._admission is not None:
            self._admission.left(key)
        for tag in tags:
            keys = self._tagged.get(tag)
            if keys is not None:
                keys.discard(key)
                if not keys:
                    del self._tagged[tag]
