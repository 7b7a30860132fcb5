"""The OpenTelemetry side of tracing: spans leave the process in the background, or are counted.

Nothing here waits for a collector: spans queue up to a bound, a thread of the SDK sends them, and
closing takes a bounded time. The global tracer provider is neither read nor set; the OpenTelemetry
context is, so that spans of other instrumentation and ours nest in one another.
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
from agentinfra.observability import semconv
from agentinfra.observability.redaction import Redactor, encodable
from agentinfra.observability.traces.queue import ExportQueue, Outcome
from agentinfra.observability.traces.spans import error_message, error_text
from agentinfra.observability.traces.told import ParentSpan, SpanKind

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    from agentinfra.settings import TracingSettings

__all__ = ["Export", "exporter_of", "open_export"]

_SDK: Final = "opentelemetry.sdk.trace"
_OTLP: Final = {
    "otlp-http": "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "otlp-grpc": "opentelemetry.exporter.otlp.proto.grpc.trace_exporter",
}
_VENDORS: Final = (
    "opentelemetry.context",
    "opentelemetry.trace",
    "opentelemetry.sdk.resources",
    "opentelemetry.sdk.trace",
    "opentelemetry.sdk.trace.export",
    "opentelemetry.sdk.trace.sampling",
)
_TRACES_PATH: Final = "/v1/traces"
_BATCH: Final = 512
_DELAY_MS: Final = 1000.0
_FRAMES: Final = -30


@dataclass(frozen=True, slots=True, kw_only=True)
class _Vendor:
    """The modules of OpenTelemetry a span needs while it runs."""

    trace: ModuleType
    context: ModuleType
    tracer: Any
    ratio: Any


class Export:
    """Spans on their way to a collector. Made by :func:`open_export`; its opener closes it."""

    def __init__(self, vendor: _Vendor, provider: Any, queue: ExportQueue) -> None:
        self._vendor = vendor
        self._provider = provider
        self._queue = queue
        self._redactor = Redactor()

    def start(self, name: str, kind: SpanKind, parent: ParentSpan | None) -> Twin:
        """Start the exported twin of a span.

        The parent is the current span of the OpenTelemetry context, ours or not, else ours.
        """
        trace = self._vendor.trace
        above = trace.get_current_span().get_span_context()
        context = None
        if not above.is_valid and parent is not None:
            above = self._remembered(parent)
            context = trace.set_span_in_context(trace.NonRecordingSpan(above))
        span = self._vendor.tracer.start_span(
            self._redactor.text(name),
            context=context,
            kind=trace.SpanKind.CLIENT if kind == "client" else trace.SpanKind.INTERNAL,
            record_exception=False,
            set_status_on_exception=False,
        )
        parent_id = f"{above.span_id:016x}" if above.is_valid else None
        return Twin(self._vendor, span, parent_id, self._queue, self._redactor)

    async def aclose(self, *, grace: float, timeout: float) -> None:
        """Send what is waiting, then stop; what cannot be sent in time is counted as lost.

        Args:
            grace: Seconds in which new batches may still be sent.
            timeout: Seconds the batch under way then gets.
        """
        self._queue.refuse()
        loop = asyncio.get_running_loop()
        executor = ThreadPoolExecutor(2, thread_name_prefix="agentinfra-tracing")
        stopping = loop.run_in_executor(executor, self._provider.shutdown)
        try:
            await asyncio.wait({stopping}, timeout=grace)
            if not stopping.done():
                aborting = loop.run_in_executor(executor, self._queue.abort)
                await asyncio.wait({stopping, aborting}, timeout=timeout)
        finally:
            executor.shutdown(wait=stopping.done())
            self._queue.write_off()

    def _remembered(self, parent: ParentSpan) -> Any:
        """Return the context of a span of ours that OpenTelemetry does not know."""
        trace = self._vendor.trace
        trace_id = int(parent.trace_id, 16)
        sampled = self._vendor.ratio.should_sample(None, trace_id, parent.name).decision
        flag = trace.TraceFlags.SAMPLED if sampled.is_sampled() else trace.TraceFlags.DEFAULT
        return trace.SpanContext(
            trace_id, int(parent.span_id, 16), is_remote=False, trace_flags=trace.TraceFlags(flag)
        )


class Twin:
    """The exported side of one span."""

    __slots__ = ("_queue", "_redactor", "_span", "_token", "_vendor", "ids", "sampled")

    def __init__(
        self,
        vendor: _Vendor,
        span: Any,
        parent_id: str | None,
        queue: ExportQueue,
        redactor: Redactor,
    ) -> None:
        self._vendor = vendor
        self._span = span
        self._queue = queue
        self._redactor = redactor
        self._token: Any = None
        own = span.get_span_context()
        self.sampled = bool(own.trace_flags.sampled)
        self.ids = (f"{own.trace_id:032x}", f"{own.span_id:016x}", parent_id)

    def attach(self) -> None:
        context = self._vendor.trace.set_span_in_context(self._span)
        self._token = self._vendor.context.attach(context)

    def detach(self) -> None:
        self._vendor.context.detach(self._token)

    def event(self, name: str, attributes: Mapping[str, Any]) -> None:
        if self.sampled:
            clean = self._redactor.text
            self._span.add_event(clean(name), exportable(attributes, self._redactor))

    def end(self, attributes: Mapping[str, Any], error: BaseException | str | None) -> None:
        if not self.sampled:
            return
        # All at once, at the end: one by one they cost a quarter more.
        self._span.set_attributes(exportable(attributes, self._redactor))
        if error is not None:
            self._fail(error)
        if self._queue.admit():
            self._span.end()

    def _fail(self, error: BaseException | str) -> None:
        self._span.set_status(self._vendor.trace.StatusCode.ERROR, error_text(error))
        if isinstance(error, BaseException):
            described = {
                semconv.EXCEPTION_TYPE: type(error).__qualname__,
                semconv.EXCEPTION_MESSAGE: error_message(error),
                semconv.EXCEPTION_STACKTRACE: self._redactor.text(_stack(error)),
            }
            self._span.add_event(semconv.EXCEPTION_EVENT, described)


class _Stderr:
    """stderr as it is when something is written."""

    write = staticmethod(lambda text: sys.stderr.write(text))
    flush = staticmethod(lambda: sys.stderr.flush())


async def open_export(settings: TracingSettings, *, timeout: float, outcome: Outcome) -> Export:
    """Make what a runtime's spans are exported by.

    Args:
        settings: Which exporter, and how much.
        timeout: Seconds one batch may take.
        outcome: Told how it goes.

    Raises:
        MissingPackageError: OpenTelemetry, or the exporter, is not installed.
        ConfigurationError: The endpoint cannot be used.
    """
    otlp = [_OTLP[settings.exporter], "requests"] if settings.exporter in _OTLP else []
    await preload([*_VENDORS, *otlp])
    context, trace, resources, sdk, export, sampling = (load(name) for name in _VENDORS)
    exporter = exporter_of(settings, export, timeout)
    queue = ExportQueue(exporter, export.SpanExportResult.SUCCESS, settings.max_queue, outcome)
    ratio = sampling.TraceIdRatioBased(settings.sample_ratio)
    provider = sdk.TracerProvider(
        sampler=sampling.ParentBased(ratio),
        resource=resources.Resource.create({semconv.SERVICE_NAME: settings.service_name}),
        shutdown_on_exit=False,
    )
    tracer = provider.get_tracer("agentinfra")
    if not isinstance(tracer, sdk.Tracer):
        raise ConfigurationError(
            f"the {settings.exporter} exporter gets no spans while OTEL_SDK_DISABLED is set: "
            "unset it, or set AGENTINFRA_TRACING__EXPORTER=none"
        )
    batch = min(_BATCH, settings.max_queue)
    provider.add_span_processor(
        export.BatchSpanProcessor(
            queue, settings.max_queue, schedule_delay_millis=_DELAY_MS, max_export_batch_size=batch
        )
    )
    vendor = _Vendor(trace=trace, context=context, tracer=tracer, ratio=ratio)
    return Export(vendor, provider, queue)


def exporter_of(settings: TracingSettings, export: Any, timeout: float) -> Any:
    """Return an exporter of OpenTelemetry's that gives a batch so many seconds.

    Raises:
        MissingPackageError: It is not installed.
        ConfigurationError: The endpoint cannot be used.
    """
    if settings.exporter == "console":
        return export.ConsoleSpanExporter(
            out=_Stderr(), formatter=lambda span: span.to_json(indent=None) + "\n"
        )
    module = load(_OTLP[settings.exporter], extra="otlp")
    endpoint = settings.endpoint
    if endpoint is not None and settings.exporter == "otlp-http":
        endpoint = traces_url(endpoint)
    return module.OTLPSpanExporter(endpoint=endpoint, timeout=timeout)


def traces_url(endpoint: str) -> str:
    """Return where spans are sent for a collector's base address, or for the full one.

    Raises:
        ConfigurationError: It is no http address.
    """
    if not endpoint.startswith(("http://", "https://")):
        raise ConfigurationError(
            f"tracing endpoint {Redactor().text(endpoint)!r} cannot be used: it must start with "
            "http:// or https://, as in http://localhost:4318"
        )
    base = endpoint.rstrip("/")
    return base if base.endswith(_TRACES_PATH) else base + _TRACES_PATH


def exportable(attributes: Mapping[str, Any], redactor: Redactor) -> dict[str, Any]:
    """Return attributes as every collector takes them: scalars, lists of one kind, JSON text."""
    clean: dict[str, Any] = {}
    for key, value in redactor.fields(attributes).items():
        if value is None or not key:
            continue
        if isinstance(value, dict) or (isinstance(value, list) and not _uniform(value)):
            value = json.dumps(value, ensure_ascii=False)
        clean[key if key.isascii() else encodable(key)] = value
    return clean


def _uniform(values: list[Any]) -> bool:
    kinds = {type(value) for value in values}
    return len(kinds) <= 1 and kinds <= {str, int, float, bool}


def _stack(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error, limit=_FRAMES))
    except Exception:  # noqa: BLE001 - the error's own methods run here
        return "<unprintable>"
