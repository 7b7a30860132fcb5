"""How much the nearest entries speak for one answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from agentinfra.cache.semantic.guard import Facts, differ

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentinfra.cache.semantic.neighbours import Neighbour

__all__ = ["LOOKED_AT", "Candidate", "best_candidate"]

LOOKED_AT = 30
"""The nearest entries that are looked at."""

_VOTERS = 10


class Candidate(NamedTuple):
    """An answer the neighbours speak for.

    Attributes:
        known: The entries that have it and that the guard lets through, nearest first.
        score: How much speaks for it.
    """

    known: Sequence[Neighbour]
    score: float

    @property
    def group(self) -> str:
        """What entries with this answer share."""
        return self.known[0].entry.group


def best_candidate(asked: Facts, neighbours: Sequence[Neighbour]) -> Candidate | str | None:
    """Return the answer of the nearest entry, with what speaks for it.

    The score is half the similarity of the nearest entry and how far it is ahead of the nearest
    one with another answer, the more the more of the ten nearest agree. A bare similarity says
    little: near the border between two answers everything is similar to both.

    Returns:
        The candidate; what the guard saw, where it lets none of the nearest answer through; None
        where there is no neighbour.
    """
    if not neighbours:
        return None
    nearest = neighbours[0]
    group = nearest.entry.group
    saw, known = "", []
    for neighbour in neighbours:
        if neighbour.entry.group == group:
            difference = differ(asked, neighbour.entry.facts)
            if difference is None:
                known.append(neighbour)
            saw = saw or difference or ""
    if not known:
        return saw
    others = (one.similarity for one in neighbours if one.entry.group != group)
    margin = nearest.similarity - next(others, neighbours[-1].similarity)
    voters = neighbours[:_VOTERS]
    agreeing = sum(one.entry.group == group for one in voters) / len(voters)
    return Candidate(known, (nearest.similarity / 2 + margin) * (0.5 + agreeing))
