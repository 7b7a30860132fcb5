"""The OpenTelemetry side of tracing: spans leave the process in the background, or are counted.

Nothing here waits for a collector: spans queue up to a bound, a thread of the SDK sends them, and
closing takes a bounded time. Parents and ids are those of OpenTelemetry's context, so that spans of
other instrumentation and ours nest in one another. A tracer provider that the program has set is
used; none is ever set by us.
"""

from __future__ import annotations

import asyncio
import json
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from agentinfra._mechanics.vendors import load, preload
from agentinfra.errors import ConfigurationError
from agentinfra.observability import otlp, semconv
from agentinfra.observability.redaction import Redactor, encodable
from agentinfra.observability.traces.context import Place, place_of
from agentinfra.observability.traces.failures import error_message, error_text
from agentinfra.observability.traces.queue import ExportQueue, Outcome, Queue, Unbounded
from agentinfra.observability.traces.told import Ids, SpanKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType

    from agentinfra.settings import TracingSettings

__all__ = ["Export", "exporter_of", "open_export"]

_NAME: Final = "agentinfra"
_VENDORS: Final = (
    "opentelemetry.context",
    "opentelemetry.trace",
    "opentelemetry.sdk.resources",
    "opentelemetry.sdk.trace",
    "opentelemetry.sdk.trace.export",
    "opentelemetry.sdk.trace.sampling",
)
_BATCH: Final = 512
_DELAY_MS: Final = 1000.0
_FRAMES: Final = -30
_UNBOUNDED: Final = Unbounded()
_PLAIN: Final = frozenset((str, int, float, bool))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Vendor:
    """What a span needs of OpenTelemetry while it runs."""

    trace: ModuleType
    context: ModuleType
    current: Callable[[], Any]
    tracer: Any
    sampler: Any
    kinds: Mapping[SpanKind, Any]

    @classmethod
    def of(cls, tracer: Any, sampler: Any) -> _Vendor:
        """Return what there is, for the spans of a tracer."""
        trace, context = load("opentelemetry.trace"), load("opentelemetry.context")
        kinds = trace.SpanKind
        return cls(
            trace=trace,
            context=context,
            current=context.get_current,
            tracer=tracer,
            sampler=sampler,
            kinds={"internal": kinds.INTERNAL, "client": kinds.CLIENT, "server": kinds.SERVER},
        )


class Export:
    """Spans on their way out. Made by `open_export`; its opener closes it.

    Args:
        vendor: What spans are made with.
        redactor: Takes secrets out of them.
        provider: Our own, which is ours to close; None where the program's is used.
        queue: Bounds what waits for it.
    """

    __slots__ = ("_provider", "queue", "redactor", "vendor")

    def __init__(
        self, vendor: _Vendor, redactor: Redactor, provider: Any = None, queue: Queue = _UNBOUNDED
    ) -> None:
        self.vendor = vendor
        self.redactor = redactor
        self.queue = queue
        self._provider = provider

    @property
    def is_programs(self) -> bool:
        """Whether the spans go where the program's own provider sends them."""
        return self._provider is None

    def start(self, name: str, kind: SpanKind, parent: Any) -> Twin:
        """Start the exported twin of a span; see `SpanSink.export`."""
        vendor = self.vendor
        # The current context is told too: else the SDK and its samplers look for it thrice.
        context = self._context(parent) if isinstance(parent, Place) else vendor.current()
        span = vendor.tracer.start_span(
            self.redactor.text(name),
            context,
            vendor.kinds[kind],
            record_exception=False,
            set_status_on_exception=False,
        )
        return Twin(self, span, parent)

    async def aclose(self, *, grace: float, timeout: float) -> None:
        """Send what is waiting, then stop; what cannot be sent in time is counted as lost.

        Args:
            grace: Seconds in which new batches may still be sent.
            timeout: Seconds the batch under way then gets.
        """
        if self._provider is None:
            return
        self.queue.refuse()
        loop = asyncio.get_running_loop()
        executor = ThreadPoolExecutor(2, thread_name_prefix="agentinfra-tracing")
        stopping = loop.run_in_executor(executor, self._provider.shutdown)
        try:
            await asyncio.wait({stopping}, timeout=grace)
            if not stopping.done():
                aborting = loop.run_in_executor(executor, self.queue.abort)
                await asyncio.wait({stopping, aborting}, timeout=timeout)
        finally:
            executor.shutdown(wait=stopping.done())
            self.queue.write_off()

    def _context(self, place: Place) -> Any:
        """Return the context to start a span in that the current one does not know the place of."""
        trace = self.vendor.trace
        trace_id, state = int(place.trace_id, 16), place.beside.get("tracestate")
        sampled = place.sampled
        if sampled is None:  # a span of ours from before: the sampler decides for the trace now
            sampler = self.vendor.sampler
            sampled = sampler is None or bool(
                sampler.should_sample(None, trace_id, place.name).decision.is_sampled()
            )
        flag = trace.TraceFlags.SAMPLED if sampled else trace.TraceFlags.DEFAULT
        above = trace.SpanContext(
            trace_id,
            int(place.span_id, 16),
            is_remote=place.remote,
            trace_flags=trace.TraceFlags(flag),
            trace_state=trace.TraceState.from_header([state]) if state else None,
        )
        return trace.set_span_in_context(trace.NonRecordingSpan(above))


