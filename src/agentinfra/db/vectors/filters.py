"""Filters on metadata, as SQL conditions in which every key and value is a bound argument."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from agentinfra.db.vectors.instants import instant_of, span_of
from agentinfra.db.vectors.values import as_json, check_text, shown
from agentinfra.errors import VectorError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

__all__ = ["Arguments", "condition"]

_FEW = 16
"""Values up to which "any of" is written out: only so it can use the index."""

_MOST_VALUES = 10_000
_MOST_CONDITIONS = 256
_DEEPEST = 16
_LONGEST_PATTERN = 1_000
_MOST_WILDCARDS = 16
"""Bounds. Filters are often written by models, and what a pattern of many ``%`` costs grows with
its length to their number."""

_COMPARISONS = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_GROUPS = {"$and": " AND ", "$or": " OR "}


class Arguments(list[Any]):
    """The arguments of a statement, in order."""

    def bind(self, value: Any) -> str:
        """Add an argument and return its place in the statement."""
        self.append(value)
        return f"${len(self)}"

    def text(self, value: str) -> str:
        """Bind a text."""
        return f"{self.bind(value)}::text"

    def json(self, value: Any) -> str:
        """Bind a JSON value.

        Raises:
            VectorError: It is none.
        """
        return f"{self.bind(as_json(value))}::text::jsonb"


def condition(filter: Mapping[str, Any] | None, arguments: Arguments) -> str:  # noqa: A002
    """Return the condition a filter stands for, empty when everything matches.

    Args:
        filter: A value for each key, a list for any of several, or a mapping of operators to
            operands (``$eq``, ``$ne``, ``$gt``, ``$gte``, ``$lt``, ``$lte``, ``$in``, ``$nin``,
            ``$exists``, ``$contains``, ``$like``, ``$not``); ``$and`` and ``$or`` with a list of
            filters, ``$not`` with one. A dot goes into an object. None equals a missing key, too.
            All keys have to match.
        arguments: Takes the keys and values.

    Raises:
        VectorError: It cannot be understood; the message names where and what.
    """
    if filter is None:
        return ""
    return _Builder(arguments).filter(filter, "filter", 0)


class _Builder:
    """Writes the condition of one filter; every place of it is named in errors.

    Conditions may be NULL where a key is missing: whoever negates one has to take that for false.
    """

    def __init__(self, arguments: Arguments) -> None:
        self._arguments = arguments
        self._conditions = 0
        self._operators: dict[str, Callable[[str, Any, str], str]] = {
            "$eq": self._equal,
            "$ne": self._differs,
            "$in": lambda key, operand, place: self._any_of(key, _values(operand, place), place),
            "$nin": lambda key, operand, place: _not(
                self._any_of(key, _values(operand, place), place)
            ),
            "$exists": self._exists,
            "$contains": self._contains,
            "$like": self._like,
        }

    def filter(self, filter: Any, place: str, depth: int) -> str:  # noqa: A002
        if not isinstance(filter, Mapping):
            raise VectorError(
                f"{place} is {shown(filter)}: give it a mapping, as in {{'year': {{'$gte': 2020}}}}"
            )
        if depth > _DEEPEST:
            raise VectorError(f"{place[:200]} is nested deeper than {_DEEPEST}: write it flatter")
        return " AND ".join(self._part(key, wanted, place, depth) for key, wanted in filter.items())

    def _part(self, key: Any, wanted: Any, place: str, depth: int) -> str:
        if key in _GROUPS:
            return self._group(key, wanted, f"{place}.{key}", depth)
        if key == "$not":
            return _not(self.filter(wanted, f"{place}.$not", depth + 1) or "true")
        if not isinstance(key, str) or not key or key.startswith("$"):
            raise VectorError(
                f"{place}: {shown(key)} cannot be a key: keys are metadata's, beside $and, $or and "
                "$not; operators stand in their values as in {'year': {'$gte': 2020}}"
            )
        check_text(key, f"{place}: the key {shown(key)}")
        return self._value(key, wanted, f"{place}.{key[:80]}", depth)

    def _group(self, operator: str, operand: Any, place: str, depth: int) -> str:
        if not isinstance(operand, list | tuple) or not operand:
            raise VectorError(f"{place} is {shown(operand)}: give it a list of filters")
        parts = [
            self.filter(one, f"{place}[{number}]", depth + 1) or "true"
            for number, one in enumerate(operand)
        ]
        return f"({_GROUPS[operator].join(f'({part})' for part in parts)})"

    def _value(self, key: str, wanted: Any, place: str, depth: int) -> str:
        if isinstance(wanted, Mapping) and any(str(name).startswith("$") for name in wanted):
            return " AND ".join(
                self._operation(key, name, operand, f"{place}.{name}", depth)
                for name, operand in wanted.items()
            )
        if _is_list(wanted):
            return self._any_of(key, _values(wanted, place), place)
        return self._equal(key, wanted, place)

    def _operation(self, key: str, name: Any, operand: Any, place: str, depth: int) -> str:
        if name == "$not":
            if depth > _DEEPEST:
                raise VectorError(f"{place[:200]} is nested deeper than {_DEEPEST}")
            return _not(self._value(key, operand, place, depth + 1))
        if name in _COMPARISONS:
            return self._compare(key, name, operand, place)
        if name not in self._operators:
            there = ", ".join((*self._operators, *_COMPARISONS, "$not"))
            raise VectorError(f"{place}: there is no operator {shown(name)}: there are {there}")
        return self._operators[name](key, operand, place)

    def _compare(self, key: str, name: str, operand: Any, place: str) -> str:
        sign = _COMPARISONS[name]
        self._count(place)
        if isinstance(operand, date):
            sign, moment = span_of(sign, operand)
            value = instant_of(f"({self._found(key)}) #>> '{{}}'")
            return f"({value} {sign} {self._arguments.bind(moment)}::timestamptz)"
        if isinstance(operand, bool) or not isinstance(operand, int | float | str):
            raise VectorError(f"{place} is {shown(operand)}: give it a number, a text or a date")
        kind = "string" if isinstance(operand, str) else "number"
        found, bound = self._found(key), self._json(operand, place)
        # Values of another type are neither above nor below: jsonb would order them by type.
        return f"(jsonb_typeof({found}) = '{kind}' AND {found} {sign} {bound})"

    def _any_of(self, key: str, values: Collection[Any], place: str) -> str:
        if not values:
            return "false"
        if len(values) <= _FEW:
            parts = [self._equal(key, value, place) for value in values]
            return f"({' OR '.join(parts)})"
        self._count(place)
        bound = self._arguments.bind([as_json(value) for value in values])
        return f"coalesce({self._found(key)}, 'null') = ANY ({bound}::text[]::jsonb[])"

    def _equal(self, key: str, value: Any, place: str) -> str:
        self._count(place)
        parts = key.split(".")
        held = value is None or isinstance(value, Mapping | list | tuple)
        if held or any(part.isdecimal() for part in parts[1:]):
            return f"coalesce({self._found(key)}, 'null') = {self._json(value, place)}"
        return self._holds(parts, value, place)

    def _differs(self, key: str, value: Any, place: str) -> str:
        self._count(place)
        return f"coalesce({self._found(key)}, 'null') <> {self._json(value, place)}"

    def _exists(self, key: str, operand: Any, place: str) -> str:
        if not isinstance(operand, bool):
            raise VectorError(f"{place} is {shown(operand)}: give it True or False")
        self._count(place)
        return f"{self._found(key)} IS {'NOT ' if operand else ''}NULL"

    def _contains(self, key: str, operand: Any, place: str) -> str:
        self._count(place)
        values = list(_values(operand, place)) if _is_list(operand) else [operand]
        return self._holds(key.split("."), values, place)

    def _like(self, key: str, operand: Any, place: str) -> str:
        if not isinstance(operand, str):
            raise VectorError(f"{place} is {shown(operand)}: give it a text with % and _")
        check_text(operand, place)
        if len(operand) > _LONGEST_PATTERN or operand.count("%") > _MOST_WILDCARDS:
            raise VectorError(
                f"{place} is {shown(operand)}: a pattern has up to {_LONGEST_PATTERN} characters "
                f"and {_MOST_WILDCARDS} signs %"
            )
        if (len(operand) - len(operand.rstrip("\\"))) % 2:
            raise VectorError(f"{place} is {shown(operand)}: it ends in a \\ that quotes nothing")
        self._count(place)
        found = self._found(key)
        text = f"({found}) #>> '{{}}'"
        return f"(jsonb_typeof({found}) = 'string' AND {text} LIKE {self._arguments.text(operand)})"

    def _holds(self, parts: list[str], value: Any, place: str) -> str:
        """Return the condition of containment, which is what the index of metadata answers."""
        whole = ".".join(parts)
        flat = f"metadata @> {self._json({whole: value}, place)}"
        if len(parts) == 1:
            return flat
        nested = value
        for part in reversed(parts):
            nested = {part: nested}
        absent = f"metadata -> {self._arguments.text(whole)} IS NULL"
        return f"({flat} OR ({absent} AND metadata @> {self._json(nested, place)}))"

    def _found(self, key: str) -> str:
        """Return the value of a key: as it is written, else along its dots."""
        whole = f"metadata -> {self._arguments.text(key)}"
        if "." not in key:
            return whole
        return f"coalesce({whole}, metadata #> {self._arguments.bind(key.split('.'))}::text[])"

    def _json(self, value: Any, place: str) -> str:
        try:
            return self._arguments.json(value)
        except VectorError as error:
            raise VectorError(f"{place}: {error}") from None

    def _count(self, place: str) -> None:
        self._conditions += 1
        if self._conditions > _MOST_CONDITIONS:
            raise VectorError(
                f"{place[:200]}: a filter has up to {_MOST_CONDITIONS} conditions: use $in with a "
                "list for many values"
            )


def _not(part: str) -> str:
    return f"(({part}) IS NOT TRUE)"


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple | set | frozenset)


def _values(operand: Any, place: str) -> Collection[Any]:
    if not _is_list(operand):
        raise VectorError(f"{place} is {shown(operand)}: give it a list")
    if len(operand) > _MOST_VALUES:
        raise VectorError(f"{place} has {len(operand)} values: it may have {_MOST_VALUES}")
    values: Collection[Any] = operand
    return values
