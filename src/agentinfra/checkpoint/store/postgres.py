"""LangGraph's PostgreSQL store on the runtime's connections.

Importing this module imports langgraph and psycopg.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from langgraph.store.base import BaseStore, GetOp, ListNamespacesOp, PutOp, SearchOp
from langgraph.store.postgres.aio import AsyncPostgresStore
from langgraph.store.postgres.base import (
    PLACEHOLDER,
    _decode_ns_bytes,
    _group_ops,
    _json_loads,
    _namespace_prefix_condition,
    _row_to_item,
    _row_to_search_item,
)
from psycopg.types.json import Jsonb

from agentinfra.checkpoint.cipher import opened
from agentinfra.checkpoint.store.translated import translated
from agentinfra.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from langgraph.store.base import Op, Result, TTLConfig
    from langgraph.store.postgres.base import PostgresIndexConfig

    from agentinfra.checkpoint.cipher import Sealed
    from agentinfra.checkpoint.link import Link
    from agentinfra.checkpoint.standby import Standby
    from agentinfra.checkpoint.store.memory import Kept, MemoryStore, Place

__all__ = ["PostgresStore"]

_SWEEP = """
WITH over AS (
    SELECT prefix, key FROM store WHERE expires_at < now()
    ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED
), dropped AS (
    DELETE FROM store s USING over WHERE s.prefix = over.prefix AND s.key = over.key RETURNING 1
)
SELECT count(*) FROM dropped
"""

_ERASE = "DELETE FROM store WHERE"  # their vectors go with them

_BATCH = 500
"""Items at most that one statement takes away, or brings over."""

_NAMES = {GetOp: "get", SearchOp: "search", ListNamespacesOp: "list", PutOp: "put"}


class _Statement(NamedTuple):
    """One statement of a batch, and what is done with its rows."""

    sql: str
    args: list[Any]
    take: Callable[[Sequence[Any]], None]


class PostgresStore(AsyncPostgresStore):
    """The store graphs are compiled with.

    Tables and bytes are LangGraph's own: its store reads what this one wrote, and the other way
    round. Where the database fails, ``CheckpointError`` is raised. Vectors are made before a
    connection is asked for.

    Args:
        link: The way to the database.
        standby: What answers until the database is there.
        index: How texts become vectors; None for a store that is not searched by meaning.
        ttl: How items age.
        sealed: What seals them; None leaves them plain.
    """

    def __init__(
        self,
        link: Link,
        *,
        standby: Standby[MemoryStore],
        index: PostgresIndexConfig | None,
        ttl: TTLConfig,
        sealed: Sealed | None = None,
    ) -> None:
        super().__init__(None, index=index, ttl=ttl)  # type: ignore[arg-type]
        self._link = link
        self._standby = standby
        self._sealed = sealed

    # Each caller has a statement, a deadline and a span of its own: not the vendor's queue, whose
    # one task runs them together and hands everybody the error of one.
    aget = BaseStore.aget
    asearch = BaseStore.asearch
    aput = BaseStore.aput
    adelete = BaseStore.adelete
    alist_namespaces = BaseStore.alist_namespaces

    def _ensure_task(self) -> None:
        """Start no task; see above."""

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Run operations in one transaction: reads, then writes.

        Raises:
            CheckpointError: The database failed, an item cannot be stored, or a filter asks for
                what is sealed.
        """
        ops = list(ops)
        if self._sealed is not None:  # in memory too: what works there has to work later
            for op in ops:
                self._sealed.check(op.filter or () if isinstance(op, SearchOp) else ())
        if (memory := await self._standby.answering()) is not None:
            results = await memory.abatch(ops)
            # While it waited for vectors the database may have taken over, without what only
            # now came into memory: then it is done again there.
            if self._standby.memory is memory:
                return results
        return await self._in_tables(ops)

    async def _in_tables(self, ops: list[Op]) -> list[Result]:
        grouped, number = _group_ops(ops)
        results: list[Result] = [None] * number
        statements = await self._statements(grouped, results)
        if statements:
            kinds = set(grouped)
            name = _NAMES.get(kinds.pop(), "batch") if len(kinds) == 1 else "batch"
            several = len(statements) > 1
            work = partial(_run, statements=statements)
            await self._link.run(name, work, transaction=several)
        return results

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """As the asynchronous one, from another thread."""
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        if here is self._loop:
            raise asyncio.InvalidStateError(
                "synchronous methods wait for this event loop: call the asynchronous ones here"
            )
        return asyncio.run_coroutine_threadsafe(self.abatch(ops), self._loop).result()

    async def setup(self) -> None:
        """Do nothing: the tables were made when the store was opened."""

    async def sweep_ttl(self) -> int:
        """Drop the items that have aged, some at a time; return how many it was.

        Raises:
            CheckpointError: The database failed.
        """
        if (memory := await self._standby.answering()) is not None:
            return memory.sweep()
        total = 0
        while True:
            taken = int(await self._link.run("sweep", lambda c: c.fetchval(_SWEEP, _BATCH)))
            total += taken
            if taken < _BATCH:
                return total

    async def erase(self, prefix: tuple[str, ...]) -> int:
        """Drop all items of a namespace and of those in it; return how many it was.

        Raises:
            CheckpointError: The database failed.
        """
        if (memory := await self._standby.answering()) is not None:
            return memory.erase(prefix)
        condition, params = _namespace_prefix_condition(prefix)
        sql, args = translated(f"{_ERASE} {condition} RETURNING 1", params)
        rows = await self._link.run("erase", lambda c: c.fetch(sql, *args))
        return len(rows)

    async def take_over(self) -> int:
        """Store what was kept in memory, and answer from the tables; return how many items.

        Raises:
            CheckpointError: The database failed, or there is no model to make vectors with.
        """
        await self._standby.hand_over(self._not_carried, self._carry)
        return len(self._standby.carried)

    def _not_carried(self, memory: MemoryStore) -> list[Place]:
        """Return where items were stored, refreshed or deleted since they were carried over."""
        carried, kept = self._standby.carried, memory.kept()
        places = [place for place in carried if place not in kept]
        return places + [place for place in kept if _differ(carried.get(place), kept[place])]

    async def _carry(self, memory: MemoryStore, places: list[Place]) -> None:
        for start in range(0, len(places), _BATCH):
            await self._carry_some(memory, places[start : start + _BATCH])

    async def _carry_some(self, memory: MemoryStore, places: list[Place]) -> None:
        kept, carried = memory.kept(), self._standby.carried
        ops: list[Op] = [
            kept[place].put if place in kept else PutOp(*place, None) for place in places
        ]
        # Noted before: of a statement that fails nobody knows whether it was carried out, and
        # what memory forgets until the next time has to go from the tables as well.
        carried.update(dict.fromkeys(places))
        await self._in_tables(ops)
        for place in places:
            if place in kept:
                carried[place] = kept[place]
            else:
                del carried[place]

    async def _statements(
        self, grouped: Mapping[type, list[tuple[int, Any]]], results: list[Result]
    ) -> list[_Statement]:
        statements = self._gets(grouped.get(GetOp, []), results)
        statements += await self._searches(grouped.get(SearchOp, []), results)
        statements += self._lists(grouped.get(ListNamespacesOp, []), results)
        return statements + await self._puts(grouped.get(PutOp, []))

    def _gets(self, ops: list[tuple[int, GetOp]], results: list[Result]) -> list[_Statement]:
        def take(
            namespace: tuple[str, ...], wanted: Sequence[tuple[int, str]], rows: Sequence[Any]
        ) -> None:
            by_key = {row["key"]: row for row in rows}
            for place, key in wanted:
                row = by_key.get(key)
                results[place] = (
                    None if row is None else _row_to_item(namespace, row, loader=self._read)
                )

        return [
            _Statement(*translated(sql, params), partial(take, namespace, cast("Any", wanted)))
            for sql, params, namespace, wanted in self._get_batch_GET_ops_queries(ops)
        ]

    async def _searches(
        self, ops: list[tuple[int, SearchOp]], results: list[Result]
    ) -> list[_Statement]:
        if not ops:
            return []
        try:
            queries, to_embed = self._prepare_batch_search_queries(ops)
        except ValueError as error:
            raise CheckpointError(f"store search failed: {error}") from error
        vectors = await self._vectors([text for _, text in to_embed])
        for (place, _), vector in zip(to_embed, vectors, strict=True):
            params = cast("list[Any]", queries[place][1])
            params[:] = [vector if value is PLACEHOLDER else value for value in params]

        def take(place: int, rows: Sequence[Any]) -> None:
            results[place] = [
                _row_to_search_item(_decode_ns_bytes(row["prefix"]), row, loader=self._read)
                for row in rows
            ]

        return [
            _Statement(*translated(sql, params), partial(take, place))
            for (place, _), (sql, params) in zip(ops, queries, strict=True)
        ]

    def _lists(
        self, ops: list[tuple[int, ListNamespacesOp]], results: list[Result]
    ) -> list[_Statement]:
        def take(place: int, rows: Sequence[Any]) -> None:
            results[place] = [_decode_ns_bytes(row["truncated_prefix"]) for row in rows]

        queries = self._get_batch_list_namespaces_queries(ops)
        return [
            _Statement(*translated(sql, params), partial(take, place))
            for (place, _), (sql, params) in zip(ops, queries, strict=True)
        ]

    async def _puts(self, ops: list[tuple[int, PutOp]]) -> list[_Statement]:
        queries, to_embed = self._prepare_batch_PUT_queries(ops)
        statements = [
            _Statement(*translated(sql, [self._written(value) for value in params]), _nothing)
            for sql, params in queries
        ]
        if to_embed is not None:
            sql, rows = to_embed
            vectors = await self._vectors([row[-1] for row in rows])
            params = [
                value
                for row, vector in zip(rows, vectors, strict=True)
                for value in (*row[:-1], vector)
            ]
            statements.append(_Statement(*translated(sql, params), _nothing))
        return statements

    def _written(self, value: Any) -> Any:
        if self._sealed is None or not isinstance(value, Jsonb):
            return value
        return Jsonb(self._sealed.fields(value.obj))

    def _read(self, value: Any) -> dict[str, Any]:
        return opened(_json_loads(value), self._sealed)

    async def _vectors(self, texts: list[str]) -> list[list[float]]:
        if not texts or self.embeddings is None:
            return []
        return await self.embeddings.aembed_documents(texts)


async def _run(connection: Any, *, statements: Sequence[_Statement]) -> None:
    for statement in statements:
        statement.take(await connection.fetch(statement.sql, *statement.args))


def _differ(carried: Kept | None, kept: Kept) -> bool:
    """Return whether an item was stored or refreshed since it was carried over."""
    return carried is None or carried.item is not kept.item or carried.end != kept.end


def _nothing(rows: Sequence[Any]) -> None:
    """Have no use for the rows."""
