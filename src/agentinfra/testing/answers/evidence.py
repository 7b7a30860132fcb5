"""What a question holds that can become an argument: numbers, quotes, names, dates.

Everything is handed out once, so that two numbers of a question go to two arguments.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from agentinfra.testing.answers.words import STOPWORDS, root_set, stems, word_set

__all__ = ["Evidence"]

_NUMBER = re.compile(
    r"(?<![\w.])[-\u2212]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\d.]*\d)"
)
_QUOTED = re.compile(
    r"\"([^\"\n]+)\"|“([^”\n]+)”|`([^`\n]+)`|(?<!\w)'([^'\n]+)'(?!\w)", re.MULTILINE
)
_NAME = re.compile(r"[A-Z][\w.&-]*(?:(?:[ ](?:of|de|the|and the))?[ ][A-Z][\w.&-]*)*")
_DATE = re.compile(r"\b\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2})?(?:Z|[+-]\d{2}:\d{2})?)?")
_YEAR = range(1900, 2101)
_COUNTING = (
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)
_COUNTED = re.compile(rf"\b(?:{'|'.join(_COUNTING)})\b", re.IGNORECASE)
_BEFORE, _AFTER = 24, 20
_COMMANDS = word_set(
    """
    find show list get give tell calculate compute search look send set make book create add
    fetch identify what's retrieve determine convert check compare predict estimate generate
    solve play order buy sell write read open close update delete start stop translate
    summarize schedule remind please hello hi thanks
    """
)
_PLACES = root_set("city location place country region town address destination")
_ORIGINS = root_set("origin from start departure source sender")
_TARGETS = root_set("destination to end arrival target recipient")


@dataclass(frozen=True, slots=True)
class _Number:
    value: int | float
    start: int
    end: int
    spelled: bool = False


@dataclass(frozen=True, slots=True)
class _Text:
    value: str
    start: int


class Evidence:
    """The parts of one question that arguments can be made of, each to be used once."""

    def __init__(self, question: str) -> None:
        self.question = question
        self.stems = frozenset(stems(question))
        self._numbers = list(_numbers(question))
        self._quoted = [
            _Text(next(filter(None, match.groups())), match.start())
            for match in _QUOTED.finditer(question)
        ]
        self._names = list(_names(question))
        self._used: set[int] = set()
        self._stale: set[int] = set()

    def again(self) -> None:
        """Let everything be used once more, what is fresh still before what was used."""
        self._stale |= self._used
        self._used.clear()

    def mark(self) -> frozenset[int]:
        """Return what has been used so far."""
        return frozenset(self._used)

    def reset(self, mark: Collection[int]) -> None:
        """Give back what was used since a mark."""
        self._used = set(mark)

    def says(self, phrase: str) -> bool:
        """Return whether the question holds a word or phrase, whatever its case and number."""
        return self.place_of(phrase) is not None

    def place_of(self, phrase: str) -> int | None:
        """Return where the question holds a phrase, None where it does not."""
        wanted = phrase.replace("_", " ").strip()
        if not wanted:
            return None
        pattern = rf"(?<!\w){re.escape(wanted)}(?:s|es)?(?!\w)"
        match = re.search(pattern, self.question, re.IGNORECASE)
        return match.start() if match else None

    def number(
        self, names: Collection[str], *, integer: bool, anywhere: bool
    ) -> int | float | None:
        """Return a number of the question.

        Args:
            names: Roots of the words it should stand next to.
            integer: Only a whole number will do.
            anywhere: Take the next unused number when none stands next to a name.
        """
        free = [
            number
            for number in self._numbers
            if number.start not in self._used and not (integer and isinstance(number.value, float))
        ]
        free.sort(key=lambda number: (number.start in self._stale, number.spelled))
        near = [n for n in free if self._is_before(n, names)]
        near = near or [n for n in free if self._is_after(n, names)]
        if not near and anywhere:
            dated = "year" in names
            near = [n for n in free if (n.value in _YEAR) == dated] or free
        if not near:
            return None
        self._used.add(near[0].start)
        return near[0].value

    def numbers(self, *, integer: bool) -> list[int | float]:
        """Return all unused numbers and use them up."""
        taken: list[int | float] = []
        while (value := self.number((), integer=integer, anywhere=True)) is not None:
            taken.append(value)
        order = {number.value: number.start for number in reversed(self._numbers)}
        return sorted(taken, key=lambda value: order[value])

    def assigned(self, name: str) -> str | None:
        """Return what the question says a name is: ``title: Dune``, ``city is Rome``."""
        words = re.escape(name.replace("_", " ")).replace(r"\ ", r"[ _]")
        pattern = (
            rf"(?<!\w){words}\s*(?:=|:|\bis\b|\bcalled\b|\bnamed\b)\s*"
            r"(?:\"([^\"]+)\"|'([^']+)'|([\w.@/+-]+))"
        )
        match = re.search(pattern, self.question, re.IGNORECASE)
        return next(filter(None, match.groups())).rstrip(".") if match else None

    def quoted(self) -> str | None:
        """Return the next unused quoted text."""
        return self._next(self._quoted)

    def name(self, roots: Collection[str], *, anywhere: bool) -> str | None:
        """Return a proper name: after a preposition that fits the words, or the next unused one."""
        wanted = _prepositions(frozenset(roots))
        fitting = [name for name in self._names if self._follows(name, wanted)]
        return self._next(fitting) or (self._next(self._names) if anywhere else None)

    def date(self) -> str | None:
        """Return the first ISO date of the question."""
        match = _DATE.search(self.question)
        return match[0] if match else None

    def find(self, pattern: str) -> str | None:
        """Return the first part of the question that matches a pattern."""
        match = re.search(pattern, self.question)
        return match[0] if match else None

    def listed(self, *, names: bool) -> list[str]:
        """Return the unused quoted texts, or else the unused proper names, and use them up."""
        found: list[str] = []
        while (text := self.quoted()) is not None:
            found.append(text)
        while names and not self._quoted and (text := self.name((), anywhere=True)) is not None:
            found.append(text)
        return found

    def _next(self, found: list[_Text]) -> str | None:
        for text in sorted(found, key=lambda text: text.start in self._stale):
            if text.start not in self._used:
                self._used.add(text.start)
                return text.value
        return None

    def _is_before(self, number: _Number, names: Collection[str]) -> bool:
        """Return whether a name stands just before a number: "a base of 10"."""
        before = self.question[max(0, number.start - _BEFORE) : number.start]
        return not set(stems(before)[-3:]).isdisjoint(names)

    def _is_after(self, number: _Number, names: Collection[str]) -> bool:
        """Return whether a name stands just after a number: "12 orders"."""
        after = self.question[number.end : number.end + _AFTER]
        return not set(stems(after)[:2]).isdisjoint(names)

    def _follows(self, name: _Text, prepositions: Collection[str]) -> bool:
        before = self.question[: name.start].split()
        return bool(before) and before[-1].lower() in prepositions


def _numbers(question: str) -> Iterator[_Number]:
    found = [
        _Number(_as_number(match[0]), match.start(), match.end())
        for match in _NUMBER.finditer(question)
    ]
    found += [
        _Number(_COUNTING.index(match[0].lower()) + 2, match.start(), match.end(), spelled=True)
        for match in _COUNTED.finditer(question)
    ]
    yield from sorted(found, key=lambda number: number.start)


def _as_number(text: str) -> int | float:
    plain = text.replace(",", "").replace("\u2212", "-")
    return int(plain) if plain.lstrip("-").isdigit() else float(plain)


def _names(question: str) -> Iterator[_Text]:
    for match in _NAME.finditer(question):
        text, start = match[0], match.start()
        opens = start == 0 or question[:start].rstrip()[-1:] in (".", "?", "!", ":", "")
        first, _, rest = text.partition(" ")
        if first.lower() in STOPWORDS or (opens and first.lower() in _COMMANDS):
            text, start = rest, start + len(first) + 1
        if text := text.rstrip(".-&"):
            yield _Text(text, start)


def _prepositions(roots: frozenset[str]) -> frozenset[str]:
    wanted: set[str] = set()
    if roots & _ORIGINS:
        wanted.add("from")
    if roots & _TARGETS:
        wanted.add("to")
    if roots & _PLACES and not wanted:
        wanted.update(("in", "at", "for", "of", "near", "to", "from"))
    return frozenset(wanted)
