"""Checks made from types: what a TypedDict of parameters allows is allowed, and nothing else.

A check is called with a value and raises `Mismatch`. Checks are made once a type and put
no paths together while all is well, so that a valid request costs a few microseconds.
"""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

from typing_extensions import is_typeddict

from agentinfra.testing.validation.words import (
    Mismatch,
    invalid_type,
    missing,
    not_among,
    unknown,
)

__all__ = ["Check", "ObjectCheck", "check_of"]

Check: TypeAlias = Callable[[Any], None]
_LISTS = (list, Iterable, Sequence)
_WRAPPERS = (typing.Required, typing.NotRequired, typing.Annotated)
_KEYS = ("type", "role", "mode")


def anything(value: Any) -> None:
    """Fit every value."""


def nothing(value: Any) -> None:
    """Fit null.

    Raises:
        Mismatch: It is something.
    """
    if value is not None:
        raise invalid_type("null", value)


def text(value: Any) -> None:
    """Fit a text.

    Raises:
        Mismatch: It is none.
    """
    if type(value) is not str:
        raise invalid_type("a string", value)


def whole_number(value: Any) -> None:
    """Fit a whole number.

    Raises:
        Mismatch: It is none.
    """
    if type(value) is not int:
        raise invalid_type("an integer", value)


def number(value: Any) -> None:
    """Fit a number.

    Raises:
        Mismatch: It is none.
    """
    if type(value) is not int and type(value) is not float:
        raise invalid_type("a decimal", value)


def truth(value: Any) -> None:
    """Fit true and false.

    Raises:
        Mismatch: It is neither.
    """
    if type(value) is not bool:
        raise invalid_type("a boolean", value)


_PLAIN: dict[Any, Check] = {
    str: text,
    int: whole_number,
    float: number,
    bool: truth,
    type(None): nothing,
    None: nothing,
    object: anything,
    Any: anything,
}


_NAMES: dict[Check, str] = {
    whole_number: "an integer",
    number: "a decimal",
    truth: "a boolean",
    nothing: "null",
}


class LiteralCheck:
    """Fits the values of a Literal."""

    def __init__(self, values: tuple[Any, ...]) -> None:
        self.values = values

    def __call__(self, value: Any) -> None:
        if value not in self.values or isinstance(value, bool) != isinstance(self.values[0], bool):
            if isinstance(value, str):
                raise not_among(value, map(str, self.values))
            raise invalid_type(f"one of {', '.join(map(repr, self.values))}", value)


class ListCheck:
    """Fits an array whose items fit."""

    def __init__(self, item: Check) -> None:
        self._item = item

    def __call__(self, value: Any) -> None:
        if type(value) is not list:
            raise invalid_type("an array", value)
        item = self._item
        for place, one in enumerate(value):
            try:
                item(one)
            except Mismatch as wrong:
                raise wrong.below(place) from None


class MapCheck:
    """Fits an object of any keys whose values fit."""

    def __init__(self, item: Check) -> None:
        self._item = item

    def __call__(self, value: Any) -> None:
        if type(value) is not dict:
            raise invalid_type("an object", value)
        if self._item is anything:
            return
        for key, one in value.items():
            try:
                self._item(one)
            except Mismatch as wrong:
                raise wrong.below(key) from None


class ObjectCheck:
    """Fits an object with the keys of TypedDicts.

    Args:
        kinds: The TypedDicts; keys of later ones go before those of earlier ones.
        extra: Keys besides, with their checks.
    """

    def __init__(self, *kinds: type, extra: Mapping[str, Check] | None = None) -> None:
        self._kinds = kinds
        self._extra = dict(extra or {})

    @functools.cached_property
    def hints(self) -> dict[str, Any]:
        """What the TypedDicts say of each key."""
        merged: dict[str, Any] = {}
        for kind in self._kinds:
            merged |= get_type_hints(kind, include_extras=True)
        return merged

    @functools.cached_property
    def fields(self) -> dict[str, Check]:
        """The check of each key; made when first needed, as types may hold themselves."""
        return {**{key: check_of(hint) for key, hint in self.hints.items()}, **self._extra}

    @functools.cached_property
    def required(self) -> frozenset[str]:
        """The keys that have to be there."""
        return frozenset(k for k, hint in self.hints.items() if get_origin(hint) is typing.Required)

    def literals(self, key: str) -> tuple[Any, ...] | None:
        """Return the values a key can have, None where they are not counted."""
        check = self.fields.get(key)
        if isinstance(check, UnionCheck):
            check = check.only_literal()
        return check.values if isinstance(check, LiteralCheck) else None

    def __call__(self, value: Any) -> None:
        """Fit an object.

        Raises:
            Mismatch: A key is missing, unknown, or has a value that does not fit.
        """
        if type(value) is not dict:
            raise invalid_type("an object", value)
        fields = self.fields
        for key, one in value.items():
            check = fields.get(key)
            if check is None:
                raise unknown(key)
            try:
                check(one)
            except Mismatch as wrong:
                raise wrong.below(key) from None
        if not self.required <= value.keys():
            raise missing(min(self.required - value.keys()))


