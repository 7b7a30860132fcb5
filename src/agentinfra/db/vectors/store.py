"""Collections of vectors in PostgreSQL: written in one transaction, found by meaning and words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

from agentinfra.db.operations import observed
from agentinfra.db.vectors.access import CollectionAccess
from agentinfra.db.vectors.embedding import given_records
from agentinfra.db.vectors.index import Options
from agentinfra.db.vectors.meaning import Meaning
from agentinfra.db.vectors.query import Query, check_words
from agentinfra.db.vectors.records import MAX_DIMENSIONS, Record, check
from agentinfra.db.vectors.schema import Collection, Wish
from agentinfra.db.vectors.values import check_text, shown
from agentinfra.errors import VectorError
from agentinfra.observability import semconv
from agentinfra.observability.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from numpy.typing import ArrayLike

    from agentinfra.db.documents import Chunking, Ingested, Progress
    from agentinfra.db.documents.sources import Sources
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
        given: Any = dimensions
        whole = isinstance(given, int) and not isinstance(given, bool)
        if given is not None and not (whole and 1 <= given <= MAX_DIMENSIONS):
            raise VectorError(f"dimensions is {shown(given)}: a vector has 1 to {MAX_DIMENSIONS}")
        self.name = name
        self.dimensions = dimensions
        self._database = database
        self._access = CollectionAccess(database, name)
        self._meaning = Meaning(database, self._access, name, dimensions)

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
        progress: Callable[[str, int, int], None] | None = None,
    ) -> int:
        """Write records, all or none; those whose id is there are replaced.

        Args:
            records: Mappings with ``id``, ``text`` and ``metadata``, or `Record`. Of
                records with one id the last wins.
            embeddings: One vector a record; None has the database's embedder embed the texts.
            model: The model that made the embeddings, or that the embedder shall use. A collection
                of a named model takes only embeddings whose model is named, here or by a batch.
            progress: Told what was done (``embedded``, ``written``), with how many records, and of
                how many; what is written is there when the call ends.

        Returns:
            How many records were written, each id counted once.

        Raises:
            DimensionMismatchError: The collection's vectors have another length.
            EmbeddingModelMismatchError: Another model made the collection.
            VectorError: A record or vector cannot be stored; the message names it.
            DatabaseError: The database refused or is away.
        """
        checked = check(records)
        if not checked:
            return 0
        if model is not None:
            check_text(model, "model")
        with self._observed("VECTOR_UPSERT") as span:
            if embeddings is not None:
                made = given_records(embeddings, model, checked.ids)
                written = await self._meaning.write(checked, made, progress)
            else:
                written = await self._meaning.write_texts(checked, model, progress)
            span.set(semconv.DB_ROWS, written)
        return written

    async def search(
        self,
        query_or_embedding: str | ArrayLike | EmbeddingBatch,
        *,
        top_k: int = 5,
        filter: Mapping[str, Any] | None = None,  # noqa: A002
        min_score: float | None = None,
        hybrid: bool = False,
        ef_search: int | None = None,
        diversity: float | None = None,
    ) -> list[SearchHit]:
        """Return the records nearest to a text or a vector, best first.

        Without an index every record is compared. With one nearly all of the nearest are found;
        where a filter leaves few records, or hardly any of those around the query, all that match
        are compared. A collection that does not exist has no records.

        Args:
            query_or_embedding: A text, which the database's embedder embeds, or a vector.
            top_k: Hits at most, up to 1,000.
            filter: Metadata a hit must have: a value for each key, a list for any of several, or
                operators as in ``{"$gte": 2020}``: ``$eq``, ``$ne``, ``$gt``, ``$gte``, ``$lt``,
                ``$lte``, ``$in``, ``$nin``, ``$exists``, ``$contains``, ``$like``, ``$not``;
                ``$and``, ``$or`` and ``$not`` join filters. A dot goes into an object.
            min_score: The least score of a hit; None lets all through.
            hybrid: True ranks by the text's words, too, and fuses both ranks; scores are then
                sums of ``1 / (60 + rank)``, at most 0.033.
            ef_search: Candidates an index search keeps, up to 1,000; None is 100, with a filter
                200 or what it needs. More find more and take longer.
            diversity: How much the hits shall differ from one another, from 0 to 1: they are chosen
                one by one among four times ``top_k`` by maximal marginal relevance, and come in
                that order. None takes the nearest as they are.

        Raises:
            DimensionMismatchError: The collection's vectors have another length.
            EmbeddingModelMismatchError: Another model made the collection.
            VectorError: An argument cannot be used; the message names it.
            DatabaseError: The database refused or is away.
        """
        text = query_or_embedding if isinstance(query_or_embedding, str) else None
        if text is not None:
            check_words(text)
        elif hybrid:
            raise VectorError("a hybrid search needs the query as text, and got an embedding")
        query = Query(
            text=text if hybrid else None,
            top_k=top_k,
            filter=filter,
            min_score=min_score,
            ef_search=ef_search,
            diversity=diversity,
        )
        sought = {
            semconv.OPERATION: semconv.RETRIEVAL,
            semconv.DATA_SOURCE: self.name,
            semconv.REQUEST_TOP_K: float(top_k),  # a number with a fraction by the conventions
        }
        name = f"{semconv.RETRIEVAL} {self.name}"
        with self._observed("VECTOR_SEARCH", sought, name=name) as span:
            hits = await self._meaning.find(query_or_embedding, query)
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
            filter: As for `search`; with ids, both have to match.

        Raises:
            VectorError: Neither is given: `drop` removes all.
        """
        given: Any = ids
        if given is not None and (isinstance(given, str) or not isinstance(given, Iterable)):
            raise VectorError(f"ids is {shown(given)}: give a list of ids")
        if ids is None and not filter:
            raise VectorError("delete was given neither ids nor a filter: drop() removes all")
        checked = None if ids is None else [check_text(name, "one of ids") for name in ids]
        return await self._access.delete(checked, filter)

    async def count(self, filter: Mapping[str, Any] | None = None) -> int:  # noqa: A002
        """Return how many records there are, or match a filter; see `search`."""
        return await self._access.count(filter)

    async def count_by(
        self,
        *keys: str,
        filter: Mapping[str, Any] | None = None,  # noqa: A002
    ) -> dict[tuple[Any, ...], int]:
        """Return how many records there are of each combination of values of metadata keys.

        Args:
            keys: The keys; a record that lacks one counts as None.
            filter: Which records; see `search`.

        Raises:
            VectorError: No key is given, or one cannot be used.
        """
        if not keys:
            raise VectorError("count_by was given no keys: count() counts all records")
        return await self._access.count_by([check_text(key, "a key") for key in keys], filter)

    async def ingest(
        self,
        sources: Sources,
        *,
        origin: str | None = None,
        chunking: Chunking | None = None,
        complete: bool | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> Ingested:
        """Bring the collection up to date with documents: Markdown, HTML, PDF, and texts.

        They are cut at their headings, embedded and written some at a time. What has not changed
        is left alone, what cannot be read is named and passed over. A call that ends in the middle
        has kept what it wrote, and the next one goes on from there.

        Args:
            sources: A folder, a file, a record (``id``, ``text``, ``metadata``, and ``kind`` where
                the id's ending does not tell it), or a list, an iterable or an asynchronous
                iterable of those.
            origin: Names these documents among all of the collection; None is the folder's name,
                ``documents`` where no folder is given.
            chunking: How they are cut; None is 400 tokens, 40 of them repeated.
            complete: Whether documents of this origin that are not among these are removed; None
                does so where a folder is given.
            progress: Told of how far it is, on the event loop.

        Raises:
            VectorError: A source is nothing that could be read, or a file is not there.
            DatabaseError: The database refused or is away.
            LLMError: The embedder refused or is away.
        """
        from agentinfra.db.documents.ingesting import Ingesting

        ingesting = Ingesting(
            self,
            sources,
            origin=origin,
            chunking=chunking,
            complete=complete,
            progress=progress,
        )
        with self._observed("INGEST") as span:
            ingested = await ingesting.run()
            span.set(semconv.DB_ROWS, ingested.chunks)
        for outcome, count in ingested.outcomes.items():
            self._database.metrics.counter(semconv.DOCUMENTS, outcome).inc(count)
        _log.info("documents.ingested", collection=self.name, **ingested.outcomes)
        return ingested

    async def create_index(
        self, kind: Literal["hnsw"] = "hnsw", *, m: int = 16, ef_construction: int = 64
    ) -> bool:
        """Build the indexes that searches of many records need, while they are used.

        They are of vectors, of words and of metadata. An index of vectors of these options is
        left as it is; one of others is replaced. 100,000 records take about half a minute. A build
        that is interrupted is begun anew the next time. It opens two connections beside the pool's.

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

    async def reembed(
        self,
        model: str,
        *,
        dimensions: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> bool:
        """Give the collection another model, while searches and writes go on with the old one.

        All texts are embedded anew, indexes are built, and then the new vectors take the place of
        the old ones at once. One process does it at a time; what it had embedded when it ended is
        not embedded again by the next. It opens three connections beside the pool's, and takes as
        much room as the collection has.

        Args:
            model: The model the embedder is asked for.
            dimensions: The length it is asked for; None is the model's own.
            progress: Told how many records have their new vectors, and how many there are.

        Returns:
            True when the collection is of this model, False when another process is at it.

        Raises:
            EmbeddingModelMismatchError: The model is away, or another one answers.
            VectorError: There is no such collection, or it holds a record without a text.
            DatabaseError: The database refused or is away.
        """
        check_text(model, "model")
        if self.dimensions is not None and dimensions not in {None, self.dimensions}:
            raise VectorError(
                f"dimensions is {dimensions}, and this store's are {self.dimensions}: use "
                f"vectors({self.name!r})"
            )
        wish = Wish(model=model, dimensions=dimensions or self.dimensions)
        with self._observed("REEMBED"):
            return await self._access.reembed(wish, progress)

    async def drop(self) -> None:
        """Remove the collection with all its records; nothing happens when there is none."""
        await self._access.drop()

    def _nothing(self) -> list[SearchHit]:
        _log.info("vectors.collection_missing", collection=self.name)
        return []

    def _observed(
        self, operation: str, more: Mapping[str, Any] | None = None, *, name: str = ""
    ) -> AbstractContextManager[Span]:
        attributes = {semconv.DB_COLLECTION: self.name, **(more or {})}
        return observed(operation, attributes, self._database.metrics, name=name)
