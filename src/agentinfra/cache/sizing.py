"""How much memory a value takes, near enough for a bound, at a price that does not grow with it."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterable, Iterator, Mapping, Sized
from itertools import islice
from types import FunctionType, MethodType, ModuleType
from typing import Any

__all__ = ["ENTRY_BYTES", "estimate_bytes"]

ENTRY_BYTES = 450
"""What holding an entry costs beside its value: the key, the tuple, its places in the orders."""

_MOST_OBJECTS = 2_000
_SAMPLE = 100
_LEAVES: tuple[type, ...] = (str, bytes, int, float, bool, type(None), complex)
_PLAIN = frozenset(_LEAVES)


def estimate_bytes(value: Any) -> int:
    """Return the bytes of a value and of what it refers to, each object counted once.

    Looks into containers, arrays and objects; classes, functions and modules count nothing, what
    a function has closed over does. Of a container with more than 100 items every n-th is looked
    at and stands for the others. An array that is a view counts what it keeps alive. After 2,000
    objects it stops looking.
    """
    if type(value) in _PLAIN:
        return sys.getsizeof(value)
    return round(_Estimate().of(value))


class _Estimate:
    """One walk through a value."""

    __slots__ = ("_left", "_seen")

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._left = _MOST_OBJECTS

    def of(self, value: Any) -> float:
        total, waiting = 0.0, [(value, 1.0)]
        while waiting and self._left > 0:
            item, weight = waiting.pop()
            if isinstance(item, type | ModuleType) or id(item) in self._seen:
                continue
            self._seen.add(id(item))
            self._left -= 1
            total += weight * _own_bytes(item)
            if not isinstance(item, _LEAVES):
                waiting.extend((part, weight * each) for part, each in _parts(item))
        return total


def _own_bytes(item: Any) -> int:
    data = getattr(item, "nbytes", 0)
    return max(sys.getsizeof(item, 64), data if isinstance(data, int) else 0)


def _parts(item: Any) -> Iterator[tuple[Any, float]]:
    """Yield what an object refers to, each with how many of its kind it stands for."""
    if isinstance(item, Mapping):
        yield from _sampled(item.keys(), len(item))
        yield from _sampled(item.values(), len(item))
    elif getattr(getattr(item, "dtype", None), "hasobject", False):
        yield from _sampled(item.flat, item.size)
    elif hasattr(item, "nbytes"):
        # A view keeps the whole of what it looks at alive.
        if (base := getattr(item, "base", getattr(item, "obj", None))) is not None:
            yield base, 1.0
    elif isinstance(item, FunctionType):
        for cell in item.__closure__ or ():
            yield cell, 1.0
    elif isinstance(item, MethodType):
        yield item.__self__, 1.0
    elif isinstance(item, Iterable) and isinstance(item, Sized) and not hasattr(item, "__dict__"):
        yield from _sampled(item, len(item))
    else:
        for part in gc.get_referents(item):
            yield part, 1.0


def _sampled(items: Iterable[Any], number: int) -> Iterator[tuple[Any, float]]:
    step = -(-number // _SAMPLE) or 1
    for part in islice(items, 0, None, step):
        yield part, float(step)
