"""Breaks a text between words while it is still coming."""

from __future__ import annotations

import re

__all__ = ["Wrapper"]

_PIECE = re.compile(r"\n|[^\S\n]+|\S+")


class Wrapper:
    """Takes a text piece by piece and gives it back with line breaks.

    A word is held until something follows it, since only then its length is known.

    Args:
        width: Columns of a line.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._column = 0
        self._space = ""
        self._word = ""

    def add(self, text: str) -> str:
        """Return what can be written now."""
        written = []
        text, self._word = self._word + text, ""
        for piece in _PIECE.findall(text):
            if self._word:
                written.append(self._placed())
            if piece == "\n":
                written.append("\n")
                self._column, self._space = 0, ""
            elif piece.isspace():
                self._space += piece
            else:
                self._word = piece
        return "".join(written)

    def end(self) -> str:
        """Return what is left."""
        return self._placed() if self._word else ""

    def _placed(self) -> str:
        word, space = self._word, self._space
        self._word = self._space = ""
        if self._column and self._column + len(space) + len(word) > self._width:
            self._column = len(word)
            return f"\n{word}"
        self._column += len(space) + len(word)
        return space + word
