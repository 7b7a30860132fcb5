"""Who goes when there is no room: by recency alone, or by how often a key is asked for too."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, Literal, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

__all__ = ["Eviction", "TinyLFU"]

K = TypeVar("K", bound="Hashable")

Eviction: TypeAlias = Literal["lru", "tinylfu"]
"""What goes first: the least recently used, or of it and a newcomer what is asked for less."""

_WINDOW = 0.1
"""A hundredth finds as much where popularity stays, and a twentieth less where it shifts."""

_PERIOD = 10
_MOST = 15
_COUNTERS = 16
_MIX = 0x9E3779B97F4A7C15
"""Spreads the bits of small numbers, which are their own hashes."""
_HALVED = bytes(number // 2 for number in range(256))


class TinyLFU(Generic[K]):
    """Lets a newcomer stay only where it is asked for more often than who would go for it.

    How often is counted for keys that are not held too, in a table that forgets: two counters a
    key, of which the lower counts, and all are halved after ten times as many requests as there
    are entries. A newcomer has a window of a tenth of the entries to be asked for again.

    Args:
        max_size: The entries of the cache.
    """

    __slots__ = ("_left", "_mask", "_period", "_room", "_table", "_window")

    def __init__(self, max_size: int) -> None:
        size = 1 << max(_COUNTERS * max_size - 1, 255).bit_length()
        self._mask = size - 1
        self._table = bytearray(size)
        self._period = self._left = max(_PERIOD * max_size, 1)
        self._room = max(1, int(max_size * _WINDOW))
        self._window: OrderedDict[K, None] = OrderedDict()

    def asked(self, key: K) -> None:
        """Count a request, whether the key is held or not."""
        mixed = hash(key) * _MIX
        table, mask = self._table, self._mask
        one, other = mixed >> 20 & mask, mixed >> 42 & mask
        if table[one] < _MOST:
            table[one] += 1
        if table[other] < _MOST:
            table[other] += 1
        self._left -= 1
        if not self._left:
            self._left = self._period
            self._table = self._table.translate(_HALVED)

    def entered(self, key: K) -> None:
        """Give a newcomer its time."""
        self._window[key] = None
        if len(self._window) > self._room + 1:  # while there is room nobody has to go for it
            self._window.popitem(last=False)

    def left(self, key: K) -> None:
        """Forget a key that is held no more."""
        self._window.pop(key, None)

    def clear(self) -> None:
        """Forget who is new; how often keys were asked for stays."""
        self._window.clear()

    def victim(self, keys: Iterable[K]) -> K:
        """Return who goes, of all keys from the least recently used on."""
        oldest = next((key for key in keys if key not in self._window), None)
        if oldest is None or len(self._window) > self._room:
            newcomer = self._window.popitem(last=False)[0]
            if oldest is None or self._often(newcomer) <= self._often(oldest):
                return newcomer
        return oldest

    def _often(self, key: K) -> int:
        mixed = hash(key) * _MIX
        one, other = mixed >> 20 & self._mask, mixed >> 42 & self._mask
        return min(self._table[one], self._table[other])
