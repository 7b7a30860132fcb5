"""What two questions may not differ in, however alike their vectors are.

A vector hardly sees a digit, a "not" or a name. What is compared here is only what can be seen
without understanding: names in lower case, opposites and the order of words are not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from unicodedata import normalize

from agentinfra.cache.semantic.vocabulary import DATES, NEGATIONS, NUMBERS, OPENERS, UNITS

__all__ = ["Facts", "differ"]

_LONGEST = 20_000

_CODE = re.compile(
    r"```.*?```|`[^`\n]+`"
    r"|\b(?:https?|ftp|file|s3)://\S+|\b[\w.+-]+@[\w-]+\.[\w.-]+"
    r"|(?<!\w)--?[A-Za-z][\w-]*"
    r"|\b\w+(?:\.\w+)*\(\)"
    r"|\b[A-Za-z]\w*_\w+|\b[a-z]+[a-z0-9]*[A-Z]\w*"
    r"|(?<!\w)/(?:[\w.-]+/)*[\w.-]+|\b[\w-]+\.(?:py|js|ts|c|h|go|rs|md|txt|json|ya?ml|csv|sh|sql)\b"
    r"|[A-Za-z](?:\+\+|#)|[=!<>]=|&&|\|\||->|=>",
    re.DOTALL,
)
_QUOTED = re.compile(
    r"\"([^\"\n]+)\"|\u201c([^\u201d\n]+)\u201d|\u201e([^\u201c\u201d\n]+)[\u201c\u201d]"
    r"|\u00ab([^\u00bb\n]+)\u00bb|(?<!\w)'([^'\n]+)'(?!\w)|(?<!\w)\u2018([^\u2019\n]+)\u2019(?!\w)"
)
_NUMBER = re.compile(r"[$€£¥]?\d+(?:[.,:/-]\d+)*(?:\s?(?:%|°[CFcf]?|[A-Za-zµμΩ]+\b))?")
_WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*")
_SENTENCE = re.compile(r"(?:^|[.!?:\n]\s*)[\"'(\u201c]*$")


@dataclass(frozen=True)
class Facts:
    """What a question says that another one has to say too to be the same.

    Attributes:
        text: The question; of a very long one the beginning.
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
        """Numbers with what stands behind them, in their order."""
        found = [
            (match.start(), match.group().replace(" ", "").lower())
            for match in _NUMBER.finditer(self._prose)
        ]
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
        return normalize("NFC", self.text[:_LONGEST])

    @cached_property
    def _prose(self) -> str:
        return _CODE.sub(" ", self._whole)


def differ(asked: Facts, known: Facts) -> str | None:
    """Return what two questions differ in, None where the guard sees nothing."""
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
