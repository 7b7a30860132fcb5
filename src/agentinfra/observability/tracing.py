"""Tracing: spans that always carry ids, and go out by OpenTelemetry."""

from __future__ import annotations

from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any

from agentinfra._mechanics.in_thread import in_thread
from agentinfra._mechanics.remembered import Remembered
from agentinfra._mechanics.resource import Resource
from agentinfra._mechanics.vendors import MissingPackageError
from agentinfra.observability.logging import get_logger
from agentinfra.observability.metrics import Metrics
from agentinfra.observability.redaction import Redactor
from agentinfra.observability.semconv import SPANS_DROPPED
from agentinfra.observability.traces.collector import takes_spans
from agentinfra.observability.traces.export import Export, open_export
from agentinfra.observability.traces.spans import (
    SINKS,
    Span,
    current_span,
    start_span,
    trace_headers,
    traceparent,
)
from agentinfra.observability.traces.told import ExportedSpan, FinishedSpan, SpanKind
from agentinfra.results import ResourceHealth

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentinfra.settings import TracingSettings

__all__ = [
    "FinishedSpan",
    "Span",
    "SpanKind",
    "Tracing",
    "current_span",
    "start_span",
    "trace_headers",
    "traceparent",
]

log = get_logger("agentinfra.tracing")


class Tracing(Resource):
    """The tracing of the running loop: entered, the loop's spans are exported and told.

    Exporting happens in the background and never delays the code that makes spans: what a
    collector does not take in time is dropped and counted. Closing sends what waits and takes at
    most one and a half times ``export_timeout``. While the collector takes no spans the state is
    ``degraded``. A tracer provider that the program has set before is used, whatever it exports to;
    none is ever set by us.

    Args:
        settings: Which provider and exporter, and how much of the traces.
        metrics: Counts the spans that were dropped.
        redactor: Takes secrets out of spans; None has the built-in names only.
        export_timeout: Seconds one batch may take to be sent.
    """

    name = "tracing"

    def __init__(
        self,
        settings: TracingSettings,
        *,
        metrics: Metrics | None = None,
        redactor: Redactor | None = None,
        export_timeout: float = 4.0,
    ) -> None:
        super().__init__()
        self._settings = settings
        self._metrics = metrics or Metrics.off()
        self._export_timeout = export_timeout
        self._sink = _Sink(redactor or Redactor())
        self._where = _where(settings)
        self._outcome = _Outcome(self, self._where)
        self._asked = Remembered(self._ask_collector, seconds=_held)

    @property
    def dropped(self) -> int:
        """How many spans were dropped: the queue was full, or the collector did not take them."""
        return self._outcome.dropped

    def subscribe(self, callback: Callable[[FinishedSpan], None]) -> Callable[[], None]:
        """Have a function called with every span that ends, sampled or not.

        It is called where the span ends, so it has to be quick. One that raises is taken off.

        Returns:
            A function that ends the subscription.
        """
        return self._sink.subscribe(callback)

    async def probe(self) -> ResourceHealth:
        """Return the state now; a collector is asked with an empty batch, now and then."""
        exporting = self._sink.exporting
        ours = exporting is not None and not exporting.is_programs
        if ours and self._settings.exporter.startswith("otlp"):
            await self._asked.get()
        detail = self._where if self._settings.enabled else ""
        if exporting is not None and not ours:
            detail = "the tracer provider of the program"
        return ResourceHealth(name=self.name, state=self.state, reason=self.reason, detail=detail)

    async def _ask_collector(self) -> bool:
        well = await in_thread(partial(takes_spans, self._settings))
        # Told as a batch is told: the next real one says better, and corrects it.
        self._outcome.answered(well=well)
        return well

    async def _open(self) -> None:
        if not self._settings.enabled:
            self.degrade("switched off: set AGENTINFRA_TRACING__ENABLED=true", state="disabled")
            return
        self._outcome.count = self._metrics.counter(SPANS_DROPPED).inc
        try:
            self._sink.export_by(
                await open_export(
                    self._settings,
                    self._sink.redactor,
                    timeout=self._export_timeout,
                    outcome=self._outcome,
                )
            )
        except MissingPackageError as error:
            self.degrade(str(error))
        SINKS.set(self._sink)

    async def _close(self) -> None:
        SINKS.discard(self._sink)
        self._sink.close()
        if self._sink.exporting is not None:
            grace = self._export_timeout / 2
            await self._sink.exporting.aclose(grace=grace, timeout=self._export_timeout)


class _Sink:
    """Takes the spans of one loop, and hands them to the exporter and to the subscribers."""

    __slots__ = ("_callbacks", "export", "exporting", "listening", "redactor")

    def __init__(self, redactor: Redactor) -> None:
        self.redactor = redactor
        self._callbacks: dict[object, Callable[[FinishedSpan], None]] = {}
        self.exporting: Export | None = None
        self.export: Callable[[str, SpanKind, Any], ExportedSpan | None] = _by_nobody
        self.listening = False

    def subscribe(self, callback: Callable[[FinishedSpan], None]) -> Callable[[], None]:
        key = object()  # one function subscribed twice is two subscriptions
        self._callbacks[key] = callback
        self.listening = True
        return lambda: self._remove(key)

    def close(self) -> None:
        self._callbacks.clear()
        self.listening = False

    def export_by(self, exporting: Export | None) -> None:
        self.exporting = exporting
        if exporting is not None:
            self.export = exporting.start  # at once, without a step between, for every span

    def finished(self, span: FinishedSpan) -> None:
        for key, callback in tuple(self._callbacks.items()):
            try:
                callback(span)
            except Exception:
                self._remove(key)
                log.exception("tracing.subscriber_removed", span=span.name)

    def _remove(self, key: object) -> None:
        self._callbacks.pop(key, None)
        self.listening = bool(self._callbacks)


class _Outcome:
    """Keeps count of what the exporting thread reports."""

    __slots__ = ("_lock", "_tracing", "_where", "count", "dropped")

    def __init__(self, tracing: Tracing, where: str) -> None:
        self._tracing = tracing
        self._where = where
        self._lock = Lock()
        self.count: Callable[[float], None] | None = None
        self.dropped = 0

    def lost(self, spans: int) -> None:
        with self._lock:
            self.dropped += spans
        if self.count is not None:
            self.count(spans)

    def answered(self, *, well: bool) -> None:
        if not well:
            self._tracing.degrade(
                f"{self._where} does not take spans, {self.dropped} dropped so far: "
                "see that the collector runs and AGENTINFRA_TRACING__ENDPOINT is its address"
            )
        elif self._tracing.state == "degraded":
            self._tracing.restore()


def _by_nobody(name: str, kind: SpanKind, parent: Any) -> None:
    """Export nothing."""


def _held(well: bool) -> float:  # noqa: FBT001 - it is an answer, not a switch
    """Return the seconds an answer holds: health reports come often, collectors change seldom."""
    return 30.0 if well else 5.0


def _where(settings: TracingSettings) -> str:
    if settings.exporter in ("none", "console"):
        return settings.exporter
    endpoint = settings.endpoint or "its default address"
    return f"{settings.exporter} at {Redactor().text(endpoint)}"
