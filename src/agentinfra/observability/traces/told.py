"""What is told of spans, and whom: the values and shapes between spans and tracing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agentinfra.observability.redaction import Redactor

__all__ = ["ExportedSpan", "FinishedSpan", "Ids", "SpanKind", "SpanSink"]

SpanKind: TypeAlias = Literal["internal", "client", "server"]

Ids: TypeAlias = "tuple[str, str]"
"""Trace id and span id, as hexadecimal digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedSpan:
    """A span that has ended, as subscribers get it.

    Attributes:
        name: What was done.
        trace_id: The trace, 32 hexadecimal digits.
        span_id: The span, 16 hexadecimal digits.
        parent_id: The span around it, None for the first of a trace.
        start: When it began, in seconds since the epoch.
        duration: Seconds it took.
        attributes: What was set on it.
        error: The class and message of what failed it, None when nothing did.
        kind: ``client`` for a call to a server, ``server`` for a request that came in, else
            ``internal``.
    """

    name: str
    trace_id: str
    span_id: str
    parent_id: str | None
    start: float
    duration: float
    attributes: Mapping[str, Any]
    error: str | None
    kind: SpanKind


class ExportedSpan(Protocol):
    """The exported twin of a span."""

    sampled: bool

    span: Any
    """The span as OpenTelemetry has it."""

    @property
    def ids(self) -> Ids:
        """The ids the exporter's side gave it."""
        ...

    @property
    def parent_id(self) -> str | None:
        """The span id of what it stands under, None for the first of a trace."""
        ...

    @property
    def is_current(self) -> bool:
        """Whether it is the innermost span of OpenTelemetry's context; quick to ask."""
        ...

    def attach(self, beside: Mapping[str, str]) -> None:
        """Make it the current span of other instrumentation.

        Args:
            beside: The headers beside ``traceparent`` that came with the trace.
        """
        ...

    def detach(self) -> None:
        """Undo `attach`, in the context it was called in."""
        ...

    def rename(self, name: str) -> None:
        """Name it anew."""
        ...

    def event(self, name: str, attributes: Mapping[str, Any]) -> None:
        """Note something that happened at one moment."""
        ...

    def end(self, attributes: Mapping[str, Any], error: BaseException | str | None) -> None:
        """Hand the span over for export; attributes still as they were set."""
        ...


class SpanSink(Protocol):
    """Who wants to know of a loop's spans."""

    listening: bool
    """Whether `finished` is wanted."""

    redactor: Redactor
    """What takes secrets out of names, attributes and errors."""

    def export(self, name: str, kind: SpanKind, parent: Any) -> ExportedSpan | None:
        """Begin a span for export; None where nothing is exported.

        Args:
            name: What is done.
            kind: Of which kind.
            parent: The span it stands under: OpenTelemetry's current one as it is, any other as
                a `Place`; None for the first of a trace.
        """
        ...

    def finished(self, span: FinishedSpan) -> None:
        """Take note of a span that has ended."""
        ...
