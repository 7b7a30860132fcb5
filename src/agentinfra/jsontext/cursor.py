"""A place in broken JSON, and what can be read there: gaps, separators, strings, words."""

from __future__ import annotations

import re
from typing import Final

from agentinfra.jsontext.tokens import (
    COLONS,
    COMMAS,
    CUT_OFF_ESCAPE,
    LITERALS,
    QUOTES,
    THOUSANDS,
    quoted,
    unescape,
)

__all__ = ["Cursor", "StuckError"]

_STARTS: Final = frozenset(QUOTES + "{[")
_BRACKET: Final = re.compile(r"[{}\[\]]")
_GAP: Final = re.compile(r"(?:[\s\ufeff\u200b]++|//[^\n]*+|/\*(?s:.{0,9999}?)\*/|#(?=\s)[^\n]*+)*+")
_END: Final = re.compile(r"```|~~~|\\`|</[A-Za-z]|<\|")
_COLON: Final = re.compile(rf"\s*+[{COLONS}]")
_KEY: Final = re.compile(r"[\w$.\-]++")
_KEY_AND_COLON: Final = re.compile(rf"[\w$.\-]++\s*+[{COLONS}]")
_WORD: Final = re.compile(r"(?:[\w$€£%+\-.@&#]|://|/(?![/*])|:(?=\w))++")
_AFTER_WORD: Final = re.compile(rf"[\s;}}\]){COMMAS}]|//|/\*|\Z")
_NEAR: Final = 80


class StuckError(Exception):
    """The text is not JSON with a known slip.

    Attributes:
        at: Where the reader stopped.
        doubt: Where its last string began: the quotes before that are sound.
        deep: Whether it stopped for too many open brackets.
        empty: Whether it came to the end of the text without a value.
    """

    def __init__(
        self, reason: str, *, at: int, doubt: int, deep: bool = False, empty: bool = False
    ) -> None:
        super().__init__(reason)
        self.at = at
        self.doubt = doubt
        self.deep = deep
        self.empty = empty


class Cursor:
    """Goes through ``text`` from ``pos`` to ``end``.

    Attributes:
        quoted: Whether a quote was met.
        bare: Whether a key without quotes was met.
        cut: Whether the text ended inside of a string.
    """

    __slots__ = ("_doubt", "bare", "cut", "end", "pos", "quoted", "text")

    def __init__(self, text: str, pos: int, end: int) -> None:
        self.text = text
        self.pos = pos
        self.end = end
        self.quoted = self.bare = self.cut = False
        self._doubt = pos

    def peek(self) -> str:
        """Return the next character, nothing at the end."""
        return self.text[self.pos] if self.pos < self.end else ""

    def at_end(self) -> bool:
        """Whether the text, its fence, or the tag around it ends here."""
        return self.pos >= self.end or _END.match(self.text, self.pos) is not None

    def stuck(self, reason: str, *, deep: bool = False, empty: bool = False) -> StuckError:
        """Return the error of having stopped here."""
        return StuckError(reason, at=self.pos, doubt=self._doubt, deep=deep, empty=empty)

    # -- between values

    def gap(self) -> None:
        """Pass white space and comments."""
        match = _GAP.match(self.text, self.pos, self.end)
        self.pos = match.end() if match else self.pos

    def separator(self) -> bool:
        """Pass white space, comments and commas; tell whether there was a comma."""
        comma = False
        self.gap()
        while (char := self.peek()) and (char in COMMAS or self._is_semicolon(char)):
            comma = True
            self.pos += 1
            self.gap()
        return comma

    def _is_semicolon(self, char: str) -> bool:
        # In a style sheet or a type a semicolon is followed by a bare word.
        near = self.text[self.pos + 1 : self.pos + _NEAR]
        return char == ";" and near.lstrip()[:1] in ('"', "'")

    def separates(self, before: int) -> bool:
        """Whether what was passed since ``before`` can stand for a missing comma."""
        gap = self.text[before : self.pos]
        return "\n" in gap or (gap != "" and self.peek() in _STARTS)

    def is_prose(self, before: int) -> bool:
        """Whether sentences follow a bracket, so that the one after it is missing."""
        if "\n" not in self.text[before : self.pos] or self.text[before - 1] not in "}]":
            return False
        word = _WORD.match(self.text, self.pos, self.end)
        if word is None or word.group() in LITERALS or not word.group()[0].isalpha():
            return False
        if _KEY_AND_COLON.match(self.text, self.pos):
            return False
        bracket = _BRACKET.search(self.text, self.pos, self.end)
        return bracket is None or bracket.group() in "{["

    # -- keys

    def key(self) -> str:
        """Read a key and what stands between it and its value."""
        in_quotes = self.peek() in QUOTES
        key = self.string() if in_quotes else self._bare_key()
        before = self.pos
        self.gap()
        if not self.at_end():
            self._colon(in_quotes=in_quotes, spaced=self.pos > before)
            self.gap()
        return key

    def _bare_key(self) -> str:
        match = _KEY.match(self.text, self.pos, self.end)
        if match is None:
            raise self.stuck("neither a key nor a closing bracket")
        self.bare = True
        self.pos = match.end()
        return match.group()

    def _colon(self, *, in_quotes: bool, spaced: bool) -> None:
        char = self.peek()
        if char in COLONS or (in_quotes and char == "="):
            self.pos += 1
        elif not (in_quotes and spaced and (char in '"-{[' or char.isdigit())):
            raise self.stuck("a key without a colon")

    def late_colon(self) -> bool:
        """Pass a colon and the gap around it, if there is one."""
        match = _COLON.match(self.text, self.pos, self.end)
        if match is None:
            return False
        self.pos = match.end()
        self.gap()
        return True

    # -- scalars

    def string(self) -> str:
        """Read a string; one that is cut off ends the text."""
        self._doubt = self.pos
        self.quoted = True
        match = quoted(self.text, self.pos, self.end)
        if match is None:
            return self._cut_string()
        self.pos = match.end()
        return unescape(match[1])

    def _cut_string(self) -> str:
        marker = _END.search(self.text, self.pos, self.end)
        end = marker.start() if marker else self.end
        body = self.text[self.pos + 1 : end].rstrip("\n" if marker else "")
        if self.peek() not in "\"'" or _closes_more(body):
            raise self.stuck("a string without its closing quote")
        self.pos = end
        self.cut = True
        return unescape(CUT_OFF_ESCAPE.sub(r"\1", body))

    def word(self, *, thousands: bool) -> str:
        """Read a number or a word; ``thousands``: a comma may separate thousands."""
        match = THOUSANDS.match(self.text, self.pos, self.end) if thousands else None
        if match is None:
            match = _WORD.match(self.text, self.pos, self.end)
            if match is None or not _AFTER_WORD.match(self.text, match.end(), self.end):
                raise self.stuck("not a value")
        self.pos = match.end()
        return match.group().replace(",", "")


def _closes_more(body: str) -> bool:
    """Whether a bracket is closed in ``body`` that was not opened there."""
    opened: list[str] = []
    for bracket in _BRACKET.findall(body):
        if bracket in "{[":
            opened.append("}" if bracket == "{" else "]")
        elif not opened or opened.pop() != bracket:
            return True
    return False
