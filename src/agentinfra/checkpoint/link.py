"""The one way operations go to the database: guarded, bounded, tried again, seen."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from agentinfra._mechanics.timeouts import Timeouts
from agentinfra.errors import (
    CheckpointError,
    ConnectionLostError,
    DatabaseError,
    QueryError,
    ReadOnlyViolationError,
)
from agentinfra.observability.semconv import (
    CHECKPOINT_OPERATIONS,
    CONVERSATION_ID,
    DB_OPERATION,
    DB_SYSTEM,
    SPAN_STORE,
    STORE_OPERATIONS,
)
from agentinfra.observability.tracing import start_span

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from contextlib import AbstractAsyncContextManager, AbstractContextManager

    from agentinfra._mechanics.clock import Clock
    from agentinfra.observability.metrics import Metrics
    from agentinfra.observability.tracing import SpanKind
    from agentinfra.protocols import Connections

__all__ = ["Link", "observed"]

T = TypeVar("T")

_PAUSES = (0.02, 0.1, 0.2, 0.2, 0.2)
"""Seconds before an operation is sent again: others of the pool broke with its connection, and
whoever lends connections may say for half a second that the server is away. Short ones, since
each is waited for by a conversation when the server is back already."""

_READ_ONLY = "25006"

_AGAIN = {"40001", "40P01", "26000", "42P05", "0A000"}
"""Lost races, and statements a pooler's server does not know (or knows too well)."""


class Link:
    """Runs the checkpointer's operations on somebody's connections.

    Each ends within its deadline. What runs here may run twice: every write is an upsert, so an
    operation whose connection broke, with or without its work done, is sent once more.

    Args:
        database: Who lends connections.
        size: Operations at most at the same time.
        timeout: Seconds an operation may take, with its wait for a connection.
        working: Guards, and says that work is under way.
        told: Called with the reason when the database cannot be reached, with "" when it answers.
        metrics: Where durations go.
        clock: Where time comes from.
        kind: What they are operations of: ``checkpoint`` or ``store``.
    """

    def __init__(
        self,
        database: Connections,
        *,
        size: int,
        timeout: float,
        working: Callable[[], AbstractContextManager[Any]],
        told: Callable[[str], None],
        metrics: Metrics,
        clock: Clock,
        kind: str,
    ) -> None:
        self.metrics = metrics
        self.slots = asyncio.Semaphore(size)
        self._database = database
        self.timeout = timeout
        self.working = working
        self._told = told
        self._clock = clock
        self._timeouts = Timeouts(clock)
        self._kind = kind
        self._behind_pooler: bool | None = None

    def close(self) -> None:
        """Take the timer of its deadlines off the loop."""
        self._timeouts.close()

    async def run(
        self,
        operation: str,
        work: Callable[[Any], Awaitable[T]],
        *,
        thread: object = None,
        transaction: bool = False,
        timeout: float | None = None,
    ) -> T:
        """Run one operation and return what it returns.

        Args:
            operation: Its name, for spans, metrics and errors.
            work: Given a connection; may be called several times.
            thread: The conversation, for the span.
            transaction: Whether it needs several statements to be one.
            timeout: Seconds it may take where that is not the usual.

        Raises:
            CheckpointError: The database failed, or did not answer in time.
            WrongLoopError: It was called from another event loop.
            ClosedError: The checkpointer was left.
        """
        limit = self.timeout if timeout is None else timeout
        seen = observed(
            operation, thread, self.metrics, self._clock, kind=self._kind, system="postgresql"
        )
        with self.working(), seen:
            return await self._bounded(operation, work, limit, transaction=transaction)

    async def _bounded(
        self,
        operation: str,
        work: Callable[[Any], Awaitable[T]],
        limit: float,
        *,
        transaction: bool,
    ) -> T:
        try:
            with self._timeouts.until(self._clock.now() + limit):
                done = await self._attempts(work, transaction=transaction)
        except TimeoutError as error:
            reason = f"the database did not answer within {limit:g} s"
            self._told(reason)
            raise CheckpointError(f"{self._kind} {operation} failed: {reason}") from error
        except DatabaseError as error:
            if isinstance(error, ConnectionLostError):
                self._told(f"the database cannot be reached: {error}")
            raise CheckpointError(f"{self._kind} {operation} failed: {error}") from error
        self._told("")
        return done

    async def _attempts(self, work: Callable[[Any], Awaitable[T]], *, transaction: bool) -> T:
        for pause in _PAUSES:
            try:
                return await self._once(work, transaction=transaction)
            except DatabaseError as error:
                if not _may_pass(error):
                    raise
            await self._clock.sleep(pause)
        return await self._once(work, transaction=transaction)

    async def _once(self, work: Callable[[Any], Awaitable[T]], *, transaction: bool) -> T:
        async with self.slots, self._lent(transaction=transaction) as connection:
            try:
                return await work(connection)
            except Exception as error:
                if getattr(error, "sqlstate", None) == _READ_ONLY:
                    connection.terminate()  # it leads to a server that is no longer the first
                raise

    def _lent(self, *, transaction: bool) -> AbstractAsyncContextManager[Any]:
        # A pooler may give the two halves of a statement outside of any to different servers.
        if transaction or self._pooled:
            return self._database.transaction(reset=False, late=True)
        return self._database.passing(late=True)

    @property
    def _pooled(self) -> bool:
        if self._behind_pooler is None:
            try:
                self._behind_pooler = bool(self._database.server.pooled)
            except DatabaseError:
                return False  # it was not reached yet, and the loan itself is what reaches it
        return self._behind_pooler


@contextmanager
def observed(
    operation: str,
    thread: object,
    metrics: Metrics,
    clock: Clock,
    *,
    kind: str,
    system: str = "",
) -> Iterator[None]:
    """Record an operation: a span with the conversation, its duration, how it ended.

    Args:
        operation: Its word.
        thread: The conversation; None where it is about none.
        metrics: Where it is counted.
        clock: Where time comes from.
        kind: What it is an operation of: ``checkpoint`` or ``store``.
        system: The database that is called; empty where none is.
    """
    attributes = {DB_SYSTEM: system, DB_OPERATION: operation} if system else {}
    side: SpanKind = "client" if system else "internal"
    if thread is not None:
        attributes[CONVERSATION_ID] = str(thread)
    begun, outcome = clock.now(), "ok"
    try:
        with start_span(f"{kind} {operation}", attributes, kind=side):
            yield
    except BaseException as error:
        outcome = type(error).__name__
        raise
    finally:
        series = STORE_OPERATIONS if kind == SPAN_STORE else CHECKPOINT_OPERATIONS
        seconds = metrics.histogram(series, operation, outcome)
        seconds.observe(clock.now() - begun)


def _may_pass(error: DatabaseError) -> bool:
    if isinstance(error, QueryError) and error.sqlstate in _AGAIN:
        return True
    return isinstance(error, ConnectionLostError | ReadOnlyViolationError)
