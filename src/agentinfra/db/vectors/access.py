# ruff: noqa: S608 - names are checked and quoted, values are bound
"""One collection's way to the database, and what to do when its table is not there."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from agentinfra.db.scope import quoted
from agentinfra.db.vectors import index as indexing
from agentinfra.db.vectors import schema, search
from agentinfra.db.vectors.choosing import look
from agentinfra.db.vectors.filters import Arguments, condition
from agentinfra.db.vectors.reembedding import Reembedding
from agentinfra.db.vectors.schema import Collection, Site, Wish
from agentinfra.db.vectors.values import scalar
from agentinfra.db.vectors.writing import write
from agentinfra.errors import QueryError, VectorError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from agentinfra.db.vectors.embedding import Embedded
    from agentinfra.db.vectors.home import Home
    from agentinfra.db.vectors.query import Query
    from agentinfra.db.vectors.records import Rows
    from agentinfra.results import SearchHit

__all__ = ["CollectionAccess"]

_UNDEFINED_TABLE = "42P01"
_OF_ANOTHER_LENGTH = "22000"

_WORDS_A_SEARCH = 4
"""Times 5,000 records whose words a hybrid search keeps, at some 0.2 ms each: cutting the words out
of a text takes as long, and without them every search has to."""

_GROWTH = 64 * 1024
"""Bytes a table grows by when 1,000 records, from which on loads leave out the words, are added."""

_SIZE = "SELECT pg_catalog.pg_relation_size($1::text::regclass)"


class CollectionAccess:
    """Reads and writes one collection, which may not exist, or not any more.

    Args:
        database: Where it lives.
        name: Its name.
    """

    def __init__(self, database: Home, name: str) -> None:
        schema.check_name(name)
        self._database = database
        self._name = name
        self._last: Collection | None = None  # once it was looked up
        self._worded: int | None = None  # the table's bytes when all records had their words

    @property
    def site(self) -> Site:
        """Where collections are."""
        server = self._database.server
        return Site(schema=server.schema, pgvector=quoted(server.vector_schema))

    async def known(self) -> Collection | None:
        """Return what is known of the collection, None when it does not exist."""
        collection = None
        with _missing_is_empty():
            async with self._database.connection(readonly=False, reset=False) as connection:
                collection = await schema.load(connection, self.site, self._name)
        self._last = collection
        return collection

    async def remembered(self) -> Collection | None:
        """Return what was known of the collection last, which may be outdated.

        It is looked up where nothing is known of it, and where nobody had named its model yet.
        """
        if self._last is None or self._last.model is None:
            await self.known()
        return self._last

    async def create(self, wanted: Collection) -> Collection:
        """Create the collection unless it exists, and return what is there.

        Raises:
            VectorError: The database lacks pgvector.
        """
        if not self._database.server.vector:
            raise VectorError(
                "the database has no pgvector: install it there and run CREATE EXTENSION vector"
            )
        await self._database.migrate()
        async with self._database.transaction(reset=False) as connection:
            collection = await schema.create(connection, wanted)
        self._last = collection
        return collection

    async def write(
        self, rows: Rows, made: Embedded, wanted: Collection, told: Callable[[int], None]
    ) -> None:
        """Write rows in one transaction; create the collection first where it is not there.

        Args:
            rows: What to write.
            made: What made the vectors.
            wanted: The collection to create.
            told: Told how many were sent.

        Raises:
            VectorError: The rows do not fit the collection.
        """
        layout = self._database.server.layout
        if layout.steps and not layout.newest:  # its tables would refuse today's rows
            await self._database.migrate()
        if await self._written(rows, made, told):
            return
        # In a transaction of its own, for creating keeps other processes from creating.
        await self.create(wanted)
        if not await self._written(rows, made, told):
            await self._written(rows, made, told, wanted)  # somebody dropped it meanwhile

    async def find(self, query: Query, made: Embedded) -> list[SearchHit] | None:
        """Search; None when the collection does not exist.

        What was known of the collection is taken to hold. Where the rows or the server say that
        somebody made it anew meanwhile, it is looked up and searched once more.

        Raises:
            VectorError: The embedding does not fit the collection.
        """
        for anew in (False, True):
            collection = self._last
            if anew or collection is None:
                collection = await self.known()
            if collection is None:
                return None
            try:
                self._fits(collection, made)
                rows = await self._rows(collection, query, made)
            except VectorError:
                if anew:
                    raise
                continue
            except QueryError as error:
                if anew or error.sqlstate != _OF_ANOTHER_LENGTH:
                    raise
                continue
            if rows is not None and all(row["model"] == collection.model for row in rows):
                return search.hits_of(rows, query)
        self._last = None
        return None

    async def delete(self, ids: Sequence[str] | None, matching: Mapping[str, Any] | None) -> int:
        """Delete by ids, by filter, or by both, and return how many there were."""
        arguments = Arguments()
        parts = [condition(matching, arguments)] if matching else []
        if ids is not None:
            parts.append(f"id = ANY ({arguments.bind(list(ids))}::text[])")
        statement = f"DELETE FROM {self.site.table(self._name)} WHERE {' AND '.join(parts)}"
        status = ""
        with _missing_is_empty():
            async with self._database.transaction(reset=False) as connection:
                status = await connection.execute(statement, *arguments)
        return int(status.rpartition(" ")[2] or 0)

    async def count(self, matching: Mapping[str, Any] | None) -> int:
        """Return how many records match."""
        arguments = Arguments()
        where = condition(matching, arguments) or "true"
        found = 0
        with _missing_is_empty():
            async with self._database.connection(readonly=False, reset=False) as connection:
                statement = f"SELECT count(*) FROM {self.site.table(self._name)} WHERE {where}"
                found = int(await connection.fetchval(statement, *arguments))
        return found

    async def count_by(
        self, keys: Sequence[str], matching: Mapping[str, Any] | None
    ) -> dict[tuple[Any, ...], int]:
        """Return how many records match, by the values of keys of their metadata."""
        arguments = Arguments()
        values = [
            f"(metadata -> {arguments.text(key)})::text AS k{n}" for n, key in enumerate(keys)
        ]
        where = condition(matching, arguments) or "true"
        rows: Sequence[Any] = ()
        with _missing_is_empty():
            async with self._database.connection(readonly=False, reset=False) as connection:
                rows = await connection.fetch(
                    f"SELECT {', '.join((*values, 'count(*)'))} FROM {self.site.table(self._name)} "
                    f"WHERE {where} GROUP BY {', '.join(f'k{n}' for n in range(len(keys)))}",
                    *arguments,
                )
        return {tuple(map(scalar, list(row.values())[:-1])): row[-1] for row in rows}

    async def index(self, options: indexing.Options) -> bool:
        """Build the index unless it is there; return whether it was built.

        Raises:
            VectorError: There is nothing to index.
        """
        collection = await self.known()
        if collection is None:
            raise VectorError(f"collection {self._name!r} does not exist yet: upsert records first")
        return await indexing.build(self._database, collection, options)

    async def has_changed(self, before: Collection | None) -> bool:
        """Return whether the collection is of another model or length than it was."""
        now = await self.known()
        if now is None or before is None:
            return False
        return (now.model, now.dimensions) != (before.model, before.dimensions)

    async def reembed(self, wish: Wish, progress: Callable[[int, int], None] | None) -> bool:
        """Give the collection another model; return False where another process is at it."""
        done = await Reembedding(self._database, self.site, self._name, wish, progress).run()
        self._last = None
        return done

    async def drop(self) -> None:
        """Remove the collection, if there is one."""
        with _missing_is_empty():
            async with self._database.transaction(reset=False) as connection:
                await schema.drop(connection, self.site, self._name)
                await schema.drop(connection, self.site, f"~{self._name}")  # of a reembed cut off
        self._last = None

    async def _written(
        self,
        rows: Rows,
        made: Embedded,
        told: Callable[[int], None],
        wanted: Collection | None = None,
    ) -> bool:
        """Write; return False, having written nothing, where there is nothing to write to.

        Args:
            rows: What to write.
            made: What made the vectors.
            told: Told how many were sent.
            wanted: The collection to create in the same transaction; None creates none.
        """
        adopted = None if made.degraded else made.model
        done = False
        with _missing_is_empty():
            async with self._database.transaction(reset=False) as connection:
                if wanted is not None:
                    await schema.create(connection, wanted)
                collection = await schema.hold(
                    connection,
                    self.site,
                    self._name,
                    adopted,
                    made_from_texts=made.made_from_texts,
                )
                if collection is not None:
                    self._fits(collection, made)
                    if made.model is None and collection.model is not None:
                        raise VectorError(
                            f"collection {self._name!r} was made with {collection.model!r} and "
                            "nobody said what made these embeddings: name it, as in "
                            "upsert(records, embeddings=..., model=...)"
                        )
                    await write(connection, collection, rows, told)
                    self._worded = None
                    done = True
        return done

    async def _keep_words(self, collection: Collection) -> None:
        """Keep words that loads have left out, some of them: the next searches keep the rest."""
        with suppress(QueryError):  # on a standby nothing can be kept, nor on a table that is gone
            async with self._database.connection(readonly=False, reset=False) as connection:
                # The size first: what is loaded between the two is seen by the size then.
                size = await connection.fetchval(_SIZE, collection.table)
                for _ in range(_WORDS_A_SEARCH):
                    if await indexing.keep_words(connection, collection):
                        self._worded = size
                        return

    def _look_for_loads(self, rows: Sequence[Any]) -> None:
        """Look for words anew where the table has grown: another process may have loaded many.

        Rows of a load that had not ended were part of its size already: those tell by themselves.
        """
        grown = self._worded is not None and rows[0]["size"] > self._worded + _GROWTH
        if grown or any(row["wordless"] for row in rows):
            self._worded = None

    async def _rows(self, collection: Collection, query: Query, made: Embedded) -> list[Any] | None:
        """Return the rows of a search, None where the table is gone."""
        if query.text is not None and self._worded is None:
            await self._keep_words(collection)
        rows = None
        with _missing_is_empty():
            # As who writes: SQL of others, and the role it reads as, never see these tables.
            async with self._database.passing() as connection:
                rows = await look(
                    connection, self._database.server, collection, query, made.vectors[0]
                )
        if query.text is not None and rows:
            self._look_for_loads(rows)
        return rows

    def _fits(self, collection: Collection, made: Embedded) -> None:
        try:
            collection.check_model(made.model, made.degraded)
            collection.check_dimensions(made.dimensions, "this embedding")
        except VectorError:
            self._last = None  # somebody may have made it anew
            raise


@contextmanager
def _missing_is_empty() -> Iterator[None]:
    """Leave the block quietly when the server says that there is no such table."""
    try:
        yield
    except QueryError as error:
        if error.sqlstate != _UNDEFINED_TABLE:
            raise
