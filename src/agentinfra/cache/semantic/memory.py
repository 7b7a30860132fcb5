"""Questions and their vectors in this process's memory, compared one by one."""

from __future__ import annotations

from collections import OrderedDict
from itertools import count
from typing import TYPE_CHECKING

from agentinfra.cache.semantic.neighbours import Entry, Neighbour
from agentinfra.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["MemoryNeighbours"]

_FIRST_ROOM = 64
_FEWEST_TO_CENTRE = 64
_EVICTED_AT_ONCE = 20


class MemoryNeighbours:
    """Up to some 20,000 entries, each compared with what is asked: exact, and a few ms at most.

    Similarities are those of centred vectors. The vectors of a text model share a large common
    part, which says nothing about a question: the mean of what a partition holds is taken away,
    and estimated anew whenever the partition has doubled.

    Args:
        max_entries: Entries of all partitions together at most. Beyond it the oldest twentieth of
            the partition that was used longest ago goes.

    Raises:
        ConfigurationError: The bound makes no sense.
    """

    def __init__(self, max_entries: int = 20_000) -> None:
        if max_entries < 1:
            raise ConfigurationError(f"max_entries is {max_entries!r}: give 1 or more")
        self._max_entries = max_entries
        self._partitions: OrderedDict[str, _Partition] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    async def nearest(
        self, partition: str, vector: NDArray[np.float32], limit: int
    ) -> Sequence[Neighbour]:
        """Return the entries nearest to a vector of length 1, nearest first."""
        part = self._partitions.get(partition)
        if part is None:
            return ()
        self._partitions.move_to_end(partition)
        return part.nearest(vector, limit)

    async def add(self, partition: str, entry: Entry, vector: NDArray[np.float32]) -> None:
        """Keep an entry; an older one of the same question goes."""
        part = self._partitions.get(partition)
        if part is None or part.dimensions != vector.size:
            self._size -= len(part) if part is not None else 0
            part = self._partitions[partition] = _Partition(vector.size)
        self._partitions.move_to_end(partition)
        self._size += part.add(entry, vector)
        while self._size > self._max_entries:
            self._make_room()

    async def drop(self, partition: str, question: str) -> None:
        """Drop the entry of a question."""
        part = self._partitions.get(partition)
        if part is not None and part.drop(question):
            self._size -= 1

    async def clear(self) -> None:
        """Drop all entries of all partitions."""
        self._partitions.clear()
        self._size = 0

    def _make_room(self) -> None:
        name, part = next(iter(self._partitions.items()))
        self._size -= part.drop_oldest(-(-len(part) // _EVICTED_AT_ONCE))
        if not len(part):
            del self._partitions[name]


class _Partition:
    """Rows of vectors with room to grow; a dropped row is filled by the last one."""

    __slots__ = (
        "_born",
        "_centred_at",
        "_entries",
        "_mean",
        "_numbers",
        "_rows",
        "_scale",
        "_vectors",
        "dimensions",
    )

    def __init__(self, dimensions: int) -> None:
        import numpy as np

        self.dimensions = dimensions
        self._entries: list[Entry] = []
        self._rows: dict[str, int] = {}
        self._numbers = count()
        self._centred_at = 0
        self._vectors = np.empty((_FIRST_ROOM, dimensions), "f4")
        self._scale = np.ones(_FIRST_ROOM, "f4")
        self._born = np.zeros(_FIRST_ROOM, "i8")
        self._mean = np.zeros(dimensions, "f4")

    def __len__(self) -> int:
        return len(self._entries)

    def nearest(self, vector: NDArray[np.float32], limit: int) -> list[Neighbour]:
        import numpy as np

        size = len(self._entries)
        if not size or vector.size != self.dimensions:
            return []
        asked = vector - self._mean
        length = float(np.linalg.norm(asked))
        if not length:
            return []
        asked /= length
        alike = (self._vectors[:size] @ asked - self._mean @ asked) * self._scale[:size]
        best = np.argpartition(-alike, limit)[:limit] if size > limit else np.arange(size)
        best = best[np.argsort(-alike[best], kind="stable")]
        return [Neighbour(self._entries[row], float(alike[row])) for row in best]

    def add(self, entry: Entry, vector: NDArray[np.float32]) -> int:
        """Keep an entry; return how many more there are now."""
        import numpy as np

        row = self._rows.get(entry.question)
        new = row is None
        if row is None:
            row = self._rows[entry.question] = len(self._entries)
            self._entries.append(entry)
            if row == len(self._vectors):
                self._vectors = np.concatenate([self._vectors, np.empty_like(self._vectors)])
                self._scale = np.concatenate([self._scale, np.ones_like(self._scale)])
                self._born = np.concatenate([self._born, np.zeros_like(self._born)])
        self._entries[row] = entry
        self._vectors[row] = vector
        self._born[row] = next(self._numbers)
        self._scale[row] = self._scales(slice(row, row + 1))[0]
        if len(self._entries) >= max(_FEWEST_TO_CENTRE, 2 * self._centred_at):
            self._centre()
        return int(new)

    def drop(self, question: str) -> bool:
        row = self._rows.pop(question, None)
        if row is None:
            return False
        last = self._entries.pop()
        end = len(self._entries)
        if row != end:
            self._entries[row] = last
            self._rows[last.question] = row
            for rows in (self._vectors, self._scale, self._born):
                rows[row] = rows[end]
        return True

    def drop_oldest(self, number: int) -> int:
        import numpy as np

        oldest = np.argsort(self._born[: len(self._entries)])[:number]
        for question in [self._entries[row].question for row in oldest]:
            self.drop(question)
        return number

    def _centre(self) -> None:
        size = self._centred_at = len(self._entries)
        self._mean = self._vectors[:size].mean(axis=0)
        self._scale[:size] = self._scales(slice(0, size))

    def _scales(self, rows: slice) -> NDArray[np.float32]:
        """Return by what to multiply the products of rows, so that centred ones have length 1."""
        import numpy as np

        lengths = np.linalg.norm(self._vectors[rows] - self._mean, axis=1)
        # A vector that is the mean has no direction: it is similar to nothing.
        scales: NDArray[np.float32] = np.where(lengths > 1e-6, 1.0 / np.maximum(lengths, 1e-6), 0.0)
        return scales
