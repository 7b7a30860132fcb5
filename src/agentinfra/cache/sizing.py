"""How much memory a value takes, near enough for a bound."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["ENTRY_BYTES", "estimate_bytes"]

ENTRY_BYTES = 400
"""What holding an entry costs beside its value: the key, the tuple, its place in the order."""

_MOST_OBJECTS = 50_000  # a value that leads to half the program must not stop the event loop


def estimate_bytes(value: Any) -> int:
    """Return the bytes of a value and of what it refers to, each object counted once.

    Looks into containers, dataclasses and other objects with attributes; classes, functions and
    modules count nothing. Arrays count their data. After 50,000 objects it stops looking.
    """
    seen: set[int] = set()
    waiting = [value]
    total = 0
    while waiting and len(seen) < _MOST_OBJECTS:
        item = waiting.pop()
        if id(item) in seen or isinstance(item, type) or callable(item):
            continue
        seen.add(id(item))
        total += _own_bytes(item)
        waiting.extend(_parts(item))
    return total


def _own_bytes(item: Any) -> int:
    data = getattr(item, "nbytes", 0)
    return max(sys.getsizeof(item, 64), data if isinstance(data, int) else 0)


def _parts(item: Any) -> Iterator[Any]:
    if isinstance(item, str | bytes | int | float):
        return
    if isinstance(item, Mapping):
        yield from item.keys()
        yield from item.values()
    elif isinstance(item, list | tuple | set | frozenset):
        yield from item
    else:
        yield from getattr(item, "__dict__", {}).values()
        for owner in type(item).__mro__:
            slots = owner.__dict__.get("__slots__", ())
            for name in (slots,) if isinstance(slots, str) else slots:
                yield getattr(item, name, None)
