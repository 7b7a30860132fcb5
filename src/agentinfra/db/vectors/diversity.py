"""Hits that differ: maximal marginal relevance.

Carbonell and Goldstein, "The Use of MMR, Diversity-Based Reranking for Reordering Documents and
Producing Summaries", SIGIR 1998.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["as_array", "diverse"]


def diverse(
    scores: Sequence[float], vectors: Sequence[NDArray[np.float32]], count: int, diversity: float
) -> list[int]:
    """Return the places of those that are near and unlike one another, in the order of choice.

    Args:
        scores: How near each is, in any unit; the largest counts as 1.
        vectors: Their vectors.
        count: How many to choose.
        diversity: 0 looks at the scores alone, 1 at the likeness to what was chosen before alone.
    """
    import numpy as np

    if not scores:
        return []
    held = np.asarray(vectors, np.float32)
    held /= np.linalg.norm(held, axis=1, keepdims=True)
    near = np.asarray(scores) / max(max(scores), np.finfo(np.float32).tiny)
    place = int(np.argmax(near))
    chosen = [place]
    likest = np.full(len(near), -np.inf)
    while len(chosen) < min(count, len(near)):
        likest = np.maximum(likest, held @ held[place])
        worth = (1 - diversity) * near - diversity * likest
        worth[chosen] = -np.inf
        place = int(np.argmax(worth))
        chosen.append(place)
    return chosen


def as_array(vector: Any) -> NDArray[np.float32]:
    """Return a vector as the driver gives it: its own type, or an array."""
    import numpy as np

    found: NDArray[np.float32] = np.asarray(
        vector.to_numpy() if hasattr(vector, "to_numpy") else vector, np.float32
    )
    return found
