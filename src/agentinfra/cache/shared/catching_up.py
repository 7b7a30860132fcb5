"""What a store that was away has missed."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CatchingUp"]

_MOST_KEYS = 10_000
_BATCH = 500


class CatchingUp:
    """Remembers the keys whose value in a store may be out of date.

    Bounded: beyond 10,000 keys whole prefixes are remembered in their place. A key's prefix is
    what stands before its last colon, and the colon.
    """

    __slots__ = ("_keys", "_prefixes")

    def __init__(self) -> None:
        self._keys: dict[str, None] = {}
        self._prefixes: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._keys) + len(self._prefixes)

    def add(self, key: str | None = None, prefix: str | None = None) -> None:
        """Remember a key, or every key that starts with a prefix."""
        if prefix is not None:
            self._prefixes[prefix] = None
        if key is not None:
            self._keys[key] = None
        if len(self._keys) > _MOST_KEYS:
            self._prefixes.update(dict.fromkeys(k[: k.rfind(":") + 1] for k in self._keys))
            self._keys.clear()

    def covers(self, key: str) -> bool:
        """Say whether what a store has under a key may be out of date."""
        return key in self._keys or any(key.startswith(prefix) for prefix in self._prefixes)

    def batches(self) -> Iterator[tuple[tuple[str, ...], str | None]]:
        """Yield what is to be dropped, keys or one prefix, until nothing is left.

        What was yielded is forgotten when the next is asked for: a batch that fails stays.
        """
        while self._keys or self._prefixes:
            if self._prefixes:
                prefix = next(iter(self._prefixes))
                yield (), prefix
                self._prefixes.pop(prefix, None)
            else:
                keys = tuple(islice(self._keys, _BATCH))
                yield keys, None
                for key in keys:
                    self._keys.pop(key, None)
