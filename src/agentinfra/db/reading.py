"""The read-only path: SQL of anybody, judged, in a transaction that cannot write, and bounded."""

from __future__ import annotations

import asyncio
import re
import time
from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from agentinfra._mechanics.in_thread import in_thread
from agentinfra._mechanics.vendors import MissingPackageError
from agentinfra.db.guard import (
    FUNCTIONS_SQL,
    GuardVerdict,
    Refusal,
    examine,
    functions_of,
    mark_of,
)
from agentinfra.db.plans import Bounds, Judged, Plan, distinct, plan_of
from agentinfra.db.scope import RELATIONS_SQL, Seen, name_of
from agentinfra.db.transactions import milliseconds
from agentinfra.db.warm import Warm
from agentinfra.errors import (
    ConnectionLostError,
    DatabaseError,
    QueryError,
    ReadOnlyViolationError,
)
from agentinfra.observability.semconv import DB_REFUSED
from agentinfra.results import QueryResult

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agentinfra.db.errors import ErrorMap
    from agentinfra.db.pool import ConnectionPool
    from agentinfra.db.scope import Scope
    from agentinfra.observability.metrics import Metrics

__all__ = ["Reader", "ReaderOptions"]

_REMEMBERED = 500
"""Statements whose verdicts and plans are kept; the least recently used goes."""

_LONG = 4_000
"""Characters of a statement that is judged in a thread: at some 4 us each, the event loop would
stand still for longer than it should."""

_SLACK = 1.0
"""Seconds the server gets beyond a statement's timeout to end it by itself."""

_SETTING = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
_SET = "SELECT pg_catalog.set_config(k, v, true) FROM unnest($1::text[], $2::text[]) AS s (k, v)"

_DIVISION_BY_ZERO = "22012"
_NEGATIVE_LIMIT = "2201W"
_NOT_SO = "42"
"""The class of errors that say that something is not there, or not of that kind."""

_UNDECODABLE = (ValueError, OverflowError, RecursionError)
"""What the driver raises on values that PostgreSQL has and Python has not."""

V = TypeVar("V")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderOptions:
    """How reads run.

    Attributes:
        begin: Statements of ours for each transaction, beside those that make it read-only.
        timeout: Seconds the session gives a statement by itself; None where it gives no limit.
        scope: What may be read.
    """

    begin: tuple[str, ...]
    timeout: float | None
    scope: Scope


class _Remembered(OrderedDict[Any, V], Generic[V]):
    """A few values, the most recently used ones."""

    def recall(self, key: Any) -> V | None:
        value = self.get(key)
        if value is not None:
            self.move_to_end(key)
        return value

    def keep(self, key: Any, value: V) -> V:
        self[key] = value
        if len(self) > _REMEMBERED:
            self.popitem(last=False)
        return value


