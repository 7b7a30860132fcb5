"""Collections of vectors in PostgreSQL: written in one transaction, found by meaning and words."""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from agentinfra.db.vectors.access import CollectionAccess
from agentinfra.db.vectors.embedding import embed_query, embed_records, given_query, given_records
from agentinfra.db.vectors.filters import Arguments, condition
from agentinfra.db.vectors.index import Options
from agentinfra.db.vectors.records import Record, as_records, as_rows, check_text
from agentinfra.db.vectors.schema import MAX_DIMENSIONS, Collection, Wish
from agentinfra.db.vectors.search import MAX_EF_SEARCH, MAX_TOP_K, Query
from agentinfra.errors import AgentInfraError, VectorError
from agentinfra.observability import semconv
from agentinfra.observability.logging import get_logger
from agentinfra.observability.tracing import start_span

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import ArrayLike

    from agentinfra.db.vectors.home import Home
    from agentinfra.observability.tracing import Span
    from agentinfra.results import EmbeddingBatch, SearchHit

__all__ = ["Record", "VectorStore"]

_log = get_logger("agentinfra.vectors")


class VectorStore:
    """One collection of texts with their vectors and metadata.

    ``Database.vectors(name)`` gives it. It holds nothing that has to be closed, and tasks may
    share it; a call that is cancelled leaves the collection as it was. The collection is created
    with the first records and remembers their dimensions and model; what does not fit them is
    refused. SQL that ``query`` runs never sees it.

    Args:
        database: Where it lives.
        name: Up to 40 letters, digits, ``-`` and ``_``.
        dimensions: Length of the vectors, which the embedder is asked for, too. None takes what
            the collection has, and for a new one what the embedder gives.

    Raises:
        VectorError: The name or the dimensions cannot be used.
    """

    def __init__(self, database: Home, name: str, dimensions: int | None = None) -> None:
        if dimensions is not None and not 1 <= dimensions <= MAX_DIMENSIONS:
            raise VectorError(f"dimensions is {dimensions}: a vector has 1 to {MAX_DIMENSIONS}")
        self.name = name
        self.dimensions = dimensions
        self._database = database
        self._access = CollectionAccess(database, name)

    def __repr__(self) -> str:
        return f"VectorStore({self.name!r})"

    async def ensure(self) -> None:
        """Create the collection unless it exists.

        Raises:
            DimensionMismatchError: It exists with other dimensions.
            VectorError: It is new and was given no dimensions, or the database lacks pgvector.
        """
        collection = await self._access.known()
        if collection is None:
            if self.dimensions is None:
                raise VectorError(
                    f"collection {self.name!r} is new and has no dimensions yet: give them, as in "
                    f"vectors({self.name!r}, 1536), or upsert records"
                )
            wish = Wish(dimensions=self.dimensions)
            collection = await self._access.create(
                Collection(
                    site=self._access.site,
                    name=self.name,
                    dimensions=self.dimensions,
                    wish=wish,
                )
            )
        if self.dimensions is not None:
            collection.check_dimensions(self.dimensions, "this store")

    async def upsert(
        self,
        records: Sequence[Mapping[str, Any] | Record],
        *,
        embeddings: ArrayLike | EmbeddingBatch | None = None,
        model: str | None = None,
    ) -> int:
        """Write records, all or none; those whose id is there are replaced.

        Args:
            records: Mappings with ``id``, ``text`` and ``metadata``, or :class:`Record`. Of
                records with one id the last wins.
            embeddings: One vector a record; None has the database's embedder embed the texts.
            model: The model that made the embeddings, or that the embedder shall use.

        Returns:
            How many records were written, each id counted once.

        Raises:
            DimensionMismatchError: The collection's vectors have another length.
            EmbeddingModelMismatchError: Another model made the collection.
            VectorError: A record or vector cannot be stored; the message names it.
            DatabaseError: The database refused or is away.
        """
        checked = as_records(records)
        if not checked:
            return 0
        wish = Wish(model=None if embeddings is not None else model, dimensions=self.dimensions)
        with self._observed(semconv.SPAN_UPSERT, "VECTOR_UPSERT") as span:
            if embeddings is not None:
                made = given_records(embeddings, model, checked)
            else:
                wish = wish.or_else(await self._access.wish())
                made = await embed_records(self._database.embedder, checked, wish)
            wanted = Collection(
                site=self._access.site,
                name=self.name,
                dimensions=made.dimensions,
                model=made.model,
                wish=wish,
            )
            if self.dimensions is not None:
                wanted.check_dimensions(self.dimensions, "this store")
            rows = as_rows(checked, made.vectors)
            await self._access.write(rows, made, wanted)
            span.set(semconv.DB_ROWS, len(rows))
        return len(rows)

    async def search(
        self,
        query_or_embedding: str | ArrayLike | EmbeddingBatch,
        *,
        top_k: int = 5,
        filter: Mapping[str, Any] | None = None,  # noqa: A002
        min_score: float | None = None,
        hybrid: bool = False,
        ef_search: int | None = None,
    ) -> list[SearchHit]:
        """Return the records nearest to a text or a vector, best first.

        Without an index every record is compared. With one nearly all of the nearest are found;
        where a filter leaves few records, these are compared one by one. A collection that does
        not exist has no records.

        Args:
            query_or_embedding: A text, which the database's embedder embeds, or a vector.
            top_k: Hits at most, up to 1,000.
            filter: Metadata a hit must have: a value for each key, a list for any of several, or
                ``{"$gte": 2020}`` with ``$gt``, ``$gte``, ``$lt``, ``$lte``, ``$ne``, ``$in``.
            min_score: The least score of a hit; None lets all through.
            hybrid: True ranks by the text's words, too, and fuses both ranks; scores are then
                sums of ``1 / (60 + rank)``, at most 0.033.
            ef_search: Candidates an index search keeps, up to 1,000; None is 100, with a filter
                200. More find more and take longer.

        Raises:
            DimensionMismatchError: The collection's vectors have another length.
            EmbeddingModelMismatchError: Another model made the collection.
            VectorError: An argument cannot be used; the message names it.
            DatabaseError: The database refused or is away.
        """
        text = query_or_embedding if isinstance(query_or_embedding, str) else None
        _check_text(text, hybrid=hybrid)
        _check_numbers(top_k, min_score, ef_search)
        condition(filter, Arguments())
        with self._observed(semconv.SPAN_SEARCH, "VECTOR_SEARCH") as span:
            if text is None:
                made = given_query(query_or_embedding)
            else:
                wish = await self._access.wish()
                if wish is None:
                    return self._nothing()
                wish = Wish(dimensions=self.dimensions).or_else(wish)
                made = await embed_query(self._database.embedder, text, wish)
            query = Query(
                vector=made.vectors[0],
                text=text if hybrid else None,
                top_k=top_k,
                filter=filter,
                min_score=min_score,
                ef_search=ef_search,
            )
            hits = await self._access.find(query, made)
            span.set(semconv.DB_ROWS, len(hits or ()))
        return self._nothing() if hits is None else hits

    async def delete(
        self,
        ids: Sequence[str] | None = None,
        *,
        filter: Mapping[str, Any] | None = None,  # noqa: A002
    ) -> int:
        """Delete records and return how many there were.

        Args:
            ids: Which; None deletes all that match the filter.
            filter: As for :meth:`search`; with ids, both have to match.

        Raises:
            VectorError: Neither is given: :meth:`drop` removes all.
        """
        if isinstance(ids, str):
            raise VectorError(f"ids is the text {ids!r}: give a list of ids")
        if ids is None and not filter:
            raise VectorError("delete was given neither ids nor a filter: drop() removes all")
        return await self._access.delete(ids, filter)

    async def count(self, filter: Mapping[str, Any] | None = None) -> int:  # noqa: A002
        """Return how many records there are, or match a filter; see :meth:`search`."""
        return await self._access.count(filter)

    async def create_index(
        self, kind: Literal["hnsw"] = "hnsw", *, m: int = 16, ef_construction: int = 64
    ) -> bool:
        """Build the index that searches of many records need, while they are used.

        An index of these options is left as it is; one of others is replaced. 100,000 records
        take about half a minute. A build that is interrupted is begun anew the next time.

        Args:
            kind: ``hnsw``.
            m: Links a record, 2 to 100; more find more, and take more room and time.
            ef_construction: Candidates looked at for each record, 2 * m to 1,000.

        Returns:
            Whether it was built now.

        Raises:
            VectorError: An option cannot be used, or there is nothing to index.
        """
        return await self._access.index(Options(kind=kind, m=m, ef_construction=ef_construction))

    async def drop(self) -> None:
        """Remove the collection with all its records; nothing happens when there is none."""
        await self._access.drop()

    def _nothing(self) -> list[SearchHit]:
        _log.info("vectors.collection_missing", collection=self.name)
        return []

    @contextmanager
    def _observed(self, name: str, operation: str) -> Iterator[Span]:
        attributes = {
            semconv.DB_SYSTEM: "postgresql",
            semconv.DB_OPERATION: operation,
            semconv.DB_COLLECTION: self.name,
        }
        began = time.perf_counter()
        outcome = "ok"
        try:
            with start_span(name, attributes, kind="client") as span:
                yield span
        except BaseException as error:
            ours = isinstance(error, AgentInfraError | asyncio.CancelledError)
            outcome = type(error).__name__ if ours else "error"
            raise
        finally:
            metrics = self._database.metrics
            seconds = metrics.histogram(semconv.DB_QUERIES, operation, outcome)
            seconds.observe(time.perf_counter() - began)


def _check_text(text: str | None, *, hybrid: bool) -> None:
    """Refuse a query without words.

    Raises:
        VectorError: The message shows it.
    """
    if text is None:
        if hybrid:
            raise VectorError("a hybrid search needs the query as text, and got an embedding")
        return
    check_text(text, "the query")
    if not text.strip():
        raise VectorError(f"the query is {text!r}: give it words")


def _check_numbers(top_k: int, min_score: float | None, ef_search: int | None) -> None:
    """Refuse numbers out of range.

    Raises:
        VectorError: The message names the argument and its value.
    """
    if not 1 <= top_k <= MAX_TOP_K:
        raise VectorError(f"top_k is {top_k}: it has to be 1 to {MAX_TOP_K}")
    if ef_search is not None and not 1 <= ef_search <= MAX_EF_SEARCH:
        raise VectorError(f"ef_search is {ef_search}: it has to be 1 to {MAX_EF_SEARCH}")
    if min_score is not None and not math.isfinite(min_score):
        raise VectorError(f"min_score is {min_score}: give it a number, or None")
