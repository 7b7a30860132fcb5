"""Texts and vectors on their way into a collection and to what is like them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentinfra.db.vectors.embedding import embed_query, embed_records, given_query
from agentinfra.db.vectors.records import as_rows
from agentinfra.db.vectors.schema import Collection, Wish, unnamed
from agentinfra.errors import DimensionMismatchError, EmbeddingModelMismatchError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike

    from agentinfra.db.vectors.access import CollectionAccess
    from agentinfra.db.vectors.embedding import Embedded
    from agentinfra.db.vectors.home import Home
    from agentinfra.db.vectors.query import Query
    from agentinfra.db.vectors.records import Checked
    from agentinfra.results import EmbeddingBatch, SearchHit

    Told = Callable[[str, int, int], None]

__all__ = ["Meaning"]


class Meaning:
    """Has texts embedded as a collection wants it, also when it comes to want it otherwise.

    Args:
        home: Where the collection is, and what embeds.
        access: The way to it.
        name: Its name.
        dimensions: The length the caller wants; None leaves it to the collection.
    """

    def __init__(
        self, home: Home, access: CollectionAccess, name: str, dimensions: int | None
    ) -> None:
        self._home = home
        self._access = access
        self._name = name
        self._dimensions = dimensions

    async def write_texts(self, checked: Checked, model: str | None, progress: Told | None) -> int:
        """Write; with other vectors where the collection has another model since they were made."""
        told = _telling(progress, "embedded", len(checked))
        for last in (False, True):
            there = await self._access.remembered()
            wish = Wish(model=model, dimensions=self._dimensions)
            wish = wish.or_else(None if there is None else there.wish)
            expected = None if there is None else there.dimensions
            made = await embed_records(
                self._home.embedder, checked, wish, expected=expected, told=told
            )
            try:
                return await self.write(checked, made, progress, asked=wish.dimensions)
            except (EmbeddingModelMismatchError, DimensionMismatchError):
                named = model is not None or there is None
                if last or named or not await self._access.has_changed(there):
                    raise
        return 0

    async def write(
        self,
        checked: Checked,
        made: Embedded,
        progress: Told | None = None,
        *,
        asked: int | None = None,
    ) -> int:
        """Write records with their vectors.

        Args:
            checked: The records.
            made: Their vectors.
            progress: Told how many were sent.
            asked: The dimensions the embedder was asked for.

        Raises:
            VectorError: They do not fit the collection.
        """
        wanted = Collection(
            site=self._access.site,
            name=self._name,
            dimensions=made.dimensions,
            model=made.model,
            # A fallback's name is nothing the embedder could be asked for.
            wish=Wish(
                model=None if made.degraded else made.model,
                dimensions=asked or self._dimensions,
            ),
        )
        if self._dimensions is not None:
            wanted.check_dimensions(self._dimensions, "this store")
        rows = as_rows(checked, made.vectors)
        told = _telling(progress, "written", len(rows))
        await self._access.write(rows, made, wanted, told)
        return len(rows)

    async def find(
        self, given: str | ArrayLike | EmbeddingBatch, query: Query
    ) -> list[SearchHit] | None:
        """Search; with another vector where the collection has another model since it was made."""
        for last in (False, True):
            there = await self._access.remembered() if isinstance(given, str) else None
            made = await self._direction(given, there)
            if made is None:
                return None
            try:
                return await self._access.find(query, made)
            except (EmbeddingModelMismatchError, DimensionMismatchError):
                if last or there is None or not await self._access.has_changed(there):
                    raise
        return None

    async def _direction(
        self, given: str | ArrayLike | EmbeddingBatch, there: Collection | None
    ) -> Embedded | None:
        """Return the vector to search with; None where a text has nothing to be compared with."""
        if not isinstance(given, str):
            return given_query(given)
        if there is None:
            return None
        if there.model is None:
            if not await self._access.count(None):
                return None
            raise unnamed(self._name)
        wish = Wish(dimensions=self._dimensions).or_else(there.wish)
        return await embed_query(self._home.embedder, given, wish, expected=there.dimensions)


def _telling(progress: Told | None, what: str, total: int) -> Callable[[int], None]:
    """Return what tells how many of so many are done."""

    def told(done: int) -> None:
        if progress is not None:
            progress(what, done, total)

    return told
