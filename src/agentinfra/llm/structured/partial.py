"""Values of which only a part has come: objects of the caller's own classes, not validated yet."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from typing import Annotated, Any, Final, Union, get_args, get_origin, get_type_hints

__all__ = ["PartialText", "partial_of"]

_UNIONS: Final = (Union, types.UnionType)
_STEP: Final = 64


class PartialText:
    """JSON that is coming, read again as it grows.

    Reading it anew with each piece would cost the square of its length: beyond a few hundred
    characters it is read again when it has grown by a small part of itself.
    """

    __slots__ = ("_length", "_next", "_pieces", "_seen")

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._length = self._next = 0
        self._seen: Any = None

    def add(self, piece: str) -> tuple[bool, Any]:
        """Take in what has come; return whether that is more than before, and the value so far."""
        from pydantic_core import from_json

        self._pieces.append(piece)
        self._length += len(piece)
        if self._length < self._next:
            return False, None
        body = _body("".join(self._pieces))
        if not body:
            return False, None
        try:
            value = from_json(body, allow_partial="trailing-strings")
        except ValueError:
            return False, None  # not JSON as it stands: the end will tell
        self._next = self._length + 1 + self._length // _STEP
        if value == self._seen or not isinstance(value, dict | list):
            return False, None
        self._seen = value
        return True, value


def _body(text: str) -> str:
    """Return where JSON begins in an answer that is nothing else, but for a fence."""
    body = text.lstrip()
    if body.startswith("```"):
        body = body.partition("\n")[2].lstrip()
    return body if body[:1] in ("{", "[") else ""


def partial_of(kind: Any, value: Any) -> Any:
    """Return a value so far as an object of its type; what has not come is None, or its default.

    Args:
        kind: The type.
        value: What has come, as JSON has it.
    """
    kind = _plain(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if isinstance(value, list):
        inner = arguments[0] if arguments and arguments[0] is not Ellipsis else Any
        return [partial_of(inner, item) for item in value]
    if not isinstance(value, dict):
        return value
    if isinstance(origin, type) and issubclass(origin, Mapping):
        inner = arguments[1] if len(arguments) > 1 else Any
        return {key: partial_of(inner, item) for key, item in value.items()}
    if hasattr(kind, "model_construct"):
        return _model(kind, value)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _dataclass(kind, value)
    return value


def _plain(kind: Any) -> Any:
    """Return a type without what is said beside it; of a choice with None the other."""
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) in _UNIONS:
        others = [one for one in get_args(kind) if one is not type(None)]
        return _plain(others[0]) if len(others) == 1 else Any
    return kind


def _model(kind: Any, value: Mapping[str, Any]) -> Any:
    fields: dict[str, Any] = {}
    for name, field in kind.model_fields.items():
        key = next(
            (one for one in (field.validation_alias, field.alias, name) if one in value), None
        )
        if key is not None:
            fields[name] = partial_of(field.annotation, value[key])
        elif field.is_required():
            fields[name] = None
    return kind.model_construct(set(fields), **fields)


def _dataclass(kind: type, value: Mapping[str, Any]) -> Any:
    try:
        hints = get_type_hints(kind, include_extras=True)
    except (NameError, TypeError):
        hints = {}
    made: Any = object.__new__(kind)
    for field in dataclasses.fields(kind):
        if field.name in value:
            given = partial_of(hints.get(field.name, Any), value[field.name])
        elif field.default is not dataclasses.MISSING:
            given = field.default
        elif field.default_factory is not dataclasses.MISSING:
            given = field.default_factory()
        else:
            given = None
        object.__setattr__(made, field.name, given)
    return made
