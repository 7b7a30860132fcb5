"""``typing.TypedDict`` for pydantic, which before Python 3.12 wants typing_extensions' own."""

from __future__ import annotations

import sys
import types
import typing
from typing import Annotated, Any, get_args, get_origin

import typing_extensions

__all__ = ["adaptable"]


def adaptable(kind: Any) -> Any:
    """Return a type that pydantic can adapt in place of one with TypedDicts of ``typing`` in it."""
    if sys.version_info >= (3, 12):
        return kind
    if typing.is_typeddict(kind) and type(kind).__module__ == "typing":
        return _rebuilt(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is None or origin is typing.Literal:
        return kind
    given = arguments[:1] if origin is Annotated else arguments
    made = [adaptable(one) for one in given]
    if all(one is other for one, other in zip(made, given, strict=True)):
        return kind
    if origin is Annotated:
        return Annotated[(made[0], *arguments[1:])]
    if origin in (typing.Union, types.UnionType):
        return typing.Union[tuple(made)]  # noqa: UP007 - made while running
    return origin[tuple(made)]


def _rebuilt(kind: Any) -> Any:
    hints = typing_extensions.get_type_hints(kind, include_extras=True)
    fields: dict[str, Any] = {}
    marks: tuple[Any, ...] = (typing_extensions.Required, typing_extensions.NotRequired)
    for name, hint in hints.items():
        bare: Any = hint
        while get_origin(bare) in marks:
            bare = get_args(bare)[0]
        needed = name in kind.__required_keys__
        mark = typing_extensions.Required if needed else typing_extensions.NotRequired
        fields[name] = mark[adaptable(bare)]
    make: Any = typing_extensions.TypedDict
    made = make(kind.__name__, fields)
    made.__doc__, made.__module__ = kind.__doc__, kind.__module__
    return made
