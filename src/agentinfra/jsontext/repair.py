"""Guessed repairs: json_repair, believed only where its value accounts for the text.

json_repair makes a value of anything, prose included. Here it sees only a span that has been
found to look like JSON, and what it makes is compared with that span: but for white space,
quotes, commas, colons and brackets, the characters of all keys and scalars, in order, have to
be those of the span, nothing added and nothing dropped, and no punctuation of the JSON may
have ended up inside a string.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from agentinfra._mechanics.vendors import MissingPackageError, load
from agentinfra.jsontext.tokens import COLONS, COMMAS, QUOTES

__all__ = ["MAX_REPAIR_CHARS", "DoubtfulError", "guess"]

MAX_REPAIR_CHARS: Final = 100_000
"""The longest span that is given to json_repair, which is slow on long ones."""

MAX_REPAIR_DEPTH: Final = 64
"""Brackets open at once, more than which json_repair is not asked: it works recursively."""

_ESCAPE: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|[bfnrt]|(.))", re.DOTALL)
_QUOTES: Final = frozenset(QUOTES + "\u00bb")
_STRUCTURE: Final = _QUOTES | frozenset(COLONS + COMMAS + ";{}()[]\\")
_PUNCTUATION: Final = re.compile(rf"[{COLONS}{COMMAS}=\[(]")
_IDENTIFIER: Final = re.compile(r"[\w$.\-]+")
_SWALLOWED: Final = re.compile(
    r"""["'\u201d]\s*(?:[,;}\]]\s*["'\u201c{\[][^"'\u201d]*["'\u201d]?\s*:|:\s*["'\u201c{\[])"""
)
# The first quote inside of a string opens; one that closes a word was the string's own end.
_CLOSED: Final = re.compile(r"""\A[^"]*\w"(?!\w)""")
_CLOSED_SINGLE: Final = re.compile(r"""\A[^']*\w'(?!\w)""")


class DoubtfulError(Exception):
    """There is no repair, or none to be believed; the message says why."""


def guess(source: str) -> Any:
    """Repair the object or array that ``source`` is.

    Raises:
        DoubtfulError: json_repair is missing, fails, or makes up or loses something.
    """
    if len(source) > MAX_REPAIR_CHARS:
        raise DoubtfulError(f"{len(source)} characters are too many to repair ({MAX_REPAIR_CHARS})")
    if _depth(source) > MAX_REPAIR_DEPTH:
        raise DoubtfulError(f"nested deeper than {MAX_REPAIR_DEPTH} levels, too deep to repair")
    try:
        repair = load("json_repair").repair_json
    except MissingPackageError as error:
        raise DoubtfulError(f"it needs a repair, and {error}") from None
    try:
        value = repair(source, return_objects=True, skip_json_loads=True)
    except (ValueError, RecursionError, IndexError, TypeError, AttributeError) as error:
        raise DoubtfulError(f"json_repair failed with {type(error).__name__}") from None
    if not isinstance(value, dict if source[0] == "{" else list):
        raise DoubtfulError("json_repair made something else than was begun")
    _check(source, value)
    return value


def _depth(source: str) -> int:
    depth = deepest = 0
    for bracket in re.findall(r"[{}\[\]]", source):
        depth += 1 if bracket in "{[" else -1
        deepest = max(deepest, depth)
    return deepest


@dataclass(frozen=True, slots=True, kw_only=True)
class _Leaf:
    """A key or a scalar of a value."""

    value: Any
    is_key: bool


def _check(source: str, value: Any) -> None:
    if ".." in source or "…" in source:
        raise DoubtfulError("an ellipsis stands for something that is not there")
    account = _Account(source)
    leaves, objects, arrays = _take_apart(value)
    for leaf in leaves:
        account.book(leaf)
    account.close(objects=objects, arrays=arrays)


def _take_apart(value: Any) -> tuple[list[_Leaf], int, int]:
    """Return all keys and scalars in the order they are written, and how many containers."""
    leaves: list[_Leaf] = []
    objects = arrays = 0
    rest: list[Any] = [value]
    while rest:
        item = rest.pop()
        if isinstance(item, dict):
            objects += 1
            for key in reversed(item):
                rest += [item[key], _Leaf(value=key, is_key=True)]
        elif isinstance(item, list):
            arrays += 1
            rest += reversed(item)
        else:
            leaves.append(item if isinstance(item, _Leaf) else _Leaf(value=item, is_key=False))
    return leaves, objects, arrays


