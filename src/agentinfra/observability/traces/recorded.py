"""Spans of our own provider: the SDK's for whoever sends them, for a fraction of their price.

The SDK's span locks, checks and copies with each attribute that is set on it. Ours gets its
attributes all at once, in the moment it ends, checked already; what other instrumentation sets on
it meanwhile goes through the SDK's own bounds.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping
from threading import RLock
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk import resources
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanLimits
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util import BoundedList
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from agentinfra._mechanics.identifiers import random_bits
from agentinfra.observability import semconv

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.sdk.trace.sampling import Sampler
    from opentelemetry.util.types import AnyValue, Attributes

__all__ = ["RecordedSpan", "Recorder"]

_UNSET: Final = trace.Status(trace.StatusCode.UNSET)
_OURS: Final = trace.TraceFlags.RANDOM_TRACE_ID
"""The ids of traces that begin here are random (W3C Trace Context, level 2)."""


class Recorder:
    """Starts spans and hands them to a processor, as a tracer of the SDK does.

    Args:
        name: What makes the spans.
        sampler: Decides which are recorded.
        resource: What the process is.
        processor: Takes the spans that have ended.
    """

    def __init__(
        self, name: str, *, sampler: Sampler, resource: resources.Resource, processor: SpanProcessor
    ) -> None:
        self.scope = InstrumentationScope(name, "", "")
        self.resource = _Resource(resource.attributes, resource.schema_url)
        self.limits = SpanLimits()
        self.processor = processor
        self._sampler = sampler

    def start_span(
        self, name: str, context: Context, kind: trace.SpanKind, **_: bool
    ) -> trace.Span:
        """Start a span under the one that a context has; one that is left out records nothing."""
        above: trace.SpanContext | None = trace.get_current_span(context).get_span_context()
        if above is not None and above.is_valid:
            trace_id, flags = above.trace_id, above.trace_flags & _OURS
        else:
            above, trace_id, flags = None, random_bits(128), _OURS
        sampling = self._sampler.should_sample(context, trace_id, name, kind, None, ())
        sampled = sampling.decision is Decision.RECORD_AND_SAMPLE
        own = trace.SpanContext(
            trace_id,
            random_bits(64),
            is_remote=False,
            trace_flags=trace.TraceFlags(flags | sampled),
            trace_state=sampling.trace_state,
        )
        if not sampled:
            return trace.NonRecordingSpan(own)
        return RecordedSpan(self, name, own, above, kind, sampling.attributes)


class RecordedSpan(trace.Span, ReadableSpan):
    """A span that runs, then one that can be read and sent."""

    def __init__(
        self,
        recorder: Recorder,
        name: str,
        context: trace.SpanContext,
        parent: trace.SpanContext | None,
        kind: trace.SpanKind,
        attributes: Attributes,
    ) -> None:
        super().__init__(
            name,
            context,
            parent,
            recorder.resource,
            {},
            kind=kind,
            status=_UNSET,
            start_time=time.time_ns(),
            instrumentation_scope=recorder.scope,
        )
        self._recorder = recorder
        # Other instrumentation may set and note from other threads: without it two that are first
        # would each bring a list of their own, of which one is lost, and a span might end before
        # what is being set. Reentrant: a signal handler or a finalizer may come between.
        self._lock = RLock()
        if attributes:
            self.set_attributes(attributes)

    def get_span_context(self) -> trace.SpanContext:
        """Return where it stands."""
        assert self._context is not None  # noqa: S101 - it is made with one
        return self._context

    def is_recording(self) -> bool:
        """Return whether it takes anything still."""
        return self._end_time is None

    def take(self, attributes: dict[str, Any]) -> None:
        """Take over attributes that can all be sent as they are."""
        limits = self._recorder.limits
        few = limits.max_span_attributes is None or len(attributes) <= limits.max_span_attributes
        with self._lock:
            if few and not self._attributes and limits.max_span_attribute_length is None:
                self._attributes = attributes
                return
        self.set_attributes(attributes)

    def set_attribute(self, key: str, value: AnyValue) -> None:
        """Set an attribute; what cannot be sent is left out."""
        self.set_attributes({key: value})

    def set_attributes(self, attributes: Mapping[str, AnyValue]) -> None:
        """Set several attributes; what cannot be sent is left out."""
        limits = self._recorder.limits
        with self._lock:
            if self._end_time is not None:
                return
            if not isinstance(self._attributes, BoundedAttributes):
                self._attributes = BoundedAttributes(
                    limits.max_span_attributes,
                    self._attributes,
                    immutable=False,
                    max_value_len=limits.max_span_attribute_length,
                )
            for key, value in attributes.items():
                self._attributes[key] = value

    def add_event(
        self, name: str, attributes: Attributes = None, timestamp: int | None = None
    ) -> None:
        """Note something that happened at this moment, or at one in nanoseconds of the epoch."""
        limits = self._recorder.limits
        event = Event(name, self._bounded(limits.max_event_attributes, attributes), timestamp)
        with self._lock:
            if self._end_time is None:
                if not isinstance(self._events, BoundedList):
                    self._events = BoundedList(limits.max_events)
                self._events.append(event)

    def add_link(self, context: trace.SpanContext, attributes: Attributes = None) -> None:
        """Tell of a span that has to do with this one."""
        limits = self._recorder.limits
        link = trace.Link(context, self._bounded(limits.max_link_attributes, attributes))
        with self._lock:
            if self._end_time is None:
                if not isinstance(self._links, BoundedList):
                    self._links = BoundedList(limits.max_links)
                self._links.append(link)

    def _bounded(self, most: int | None, attributes: Attributes) -> BoundedAttributes:
        longest = self._recorder.limits.max_attribute_length
        return BoundedAttributes(most, attributes, max_value_len=longest)

    def update_name(self, name: str) -> None:
        """Name it anew."""
        if self._end_time is None:
            self._name = name

    def set_status(
        self, status: trace.Status | trace.StatusCode, description: str | None = None
    ) -> None:
        """Say how it went; what was said to be well stays so."""
        said = status if isinstance(status, trace.Status) else trace.Status(status, description)
        well = self._status.status_code is trace.StatusCode.OK
        if self._end_time is None and not well and not said.is_unset:
            self._status = said

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,  # noqa: FBT001, FBT002 - OpenTelemetry's signature
    ) -> None:
        """Note an exception as an event."""
        said: dict[str, AnyValue] = {
            semconv.EXCEPTION_TYPE: type(exception).__qualname__,
            semconv.EXCEPTION_MESSAGE: str(exception),
            semconv.EXCEPTION_STACKTRACE: "".join(traceback.format_exception(exception)),
            "exception.escaped": str(escaped),
        }
        self.add_event(semconv.EXCEPTION_EVENT, {**said, **(attributes or {})}, timestamp)

    def end(self, end_time: int | None = None) -> None:
        """Hand it over to be sent; a second time does nothing."""
        with self._lock:
            if self._end_time is not None:
                return
            self._end_time = time.time_ns() if end_time is None else end_time
        self._recorder.processor.on_end(self)


class _Resource(resources.Resource):
    """A resource that spells itself out once, not for each span that is sent."""

    def __init__(self, attributes: Any, schema_url: str | None) -> None:
        super().__init__(attributes, schema_url)
        self._known = super().__hash__()

    def __hash__(self) -> int:
        return self._known
