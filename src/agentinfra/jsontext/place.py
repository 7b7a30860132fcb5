"""What stands around a value in a text, and what that says about it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from itertools import islice
from typing import Any, Final

from agentinfra.jsontext.candidates import Tier
from agentinfra.jsontext.tokens import COLONS

__all__ = ["Surroundings", "is_weak"]

_NEAR: Final = 80
_FEW: Final = 3

_CODE_BEFORE: Final = re.compile(r"[\w)\]]\Z|\w\(\Z")
_KEY_BEFORE: Final = re.compile(r'"[^"\n]*"\s*:\s*\Z')
_COMMA_BEFORE: Final = re.compile(r",\s*\Z")
_COLON_BEFORE: Final = re.compile(rf"[{COLONS}]\s*\Z")
_LINE_BEFORE: Final = re.compile(r"(?:\A|\n)[\s>\ufeff\u200b]*\Z")
_LINE_AFTER: Final = re.compile(r"[ \t.;,\u200b]*(?:\r?\n|\Z|<)")
_END_AFTER: Final = re.compile(r"[\s.;\u200b]*(?:(?:\\?`){3,}|~{3,}|</|<\||\Z)")
_PIECE_AFTER: Final = re.compile(r"\s*+[\"',}\]]")
_MEMBERS_AFTER: Final = re.compile(r'\s*+,\s*+"[^"\n]{0,200}"\s*+[:\]]')
_BLANK: Final = re.compile(r"\s*+")
# A line of YAML, TOML or code; a label in a sentence begins with a capital.
_SETTING: Final = re.compile(r"^[ \t]*(?:- )?[a-z_][\w.\-]*[ \t]*[:=](?=\s)", re.MULTILINE)
_SETTING_BEFORE: Final = re.compile(r"(?:^|\n)[ \t]*[a-z_][\w.\-]*[ \t]*[:=][ \t]*\Z")
_LIMIT: Final = re.compile(r"\n[ \t]*(?:\\?`){3,}|\n[ \t]*~{3,}|</?think", re.IGNORECASE)
_BRACKET: Final = re.compile(r"[{}\[\]]")


class Surroundings:
    """Answers about places in one text.

    A segment is where a fence's body begins, or the text behind a fence or behind thinking.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._visible = (-1, 0)  # a segment, and where its first visible character is

    def fills(self, segment: int, start: int, end: int) -> bool:
        """Whether nothing else is in the segment."""
        if self._visible[0] != segment:
            blank = _BLANK.match(self._text, segment)
            self._visible = segment, blank.end() if blank else segment
        return start <= self._visible[1] and self.ends(end)

    def ends(self, end: int) -> bool:
        """Whether the text, the fence or the tag ends here."""
        return _END_AFTER.match(self._text, end) is not None

    def goes_on(self, start: int, end: int) -> bool:
        """Whether an object's members go on behind its closing bracket."""
        return self._text[start] == "{" and _MEMBERS_AFTER.match(self._text, end) is not None

    def is_code(self, value: Any, start: int) -> bool:
        """Whether this is the ``[1]`` of ``items[1]`` or ``sum([1])``."""
        if not isinstance(value, list) or any(isinstance(item, dict) for item in value):
            return False
        return _CODE_BEFORE.search(self._text, max(0, start - 2), start) is not None

    def is_piece(self, segment: int, start: int, end: int, *, broken: bool) -> bool:
        """Whether this is part of something bigger; ``broken``: something was not readable."""
        before = self._before(segment, start)
        if _KEY_BEFORE.search(before):
            return True
        if not broken:
            return False
        return bool(_COMMA_BEFORE.search(before) or _PIECE_AFTER.match(self._text, end))

    def is_setting(self, segment: int, start: int) -> bool:
        """Whether this is the value of a line of YAML, TOML or code."""
        return self._has_settings and bool(_SETTING_BEFORE.search(self._before(segment, start)))

    def weak_tier(self, value: Any, segment: int, start: int, end: int, *, place: Tier) -> Tier:
        """Return the tier of a value that only its place can tell from a citation or the like."""
        before = self._before(segment, start)
        numbers = isinstance(value, list)
        if not _LINE_AFTER.match(self._text, end):
            return Tier.ASIDE if numbers and len(value) > _FEW else Tier.DOUBTFUL
        if _LINE_BEFORE.search(before):
            return place
        citation = numbers and len(value) == 1
        return Tier.ASIDE if _COLON_BEFORE.search(before) and not citation else Tier.DOUBTFUL

    def closing(self, start: int) -> int | None:
        """Return where the bracket at ``start`` is closed, brackets in strings counted too."""
        return self._matching.get(start)

    def broken_ends(self, start: int, closed: int | None) -> Iterator[int]:
        """Yield where a broken value may end, the likeliest first."""
        limit = _LIMIT.search(self._text, start)
        stop = limit.start() if limit else len(self._text)
        last = self._text.rfind("}" if self._text[start] == "{" else "]", start, stop)
        if closed is not None:
            yield closed + 1
        if last not in (-1, closed) and self.ends(last + 1):
            yield last + 1
        if closed is None:
            yield stop

    def _before(self, segment: int, start: int) -> str:
        return self._text[max(segment, start - _NEAR) : start]

    @cached_property
    def _has_settings(self) -> bool:
        return len(list(islice(_SETTING.finditer(self._text), 2))) == 2

    @cached_property
    def _matching(self) -> dict[int, int]:
        matching: dict[int, int] = {}
        opened: list[int] = []
        for match in _BRACKET.finditer(self._text):
            char = match.group()
            if char in "{[":
                opened.append(match.start())
            elif opened and self._text[opened[-1]] == ("{" if char == "}" else "["):
                matching[opened.pop()] = match.start()
        return matching


def is_weak(value: Any) -> bool:
    """Whether this may as well be a citation, an interval, a placeholder, or empty brackets."""
    if isinstance(value, list):
        return all(type(item) in (int, float) for item in value)
    return not value or any(item in ("...", "…") for item in value.values())
