"""The runtime's embeddings, as LangChain's code asks for them.

Importing this module imports langchain-core.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_core.embeddings import Embeddings

from agentinfra.errors import CheckpointError

if TYPE_CHECKING:
    from agentinfra.protocols import Embedder

__all__ = ["RuntimeEmbeddings"]

_EMPTY = "(empty)"
"""Stands for texts without a word, which no model embeds."""


class RuntimeEmbeddings(Embeddings):
    """Embeds with the runtime's client: its cache, its limits, its prices.

    Args:
        embedder: The client.
        model: The model; None is the configured one.
        dimensions: The length of the vectors.
    """

    def __init__(self, embedder: Embedder, *, model: str | None, dimensions: int) -> None:
        self._embedder = embedder
        self._model = model
        self._dimensions = dimensions

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return one vector a text.

        Raises:
            CheckpointError: There is no model: vectors of a stand-in would never be found again.
            AgentInfraError: The model failed.
        """
        if not texts:
            return []
        batch = await self._embedder.get_embeddings(
            [text if text.strip() else _EMPTY for text in texts],
            model=self._model,
            dimensions=self._dimensions,
        )
        if batch.degraded is not None:
            raise CheckpointError(f"the store has no vectors to work with: {batch.degraded}")
        return [[float(number) for number in row] for row in batch.vectors]

    async def aembed_query(self, text: str) -> list[float]:
        """Return a text's vector; see `aembed_documents`."""
        return (await self.aembed_documents([text]))[0]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:  # noqa: ARG002
        """Refuse.

        Raises:
            CheckpointError: Always: the client belongs to its event loop.
        """
        raise CheckpointError("embeddings come from the event loop: use the asynchronous methods")

    def embed_query(self, text: str) -> list[float]:
        """Refuse; see `embed_documents`."""
        return self.embed_documents([text])[0]
