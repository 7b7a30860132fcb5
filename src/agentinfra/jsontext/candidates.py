"""The values found in a text, and which of them is the answer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, Literal, TypeAlias

__all__ = ["Candidate", "Strategy", "Tier", "in_order", "last_complete"]

Strategy: TypeAlias = Literal["direct", "fence", "span", "lines", "string", "repair", "truncated"]

_BETWEEN: Final = re.compile(
    r"(?:[\s,;\u200b]"
    r"|</([\w:.\-]+)>\s*<\1>"  # from one tool call to the next
    r"|(?<=\n)(?:[-*]|\d+[.)])[ \t]"  # the items of a list
    r"|(?:`{3,}|~{3,})\w*)*+"  # from one fence to the next
)
_NEAR: Final = 120
_FENCE_BEFORE: Final = re.compile(r"\s*(?:`{3,}|~{3,})\w*\s*\Z")
_EXAMPLE: Final = re.compile(
    # The last sentence or line before the value; what follows these words is one, not the answer.
    r"\b(?:examples?|e\.g\.|format|template|schema|placeholder|skeleton|such as|looks? like"
    r"|draft|first (?:try|attempt|guess|version)|initial(?:ly)?|maybe|perhaps|input|was given)\b"
    r"[^.!?\n{}\[\]]{0,60}[:=]?\s*\Z",
    re.IGNORECASE,
)


class Tier(IntEnum):
    """How likely a value is the answer, by where it stands; the best first."""

    FENCE = 0
    """In a fence named JSON, or not named."""
    TEXT = 1
    """Amid the text."""
    ASIDE = 2
    """In a fence of another language, or a few numbers in brackets behind a colon."""
    DOUBTFUL = 3
    """Perhaps not meant as JSON, or a piece of something broken: for a schema to tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A value found in a text, where it stands, and how it was read."""

    value: Any
    start: int
    end: int
    tier: Tier
    strategy: Strategy
    repaired: bool = False


def last_complete(text: str, candidates: Sequence[Candidate]) -> Candidate | None:
    """Return the last value of the best tier; one that is cut off only for want of another.

    What a model writes last is its answer: before it come examples, echoes of the input, drafts.
    """
    certain = [row for row in _rows(text, candidates) if row.tier < Tier.DOUBTFUL]
    if not certain:
        return None
    best = min(row.tier for row in certain)
    rows = [row for row in certain if row.tier == best]
    complete = [row for row in rows if row.strategy != "truncated"]
    return (complete or rows)[-1]


def in_order(text: str, candidates: Sequence[Candidate]) -> Iterator[Candidate]:
    """Yield what a schema is to judge: the likeliest answer first, a row before its values.

    The better tiers come first, but an answer in the text before an example in a fence; in a
    tier the last value, since examples, echoes of the input and drafts come before an answer.
    """
    rows = list(_rows(text, candidates))
    rows.reverse()
    rows.sort(key=lambda row: _unlikeliness(text, row))
    for row in rows:
        yield row
        if row.strategy == "lines":
            # Equals side by side, none of them a draft of another.
            yield from (c for c in candidates if row.start <= c.start < row.end)


def _unlikeliness(text: str, row: Candidate) -> tuple[bool, bool, Tier]:
    doubtful = row.tier == Tier.DOUBTFUL
    return doubtful, row.strategy == "truncated" or _is_example(text, row.start), row.tier


def _is_example(text: str, start: int) -> bool:
    """Whether what introduces a value calls it an example, a form, or a draft."""
    before = _FENCE_BEFORE.sub("", text[max(0, start - _NEAR) : start])
    return _EXAMPLE.search(before) is not None


def _rows(text: str, candidates: Sequence[Candidate]) -> Iterator[Candidate]:
    """Yield the candidates, those that follow each other with nothing between made one list."""
    row: list[Candidate] = []
    for candidate in candidates:
        if row and not _continues(text, row[-1], candidate):
            yield _joined(row)
            row = []
        row.append(candidate)
    if row:
        yield _joined(row)


def _continues(text: str, last: Candidate, following: Candidate) -> bool:
    if last.tier != following.tier or last.tier == Tier.DOUBTFUL:
        return False
    return _BETWEEN.fullmatch(text, last.end, following.start) is not None


def _joined(row: Sequence[Candidate]) -> Candidate:
    if len(row) == 1:
        return row[0]
    return Candidate(
        value=[candidate.value for candidate in row],
        start=row[0].start,
        end=row[-1].end,
        tier=row[0].tier,
        strategy="lines",
        repaired=any(candidate.repaired for candidate in row),
    )