class Reader:
    """Runs statements that only read.

    What a text is, what its functions do and how it is run within its bounds is remembered; that
    its functions are still the same is seen to in the very statement that runs it.

    Args:
        pool: Where the connections come from; the less they may, the better.
        errors: The words for what goes wrong.
        metrics: Where refusals are counted.
        options: How reads run.
    """

    def __init__(
        self,
        pool: ConnectionPool,
        *,
        errors: ErrorMap,
        metrics: Metrics,
        options: ReaderOptions,
    ) -> None:
        self._pool = pool
        self._errors = errors
        self._metrics = metrics
        self._options = options
        self._examined: _Remembered[GuardVerdict] = _Remembered()
        self._judged: _Remembered[Judged] = _Remembered()
        self._plans: _Remembered[Plan] = _Remembered()
        self._warm = Warm(pool, options.begin)

    async def query(
        self, sql: str, args: Sequence[Any], bounds: Bounds, settings: Mapping[str, str]
    ) -> QueryResult:
        """Judge and run one statement; once more when the connection broke under it.

        Raises:
            ReadOnlyViolationError: It does more than read; it was not run.
            DatabaseError: Everything else that can go wrong.
        """
        _check(settings)
        verdict = self._examined.recall(sql) or await self._examine(sql)
        if verdict.refusal is not None:
            raise self._refused(verdict.refusal, sql)
        for _ in range(2):  # each of these happens once, then the second attempt knows better
            try:
                return await self._run(verdict, args, bounds, settings)
            except (DatabaseError, _AgainError) as error:
                if not self._is_worth_another_try(error):
                    raise
        try:
            return await self._run(verdict, args, bounds, settings)
        except _AgainError as error:  # what looked like ours is the statement's own
            with self._errors.running(statement=verdict.statement):
                raise error.__cause__ or error from None
            raise

    def close(self) -> None:
        """Give back what is kept between two reads."""
        self._warm.close()

    async def _examine(self, sql: str) -> GuardVerdict:
        try:
            if len(sql) < _LONG:
                verdict = examine(sql)
            else:
                verdict = await in_thread(partial(examine, sql))
        except MissingPackageError as error:
            raise DatabaseError(f"SQL cannot be judged, and so is not run: {error}") from error
        return self._examined.keep(sql, verdict)

    def _refused(self, refusal: Refusal, sql: str) -> ReadOnlyViolationError:
        self._metrics.counter(DB_REFUSED, refusal.reason).inc()
        return ReadOnlyViolationError(refusal.message, statement=sql)

    async def _run(
        self,
        verdict: GuardVerdict,
        args: Sequence[Any],
        bounds: Bounds,
        settings: Mapping[str, str],
    ) -> QueryResult:
        began = time.perf_counter()
        patience = bounds.timeout + _SLACK
        connection, begin = await self._warm.take()
        if bounds.timeout != self._options.timeout:
            begin = f"{begin}; SET LOCAL statement_timeout = {milliseconds(bounds.timeout)}"
        try:
            with self._errors.running(
                statement=verdict.statement, connection=connection, timeout=patience
            ):
                async with asyncio.timeout(patience):
                    await connection.execute(begin)
                    if settings:
                        await connection.fetch(_SET, list(settings), list(settings.values()))
                    judged = await self._judge(connection, verdict)
                    if verdict.kind == "select":
                        found = await self._select(connection, judged, args, bounds)
                    else:
                        found = _listed(await connection.fetch(judged.text, *args), bounds)
        except BaseException:
            self._warm.drop(connection)  # the caller may have gone, and does not wait for it
            raise
        self._warm.keep(connection)
        columns, rows, truncated = found
        return QueryResult(
            columns=columns,
            rows=rows,
            truncated=truncated,
            latency=time.perf_counter() - began,
        )

    async def _judge(self, connection: Any, verdict: GuardVerdict) -> Judged:
        """Judge what only the server knows: its functions, and what names of relations mean."""
        touched = verdict.touched
        asked = self._options.scope.asks_about(touched)
        refusal = self._options.scope.judge_names(touched)
        if refusal is not None:  # before the server is asked, which tells nothing of closed schemas
            raise self._refused(refusal, verdict.statement)
        if asked:
            rows = await connection.fetch(RELATIONS_SQL, [name_of(relation) for relation in asked])
            seen = {row[0]: Seen(schema=row[1], name=row[2], beside_ours=row[3]) for row in rows}
            refusal = self._options.scope.judge(touched, seen)
            if refusal is not None:
                raise self._refused(refusal, verdict.statement)
        # What is no SELECT has no place for a look at its functions, and is judged each time.
        known = self._judged.recall(verdict.statement) if verdict.kind == "select" else None
        return known or await self._judge_functions(connection, verdict)

    async def _judge_functions(self, connection: Any, verdict: GuardVerdict) -> Judged:
        names = sorted(verdict.touched.names)
        if not names:
            return self._judged.keep(verdict.statement, Judged(text=verdict.statement))
        mark = mark_of(names)
        # The mark first: what changes between the two questions is seen at the gate.
        value = await connection.fetchval(mark)
        said = await connection.fetch(FUNCTIONS_SQL, names)
        judged = verdict.with_functions(functions_of(said))
        if judged.refusal is not None:
            raise self._refused(judged.refusal, verdict.statement)
        found = Judged(text=judged.statement, mark=mark, value=value)
        return self._judged.keep(verdict.statement, found)

    async def _select(
        self, connection: Any, statement: Judged, args: Sequence[Any], bounds: Bounds
    ) -> tuple[tuple[str, ...], tuple[Mapping[str, Any], ...], bool]:
        key = (statement, bounds.rows, bounds.bytes)
        plan = known = self._plans.recall(key)
        if plan is None:
            prepared = await connection.prepare(statement.text)
            plan = self._plans.keep(key, plan_of(statement, prepared.get_attributes(), bounds))
        try:
            records = await connection.fetch(plan.text, *args)
        except _UNDECODABLE as error:
            if _is_the_drivers(error):
                raise
            raise await self._undecodable(connection, plan, args, bounds, error) from error
        except Exception as error:
            state = getattr(error, "sqlstate", None) or ""
            if state == _DIVISION_BY_ZERO and not plan.exact:
                plan.exact = True  # it may be the statement's own, and is seen again then
                raise _AgainError from error
            gate = state == _NEGATIVE_LIMIT and statement.mark
            if gate or (known is not None and state.startswith(_NOT_SO)):
                # Its tables or functions may have changed: learn them anew.
                self._plans.pop(key, None)
                self._judged.clear()
                raise _AgainError from error
            raise
        if not plan.holds(records):
            self._plans.pop(key, None)
            raise _AgainError
        rows, truncated = plan.rows(records, bounds.rows)
        return plan.names, rows, truncated

    async def _undecodable(
        self,
        connection: Any,
        plan: Plan,
        args: Sequence[Any],
        bounds: Bounds,
        error: BaseException,
    ) -> QueryError:
        """Find the column with a value that Python cannot hold; the whole result is lost."""
        where = "a column"
        for column, text in plan.singly(bounds.rows + 1):
            try:
                await connection.fetch(text, *args)
            except _UNDECODABLE as found:
                if not _is_the_drivers(found):
                    where, error = f"column {column.name!r} ({column.type})", found
                break
        said = " ".join(str(error).split())[:200] or type(error).__name__
        return QueryError(
            f"{where} holds a value that Python cannot hold ({said}): cast it to text in the "
            "statement",
            sqlstate="22000",
        )

    def _is_worth_another_try(self, error: Exception) -> bool:
        from asyncpg import InvalidCachedStatementError, OutdatedSchemaCacheError

        if isinstance(error, _AgainError):
            return True
        if isinstance(error.__cause__, InvalidCachedStatementError | OutdatedSchemaCacheError):
            self._plans.clear()  # a table or type changed since the statement was prepared
            return True
        return isinstance(error, ConnectionLostError) and error.__cause__ is not None


class _AgainError(Exception):
    """What was remembered of the statement does not hold any more, and has been forgotten."""


def _check(settings: Mapping[str, str]) -> None:
    for name in settings:
        if not _SETTING.fullmatch(name):
            raise QueryError(
                f"{name!r} cannot be set for a query: only settings of your own, whose names "
                "have a dot ('app.tenant')"
            )


def _listed(
    records: Sequence[Any], bounds: Bounds
) -> tuple[tuple[str, ...], tuple[Mapping[str, Any], ...], bool]:
    columns = distinct(list(records[0].keys())) if records else ()
    rows = tuple(dict(zip(columns, record, strict=False)) for record in records[: bounds.rows])
    return columns, rows, len(records) > len(rows)


def _is_the_drivers(error: BaseException) -> bool:
    """Return whether it is about the arguments, which the driver's own errors tell."""
    from asyncpg import InterfaceError

    return isinstance(error, InterfaceError)