class UnionCheck:
    """Fits what one of its members fits; members are told apart before they are tried."""

    def __init__(self, members: Sequence[Check]) -> None:
        self.objects = [member for member in members if isinstance(member, ObjectCheck)]
        self.others = [member for member in members if not isinstance(member, ObjectCheck)]
        self._chosen: dict[tuple[Any, ...], list[ObjectCheck]] = {}

    def __call__(self, value: Any) -> None:
        if type(value) is dict and self.objects:
            self._object(value)
            return
        first: Mismatch | None = None
        for member in self.others:
            try:
                member(value)
            except Mismatch as wrong:
                # The mismatch inside of a list says more than the one of a text.
                if first is None or wrong.place:
                    first = wrong
            else:
                return
        if first is None or not first.place:
            first = self._misfit(value)
        raise first

    def only_literal(self) -> Check | None:
        """Return the Literal there is, where there is nothing else but null beside it."""
        others = [member for member in self.others if member is not nothing]
        return others[0] if len(others) == 1 and not self.objects else None

    def _object(self, value: dict[str, Any]) -> None:
        marks = tuple(mark if isinstance(mark := value.get(key), str) else None for key in _KEYS)
        chosen = self._chosen.get(marks)
        if chosen is None:
            chosen = [member for member in self.objects if _may_be(member, value)]
            if len(self._chosen) < 1000:  # marks come from outside
                self._chosen[marks] = chosen
        deepest: Mismatch | None = None
        for member in chosen:
            try:
                member(value)
            except Mismatch as wrong:
                if deepest is None or len(wrong.place) > len(deepest.place):
                    deepest = wrong
            else:
                return
        for other in self.others:
            try:
                other(value)
            except Mismatch:
                continue
            return
        raise deepest or self._no_kind(value)

    def _no_kind(self, value: dict[str, Any]) -> Mismatch:
        for key in _KEYS:
            known = [literals for m in self.objects if (literals := m.literals(key))]
            if not known:
                continue
            names = sorted({str(name) for literals in known for name in literals})
            if key not in value:
                return missing(key)
            if not isinstance(value[key], str):
                return invalid_type("a string", value[key]).below(key)
            if value[key] not in names:
                return not_among(value[key], names).below(key)
        return invalid_type("an object of another shape", value)

    def _misfit(self, value: Any) -> Mismatch:
        literals = [member for member in self.others if isinstance(member, LiteralCheck)]
        if isinstance(value, str) and literals and text not in self.others:
            return not_among(value, [str(name) for one in literals for name in one.values])
        members: list[Check] = [*self.others, *self.objects]
        names = dict.fromkeys(_name(member) for member in members)
        expected = [name for name in names if name != "null"]
        listed = expected[0] if len(expected) == 1 else f"one of {' or '.join(expected)}"
        return invalid_type(listed, value)


def _may_be(member: ObjectCheck, value: Mapping[str, Any]) -> bool:
    for key in _KEYS:
        literals = member.literals(key)
        if literals is None:
            continue
        if key in value:
            if value[key] not in literals:
                return False
        elif key in member.required:
            return False
    return True


def _name(member: Check) -> str:
    if isinstance(member, ListCheck):
        return "an array"
    if isinstance(member, ObjectCheck | MapCheck):
        return "an object"
    return _NAMES.get(member, "a string")


@functools.cache
def check_of(hint: Any) -> Check:
    """Return the check of a type."""
    if hint in _PLAIN:
        return _PLAIN[hint]
    origin, inside = get_origin(hint), get_args(hint)
    if origin in _WRAPPERS:
        return check_of(inside[0])
    if origin is Literal:
        return LiteralCheck(inside)
    if origin is Union or origin is types.UnionType:
        return _union(inside)
    if is_typeddict(hint):
        return ObjectCheck(hint)
    if origin in _LISTS or getattr(hint, "__name__", "") == "SequenceNotStr":
        return ListCheck(check_of(inside[0]) if inside else anything)
    if getattr(origin, "__name__", "") == "SequenceNotStr":
        return ListCheck(check_of(inside[0]))
    if origin is dict or hint is dict or (origin is not None and issubclass(origin, Mapping)):
        return MapCheck(check_of(inside[1]) if inside else anything)
    return anything


def _union(inside: Sequence[Any]) -> Check:
    members: list[Check] = []
    for hint in inside:
        check = check_of(hint)
        if check is anything:
            return anything
        if isinstance(check, UnionCheck):
            members += [*check.others, *check.objects]
        else:
            members.append(check)
    return UnionCheck(members)
