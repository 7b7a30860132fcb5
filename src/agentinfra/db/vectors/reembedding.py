# ruff: noqa: S608 - names are checked and quoted, values are bound
"""Giving a collection another model while it is read and written.

The new vectors are collected in a table beside it, which is registered under a name no caller can
give. When it has them all, and an index where the old one has one, it takes the collection's place
in one transaction: whoever searches meets the old or the new, never both. What was embedded by a
process that ended is there for the next one.
"""

from __future__ import annotations

import re
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from agentinfra.db.vectors import index as indexing
from agentinfra.db.vectors import schema
from agentinfra.db.vectors.embedding import embed_texts
from agentinfra.db.vectors.schema import Collection, Site, Wish
from agentinfra.db.vectors.turns import turn
from agentinfra.errors import EmbeddingModelMismatchError, QueryError, VectorError
from agentinfra.observability.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from agentinfra.db.vectors.home import Home

__all__ = ["Reembedding"]

_log = get_logger("agentinfra.vectors")

_LOCK = 6_418_237_905_115_000_000
_TOGETHER = 256
"""Records embedded at a time; what a process that ends in the middle has embedded in vain."""

_ROUNDS = 5
"""Times to embed what was written meanwhile before writers are kept waiting for the last of it."""

_DEADLOCK = "40P01"

_INDEX = re.compile(r"hnsw_(\d+)_(\d+)")

_INDEXES = """
SELECT c.relname::text AS name, i.indisvalid AS valid
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = $1::text::regclass
"""