class _Account:
    """What a span holds besides its structure, and how much of it a value has used up."""

    __slots__ = ("_at", "_braces", "_brackets", "_chars", "_empty", "_places", "_single", "_text")

    def __init__(self, source: str) -> None:
        self._text = _ESCAPE.sub(_resolve, source)
        content = [
            (folded, place)
            for place, char in enumerate(self._text)
            if char not in _STRUCTURE and not char.isspace()
            for folded in char.casefold()
        ]
        self._chars = "".join(char for char, _ in content)
        self._places = [place for _, place in content]
        self._at = 0
        self._braces = source.count("{")
        self._brackets = source.count("[")
        self._empty = len(re.findall(r"\"\"|''|“”", source))
        self._single = _first_quote(source) == "'"

    def book(self, leaf: _Leaf) -> None:
        """Use up what a leaf is made of, or raise DoubtfulError."""
        forms = [form for form in _forms(leaf.value) if self._chars.startswith(form, self._at)]
        if not forms:
            there = self._chars[self._at :][:20]
            raise DoubtfulError(f"the repair has {leaf.value!r:.60} where the text has {there!r}")
        if isinstance(leaf.value, str):
            self._book_string(leaf.value, is_key=leaf.is_key)
        self._at += len(max(forms, key=len))

    def close(self, *, objects: int, arrays: int) -> None:
        """Raise DoubtfulError unless everything is used up."""
        if self._at != len(self._chars):
            raise DoubtfulError(f"the repair drops {self._chars[self._at :]!r:.60}")
        if objects != self._braces or arrays != self._brackets:
            raise DoubtfulError("the repair adds or drops brackets")

    def _book_string(self, text: str, *, is_key: bool) -> None:
        _check_string(text, is_key=is_key, single=self._single)
        self._braces -= text.count("{")
        self._brackets -= text.count("[")
        if not text:
            self._empty -= 1
            if self._empty < 0:
                raise DoubtfulError("the repair makes up an empty string")
        elif not self._is_quoted(is_key=is_key) and not (is_key and _IDENTIFIER.fullmatch(text)):
            raise DoubtfulError(f"the repair makes a string of {text!r:.60}")

    def _is_quoted(self, *, is_key: bool) -> bool:
        """Whether, between the last leaf and this one, a quote opens after others close."""
        last = self._places[self._at - 1] + 1 if self._at else 0
        here = self._places[self._at] if self._at < len(self._places) else len(self._text)
        between = self._text[last:here]
        needed = 1
        if sign := _PUNCTUATION.search(between):
            between = between if is_key else between[sign.end() :]
        elif self._at:
            needed = 2
        return sum(char in _QUOTES for char in between) >= needed


def _resolve(match: re.Match[str]) -> str:
    code = match[1] or match[2]
    return chr(int(code, 16)) if code else (match[3] or " ")


def _first_quote(source: str) -> str:
    return next((char for char in source if char in "\"'"), "")


def _forms(leaf: Any) -> tuple[str, ...]:
    """Return the ways a leaf can have been written, but for structure."""
    if leaf is None:
        return "null", "none", "undefined"
    if isinstance(leaf, float):
        return str(leaf), f"{leaf:.1f}", f"{leaf:.2f}"
    content = (c for c in str(leaf) if c not in _STRUCTURE and not c.isspace())
    return ("".join(content).casefold(),)


def _check_string(text: str, *, is_key: bool, single: bool) -> None:
    """Refuse a string that holds what was meant to stand outside of it."""
    quotes = text.count('"')
    if quotes % 2 or _SWALLOWED.search(text) or (is_key and (quotes or ":" in text)):
        raise DoubtfulError(f"the repair leaves the punctuation of the JSON in {text!r:.60}")
    if _CLOSED.match(text) or (single and _CLOSED_SINGLE.match(text)):
        raise DoubtfulError(f"the repair makes one string of two: {text!r:.60}")
    if any(text.count(left) != text.count(right) for left, right in ("{}", "[]")):
        raise DoubtfulError(f"the repair leaves a bracket of the JSON in {text!r:.60}")
