"""Filters on metadata, as SQL conditions in which every key and value is a bound argument."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from agentinfra.errors import VectorError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Arguments", "condition"]

_FEW = 16
"""Values up to which "any of" is written out: only so it can use the index."""

_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")

_COMPARISONS = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_OPERATORS = (*_COMPARISONS, "$ne", "$in")


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


def as_json(value: Any) -> str:
    """Return a value as JSON that PostgreSQL takes.

    Raises:
        VectorError: It holds something JSON has no word for, or a NUL character.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise VectorError(f"metadata has to be JSON, and {value!r:.80} is not: {error}") from None
    if _NUL.search(text):
        raise VectorError(f"metadata cannot hold a NUL character, as {value!r:.80} does")
    return text


def condition(filter: Mapping[str, Any] | None, arguments: Arguments) -> str:  # noqa: A002
    """Return the condition a filter stands for, empty when everything matches.

    Args:
        filter: A value for each key: equal to it; a list: equal to one of them; or a mapping from
            ``$gt``, ``$gte``, ``$lt``, ``$lte``, ``$ne`` and ``$in`` to operands. None equals a
            missing key, too. All keys have to match.
        arguments: Takes the keys and values.

    Raises:
        VectorError: It cannot be understood; the message names what.
    """
    if not filter:
        return ""
    return " AND ".join(
        part for key, wanted in filter.items() for part in _parts(_checked(key), wanted, arguments)
    )


def _checked(key: Any) -> str:
    if not isinstance(key, str) or not key or "\0" in key or key.startswith("$"):
        raise VectorError(
            f"{key!r} cannot be a filter's key: keys are metadata's, operators stand in their "
            "values as in {'year': {'$gte': 2020}}"
        )
    return key


def _parts(key: str, wanted: Any, arguments: Arguments) -> list[str]:
    if not _is_operation(key, wanted):
        one = _any_of if _is_list(wanted) else _equal
        return [one(key, wanted, arguments)]
    return [_operation(key, operator, operand, arguments) for operator, operand in wanted.items()]


def _is_operation(key: str, wanted: Any) -> bool:
    if not isinstance(wanted, dict) or not any(str(name).startswith("$") for name in wanted):
        return False
    for name in wanted:
        if name not in _OPERATORS:
            there = ", ".join(_OPERATORS)
            raise VectorError(f"the filter on {key!r} has the operator {name!r}: there are {there}")
    return True


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple | set | frozenset)


def _operation(key: str, operator: str, operand: Any, arguments: Arguments) -> str:
    if operator == "$in":
        if not _is_list(operand):
            raise VectorError(f"the filter on {key!r} has $in with {operand!r}: give it a list")
        return _any_of(key, operand, arguments)
    if operator == "$ne":
        return f"{_value(key, arguments)} <> {arguments.json(operand)}"
    return _compare(key, operator, operand, arguments)


def _compare(key: str, operator: str, operand: Any, arguments: Arguments) -> str:
    if isinstance(operand, bool) or not isinstance(operand, int | float | str):
        raise VectorError(
            f"the filter on {key!r} has {operator} with {operand!r}: give it a number or a text"
        )
    kind = "string" if isinstance(operand, str) else "number"
    found = f"metadata -> {arguments.text(key)}"
    bound = arguments.json(operand)
    # Values of another type are neither above nor below: jsonb would order them by type.
    return f"(jsonb_typeof({found}) = '{kind}' AND {found} {_COMPARISONS[operator]} {bound})"


def _any_of(key: str, values: Sequence[Any], arguments: Arguments) -> str:
    if not values:
        return "false"
    if len(values) <= _FEW:
        return f"({' OR '.join(_equal(key, value, arguments) for value in values)})"
    bound = arguments.bind([as_json(value) for value in values])
    return f"{_value(key, arguments)} = ANY ({bound}::text[]::jsonb[])"


def _equal(key: str, value: Any, arguments: Arguments) -> str:
    if value is None or isinstance(value, dict | list | tuple):
        return f"{_value(key, arguments)} = {arguments.json(value)}"
    return f"metadata @> {arguments.json({key: value})}"


def _value(key: str, arguments: Arguments) -> str:
    return f"coalesce(metadata -> {arguments.text(key)}, 'null')"
