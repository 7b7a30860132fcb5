"""States in words what a tool returned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

__all__ = ["ROW_KEYS", "parsed", "state_result"]

ROW_KEYS = ("rows", "result", "results", "data", "records", "items")
_MOST_ROWS = 10


def state_result(text: str) -> str:
    """Return a sentence on a tool's result: rows and objects are read out by column.

    An error is passed on, a plain text is repeated.
    """
    return _state(parsed(text))


def parsed(text: str) -> Any:
    """Return the JSON in a result, the text itself where it is none."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def _state(value: Any) -> str:
    if isinstance(value, dict):
        return _state_object(value)
    if isinstance(value, list):
        return _state_rows(value, ())
    return f"The result is {_shown(value)}."


def _state_object(value: Mapping[str, Any]) -> str:
    if value.get("error"):
        return f"That failed: {_shown(value['error'])}."
    for key in ROW_KEYS:
        if isinstance(value.get(key), list):
            columns = value.get("columns")
            return _state_rows(value[key], columns if isinstance(columns, list) else ())
    if len(value) == 1:
        return f"The result is {_shown(next(iter(value.values())))}."
    return f"The result is {_pairs(value)}."


def _state_rows(rows: Sequence[Any], columns: Sequence[Any]) -> str:
    if not rows:
        return "There are no results."
    named = [_as_row(row, columns) for row in rows]
    if len(named) == 1:
        only = named[0]
        if len(only) == 1:
            label, value = next(iter(only.items()))
            return f"The answer is {_shown(value)}{_unit(label)}."
        return f"The result is {_pairs(only)}."
    listed = "; ".join(_pairs(row) for row in named[:_MOST_ROWS])
    more = f"; and {len(named) - _MOST_ROWS} more" if len(named) > _MOST_ROWS else ""
    return f"There are {len(named)} results: {listed}{more}."


def _as_row(row: Any, columns: Sequence[Any]) -> Mapping[str, Any]:
    if isinstance(row, dict):
        return row
    values = row if isinstance(row, list) else [row]
    names = [*map(str, columns), *("" for _ in values[len(columns) :])]
    if len(set(names)) < len(names):
        return (
            {str(place): value for place, value in enumerate(values, 1)}
            if len(values) > 1
            else {"": values[0] if values else None}
        )
    return dict(zip(names, values, strict=False))


def _unit(label: str) -> str:
    return f" ({label.replace('_', ' ')})" if label else ""


def _pairs(row: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} {_shown(value)}".strip() for name, value in row.items()
    )


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value.strip().rstrip(".")
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, dict | list):
        return orjson.dumps(value).decode()
    return (
        "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    )
