"""What two questions may not differ in, however alike their vectors are.

A vector hardly sees a digit, a "not" or a name. What is compared here is only what can be seen
without understanding: names in lower case, opposites and the order of words are not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from agentinfra.cache.keys import compose
from agentinfra.cache.semantic.vocabulary import DATES, NEGATIONS, NUMBERS, OPENERS, UNITS

__all__ = ["Facts", "differ"]

_LONGEST = 4_000
"""Characters of a question that is compared at all: in a longer one too much can hide."""

# Every repetition has a bound: what looks like the beginning of code over and over costs no more.
_CODE = re.compile(
    r"```.{0,2000}?```|`[^`\n]{1,500}`"
    r"|\b(?:https?|ftp|file|s3)://\S{1,500}|\b[\w.+-]{1,64}@[\w-]{1,64}\.[\w.-]{1,64}"
    r"|(?<!\w)--?[A-Za-z][\w-]{0,64}"
    r"|\b\w{1,64}(?:\.\w{1,64}){0,4}\(\)"
    r"|\b[A-Za-z]\w{0,64}_\w{1,64}|\b[a-z]{1,64}[a-z0-9]{0,64}[A-Z]\w{0,64}"
    r"|(?<!\w)/[\w./-]{1,256}"
    r"|\b[\w-]{1,64}\.(?:py|js|ts|c|h|go|rs|md|txt|json|ya?ml|csv|sh|sql)\b"
    r"|[A-Za-z](?:\+\+|#)|[=!<>]=|&&|\|\||->|=>",
    re.DOTALL,
)
_QUOTED = re.compile(
    r"\"([^\"\n]{1,500})\"|\u201c([^\u201d\n]{1,500})\u201d|\u201e([^\u201c\u201d\n]{1,500})[\u201c\u201d]"
    r"|\u00ab([^\u00bb\n]{1,500})\u00bb|(?<!\w)'([^'\n]{1,500})'(?!\w)|(?<!\w)\u2018([^\u2019\n]{1,500})\u2019(?!\w)"
)
_NUMBER = re.compile(r"([$€£¥]?\d+(?:[.,:/-]\d+)*)(%|°[CFcf]?|[A-Za-zµμΩ]+\b)?")
_WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*")
_SENTENCE = re.compile(r"(?:^|[.!?:\n]\s*)[\"'(\u201c]*$")


@dataclass(frozen=True)
class Facts:
    """What a question says that another one has to say too to be the same.

    Attributes:
        text: The question.
    """

    text: str

    @cached_property
    def code(self) -> tuple[str, ...]:
        """Code, addresses, options and operators, in their order."""
        return tuple(found.strip("`.,;:?") for found in _CODE.findall(self._whole))

    @cached_property
    def quoted(self) -> tuple[str, ...]:
        """What stands in quotation marks, in its order."""
        return tuple("".join(groups).strip() for groups in _QUOTED.findall(self._prose))

    @cached_property
    def numbers(self) -> tuple[str, ...]:
        """Numbers with what is written to them, in their order; a unit is one of the units."""
        found = []
        for match in _NUMBER.finditer(self._prose):
            suffix = (match.group(2) or "").lower()
            found.append((match.start(), match.group(1) + ("" if suffix in UNITS else suffix)))
        found += [
            (match.start(), NUMBERS[word])
            for match in _WORD.finditer(self._prose)
            if (word := match.group().lower()) in NUMBERS
        ]
        return tuple(text for _, text in sorted(found))

    @cached_property
    def units(self) -> frozenset[str]:
        """Units, whether a number stands before them or not; one and many are the same."""
        return frozenset(word.rstrip("s") for word in self.words if word in UNITS)

    @cached_property
    def negations(self) -> int:
        """How often something is denied."""
        return sum(
            word in NEGATIONS or word.replace("\u2019", "'").endswith("n't") for word in self.words
        )

    @cached_property
    def names(self) -> frozenset[str]:
        """Words that name something: capitals, days and months."""
        found = {word for word in self.words if word in DATES}
        for match in _WORD.finditer(self._prose):
            word = match.group()
            if not word[0].isupper() or word in ("I", "I'm", "I've", "I'd", "I'll"):
                continue
            plain = word.lower().replace("'", "").replace("\u2019", "")
            # What begins a sentence has a capital anyway: a name, unless it is a common beginning.
            if plain in OPENERS and _SENTENCE.search(self._prose[: match.start()][-8:]):
                continue
            found.add(word.lower())
        return frozenset(found)

    @cached_property
    def words(self) -> tuple[str, ...]:
        """All words, in lower case."""
        return tuple(match.group().lower() for match in _WORD.finditer(self._prose))

    @cached_property
    def _whole(self) -> str:
        return compose(self.text)

    @cached_property
    def _prose(self) -> str:
        return _CODE.sub(" ", self._whole)


def differ(asked: Facts, known: Facts) -> str | None:
    """Return what two questions differ in, None where the guard sees nothing."""
    if len(asked.text) > _LONGEST or len(known.text) > _LONGEST:
        return "length"
    for what in ("numbers", "units", "quoted", "code", "negations"):
        if getattr(asked, what) != getattr(known, what):
            return what
    names = asked.names | known.names
    if names and _order(asked, names) != _order(known, names):
        return "names"
    return None


def _order(facts: Facts, names: frozenset[str]) -> list[str]:
    """Return the names a question has, in lower case too: from A to B is not from B to A."""
    return [word for word in facts.words if word in names]
