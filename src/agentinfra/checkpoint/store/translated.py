"""The vendor's statements, as asyncpg takes them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from psycopg.types.json import Jsonb

from agentinfra.errors import CheckpointError

__all__ = ["translated"]

_PLACE = re.compile(r"%s|%%")


def translated(sql: str, params: Sequence[Any]) -> tuple[str, list[Any]]:
    """Return a statement with numbered places that say their types, and its arguments.

    psycopg sends each value with a type of its own; asyncpg asks the server for the type of each
    place, which for text that is cast would be the wrong one.

    Args:
        sql: The statement, with ``%s`` for each argument.
        params: The arguments.

    Raises:
        CheckpointError: A value cannot be stored as JSON.
    """
    left = iter(params)
    args: list[Any] = []

    def place(found: re.Match[str]) -> str:
        if found.group() == "%%":
            return "%"
        kind, value = _typed(next(left))
        args.append(value)
        return f"${len(args)}::{kind}"

    return _PLACE.sub(place, sql), args


def _typed(value: Any) -> tuple[str, Any]:
    if isinstance(value, Jsonb):
        return "text::jsonb", _json(value.obj)
    if isinstance(value, bool):
        return "boolean", value
    if isinstance(value, int):
        return "bigint", value
    if isinstance(value, float):
        return "float8", value
    if value is None:
        return "int", None  # of minutes, or of levels
    if isinstance(value, str):
        return "text", value
    return _array(value)


def _array(values: Iterable[Any]) -> tuple[str, Any]:
    values = list(values)
    if values and isinstance(values[0], float):
        return "float8[]", values  # a vector
    if values and not isinstance(values[0], str):
        return "boolean[]", values
    return "text[]", values


def _json(value: Any) -> str:
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"an item cannot be stored as JSON: {error}") from error
