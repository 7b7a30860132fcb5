"""Values as MessagePack with the kinds of what MessagePack itself does not know."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import sys
import uuid
import zoneinfo
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
from msgspec.msgpack import Ext

__all__ = ["equal", "from_form", "to_form"]

_NATIVE = frozenset({type(None), bool, float, str, bytes})
_TUPLE, _SET, _FROZENSET, _DATETIME, _DATE, _TIME, _DELTA = range(1, 8)
_DECIMAL, _UUID, _INT, _ENUM, _OBJECT, _MAPPING = range(8, 14)
_MISSING = dataclasses.MISSING


def to_form(value: Any) -> Any:
    """Return what MessagePack can write in place of a value.

    Raises:
        TypeError: Something in it has no form.
    """
    kind = type(value)
    if kind in _NATIVE:
        return value
    if kind is int:
        return value if -(2**63) <= value < 2**64 else _ext(_INT, hex(value))
    if kind is list:
        return [to_form(item) for item in value]
    if kind is dict:
        if all(type(key) is str for key in value):
            return {key: to_form(item) for key, item in value.items()}
        return _ext(_MAPPING, [[to_form(key), to_form(item)] for key, item in value.items()])
    if (scalar := _SCALARS.get(kind)) is not None:
        return scalar(value)
    if isinstance(value, enum.Enum):
        return _ext(_ENUM, [*_name(kind), to_form(value.value)])
    return _object(value)


def from_form(data: bytes) -> Any:
    """Return the value behind a form's MessagePack.

    Raises:
        Exception: The bytes are none, or name a class this process does not have.
    """
    return msgspec.msgpack.decode(data, ext_hook=_read)


def equal(read: Any, written: Any) -> bool:
    """Compare with kinds: a subclass of str or an enum are not what they equal."""
    if type(read) is not type(written):
        return False
    if isinstance(read, dict):
        return len(read) == len(written) and all(
            equal(a, b) and equal(x, y)
            for (a, x), (b, y) in zip(read.items(), written.items(), strict=True)
        )
    if isinstance(read, list | tuple):
        return len(read) == len(written) and all(map(equal, read, written))
    if isinstance(read, dt.datetime):
        return bool(read == written) and read.isoformat() == written.isoformat()
    return bool(read == written)


def _object(value: Any) -> Ext:
    kind = type(value)
    if dataclasses.is_dataclass(value):
        held = {field.name: _field(value, field) for field in dataclasses.fields(value)}
        fields = {name: form for name, form in held.items() if form is not _MISSING}
    elif hasattr(kind, "__struct_fields__"):
        fields = {name: to_form(getattr(value, name)) for name in kind.__struct_fields__}
    elif hasattr(kind, "__pydantic_fields__") and not value.__pydantic_private__:
        own = value.__dict__ | (value.__pydantic_extra__ or {})
        fields = {name: to_form(item) for name, item in own.items()}
    else:
        raise TypeError(f"{kind.__name__} has no form")
    return _ext(_OBJECT, [*_name(kind), fields])


def _field(value: Any, field: dataclasses.Field[Any]) -> Any:
    """Return a field's form; what tells nothing about the value may be left out.

    A field that no comparison and no repr looks at, and that has a default, is how a class keeps
    a handle beside its value: an answer the response it came from.
    """
    try:
        return to_form(getattr(value, field.name))
    except TypeError:
        has_default = (field.default, field.default_factory) != (_MISSING, _MISSING)
        if field.compare or field.repr or not has_default:
            raise
        return _MISSING


def _name(kind: type) -> list[str]:
    if _find(kind.__module__, kind.__qualname__) is not kind:
        raise TypeError(f"{kind.__qualname__} cannot be found by its name")
    return [kind.__module__, kind.__qualname__]


def _find(module: str, name: str) -> Any:
    """Return a class by name: bytes from outside never make this process import something."""
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def _made(module: str, name: str, fields: dict[str, Any]) -> Any:
    kind = _find(module, name)
    if not isinstance(kind, type):
        raise TypeError(f"there is no class {module}.{name} here")
    if hasattr(kind, "__pydantic_fields__"):
        return kind.model_validate(fields)  # type: ignore[attr-defined]
    if hasattr(kind, "__struct_fields__"):
        return kind(**fields)
    if not dataclasses.is_dataclass(kind):
        raise TypeError(f"{module}.{name} is no class of values")
    given = {field.name for field in dataclasses.fields(kind) if field.init}
    made = kind(**{name: item for name, item in fields.items() if name in given})
    for name in fields.keys() - given:
        object.__setattr__(made, name, fields[name])
    return made


def _member(module: str, name: str, value: Any) -> Any:
    kind = _find(module, name)
    if not (isinstance(kind, type) and issubclass(kind, enum.Enum)):
        raise TypeError(f"there is no enum {module}.{name} here")
    return kind(value)


def _zoned(value: dt.datetime | dt.time) -> list[str | int | None]:
    zone = value.tzinfo
    if isinstance(zone, zoneinfo.ZoneInfo) and zone.key:
        return [value.replace(tzinfo=None).isoformat(), value.fold, zone.key]
    if zone is not None and type(zone) is not dt.timezone:
        raise TypeError(f"{zone!r} is a zone of another kind")
    return [value.isoformat(), value.fold, None]


def _datetime(text: str, fold: int, zone: str | None) -> dt.datetime:
    read = dt.datetime.fromisoformat(text).replace(fold=fold)
    return read if zone is None else read.replace(tzinfo=zoneinfo.ZoneInfo(zone))


def _time(text: str, fold: int, zone: str | None) -> dt.time:
    read = dt.time.fromisoformat(text).replace(fold=fold)
    return read if zone is None else read.replace(tzinfo=zoneinfo.ZoneInfo(zone))


def _ext(code: int, form: Any) -> Ext:
    return Ext(code, msgspec.msgpack.encode(form))


def _sorted_forms(value: frozenset[Any] | set[Any]) -> list[Any]:
    return sorted((to_form(item) for item in value), key=msgspec.msgpack.encode)


_SCALARS: dict[type, Callable[[Any], Ext]] = {
    tuple: lambda value: _ext(_TUPLE, [to_form(item) for item in value]),
    set: lambda value: _ext(_SET, _sorted_forms(value)),
    frozenset: lambda value: _ext(_FROZENSET, _sorted_forms(value)),
    dt.datetime: lambda value: _ext(_DATETIME, _zoned(value)),
    dt.date: lambda value: _ext(_DATE, value.isoformat()),
    dt.time: lambda value: _ext(_TIME, _zoned(value)),
    dt.timedelta: lambda value: _ext(_DELTA, [value.days, value.seconds, value.microseconds]),
    Decimal: lambda value: _ext(_DECIMAL, str(value)),
    uuid.UUID: lambda value: _ext(_UUID, value.hex),
}

_READERS: dict[int, Callable[[Any], Any]] = {
    _TUPLE: tuple,
    _SET: set,
    _FROZENSET: frozenset,
    _DATETIME: lambda form: _datetime(*form),
    _DATE: dt.date.fromisoformat,
    _TIME: lambda form: _time(*form),
    _DELTA: lambda form: dt.timedelta(*form),
    _DECIMAL: Decimal,
    _UUID: lambda form: uuid.UUID(hex=form),
    _INT: lambda form: int(form, 16),
    _ENUM: lambda form: _member(*form),
    _OBJECT: lambda form: _made(*form),
    _MAPPING: dict,
}


def _read(code: int, data: memoryview) -> Any:
    return _READERS[code](msgspec.msgpack.decode(data, ext_hook=_read))
