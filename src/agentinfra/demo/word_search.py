"""Searches passages by their words: what is left when there is no database to search vectors in."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

__all__ = ["Searched", "WordIndex"]

_WORD = re.compile(r"[^\W_]+")
_SATURATION, _LENGTH = 1.2, 0.75


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_COMMON = _set(
    """
    a an and are as at be by can do does for from has have how i if in is it its my not of on or
    so that the their then there this to was what when where which who why will with you
    """
)


class Searched(Protocol):
    """Something with words in it."""

    @property
    def embedded(self) -> str:
        """All of its words."""
        ...


P = TypeVar("P", bound=Searched)


class WordIndex(Generic[P]):
    """Ranks passages by the words they share with a question, rare words first (BM25)."""

    def __init__(self, passages: Sequence[P]) -> None:
        self._passages = tuple(passages)
        self._words = [Counter(_words(passage.embedded)) for passage in self._passages]
        self._lengths = [counts.total() for counts in self._words]
        self._mean = sum(self._lengths) / len(self._lengths) if self._lengths else 1.0
        self._held = Counter(word for counts in self._words for word in counts)

    def search(self, question: str, *, top_k: int) -> list[P]:
        """Return the passages that fit best, none where no word is shared."""
        asked = set(_words(question))
        scored = [(self._score(place, asked), place) for place in range(len(self._passages))]
        best = sorted(
            (pair for pair in scored if pair[0] > 0), key=lambda pair: (-pair[0], pair[1])
        )
        return [self._passages[place] for _, place in best[:top_k]]

    def _score(self, place: int, asked: set[str]) -> float:
        counts = self._words[place]
        longer = 1 - _LENGTH + _LENGTH * self._lengths[place] / (self._mean or 1.0)
        return sum(
            self._rarity(word)
            * counts[word]
            * (_SATURATION + 1)
            / (counts[word] + _SATURATION * longer)
            for word in asked
            if word in counts
        )

    def _rarity(self, word: str) -> float:
        held = self._held[word]
        return math.log(1 + (len(self._passages) - held + 0.5) / (held + 0.5))


def _words(text: str) -> list[str]:
    words = (word.lower() for word in _WORD.findall(text))
    return [
        word.removesuffix("s") if len(word) > 3 else word for word in words if word not in _COMMON
    ]
