"""Finding the places in a text where a JSON value stands, in one pass.

Brackets are looked at from left to right. Where the text at a bracket looks like JSON it is
read: by the grammar, else by the tolerant reader, else (through its gate) by json_repair; the
search goes on behind what was read, so that nothing inside of a value is a candidate itself,
nor is anything inside of a broken one. Fences and think tags count only outside of values.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import Any, Final

from agentinfra.jsontext.candidates import Candidate, Strategy, Tier
from agentinfra.jsontext.mend import Mended, StuckError, mend
from agentinfra.jsontext.place import Surroundings, is_weak
from agentinfra.jsontext.repair import DoubtfulError, guess
from agentinfra.jsontext.strict import NotJSONError, strict, strict_prefix
from agentinfra.jsontext.thinking import THINKING, end_of, is_end
from agentinfra.jsontext.tokens import COLONS, COMMAS, QUOTES

__all__ = [
    "MAX_BROKEN_STARTS",
    "MAX_ERRORS",
    "MAX_GUESSES",
    "MAX_MEND_CHARS",
    "MAX_PLACES",
    "MAX_SCAN_CHARS",
    "OverloadError",
    "Scan",
]

MAX_SCAN_CHARS: Final = 4_000_000
"""The longest text that is searched, about a million tokens; JSON as a whole may be longer."""

MAX_PLACES: Final = 50_000
"""Brackets that may begin a value, fences and think tags looked at in one text."""

MAX_MEND_CHARS: Final = 2_000_000
"""Characters of broken JSON the tolerant reader goes through in one text."""

MAX_BROKEN_STARTS: Final = 1_000
"""Places that look like the beginning of JSON and are not, more than which ends the search."""

MAX_GUESSES: Final = 8
"""Spans of one text that are given to json_repair."""

MAX_ERRORS: Final = 20
"""Lines kept of why places in the text were passed over."""

_BLANK: Final = r"[\s\ufeff\u200b]*+"
_OBJECT: Final = rf"\{{{_BLANK}(?:[}}{COMMAS}{QUOTES}/#]|[\w$.\-]++\s*+[{COLONS}])"
_NAMED: Final = "true|false|null|none|nan|inf|infinity|undefined"
_ARRAY: Final = rf"\[{_BLANK}(?:[\]{{\[({COMMAS}{QUOTES}/#]|[-+.]?\d|-?(?:{_NAMED})\b)"
_EVENT: Final = re.compile(
    rf"(?P<think>{THINKING})|(?P<fence>(?:\\?`){{3,}}|~{{3,}})"
    rf"|(?P<skip><!\[CDATA\[)|(?=[{{\[])(?={_OBJECT}|{_ARRAY})[{{\[]",
    re.IGNORECASE,
)
_FENCE_NAME: Final = re.compile(r"[ \t]*([\w+.\-]*)")
_JSON_NAMES: Final = ("", "json", "jsonc", "json5", "jsonl", "jsonlines", "ndjson")
_QUOTED_START: Final = re.compile(
    r"""[{\[](?:\s*+[{\[])*+\s*+"""
    r"""(?:"[^"\n:]{1,200}"?\s*+[:=]|"[^"\n]{1,200}"\s*+:|'[^'\n]{1,200}'\s*+:"""
    r"""|\u201c[^\u201d\n]{1,200}\u201d\s*+:)|\[(?:\s*+\[)*+\s*+["']"""
)


class OverloadError(Exception):
    """The text would take too long to search; the message says which limit it meets."""


class Scan:
    """One search through one text.

    Attributes:
        candidates: The values found, in the text's order.
        errors: Why places that look like JSON are not among them.
    """

    def __init__(self, text: str, *, repair: bool) -> None:
        if len(text) > MAX_SCAN_CHARS:
            raise OverloadError(
                f"{len(text)} characters are more than the {MAX_SCAN_CHARS} searched"
            )
        self.candidates: list[Candidate] = []
        self.errors: list[str] = []
        self._text = text
        self._repair = repair
        self._around = Surroundings(text)
        self._pos = 0
        self._segment = 0
        self._fence = ""  # the marker of the open fence
        self._language = ""
        self._missing: set[str] = (
            set()
        )  # beginnings of thinking without an end in the rest of the text
        self._broken = False  # whether something in this segment could not be read
        self._broken_starts = self._guesses = self._mended = 0
        self._run()

    def _run(self) -> None:
        places = 0
        while match := _EVENT.search(self._text, self._pos):
            places += 1
            if places > MAX_PLACES:
                raise OverloadError(f"more than {MAX_PLACES} brackets, fences and tags")
            self._pos = match.end()
            if match["think"]:
                self._think(match)
            elif match["fence"]:
                self._mark(match)
            elif not match["skip"]:
                self._bracket(match.start())
        self._end_fence(len(self._text))
        if self._segment and not self.candidates:
            self._whole(len(self._text), Tier.TEXT)

    # -- think tags and fences

    def _think(self, match: re.Match[str]) -> None:
        if is_end(match["think"]):  # thinking whose beginning was not sent
            self.candidates.clear()
            self._fence = self._language = ""
        else:
            closed = self._end_of_thinking(match["think"])
            if closed is not None:
                self._pos = closed
            elif not self._text[: match.start()].strip():
                self._pos = len(self._text)  # it never got beyond thinking
            else:
                return
        self._begin_segment(self._pos)

    def _end_of_thinking(self, mark: str) -> int | None:
        """Return the end of the closing mark; one that is not there is looked for once."""
        mark = mark.lower()
        if mark in self._missing:
            return None
        closed = end_of(mark, self._text, self._pos)
        if closed is None:
            self._missing.add(mark)
        return closed

    def _begin_segment(self, start: int) -> None:
        self._segment = start
        self._broken = False

    def _mark(self, match: re.Match[str]) -> None:
        marker = match["fence"].replace("\\", "")
        if not self._fence:
            name = _FENCE_NAME.match(self._text, match.end())
            self._fence, self._language = marker, (name[1].lower() if name else "")
            self._pos = name.end() if name else match.end()
            self._begin_segment(self._pos)
        elif marker.startswith(self._fence):
            self._end_fence(match.start())
            self._fence = self._language = ""
            self._begin_segment(match.end())

    def _end_fence(self, end: int) -> None:
        """Take a body without brackets as a whole: it may be a scalar."""
        found = self.candidates and self.candidates[-1].start >= self._segment
        if self._language.startswith("json") and not found:
            self._whole(end, Tier.FENCE)

    def _whole(self, end: int, tier: Tier) -> None:
        body = self._text[self._segment : end].strip()
        try:
            value = strict(body)
        except NotJSONError:
            return
        start = self._text.index(body, self._segment)
        self._add(value, start, start + len(body), tier, "fence" if self._fence else "span")

    # -- brackets

    def _bracket(self, start: int) -> None:
        try:
            value, end = strict_prefix(self._text, start)
        except NotJSONError:
            self._read_broken(start)
            return
        if self._around.goes_on(start, end):
            self._guess_beyond(start, end)
        else:
            self._take(value, start, end)

    def _read_broken(self, start: int) -> None:
        try:
            mended = self._mend(start)
        except StuckError as stuck:
            behind = stuck.doubt + 1 if stuck.doubt > start else max(stuck.at, start + 1)
            why = f"{stuck}, at character {stuck.at}"
            if stuck.empty:
                self._refuse(start, why)
                self._pos = stuck.at
            else:
                self._guess(start, behind, closed=self._around.closing(start), why=why)
            return
        if self._around.goes_on(start, mended.end):
            self._guess_beyond(start, mended.end)
        elif self._repair:
            self._take_mended(mended, start)
        else:
            self._refuse(start, "it needs a repair, and repair is off")
            self._pos = mended.end

    def _mend(self, start: int) -> Mended:
        end = min(len(self._text), start + MAX_MEND_CHARS - self._mended)
        try:
            mended = mend(self._text, start, end)
        except StuckError as stuck:
            if stuck.deep:
                raise OverloadError(f"{stuck}, at character {start}") from None
            self._spend(stuck.at - start)
            raise
        self._spend(mended.end - start)
        return mended

    def _spend(self, chars: int) -> None:
        self._mended += chars
        if self._mended >= MAX_MEND_CHARS:
            raise OverloadError(f"more than {MAX_MEND_CHARS} characters of broken JSON")

    # -- guesses

    def _guess_beyond(self, start: int, end: int) -> None:
        """Read an object that was closed too early."""
        self._guess(start, end, closed=None, why="members follow its closing bracket")

    def _guess(self, start: int, behind: int, *, closed: int | None, why: str) -> None:
        """Let json_repair try; failing that, go on behind the broken value, or ``behind``."""
        doubt = ""
        if self._repair and _QUOTED_START.match(self._text, start):
            ends = self._around.broken_ends(start, closed)
            for end in islice(ends, MAX_GUESSES - self._guesses):
                self._guesses += 1
                try:
                    value = guess(self._text[start:end])
                except DoubtfulError as error:
                    doubt = f"; {error}"
                else:
                    cut = self._text[start:end].rstrip()[-1] not in "}]"
                    self._take(value, start, end, strategy="truncated" if cut else "repair")
                    return
        self._refuse(start, why + doubt)
        self._pos = behind if closed is None else closed + 1

    def _refuse(self, start: int, reason: str) -> None:
        self._broken = True
        self._broken_starts += 1
        if self._broken_starts > MAX_BROKEN_STARTS:
            raise OverloadError(f"more than {MAX_BROKEN_STARTS} places look like broken JSON")
        self._say(start, reason)

    def _say(self, start: int, reason: str) -> None:
        if len(self.errors) < MAX_ERRORS:
            self.errors.append(f"at character {start}: {reason}")

    # -- candidates

    def _take_mended(self, mended: Mended, start: int) -> None:
        sure = not mended.words or self._around.fills(self._segment, start, mended.end)
        self._take(
            mended.value,
            start,
            mended.end,
            strategy="truncated" if mended.truncated else "repair",
            weak=mended.unquoted,
            tier=None if sure else Tier.DOUBTFUL,
        )

    def _take(
        self,
        value: Any,
        start: int,
        end: int,
        *,
        strategy: Strategy = "span",
        weak: bool = False,
        tier: Tier | None = None,
    ) -> None:
        self._pos = end
        if self._around.is_code(value, start):
            return
        if strategy == "truncated" and self._broken:
            tier = Tier.DOUBTFUL  # likely the end of a string of what was broken
        if tier is None:
            tier = self._tier(value, start, end, weak=weak or is_weak(value))
        if tier == Tier.DOUBTFUL:
            self._say(start, "this may not be meant as an answer; a schema would tell")
        if strategy == "span" and self._fence:
            strategy = "fence"
        self._add(value, start, end, tier, strategy)

    def _tier(self, value: Any, start: int, end: int, *, weak: bool) -> Tier:
        place = self._place()
        around, segment = self._around, self._segment
        if around.is_piece(segment, start, end, broken=self._broken):
            return Tier.DOUBTFUL
        if around.fills(segment, start, end):
            return place
        if (weak or isinstance(value, list)) and around.is_setting(segment, start):
            return Tier.DOUBTFUL
        return around.weak_tier(value, segment, start, end, place=place) if weak else place

    def _place(self) -> Tier:
        if not self._fence:
            return Tier.TEXT
        return Tier.FENCE if self._language in _JSON_NAMES else Tier.ASIDE

    def _add(self, value: Any, start: int, end: int, tier: Tier, strategy: Strategy) -> None:
        self.candidates.append(
            Candidate(
                value=value,
                start=start,
                end=end,
                tier=tier,
                strategy=strategy,
                repaired=strategy in ("repair", "truncated"),
            )
        )
