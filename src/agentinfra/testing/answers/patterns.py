"""Texts that fit a regular expression, for schemas with a ``pattern``."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable
from typing import Any

__all__ = ["fits", "text_for"]

_SAMPLES = "aA0_ -.:/@#+,xX1bBcC"
_CATEGORIES = {
    "CATEGORY_DIGIT": "0",
    "CATEGORY_WORD": "a",
    "CATEGORY_SPACE": " ",
    "CATEGORY_NOT_DIGIT": "a",
    "CATEGORY_NOT_WORD": "-",
    "CATEGORY_NOT_SPACE": "a",
}


def fits(pattern: str, text: str) -> bool:
    """Return whether a text matches a JSON schema's pattern, which need not cover all of it."""
    try:
        return re.search(pattern, text) is not None
    except re.error:
        return True


def text_for(pattern: str, *candidates: str) -> str:
    """Return the first candidate that fits a pattern, else a short text made for it.

    Patterns with look-around or back references get an empty text.
    """
    for candidate in candidates:
        if candidate and fits(pattern, candidate):
            return candidate
    # The parser of the re module is the one thing that reads every pattern re takes.
    parser: Any = importlib.import_module("re._parser")
    try:
        made = _texts_of(parser.parse(pattern))
    except re.error:
        return ""
    return made if fits(pattern, made) else ""


def _texts_of(nodes: Iterable[tuple[Any, Any]]) -> str:
    return "".join(map(_text_of, nodes))


def _text_of(node: tuple[Any, Any]) -> str:
    operation, argument = str(node[0]), node[1]
    match operation:
        case "LITERAL":
            return chr(argument)
        case "NOT_LITERAL":
            return next(sample for sample in _SAMPLES if ord(sample) != argument)
        case "ANY":
            return "a"
        case "IN":
            return _member(argument)
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            least, _, inner = argument
            return _texts_of(inner) * int(least)
        case "SUBPATTERN" | "ATOMIC_GROUP":
            return _texts_of(argument[-1] if operation == "SUBPATTERN" else argument)
        case "BRANCH":
            return _texts_of(argument[1][0])
        case _:
            return ""


def _member(items: list[tuple[Any, Any]]) -> str:
    """Return a character of a class such as ``[A-Z_]`` or ``[^,]``."""
    if str(items[0][0]) == "NEGATE":
        outside = items[1:]
        return next((s for s in _SAMPLES if not any(_holds(item, s) for item in outside)), "~")
    operation, argument = str(items[0][0]), items[0][1]
    if operation == "RANGE":
        return chr(argument[0])
    if operation == "CATEGORY":
        return _CATEGORIES.get(str(argument), "a")
    return chr(argument)


def _holds(item: tuple[Any, Any], sample: str) -> bool:
    operation, argument = str(item[0]), item[1]
    if operation == "RANGE":
        return bool(argument[0] <= ord(sample) <= argument[1])
    if operation == "CATEGORY":
        return {
            "CATEGORY_DIGIT": sample.isdigit(),
            "CATEGORY_WORD": sample.isalnum() or sample == "_",
            "CATEGORY_SPACE": sample.isspace(),
        }.get(str(argument), False)
    return bool(argument == ord(sample))
