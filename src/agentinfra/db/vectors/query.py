"""What a search is asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from agentinfra.db.vectors.filters import Arguments, condition
from agentinfra.db.vectors.values import check_text, shown
from agentinfra.errors import VectorError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MAX_EF_SEARCH", "MAX_TOP_K", "Query", "check_words"]

MAX_TOP_K = 1_000
MAX_EF_SEARCH = 1_000

_POOL = 4
"""How many times ``top_k`` candidates each half of a hybrid search brings, and hits that shall
differ are chosen from."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Query:
    """What to look for, beside the direction.

    Attributes:
        text: The words, for a hybrid search; None searches by vector alone.
        top_k: Hits at most.
        filter: Which records may be hits.
        min_score: The least score of a hit.
        ef_search: Candidates an index search keeps; None is the default.
        diversity: How much hits shall differ, from 0 to 1; None takes the nearest as they are.

    Raises:
        VectorError: One cannot be used; the message names it and its value.
    """

    text: str | None = None
    top_k: int = 5
    filter: Mapping[str, Any] | None = None
    min_score: float | None = None
    ef_search: int | None = None
    diversity: float | None = None

    def __post_init__(self) -> None:
        _check_whole("top_k", self.top_k, MAX_TOP_K)
        if self.ef_search is not None:
            _check_whole("ef_search", self.ef_search, MAX_EF_SEARCH)
        least: Any = self.min_score
        if least is not None and not (_is(least, Real) and math.isfinite(least)):
            raise VectorError(f"min_score is {shown(least)}: give it a number, or None")
        given: Any = self.diversity
        if given is not None and not (_is(given, Real) and 0 <= given <= 1):
            raise VectorError(f"diversity is {shown(given)}: give it a number from 0 to 1, or None")
        condition(self.filter, Arguments())

    @property
    def rows(self) -> int:
        """Rows the search brings: more than hits where hits are chosen among them."""
        return self.top_k if self.diversity is None else min(MAX_TOP_K, _POOL * self.top_k)

    @property
    def candidates(self) -> int:
        """Rows each list of the search brings."""
        return self.rows if self.text is None else min(MAX_TOP_K, _POOL * self.top_k)


def check_words(text: Any) -> str:
    """Return a text to search with.

    Raises:
        VectorError: It has no words, or cannot be searched with; the message shows it.
    """
    checked = check_text(text, "the query")
    if not checked.strip():
        raise VectorError(f"the query is {checked[:80]!r}: give it words")
    return checked


def _check_whole(name: str, value: Any, most: int) -> None:
    if not _is(value, Integral) or not 1 <= value <= most:
        raise VectorError(f"{name} is {shown(value)}: it has to be a number from 1 to {most}")


def _is(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
