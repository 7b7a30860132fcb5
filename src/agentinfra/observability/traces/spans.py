"""Spans: ids and correlation that always work, with or without OpenTelemetry or a runtime.

A span always has a trace id and a span id, and the current one follows its task. It stands under
whatever is current: a span of ours, or of other instrumentation in OpenTelemetry's context. Where
the running loop has an open `Tracing`, the span is told to
it as well: that is the `SpanSink` below.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar, Token
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from agentinfra._mechanics.loop_local import LoopLocal
from agentinfra.observability.redaction import Redactor
from agentinfra.observability.semconv import ERROR_TYPE
from agentinfra.observability.traces.context import (
    NOTHING_BESIDE,
    Place,
    baggage,
    foreign_span,
    ids_below,
    incoming,
    place_of,
    traceparent_of,
)
from agentinfra.observability.traces.decorating import decorated
from agentinfra.observability.traces.failures import error_text, is_no_failure
from agentinfra.observability.traces.told import (
    ExportedSpan,
    FinishedSpan,
    Ids,
    SpanKind,
    SpanSink,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "SINKS",
    "ExportedSpan",
    "FinishedSpan",
    "Span",
    "SpanKind",
    "SpanSink",
    "UnrecordedSpan",
    "current_ids",
    "current_span",
    "start_span",
    "trace_headers",
    "traceparent",
]

F = TypeVar("F", bound=Callable[..., Any])

SINKS: LoopLocal[SpanSink] = LoopLocal()
_CURRENT: ContextVar[Span | None] = ContextVar("agentinfra_span", default=None)
_NOTHING: Mapping[str, Any] = MappingProxyType({})
_DEFAULT = Redactor()


class Span:
    """One step of work, made by `start_span`.

    Its clock runs from the moment it is made. Entered with ``with`` or ``async with`` it is the
    current span of the task and of the tasks started inside; leaving ends it. A span that is not
    entered is ended by `end`, in any task.

    Attributes:
        name: What is done.
        sink: Who is told of it, None where nobody listens.
    """

    __slots__ = (
        "_above",
        "_attributes",
        "_began",
        "_beside",
        "_ended",
        "_error",
        "_exported",
        "_foreign",
        "_ids",
        "_kind",
        "_parent",
        "_start",
        "_token",
        "name",
        "sink",
    )

    def __init__(
        self,
        name: str,
        attributes: Mapping[str, Any] | None,
        kind: SpanKind,
        parent: Mapping[str, str] | str | None = None,
    ) -> None:
        self.name = name
        self._attributes: dict[str, Any] = dict(attributes) if attributes else {}
        self._kind: SpanKind = kind
        self._parent = parent
        self._error: BaseException | str | None = None
        self._ended = False
        self._token: Token[Span | None] | None = None
        around = _CURRENT.get()
        # The span of OpenTelemetry's that is current while this one is: one that is found
        # there later was started inside.
        self._foreign = foreign = foreign_span() if around is None else _innermost(around)
        above: Any = None
        self._beside = NOTHING_BESIDE
        if parent or foreign is not None or around is not None:
            above = (incoming(parent) if parent else None) or _above(around, foreign)
            if isinstance(above, Place):
                self._beside = above.beside
        self.sink = SINKS.get()
        if self.sink is None and around is not None:
            self.sink = around.sink  # a thread that works for a loop has no sink of its own
        exported = None if self.sink is None else self.sink.export(name, kind, above)
        self._exported: ExportedSpan | None = exported
        # Those of an exported span are numbers, spelled out where somebody asks.
        self._ids: Ids | None = None
        if exported is None:
            self._ids, self._above = ids_below(above)
        self._start = time.time()
        self._began = time.perf_counter()

    @property
    def trace_id(self) -> str:
        """The trace, 32 hexadecimal digits."""
        return (self._ids or self._known_ids())[0]

    @property
    def span_id(self) -> str:
        """The span, 16 hexadecimal digits."""
        return (self._ids or self._known_ids())[1]

    @property
    def parent_id(self) -> str | None:
        """The span around it, None for the first of a trace."""
        return self._above if self._exported is None else self._exported.parent_id

    def _known_ids(self) -> Ids:
        """Spell out the ids of an exported span; those of others were made with it."""
        assert self._exported is not None  # noqa: S101
        self._ids = self._exported.ids
        return self._ids

    def set(self, key: str, value: Any) -> None:
        """Set an attribute; None leaves it out. Does nothing once the span has ended."""
        if not self._ended:
            self._attributes[key] = value

    def set_all(self, attributes: Mapping[str, Any]) -> None:
        """Set several attributes."""
        if not self._ended:
            self._attributes.update(attributes)

    def rename(self, name: str) -> None:
        """Name it anew, where what it does shows only later."""
        if not self._ended:
            self.name = name
            if self._exported is not None:
                self._exported.rename(name)

    def event(self, name: str, attributes: Mapping[str, Any] | None = None) -> None:
        """Note something that happened at this moment."""
        if self._exported is not None and not self._ended:
            self._exported.event(name, attributes or _NOTHING)

    def fail(self, error: BaseException | str) -> None:
        """Mark the span as failed; an exception that leaves its block does so by itself."""
        if not self._ended:
            self._error = error
            self._attributes[ERROR_TYPE] = (
                type(error).__qualname__ if isinstance(error, BaseException) else error
            )

    def end(self) -> None:
        """End the span; a second call does nothing."""
        if self._ended:
            return
        self._ended = True
        if self._exported is not None:
            self._exported.end(self._attributes, self._error)
        if self.sink is not None and self.sink.listening:
            self.sink.finished(self._finished())

    @property
    def recording(self) -> bool:
        """Whether anybody is going to see its attributes; else they need not be gathered."""
        if self._exported is not None and self._exported.sampled:
            return True
        return self.sink is not None and self.sink.listening

    @property
    def exported(self) -> bool:
        """Whether the trace is recorded where its id can be looked up."""
        return self._exported is not None and self._exported.sampled

    @property
    def traceparent(self) -> str:
        """The W3C header value that continues the trace elsewhere."""
        sampled = None if self._exported is None else self._exported.sampled
        return traceparent_of(self.trace_id, self.span_id, sampled=sampled)

    def __enter__(self) -> Self:
        self._token = _CURRENT.set(self)
        if self._exported is not None:
            self._exported.attach(self._beside)
            self._foreign = self._exported.span
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc is not None and not is_no_failure(exc):
            self.fail(exc)
        token, self._token = self._token, None
        if token is not None:
            try:
                _CURRENT.reset(token)
            except ValueError:
                # Left in another task than entered: that task's context ends with the task.
                pass
            else:
                if self._exported is not None:
                    self._exported.detach()
        self.end()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *error: Any) -> None:
        self.__exit__(*error)

    def __call__(self, function: F) -> F:
        """Decorate a function, a coroutine function or a generator: each call is a span.

        The span that was made for it stands for none of them.
        """
        name, attributes, kind, parent = self.name, self._attributes, self._kind, self._parent
        return decorated(function, lambda: Span(name, attributes, kind, parent))

    def __repr__(self) -> str:
        state = "ended" if self._ended else "running"
        return f"<Span {self.name!r} {state}, trace {self.trace_id}, span {self.span_id}>"

    def _finished(self) -> FinishedSpan:
        return FinishedSpan(
            name=self.name,
            trace_id=self.trace_id,
            span_id=self.span_id,
            parent_id=self.parent_id,
            start=self._start,
            duration=time.perf_counter() - self._began,
            attributes=MappingProxyType(self._shown()),
            error=None if self._error is None else error_text(self._error, self._redactor()),
            kind=self._kind,
        )

    def _redactor(self) -> Redactor:
        return _DEFAULT if self.sink is None else self.sink.redactor

    def _shown(self) -> dict[str, Any]:
        """Return the attributes as they may be seen: without what is None, and without secrets."""
        clean = self._redactor().fields(self._attributes)
        return {key: value for key, value in clean.items() if value is not None}


class UnrecordedSpan(Span):
    """Stands where a span would be: nothing is recorded, the current span stays the current one.

    Its ids are those of the span around it, empty where there is none.
    """

    __slots__ = ()

    def __init__(self) -> None:
        around = _CURRENT.get()
        self.name = ""
        self._ids = ("", "") if around is None else (around.trace_id, around.span_id)
        self._above, self._beside = None, NOTHING_BESIDE
        self.sink = None
        self._exported = None
        self._foreign = _innermost(around)
        self._token = None
        self._ended = True  # an ended span takes nothing, and leaving it does nothing

    def __enter__(self) -> Self:
        return self


def start_span(
    name: str,
    attributes: Mapping[str, Any] | None = None,
    *,
    kind: SpanKind = "internal",
    parent: Mapping[str, str] | str | None = None,
) -> Span:
    """Start a span under the current one; use it with ``with`` or ``async with``, or to decorate.

    Works anywhere: without a runtime, in any thread, without OpenTelemetry. What is current is our
    innermost span, or that of other instrumentation where it was started inside. An exception
    that leaves the block fails the span; a cancellation, the end of a generator and what LangGraph
    raises to interrupt a graph are no failures.

    Args:
        name: What is done, few words and no values: ``plan``, ``chat gpt-4o``.
        attributes: What is known of it from the start.
        kind: ``client`` for a call to a server, ``server`` for a request that came in.
        parent: The headers of a request that came in, or its ``traceparent`` alone: the span
            continues that trace (W3C Trace Context). What cannot be read is passed over.

    Example:
        ``with start_span("plan", {"agent": "analytics"}) as span: span.set("steps", 3)``
    """
    return Span(name, attributes, kind, parent)


def current_span() -> Span | None:
    """Return the span of ours the running code is in, None outside of any."""
    return _CURRENT.get()


def current_ids() -> tuple[str, str] | None:
    """Return trace and span id of the innermost span, ours or not; None outside of any."""
    span = _CURRENT.get()
    foreign = _innermost(span)
    if span is not None and (foreign is None or foreign is span._foreign):  # noqa: SLF001
        ids = span._ids or span._known_ids()  # noqa: SLF001
        return ids if ids[0] else None
    place = None if foreign is None else place_of(foreign)
    return None if place is None else (place.trace_id, place.span_id)


def traceparent() -> str | None:
    """Return the W3C ``traceparent`` header of the innermost span, None outside of any."""
    return trace_headers().get("traceparent")


def trace_headers() -> dict[str, str]:
    """Return the headers that continue the trace elsewhere: ``traceparent`` and what goes with it.

    ``tracestate`` as it came in; ``baggage`` as it came in, or as OpenTelemetry's context has it.
    """
    span = _CURRENT.get()
    foreign = _innermost(span)
    unknown = foreign is None or (
        span is not None and span._exported is None and foreign is span._foreign  # noqa: SLF001
    )
    # Else OpenTelemetry's context knows everything.
    inner = _above(span, None) if unknown else place_of(foreign)
    if inner is None:
        return baggage()
    return {"traceparent": inner.traceparent, **inner.beside, **baggage()}


def _innermost(around: Span | None) -> Any:
    """Return the current span of OpenTelemetry's context, None where there is none."""
    if around is not None:
        exported = around._exported  # noqa: SLF001 - its own module
        if exported is not None and exported.is_current:  # nearly always, and quicker than to look
            return exported.span
    return foreign_span()


def _above(around: Span | None, foreign: Any) -> Any:
    """Return what a new span stands under: the innermost of ours and OpenTelemetry's.

    A span that OpenTelemetry's context has, ours too, is returned as it is, for that context needs
    no telling; one that it has not is a `Place`.
    """
    exported = None if around is None else around._exported  # noqa: SLF001 - its own module
    if foreign is not None:
        theirs = around is None or foreign is not around._foreign  # noqa: SLF001
        ours = exported is not None and foreign is exported.span
        if (theirs or ours) and foreign.get_span_context().is_valid:
            return foreign
    if around is None or not around.trace_id:
        return None
    return _place(around)


def _place(span: Span) -> Place:
    exported = span._exported  # noqa: SLF001 - its own module
    return (None if exported is None else place_of(exported.span)) or Place(
        trace_id=span.trace_id,
        span_id=span.span_id,
        beside=span._beside,  # noqa: SLF001
        name=span.name,
    )
