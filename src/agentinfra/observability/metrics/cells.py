"""Where the numbers of series are kept."""

from __future__ import annotations

from collections.abc import MutableSequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

__all__ = ["Cells", "Key", "Place", "PrivateCells"]

Place: TypeAlias = tuple[MutableSequence[float], int]
"""Numbers, and which of them is the first of a series."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A series, as its siblings need to know it.

    Attributes:
        name: The metric.
        kind: ``counter``, ``gauge`` or ``histogram``.
        help: What it says.
        labels: The labels as the page writes them, without braces.
        buckets: A histogram's upper bounds.
        decimals: Digits behind the point that are kept as a whole number.
        across: How a gauge adds up over workers: ``sum``, ``max`` or ``min``.
    """

    name: str
    kind: str
    help: str
    labels: str
    buckets: tuple[float, ...] = ()
    decimals: int = 0
    across: str = "sum"

    @property
    def size(self) -> int:
        """How many numbers it has: a histogram's counts and its sum, else one."""
        return len(self.buckets) + 2 if self.kind == "histogram" else 1


class Cells(Protocol):
    """Gives series room for their numbers."""

    def place(self, key: Key) -> Place:
        """Return room for a series' numbers, all 0 at first."""
        ...

    def close(self) -> None:
        """Let go of it; what was counted is left to the siblings."""
        ...


class PrivateCells:
    """Keeps numbers in the process."""

    def place(self, key: Key) -> Place:
        """Return a list of its own."""
        # Whole numbers where digits are kept: those of Python have no end.
        return ([0] if key.decimals else [0.0] * key.size), 0

    def close(self) -> None:
        """Nothing is held."""
