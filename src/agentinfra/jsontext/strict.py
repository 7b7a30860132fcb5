"""JSON by its grammar: what a strict parser reads, read exactly as Python's ``json`` reads it."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NoReturn

__all__ = ["NotJSONError", "strict", "strict_prefix"]


class NotJSONError(Exception):
    """A text is not JSON.

    Attributes:
        deep: Whether it may be, but is nested deeper than the parser goes.
    """

    def __init__(self, reason: str, *, deep: bool = False) -> None:
        super().__init__(reason)
        self.deep = deep


def strict(text: str) -> Any:
    """Read a text that is one JSON value.

    Integers are exact at any size, of duplicate keys the last one counts, lone surrogates stay.

    Raises:
        NotJSONError: It is something else; ``NaN`` and ``Infinity`` are.
    """
    decode, refusals = _fast()
    try:
        return decode(text)
    except refusals:
        return _read(lambda: _DECODER.decode(text))
    except RecursionError:
        raise NotJSONError("nested too deeply", deep=True) from None


def strict_prefix(text: str, start: int) -> tuple[Any, int]:
    """Read the JSON value that starts at ``start``; return it and where it ends.

    Raises:
        NotJSONError: None does.
    """
    value, end = _read(lambda: _DECODER.raw_decode(text, start))
    return value, end


def _read(parse: Callable[[], Any]) -> Any:
    try:
        return parse()
    except ValueError as error:  # a JSONDecodeError, or more digits than int() takes
        raise NotJSONError(str(error)) from None
    except RecursionError:
        raise NotJSONError("nested too deeply", deep=True) from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant)


@lru_cache(maxsize=1)
def _fast() -> tuple[Callable[[str], Any], tuple[type[Exception], ...]]:
    """Return a decoder that agrees with ``json`` wherever it succeeds, and what it refuses with."""
    import msgspec

    return msgspec.json.Decoder().decode, (msgspec.MsgspecError, UnicodeEncodeError, ValueError)
