"""The read-only path: SQL of anybody, judged, in a transaction that cannot write, and bounded."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from agentinfra._mechanics.in_thread import in_thread
from agentinfra._mechanics.vendors import MissingPackageError, load
from agentinfra.db.guard import READABLE_FUNCTIONS_SQL, GuardVerdict, judge
from agentinfra.db.transactions import read_only
from agentinfra.errors import (
    ConnectionLostError,
    DatabaseError,
    QueryError,
    ReadOnlyViolationError,
)
from agentinfra.observability.semconv import DB_REFUSED
from agentinfra.results import QueryResult

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence, Set

    from agentinfra.db.errors import ErrorMap
    from agentinfra.db.pool import ConnectionPool
    from agentinfra.observability.metrics import Metrics

__all__ = ["Bounds", "Reader"]

_BOUNDED = """\
WITH agentinfra_rows AS MATERIALIZED (SELECT * FROM ({statement}) AS q LIMIT {rows})
SELECT kept.*, total.agentinfra_count
FROM (SELECT count(*) AS agentinfra_count FROM agentinfra_rows) AS total
LEFT JOIN (
    SELECT r.*, sum(
        CASE WHEN pg_column_size(r) > {bytes} THEN pg_column_size(r) ELSE octet_length(r::text) END
    ) OVER (ROWS UNBOUNDED PRECEDING) AS agentinfra_bytes
    FROM agentinfra_rows AS r
) AS kept ON kept.agentinfra_bytes <= {bytes}"""
"""One row more than asked for tells that there are more. The server adds up the bytes, so that
what is too much is never sent. The join gives a row, and so the column names, when none is kept."""

_ADDED = 2  # the columns agentinfra_bytes and agentinfra_count, at the end

_LONG = 4_000
"""Characters of a statement that is judged in a thread: at some 4 us each, the event loop would
stand still for longer than it should."""

_SLACK = 1.0
"""Seconds the server gets beyond a statement's timeout to end it by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much a read may give and take.

    Attributes:
        rows: Rows at most.
        bytes: Bytes of their text at most.
        timeout: Seconds the statement may take.
    """

    rows: int
    bytes: int
    timeout: float


class Reader:
    """Runs statements that only read.

    Args:
        pool: Where the connections come from; the less they may, the better.
        errors: The words for what goes wrong.
        metrics: Where refusals are counted.
        begin: Statements of ours for each transaction, beside those that make it read-only.
    """

    def __init__(
        self,
        pool: ConnectionPool,
        *,
        errors: ErrorMap,
        metrics: Metrics,
        begin: Sequence[str] = (),
    ) -> None:
        self._pool = pool
        self._errors = errors
        self._metrics = metrics
        self._begin = begin
        self._functions: Set[str] | None = None
        self._plain = _converters()

    async def query(self, sql: str, args: Sequence[Any], bounds: Bounds) -> QueryResult:
        """Judge and run one statement; once more when the connection broke under it.

        Raises:
            ReadOnlyViolationError: It does more than read; it was not run.
            DatabaseError: Everything else that can go wrong.
        """
        try:
            return await self._run(await self._judged(sql), args, bounds)
        except (ConnectionLostError, QueryError) as error:
            if not _is_worth_another_try(error):
                raise
        return await self._run(await self._judged(sql), args, bounds)

    async def _judged(self, sql: str) -> GuardVerdict:
        if self._functions is None:
            await self._learn_functions()
        verdict = await self._verdict(sql)
        if verdict.refusal is not None and verdict.refusal.reason == "function":
            await self._learn_functions()  # it may have been created since
            verdict = await self._verdict(sql)
        if verdict.refusal is not None:
            self._metrics.counter(DB_REFUSED, verdict.refusal.reason).inc()
            raise ReadOnlyViolationError(verdict.refusal.message, statement=sql)
        return verdict

    async def _verdict(self, sql: str) -> GuardVerdict:
        try:
            if len(sql) < _LONG:
                return judge(sql, functions=self._functions)
            return await in_thread(partial(judge, sql, functions=self._functions))
        except MissingPackageError as error:
            raise DatabaseError(f"SQL cannot be judged, and so is not run: {error}") from error

    async def _learn_functions(self) -> None:
        async with self._pool.lease(reset=False) as connection:
            with self._errors.running(connection=connection):
                rows = await connection.fetch(READABLE_FUNCTIONS_SQL)
        self._functions = frozenset(row[0] for row in rows)

    async def _run(self, verdict: GuardVerdict, args: Sequence[Any], bounds: Bounds) -> QueryResult:
        text = verdict.statement
        if verdict.kind == "select":
            text = _BOUNDED.format(statement=text, rows=bounds.rows + 1, bytes=bounds.bytes)
        began = time.perf_counter()
        async with self._pool.lease(reset=False) as connection:
            patience = bounds.timeout + _SLACK
            with self._errors.running(
                statement=verdict.statement, connection=connection, timeout=patience
            ):
                async with read_only(connection, self._begin, timeout=bounds.timeout):
                    records = await connection.fetch(text, *args, timeout=patience)
        return self._result(verdict, records, bounds, time.perf_counter() - began)

    def _result(
        self, verdict: GuardVerdict, records: Sequence[Any], bounds: Bounds, latency: float
    ) -> QueryResult:
        names = list(records[0].keys()) if records else []
        rows, there_are = list(records), len(records)
        if verdict.kind == "select":
            names = names[:-_ADDED]
            there_are = records[0][-1]
            rows = [record for record in records if record[-_ADDED] is not None]
        columns = _distinct(names)
        return QueryResult(
            columns=columns,
            rows=tuple(self._row(columns, record) for record in rows[: bounds.rows]),
            truncated=there_are > min(len(rows), bounds.rows),
            latency=latency,
        )

    def _row(self, columns: Sequence[str], record: Any) -> Mapping[str, Any]:
        plain = self._plain
        return {
            name: plain[type(value)](value) if type(value) in plain else value
            for name, value in zip(columns, record, strict=False)
        }


def _is_worth_another_try(error: DatabaseError) -> bool:
    from asyncpg import InvalidCachedStatementError

    if isinstance(error.__cause__, InvalidCachedStatementError):
        return True  # a table changed since the statement was prepared
    return isinstance(error, ConnectionLostError) and error.__cause__ is not None


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Number the columns that share a name, so that no value is lost in a mapping."""
    found: list[str] = []
    for name in names:
        number, candidate = 2, name
        while candidate in found:
            number, candidate = number + 1, f"{name}_{number}"
        found.append(candidate)
    return tuple(found)


def _converters() -> Mapping[type, Callable[[Any], Any]]:
    """Return what turns the driver's own types into Python's."""
    from asyncpg import Record

    found: dict[type, Callable[[Any], Any]] = {Record: dict}
    with suppress(MissingPackageError):
        pgvector = load("pgvector")
        for kind in (pgvector.Vector, pgvector.HalfVector):
            found[kind] = kind.to_list
    return MappingProxyType(found)
