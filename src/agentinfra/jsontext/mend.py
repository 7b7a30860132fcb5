"""A tolerant reader of JSON as models write it.

It knows a fixed set of slips and mends those, in one pass, without guessing: missing, doubled
and trailing commas, other quotes, unquoted keys and words, Python's literals, comments, raw
control characters and bad escapes in strings, wrong and missing closing brackets, a text that
ends too early. Whatever else it meets stops it. What it returns holds every key and scalar of
the source in the source's order; only a member cut off before its value is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from agentinfra.jsontext.cursor import Cursor, StuckError
from agentinfra.jsontext.tokens import LITERALS, QUOTES, number

__all__ = ["MAX_DEPTH", "Mended", "StuckError", "mend"]

MAX_DEPTH: Final = 500
"""Brackets open at once, more than which nothing broken is mended."""

_CLOSING: Final = {"{": "}", "[": "]", "(": ")"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mended:
    """A value read from broken JSON.

    Attributes:
        value: The value.
        end: Where in the text it ends.
        truncated: Whether the text ended before its brackets were closed.
        words: Whether words without quotes stand for strings.
        unquoted: Whether there is no quote in it at all.
    """

    value: Any
    end: int
    truncated: bool
    words: bool
    unquoted: bool


def mend(text: str, start: int, end: int) -> Mended:
    """Read the object or array that opens at ``start``, looking no further than ``end``.

    Raises:
        StuckError: It is not JSON, or broken in a way that needs a guess.
    """
    return _Reader(Cursor(text, start, end)).read()


class _Reader:
    """One reading: the containers still open, with their closing brackets and pending keys."""

    __slots__ = ("_closers", "_cursor", "_keys", "_stack", "_truncated", "_words")

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self._stack: list[Any] = []
        self._closers: list[str] = []
        self._keys: list[str] = []
        self._truncated = self._words = False

    def read(self) -> Mended:
        self._open()
        root = self._stack[0]
        while self._stack:
            self._step()
        return Mended(
            value=root,
            end=self._cursor.pos,
            truncated=self._truncated,
            words=self._words,
            unquoted=self._cursor.bare and not self._cursor.quoted,
        )

    def _step(self) -> None:
        """Go on to the next bracket or value of the innermost container."""
        cursor = self._cursor
        before = cursor.pos
        comma = cursor.separator()
        if cursor.at_end():
            self._cut()
        elif cursor.peek() in "}])":
            self._close(cursor.peek())
        elif not comma and cursor.is_prose(before):
            self._cut()
        elif not comma and self._stack[-1] and not cursor.separates(before):
            raise cursor.stuck("a value without a comma before it")
        elif isinstance(self._stack[-1], dict):
            self._value_of(cursor.key())
        else:
            self._value()

    # -- containers

    def _open(self) -> None:
        if len(self._stack) == MAX_DEPTH:
            raise self._cursor.stuck(f"nested deeper than {MAX_DEPTH} levels", deep=True)
        char = self._cursor.peek()
        container: Any = {} if char == "{" else []
        if self._stack:
            self._put(container)
        self._stack.append(container)
        self._closers.append(_CLOSING[char])
        self._keys.append("")
        self._cursor.pos += 1

    def _put(self, value: Any) -> None:
        parent = self._stack[-1]
        if isinstance(parent, dict):
            parent[self._keys[-1]] = value
        else:
            parent.append(value)

    def _pop(self) -> str:
        self._stack.pop()
        self._keys.pop()
        return self._closers.pop()

    def _close(self, char: str) -> None:
        """Close what ``char`` closes, and whatever inside of it was left open."""
        self._cursor.pos += 1
        if char not in self._closers:
            self._pop()
            return
        while self._pop() != char:
            pass

    def _cut(self) -> None:
        """The text is over: close everything, without containers that hold nothing yet."""
        self._truncated = True
        while len(self._stack) > 1 and not self._stack[-1]:
            self._pop()
            parent = self._stack[-1]
            parent.pop(self._keys[-1] if isinstance(parent, dict) else -1)
        if not self._stack[0]:
            reason = "the text ends before anything in it is complete"
            raise self._cursor.stuck(reason, empty=True)
        self._stack.clear()

    # -- values

    def _value_of(self, key: str) -> None:
        """Read the value of ``key``; a text that ends before it begins leaves the key out."""
        if self._cursor.at_end():
            self._cut()
        else:
            self._keys[-1] = key
            self._value()

    def _value(self) -> None:
        char = self._cursor.peek()
        if char in _CLOSING:
            self._open()
        elif char in QUOTES:
            self._put_string(self._cursor.string())
        else:
            self._scalar()

    def _put_string(self, text: str) -> None:
        """Put a string, unless in an array it turns out to be the next key of the object around."""
        if self._cursor.cut and not text:
            return  # cut off right behind its opening quote
        if isinstance(self._stack[-1], dict) or not self._cursor.late_colon():
            self._put(text)
        elif len(self._stack) > 1 and isinstance(self._stack[-2], dict):
            self._pop()
            self._value_of(text)
        else:
            raise self._cursor.stuck("a key in an array")

    def _scalar(self) -> None:
        """Put what a number or a word without quotes stands for."""
        in_object = isinstance(self._stack[-1], dict)
        word = self._cursor.word(thousands=in_object)
        if word in LITERALS:
            self._put(LITERALS[word])
            return
        try:
            value = number(word)
        except ValueError as error:
            raise self._cursor.stuck("a number that cannot be read") from error
        if value is not None:
            self._put(value)
        elif self._cursor.peek():
            self._put(self._as_string(word, in_object=in_object))
        # Else half a literal or half a number: nobody knows what it was to become.

    def _as_string(self, word: str, *, in_object: bool) -> str:
        if ".." in word or not any(char.isalnum() for char in word):
            raise self._cursor.stuck("an ellipsis or a sign, not a value")
        if not in_object:
            raise self._cursor.stuck("a word without quotes in an array")
        self._words = True
        return word