class Twin:
    """The exported side of one span."""

    __slots__ = ("_context", "_export", "_parent", "_token", "sampled", "span")

    def __init__(self, export: Export, span: Any, parent: Any) -> None:
        self._export = export
        self.span = span
        self._context: Any = None
        self._token: Any = None
        self._parent = parent
        self.sampled = span.get_span_context().trace_flags & 1 == 1

    @property
    def ids(self) -> Ids:
        own = self.span.get_span_context()
        # A third of what formatting costs, on every line of the log inside of a new span.
        return own.trace_id.to_bytes(16, "big").hex(), own.span_id.to_bytes(8, "big").hex()

    @property
    def parent_id(self) -> str | None:
        parent = self._parent
        if parent is not None and not isinstance(parent, Place):
            parent = place_of(parent)
        return None if parent is None else parent.span_id

    @property
    def is_current(self) -> bool:
        # A context never changes: while it is this one, no other span was started inside.
        return self._export.vendor.current() is self._context

    def attach(self, beside: Mapping[str, str]) -> None:
        vendor = self._export.vendor
        context = vendor.trace.set_span_in_context(self.span)
        if "baggage" in beside and isinstance(self._parent, Place) and self._parent.remote:
            baggage = load("opentelemetry.baggage.propagation").W3CBaggagePropagator()
            context = baggage.extract(beside, context)
        self._context = context
        self._token = vendor.context.attach(context)

    def detach(self) -> None:
        self._export.vendor.context.detach(self._token)

    def rename(self, name: str) -> None:
        if self.sampled:
            self.span.update_name(self._export.redactor.text(name))

    def event(self, name: str, attributes: Mapping[str, Any]) -> None:
        if self.sampled:
            redactor = self._export.redactor
            self.span.add_event(redactor.text(name), exportable(attributes, redactor))

    def end(self, attributes: Mapping[str, Any], error: BaseException | str | None) -> None:
        if not self.sampled:
            return
        # All at once, at the end: one by one they cost a quarter more.
        clean = exportable(attributes, self._export.redactor)
        if self._export.is_programs:
            self.span.set_attributes(clean)
        else:
            self.span.take(clean)
        if error is not None:
            self._fail(error)
        if self._export.queue.admit():
            self.span.end()

    def _fail(self, error: BaseException | str) -> None:
        vendor, redactor = self._export.vendor, self._export.redactor
        self.span.set_status(vendor.trace.StatusCode.ERROR, error_text(error, redactor))
        if isinstance(error, BaseException):
            described = {
                semconv.EXCEPTION_TYPE: type(error).__qualname__,
                semconv.EXCEPTION_MESSAGE: error_message(error, redactor),
                semconv.EXCEPTION_STACKTRACE: redactor.text(_stack(error)),
            }
            self.span.add_event(semconv.EXCEPTION_EVENT, described)


class _Stderr:
    """stderr as it is when something is written."""

    write = staticmethod(lambda text: sys.stderr.write(text))
    flush = staticmethod(lambda: sys.stderr.flush())


