"""The canonical form of what an answer depends on."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import math
import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from agentinfra.errors import CacheError

__all__ = ["encode_context"]

_DEEPEST = 100
_ZERO = dt.timedelta()
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


def encode_context(value: Any) -> bytes:
    """Return an encoding of a value that equal values share, and no others.

    Values are told apart by type: ``1``, ``True``, ``1.0`` and ``"1"`` are four, a list and a
    tuple two. Equal values of one type are one: the order of a mapping's keys and of a set makes
    no difference, nor does the zone an instant is written in, nor the sign of zero. Enums, classes
    and the instances of dataclasses, named tuples and pydantic models go by the qualified name of
    their class; of an instance every field counts.

    Raises:
        CacheError: Something in the value is of another kind, is no number (NaN) or infinite, or
            is nested deeper than 100 levels; the message says where it is.
    """
    return _encode(value, "context", 0)


def _encode(value: Any, place: str, depth: int) -> bytes:
    if depth > _DEEPEST:
        raise CacheError(
            "context is nested too deeply, or contains itself: no cache key can be made of it"
        )
    scalar = _SCALARS.get(type(value))
    if scalar is not None:
        encoded = scalar(value)
        if encoded is None:
            raise _refusal(value, place)
        return encoded
    return _compound(value, place, depth + 1)


def _compound(value: Any, place: str, depth: int) -> bytes:
    kind = type(value)
    if kind is list or kind is tuple:
        items = [_encode(item, f"{place}[{at}]", depth) for at, item in enumerate(value)]
        return _framed(b"l" if kind is list else b"T", *items)
    if isinstance(value, enum.Enum):
        # A combination of flags has no name of its own, only a value.
        name: str | None = value._name_
        said = value.value if name is None else name
        return _framed(b"e", _class(kind), _encode(said, f"{place}.value", depth))
    if isinstance(value, type):
        return _framed(b"c", _class(value))
    fields = _fields(value)
    if fields is None and isinstance(value, Mapping):
        return _mapping(value, place, depth)
    if fields is None:
        raise _refusal(value, place)
    parts = [_text(name) + _encode(item, f"{place}.{name}", depth) for name, item in fields.items()]
    return _framed(b"o", _class(kind), *parts)


def _mapping(value: Mapping[Any, Any], place: str, depth: int) -> bytes:
    # By their encodings: keys of several types cannot be compared themselves.
    keys = {_encode(key, f"the key {key!r:.80} of {place}", depth): key for key in value}
    items = (
        encoded + _encode(value[key], f"{place}[{key!r:.80}]", depth)
        for encoded, key in sorted(keys.items(), key=lambda pair: pair[0])
    )
    return _framed(b"m", *items)


def _fields(value: Any) -> dict[str, Any] | None:
    """Return all that an instance of a class with declared fields holds, None for others."""
    if dataclasses.is_dataclass(value):
        held = {field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)}
        return held | getattr(value, "__dict__", {})
    names = getattr(value, "__struct_fields__", None) or (
        getattr(value, "_fields", None) if isinstance(value, tuple) else None
    )
    if names is not None:
        return {name: getattr(value, name, None) for name in names}
    if hasattr(type(value), "__pydantic_fields__"):
        own: dict[str, Any] = dict(value.__dict__)
        for more in (value.__pydantic_extra__, value.__pydantic_private__):
            own |= more or {}
        return own
    return None


def _refusal(value: Any, place: str) -> CacheError:
    return CacheError(
        f"{place} is {value!r:.80} of type {type(value).__name__}, which has no canonical form: "
        "no cache key can be made of it"
    )


def _framed(kind: bytes, *parts: bytes) -> bytes:
    return b"%b%d:%b" % (kind, len(parts), b"".join(parts))


def _text(value: str) -> bytes:
    data = value.encode("utf-8", "surrogatepass")
    return b"s%d:%b" % (len(data), data)


def _class(kind: type) -> bytes:
    return _text(f"{kind.__module__}.{kind.__qualname__}")


def _float(value: float) -> bytes | None:
    # Adding 0.0 makes -0.0 the zero it equals.
    return b"d%b;" % repr(value + 0.0).encode() if math.isfinite(value) else None


def _decimal(value: Decimal) -> bytes | None:
    if not value.is_finite():
        return None
    sign, digits, exponent = value.as_tuple()
    figures = "".join(map(str, digits)).lstrip("0")
    kept = figures.rstrip("0")
    if not kept:
        return b"D0;"
    return b"D%b;" % f"{sign}{kept}e{int(exponent) + len(figures) - len(kept)}".encode()


def _datetime(value: dt.datetime) -> bytes:
    if value.utcoffset() is None:
        return b"w%b;" % value.replace(tzinfo=None, fold=0).isoformat().encode()
    # As a number: near the ends of the calendar the instant may have no date in UTC.
    return b"W%d;" % ((value - _EPOCH) // _MICROSECOND)


def _time(value: dt.time) -> bytes:
    since = dt.timedelta(
        hours=value.hour,
        minutes=value.minute,
        seconds=value.second,
        microseconds=value.microsecond,
    )
    offset = value.utcoffset()
    kind = b"h" if offset is None else b"H"
    return b"%b%d;" % (kind, (since - (offset or _ZERO)) // _MICROSECOND)


_SCALARS: dict[type, Callable[[Any], bytes | None]] = {
    type(None): lambda _: b"n",
    bool: lambda value: b"t" if value else b"f",
    int: lambda value: b"i%x;" % value,
    float: _float,
    str: _text,
    bytes: lambda value: b"b%d:%b" % (len(value), value),
    Decimal: _decimal,
    uuid.UUID: lambda value: b"u" + value.bytes,
    dt.datetime: _datetime,
    dt.date: lambda value: b"y%b;" % value.isoformat().encode(),
    dt.time: _time,
    dt.timedelta: lambda value: b"p%d;" % (value // _MICROSECOND),
}
"""By exact type: a subclass may hold more than its base says, and is refused."""
