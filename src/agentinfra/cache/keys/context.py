"""The canonical form of what an answer depends on."""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from agentinfra.errors import CacheError

__all__ = ["canonical_json"]


def canonical_json(value: Any) -> bytes:
    """Return the JSON of a value with sorted keys: equal for equal values, and only for them.

    Lists keep their order, tuples count as lists; dates, UUIDs, enums and dataclasses count as
    the JSON they become.

    Raises:
        CacheError: Something in the value has no JSON; the message says where it is.
    """
    try:
        data = orjson.dumps(value, default=_plain, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        complaint = _complaint(value) or f"context cannot be JSON ({error})"
        raise CacheError(f"{complaint}: no cache key can be made of it") from None
    # orjson writes NaN and the infinities as null: two different contexts would be one.
    if b"null" in data and (complaint := _complaint(value)):
        raise CacheError(f"{complaint}: no cache key can be made of it")
    return data


def _complaint(value: Any) -> str:
    try:
        return next(_misfits(value, "context"), "")
    except RecursionError:
        return "context is nested too deeply, or contains itself"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(type(value).__name__)


def _misfits(value: Any, place: str) -> Iterator[str]:
    """Find what JSON cannot hold, one sentence each, outermost first."""
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                yield f"{place} has the key {key!r:.80}, and JSON keys are text"
    inside = list(_inside(value))
    for path, item in inside:
        yield from _misfits(item, place + path)
    if not inside and not _fits(value):
        yield f"{place} is {value!r:.80} of type {type(value).__name__}, which JSON cannot hold"


def _inside(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what a value contains, each with the path to it."""
    if isinstance(value, Mapping):
        yield from ((f"[{key!r:.80}]", item) for key, item in value.items())
    elif isinstance(value, list | tuple):
        yield from ((f"[{index}]", item) for index, item in enumerate(value))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from (
            (f".{field.name}", getattr(value, field.name)) for field in dataclasses.fields(value)
        )
    elif isinstance(value, enum.Enum):
        yield ".value", value.value


def _fits(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    try:
        orjson.dumps(value, default=_plain)
    except orjson.JSONEncodeError:
        return False
    return True