class Reembedding:
    """One call.

    Args:
        home: Where the collection is.
        site: Where collections are.
        name: Which.
        wish: The model that shall make it, and the dimensions it is asked for.
        progress: Told how many records have their new vectors, and how many there are.
    """

    def __init__(
        self,
        home: Home,
        site: Site,
        name: str,
        wish: Wish,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self._home = home
        self._site = site
        self._name = name
        self._wish = wish
        self._progress = progress

    async def run(self) -> bool:
        """Embed what has no new vector yet, and take the old one's place.

        Returns:
            False where another process is at it.

        Raises:
            VectorError: There is no such collection, or it holds what cannot be embedded.
        """
        async with turn(self._home, _LOCK, self._name, wait=False) as held:
            if not held:
                return False
            old = await self._load(self._name)
            if old is None:
                raise VectorError(f"collection {self._name!r} does not exist")
            beside = await self._load(f"~{self._name}")
            if self._is_as_wished(old):
                await self._drop(beside)
                return True
            if beside is not None and beside.wish != self._wish:
                await self._drop(beside)
                beside = None
            await self._replace(old, beside or await self._begin(old))
        return True

    def _is_as_wished(self, collection: Collection) -> bool:
        same = self._wish.model in {collection.model, collection.wish.model}
        return same and self._wish.dimensions in {None, collection.dimensions}

    async def _load(self, name: str) -> Collection | None:
        async with self._lend() as connection:
            return await schema.load(connection, self._site, name)

    async def _drop(self, beside: Collection | None) -> None:
        if beside is not None:
            async with self._home.transaction(reset=False) as connection:
                await schema.drop(connection, self._site, beside.name)

    async def _begin(self, old: Collection) -> Collection:
        """Make the table beside, as long as the model's vectors are."""
        async with self._lend() as connection:
            row = await connection.fetchrow(f"SELECT text FROM {old.table} LIMIT 1")
            empty = await connection.fetchrow(
                f"SELECT id FROM {old.table} WHERE text !~ '\\S' LIMIT 1"
            )
        if row is None:
            raise VectorError(
                f"collection {old.name!r} is empty: drop() it, and upsert with the other model"
            )
        if empty is not None:
            raise VectorError(f"record {empty['id']!r} has no text to embed: delete it first")
        made = await embed_texts(self._home.embedder, [row["text"]], self._wish, expected=None)
        if made.degraded:
            raise EmbeddingModelMismatchError(
                f"the embedder gives {made.model!r} in place of {self._wish.model!r} "
                f"({made.degraded}): collection {old.name!r} stays as it is"
            )
        async with self._home.transaction(reset=False) as connection:
            return await schema.create(
                connection,
                Collection(
                    site=self._site,
                    name=f"~{old.name}",
                    dimensions=made.dimensions,
                    model=made.model,
                    wish=self._wish,
                ),
            )

    async def _replace(self, old: Collection, new: Collection) -> None:
        indexed = False
        for number in range(_ROUNDS + 1):
            await self._embed(self._lend, old, new)
            if not indexed:
                await self._index(old, new)
                indexed = True
            try:
                if await self._switch(old, new, last=number == _ROUNDS):
                    _log.info("vectors.reembedded", collection=old.name, model=new.model)
                    return
            except QueryError as error:
                if error.sqlstate != _DEADLOCK or number == _ROUNDS:
                    raise

    def _lend(self) -> AbstractAsyncContextManager[Any]:
        return self._home.connection(readonly=False, reset=False)

    async def _embed(
        self,
        lend: Callable[[], AbstractAsyncContextManager[Any]],
        old: Collection,
        new: Collection,
    ) -> None:
        """Embed each record that has no vector for what it says now.

        No connection is held while the embedder works: it takes long, and may need the database.
        """
        missing = _missing(old, new)
        some = (
            f"SELECT id, o.text, o.updated_at {missing} AND id > $1 ORDER BY id LIMIT {_TOGETHER}"
        )
        async with lend() as connection:
            total = await connection.fetchval(f"SELECT count(*) FROM {old.table}")
            todo = await connection.fetchval(f"SELECT count(*) {missing}")
            rows = await connection.fetch(some, "")
        done = total - todo
        while rows:
            made = await embed_texts(
                self._home.embedder,
                [row["text"] for row in rows],
                self._wish,
                expected=new.dimensions,
            )
            new.check_model(made.model, made.degraded)
            new.check_dimensions(made.dimensions, "the embedder's answer")
            stamped = [
                (row["id"], vector, row["updated_at"])
                for row, vector in zip(rows, made.vectors, strict=True)
            ]
            last, done = rows[-1]["id"], done + len(rows)
            async with lend() as connection:
                await connection.executemany(_insert(old, new), stamped)
                rows = await connection.fetch(some, last)
            if self._progress is not None:
                self._progress(min(done, total), total)

    async def _index(self, old: Collection, new: Collection) -> None:
        """Build the indexes the old one has, before anybody searches the new one."""
        async with self._lend() as connection:
            rows = await connection.fetch(_INDEXES, old.table)
        for row in rows:
            found = _INDEX.search(row["name"])
            if found and row["valid"]:
                options = indexing.Options(m=int(found[1]), ef_construction=int(found[2]))
                await indexing.build(self._home, new, options)

    async def _switch(self, old: Collection, new: Collection, *, last: bool) -> bool:
        """Put the new table in the old one's place; return False where a vector is missing.

        The lock is the one that creating and dropping take, and comes first for them as well. Who
        writes holds the registry's row, and is waited for; who comes later waits for us there, and
        then sees another model. Only who deletes goes to the table at once, which is closed for
        that before it is compared. Who reads is let in until the moment the table is dropped.
        """
        async with self._home.transaction(reset=False) as connection:
            await schema.lock(connection)
            await connection.execute(
                f"SELECT FROM {self._site.registry} WHERE name = $1 FOR UPDATE", old.name
            )
            await connection.execute(f"LOCK TABLE {old.table} IN SHARE MODE")
            if last:
                await self._embed(lambda: nullcontext(connection), old, new)
            if await connection.fetchval(f"SELECT EXISTS (SELECT {_missing(old, new)})"):
                return False
            await connection.execute(
                f"DELETE FROM {new.table} AS n WHERE NOT EXISTS "
                f"(SELECT FROM {old.table} AS o WHERE o.id = n.id)"
            )
            await connection.execute(f"DROP TABLE {old.table}")
            await self._rename(connection, new)
            await schema.rename(connection, new, old.name)
        return True

    async def _rename(self, connection: Any, new: Collection) -> None:
        """Give the table's indexes the names they are looked for by."""
        for row in await connection.fetch(_INDEXES, new.table):
            name = str(row["name"]).replace("~", "", 1)
            await connection.execute(
                f'ALTER INDEX {self._site.schema}."{row["name"]}" RENAME TO "{name}"'
            )


def _missing(old: Collection, new: Collection) -> str:
    """Return where records are that have no new vector for what they say now."""
    return (
        f"FROM {old.table} AS o LEFT JOIN {new.table} AS n USING (id) "
        "WHERE n.updated_at IS DISTINCT FROM o.updated_at"
    )


def _insert(old: Collection, new: Collection) -> str:
    """Return what takes a record over with its new vector, unless it was changed since."""
    columns = "id, text, metadata, embedding, tsv, updated_at"
    taken = ", ".join(f"{name} = excluded.{name}" for name in columns.split(", ")[1:])
    return (
        f"INSERT INTO {new.table} ({columns}) "
        f"SELECT id, text, metadata, $2::{new.site.pgvector}.vector, tsv, updated_at "
        f"FROM {old.table} WHERE id = $1 AND updated_at = $3 "
        f"ON CONFLICT (id) DO UPDATE SET {taken}"
    )
