"""Operations as they are seen from outside: one word, a span and a metric each."""

from __future__ import annotations

import asyncio
import math
import re
import time
from contextlib import contextmanager
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from agentinfra.errors import AgentInfraError, QueryError
from agentinfra.observability import semconv
from agentinfra.observability.tracing import start_span

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from agentinfra.observability.metrics import Metrics
    from agentinfra.observability.tracing import Span

__all__ = ["check_call", "observed", "operation_of"]

_FIRST_WORD = re.compile(
    r"\s*(SELECT|WITH|VALUES|TABLE|SHOW|EXPLAIN|INSERT|UPDATE|DELETE|MERGE|COPY|CREATE|ALTER|DROP"
    r"|TRUNCATE|SET|CALL|DO|VACUUM|ANALYZE|REFRESH|REINDEX|GRANT|REVOKE|COMMENT)\b",
    re.IGNORECASE,
)


def check_call(sql: Any, *, timeout: Any = None, limit: Any = None) -> None:
    """Refuse what no statement can be run with.

    Raises:
        QueryError: The message names the value.
    """
    if not isinstance(sql, str):
        raise QueryError(f"the statement is {sql!r:.80}: give it as a str")
    for name, value, kind in (("timeout", timeout, Real), ("limit", limit, Integral)):
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, kind) or not math.isfinite(value):
            raise QueryError(f"{name} is {value!r:.80}: give it a number, or None for the setting")


def operation_of(sql: str) -> str:
    """Return the first word of a statement; ``OTHER`` for odd ones, for labels must stay few."""
    word = _FIRST_WORD.match(sql)
    return word[1].upper() if word else "OTHER"


@contextmanager
def observed(
    operation: str, attributes: Mapping[str, Any], metrics: Metrics, *, name: str = ""
) -> Iterator[Span]:
    """Show an operation: a span around it, and how long it took and how it ended as a metric.

    Args:
        operation: Its word.
        attributes: What else the span says: where the server is, which collection it is about.
        metrics: Where it is counted.
        name: The span's name; empty for the operation and what it is about.
    """
    began = time.perf_counter()
    outcome = "ok"
    said = {semconv.DB_SYSTEM: "postgresql", semconv.DB_OPERATION: operation, **attributes}
    try:
        with (
            start_span(name or _name(operation, attributes), said, kind="client") as span,
            _stating(span),
        ):
            yield span
    except BaseException as error:
        ours = isinstance(error, AgentInfraError | asyncio.CancelledError)
        outcome = type(error).__name__ if ours else "error"
        raise
    finally:
        seconds = metrics.histogram(semconv.DB_QUERIES, operation, outcome)
        seconds.observe(time.perf_counter() - began)


def _name(operation: str, attributes: Mapping[str, Any]) -> str:
    """Return an operation and what it is about: a collection, else the server."""
    about = attributes.get(semconv.DB_COLLECTION) or attributes.get(semconv.SERVER_ADDRESS)
    return f"{operation} {about}" if about else operation


@contextmanager
def _stating(span: Span) -> Iterator[None]:
    """Put the server's code on the span of what it refused."""
    try:
        yield
    except QueryError as error:
        if error.sqlstate:
            span.set(semconv.DB_STATUS, error.sqlstate)
        raise
