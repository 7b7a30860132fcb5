"""Where a semantic tier keeps the questions it knows, said without a store."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from agentinfra.cache.semantic.guard import Facts

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Entry", "Neighbour", "Neighbours"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A question whose answer the exact cache has, or had.

    Attributes:
        question: The question.
        group: What entries with the same answer share.
        facts: What the guard compares.
    """

    question: str
    group: str
    facts: Facts = field(compare=False, repr=False)

    @classmethod
    def of(cls, question: str, group: str) -> Entry:
        """Return the entry of a question."""
        return cls(question=question, group=group, facts=Facts(question))


class Neighbour(NamedTuple):
    """An entry, and how similar it is to what was asked: 1 is the same direction."""

    entry: Entry
    similarity: float


class Neighbours(Protocol):
    """Finds the nearest entries of a partition. Partitions never see each other's entries.

    A store may forget entries for room. A method that fails may raise ``Exception``: the tier
    counts it and goes on without.
    """

    async def nearest(
        self, partition: str, vector: NDArray[np.float32], limit: int
    ) -> Sequence[Neighbour]:
        """Return a partition's entries that are nearest to a vector of length 1, nearest first."""
        ...

    async def add(self, partition: str, entry: Entry, vector: NDArray[np.float32]) -> None:
        """Keep an entry; an older one of the same question goes."""
        ...

    async def drop(self, partition: str, question: str) -> None:
        """Drop the entry of a question."""
        ...

    async def clear(self) -> None:
        """Drop all entries of all partitions."""
        ...