async def open_export(
    settings: TracingSettings, redactor: Redactor, *, timeout: float, outcome: Outcome
) -> Export | None:
    """Make what a runtime's spans go out by; None where they go nowhere.

    Args:
        settings: Which provider and exporter, and how much.
        redactor: Takes secrets out of spans.
        timeout: Seconds one batch may take.
        outcome: Told how it goes.

    Raises:
        MissingPackageError: OpenTelemetry, or the exporter, is not installed.
        ConfigurationError: The endpoint cannot be used.
    """
    program = None if settings.provider == "own" else _program_provider()
    if program is not None:
        tracer = program.get_tracer(_NAME)
        return Export(_Vendor.of(tracer, getattr(program, "sampler", None)), redactor)
    if settings.exporter == "none":
        return None
    return await _own(settings, redactor, timeout=timeout, outcome=outcome)


def _program_provider() -> Any:
    """Return the provider the program has set, None where it has set none.

    A program that has not loaded OpenTelemetry has set none.
    """
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    provider = trace.get_tracer_provider()
    nothing = (trace.ProxyTracerProvider, trace.NoOpTracerProvider)
    return None if isinstance(provider, nothing) else provider


async def _own(
    settings: TracingSettings, redactor: Redactor, *, timeout: float, outcome: Outcome
) -> Export:
    module = otlp.MODULES.get(("traces", settings.exporter))
    await preload([*_VENDORS, *([] if module is None else [module, "requests"])])
    _, _, _, sdk, export, sampling = (load(name) for name in _VENDORS)
    # Only now, when it is known that what it is made of can be loaded.
    from agentinfra.observability.traces.recorded import Recorder

    exporter = exporter_of(settings, export, timeout)
    queue = ExportQueue(exporter, export.SpanExportResult.SUCCESS, settings.max_queue, outcome)
    ratio = sampling.ParentBased(sampling.TraceIdRatioBased(settings.sample_ratio))
    # What is not said in our settings the SDK reads itself: samplers, limits, resource.
    said = settings.model_fields_set
    provider = sdk.TracerProvider(
        sampler=ratio if "sample_ratio" in said else None,
        resource=otlp.resource_of(settings.service_name if "service_name" in said else None),
        shutdown_on_exit=False,
    )
    if not isinstance(provider.get_tracer(_NAME), sdk.Tracer):
        raise ConfigurationError(
            f"the {settings.exporter} exporter gets no spans while OTEL_SDK_DISABLED is set: "
            "unset it, or set AGENTINFRA_TRACING__EXPORTER=none"
        )
    batch = min(_BATCH, settings.max_queue)
    processor = export.BatchSpanProcessor(
        queue, settings.max_queue, schedule_delay_millis=_DELAY_MS, max_export_batch_size=batch
    )
    provider.add_span_processor(processor)
    sampler, resource = provider.sampler, provider.resource
    tracer = Recorder(_NAME, sampler=sampler, resource=resource, processor=processor)
    return Export(_Vendor.of(tracer, sampler), redactor, provider, queue)


def exporter_of(settings: TracingSettings, export: Any, timeout: float) -> Any:
    """Return an exporter of OpenTelemetry's that gives a batch so many seconds.

    Raises:
        MissingPackageError: It is not installed.
    """
    if settings.exporter == "none":
        raise ConfigurationError("tracing.exporter is none: there is nothing to export with")
    if settings.exporter == "console":
        return export.ConsoleSpanExporter(
            out=_Stderr(), formatter=lambda span: span.to_json(indent=None) + "\n"
        )
    return otlp.exporter_of("traces", settings.exporter, settings.endpoint, timeout)


def exportable(attributes: Mapping[str, Any], redactor: Redactor) -> dict[str, Any]:
    """Return attributes as every collector takes them: scalars, lists of one kind, JSON text."""
    odd: list[str] = []
    safe = redactor.fields(attributes, odd=odd)
    for key in odd:
        if (value := _spelled(safe[key])) is None:
            del safe[key]
        else:
            safe[key] = value
    if "" in safe or not "".join(safe).isascii():
        return {k if k.isascii() else encodable(k): v for k, v in safe.items() if k}
    return safe


def _spelled(value: Any) -> Any:
    """Return a value as collectors take it; None is left out."""
    if type(value) is list:
        kinds = set(map(type, value))
        if len(kinds) <= 1 and kinds <= _PLAIN:
            return tuple(value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value


def _stack(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error, limit=_FRAMES))
    except Exception:  # noqa: BLE001 - the error's own methods run here
        return "<unprintable>"
