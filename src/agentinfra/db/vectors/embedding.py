"""Vectors and where they come from: given by the caller, or made from texts by the embedder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentinfra.db.vectors.records import one_vector, vectors_of
from agentinfra.errors import EmbeddingModelMismatchError, VectorError
from agentinfra.results import EmbeddingBatch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from agentinfra.db.vectors.records import Checked
    from agentinfra.db.vectors.schema import Wish
    from agentinfra.protocols import Embedder

__all__ = [
    "Embedded",
    "embed_query",
    "embed_records",
    "embed_texts",
    "given_query",
    "given_records",
]

_TEXTS_AT_ONCE = 512


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Embedded:
    """Vectors, and what made them.

    Attributes:
        made_from_texts: Whether the embedder made them; else the caller gave them.
        vectors: One row a text; for a query a single row.
        model: The model; None where nobody said.
        degraded: Why they are a fallback's, None when they are not.
    """

    vectors: NDArray[np.float32]
    model: str | None
    degraded: str | None = None
    made_from_texts: bool = False

    @property
    def dimensions(self) -> int:
        """Length of the vectors."""
        return int(self.vectors.shape[-1])


def given_records(
    embeddings: ArrayLike | EmbeddingBatch, model: str | None, ids: Sequence[str]
) -> Embedded:
    """Take the caller's own vectors, one a record.

    Raises:
        VectorError: They do not fit the records, or cannot be compared.
    """
    if isinstance(embeddings, EmbeddingBatch):
        vectors = vectors_of(embeddings.vectors, ids)
        return Embedded(
            vectors=vectors, model=model or embeddings.model, degraded=embeddings.degraded
        )
    return Embedded(vectors=vectors_of(embeddings, ids), model=model)


def given_query(embedding: ArrayLike | EmbeddingBatch) -> Embedded:
    """Take the caller's own vector to search with.

    Raises:
        VectorError: It is not one vector, or cannot be compared.
    """
    if not isinstance(embedding, EmbeddingBatch):
        return Embedded(vectors=one_vector(embedding)[None, :], model=None)
    if len(embedding) != 1:
        raise VectorError(f"the query has {len(embedding)} embeddings: search with one at a time")
    vectors = one_vector(embedding.vectors[0])[None, :]
    return Embedded(vectors=vectors, model=embedding.model, degraded=embedding.degraded)


async def embed_records(
    embedder: Embedder | None,
    records: Checked,
    wish: Wish,
    *,
    expected: int | None,
    told: Callable[[int], None] = lambda _: None,
) -> Embedded:
    """Embed the texts of records, some hundred at a time.

    Args:
        embedder: What does it.
        records: Whose texts.
        wish: What it is asked for.
        expected: The length the collection's vectors have, where that is known.
        told: Told how many texts have their vectors.

    Raises:
        VectorError: There is no embedder, or a record has no text.
        EmbeddingModelMismatchError: The embedder changed its model on the way.
    """
    import numpy as np

    for name, text in zip(records.ids, records.texts, strict=True):
        if not text.strip():
            raise VectorError(f"record {name!r} has no text to embed: give its embedding")
    parts: list[Embedded] = []
    for start in range(0, len(records), _TEXTS_AT_ONCE):
        end = start + _TEXTS_AT_ONCE
        batch = await _embed(embedder, records.texts[start:end], wish, expected)
        part = given_records(batch, None, records.ids[start:end])
        if parts and part.model != parts[0].model:
            raise EmbeddingModelMismatchError(
                f"the embedder made the first vectors with {parts[0].model!r} and later ones with "
                f"{part.model!r}, so nothing was written: try again"
            )
        parts.append(part)
        told(min(end, len(records)))
    vectors = np.concatenate([part.vectors for part in parts])
    return Embedded(
        vectors=vectors, model=parts[0].model, degraded=parts[0].degraded, made_from_texts=True
    )


async def embed_query(
    embedder: Embedder | None, text: str, wish: Wish, *, expected: int | None
) -> Embedded:
    """Embed the text of a query; the arguments are those of `embed_records`.

    Raises:
        VectorError: There is no embedder.
    """
    return given_query(await _embed(embedder, [text], wish, expected))


async def embed_texts(
    embedder: Embedder | None, texts: list[str], wish: Wish, *, expected: int | None
) -> Embedded:
    """Embed texts, a few at a time; the arguments are those of `embed_records`.

    Raises:
        VectorError: There is no embedder.
    """
    batch = await _embed(embedder, texts, wish, expected)
    return given_records(batch, None, texts)


async def _embed(
    embedder: Embedder | None, texts: list[str], wish: Wish, expected: int | None
) -> EmbeddingBatch:
    if embedder is None:
        raise VectorError(
            "there is no embedder to turn a text into a vector: give the embedding, or give "
            "Database(embedder=...) one"
        )
    batch = await embedder.get_embeddings(texts, model=wish.model, dimensions=wish.dimensions)
    length = batch.vectors.shape[-1]
    if batch.degraded or expected in {None, length} or wish.dimensions is not None:
        return batch
    # The embedder's default length is another one than when the collection was made.
    return await embedder.get_embeddings(texts, model=wish.model, dimensions=expected)
