"""What one adapter needs of another, said without naming it.

Adapters never import one another; the runtime hands each what these describe.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from agentinfra.results import EmbeddingBatch

__all__ = ["Address", "Embedder", "VectorCache"]

Address: TypeAlias = Callable[[], Awaitable[str]]
"""Says where a database is, when that is needed; raises a DatabaseError that says why nowhere."""


class Embedder(Protocol):
    """Turns texts into vectors; the vector store searches with it."""

    async def get_embeddings(
        self, texts: Sequence[str], *, model: str | None = None, dimensions: int | None = None
    ) -> EmbeddingBatch:
        """Return one normalised vector per text, in order."""
        ...


class VectorCache(Protocol):
    """Remembers vectors; the LLM client asks it before it sends texts."""

    async def get(
        self, text: str, model: str, dimensions: int | None = None
    ) -> NDArray[np.float32] | None:
        """Return the vector of a text, None when unknown."""
        ...

    async def set(self, text: str, model: str, vector: Any, dimensions: int | None = None) -> None:
        """Remember the vector of a text."""
        ...
