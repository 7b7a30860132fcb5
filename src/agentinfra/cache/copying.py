"""Values that nobody else can change: copied on their way in and on their way out."""

from __future__ import annotations

import copy
import datetime as dt
import pickle
import uuid
from collections.abc import AsyncIterable, Awaitable, Iterator
from decimal import Decimal
from enum import Enum
from typing import Any

from agentinfra.errors import CacheError

__all__ = ["hand_out", "protected", "refuse_read_once"]

_UNCHANGING = frozenset(
    {
        type(None),
        bool,
        int,
        float,
        complex,
        str,
        bytes,
        Decimal,
        uuid.UUID,
        dt.date,
        dt.datetime,
        dt.time,
        dt.timedelta,
    }
)
_MOST_BYTES = 1_000_000
_HELD = frozenset({list, dict, set, tuple, frozenset})


class _Picture:
    """A value as it was, in a form that is quick to make values of.

    In this process only: no such bytes are read that did not come from here.
    """

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = data

    def value(self) -> Any:
        return pickle.loads(self._data)  # noqa: S301 - our own bytes, which never left


class _Original:
    """A value that only ``copy.deepcopy`` can copy."""

    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        self._value = value

    def value(self) -> Any:
        return copy.deepcopy(self._value)


def refuse_read_once(value: Any) -> None:
    """Refuse what is empty for the second reader: generators, iterators, streams, coroutines.

    Raises:
        CacheError: It is such a value.
    """
    if type(value) in _UNCHANGING or type(value) in _HELD:
        return
    if isinstance(value, Iterator | AsyncIterable | Awaitable):
        raise CacheError(
            f"a {type(value).__name__} can be read once and cannot be cached: read it, and cache "
            "what it gave"
        )


def protected(value: Any, size: int) -> Any:
    """Return what is held in place of a value, for `hand_out`.

    What cannot be changed, what cannot be copied (a value with a lock or a connection in it), and
    what takes more than 1 MB is held as it is. An array is too, and handed out as a copy.

    Args:
        value: The value.
        size: Its bytes, estimated.
    """
    if type(value) in _UNCHANGING or isinstance(value, Enum | type) or size > _MOST_BYTES:
        return value
    if hasattr(value, "__array_interface__"):
        return _Original(value)
    try:
        return _Picture(pickle.dumps(value, pickle.HIGHEST_PROTOCOL))
    except Exception:  # noqa: BLE001 - pickling runs the value's own code
        return _deep(value)


def hand_out(held: Any) -> Any:
    """Return the value behind what is held, for one caller to keep."""
    kind = type(held)
    return held.value() if kind is _Picture or kind is _Original else held


def _deep(value: Any) -> Any:
    try:
        return _Original(copy.deepcopy(value))
    except Exception:  # noqa: BLE001 - copying runs the value's own code
        return value
