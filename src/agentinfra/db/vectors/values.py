"""Values people give, as what PostgreSQL takes; what it does not take is refused by name."""

from __future__ import annotations

import json
import re
from datetime import date
from numbers import Integral, Real
from typing import Any

from agentinfra.errors import VectorError

__all__ = ["as_json", "check_text", "scalar", "shown"]

_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def shown(value: Any, most: int = 80) -> str:
    """Return the beginning of a value for a message, even of one that cannot be printed."""
    try:
        return repr(value)[:most]
    except Exception:  # noqa: BLE001 - an integer too long to print, or somebody's own __repr__
        return f"a {type(value).__name__} that cannot be printed"


def as_json(value: Any) -> str:
    """Return a value as JSON that PostgreSQL takes; dates are texts in ISO 8601.

    Raises:
        VectorError: It holds something JSON has no word for, or a NUL character.
    """
    try:
        text = _ENCODER.encode(value)
        if not text.isascii():
            text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise VectorError(f"metadata has to be JSON, and {shown(value)} is not: {error}") from None
    if "\\u0000" in text and _NUL.search(text):
        raise VectorError(f"metadata cannot hold a NUL character, as {shown(value)} does")
    return text


def scalar(text: str | None) -> Any:
    """Return the value of a JSON text, lists and objects as they are written; None is none."""
    value = None if text is None else json.loads(text)
    return text if isinstance(value, list | dict) else value


def _plain(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Integral):  # numpy's
        return int(value)
    if isinstance(value, Real):
        return float(value)
    raise TypeError(f"there is no JSON for a {type(value).__name__}")


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=_plain)


def check_text(text: Any, whose: str) -> str:
    """Return a text PostgreSQL can store and search.

    Raises:
        VectorError: It is none, or holds a NUL character or half a surrogate pair.
    """
    if not isinstance(text, str):
        raise VectorError(f"{whose} is {shown(text)}: give it a str")
    if "\0" in text:
        raise VectorError(f"{whose} holds a NUL character, which cannot be stored")
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise VectorError(f"{whose} is no Unicode text: {error.reason}") from None
    return text
