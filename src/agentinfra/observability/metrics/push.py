"""Figures to a collector: read from the series now and then, sent by OpenTelemetry's exporter.

Nothing is added to a call: the series are what they are, and a thread of its own reads and sends
them. What OpenTelemetry's conventions have a name for goes out under it, with their attributes; the
rest as on the page.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from agentinfra._mechanics.clock import SYSTEM_CLOCK, Clock
from agentinfra._mechanics.closing import cancel_and_wait
from agentinfra._mechanics.in_thread import in_thread
from agentinfra._mechanics.vendors import load, preload
from agentinfra.observability import otlp, semconv
from agentinfra.observability.metrics.families import Family

if TYPE_CHECKING:
    from agentinfra.settings import MetricsSettings

__all__ = ["Push", "metrics_of"]

_TIMEOUT: Final = 4.0  # seconds one batch gets, the last one too
_VENDORS: Final = ("opentelemetry.sdk.metrics.export", "opentelemetry.sdk.resources")
_UNITS: Final = {
    "_seconds": "s",
    "_ms": "ms",
    "_bytes": "By",
    "_usd": "{USD}",
    "_tokens": "{token}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Named:
    """What a metric is by the conventions.

    Attributes:
        name: Its name there.
        attributes: The attribute of each label.
        always: Attributes that it always has.
        of_model: Whether it says whose model it is about.
    """

    name: str
    attributes: Mapping[str, str]
    always: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    of_model: bool = False


_CALL: Final = {"model": semconv.REQUEST_MODEL, "operation": semconv.OPERATION}
_BY_CONVENTION: Final = {
    semconv.LLM_LATENCY.name: _Named(
        name="gen_ai.client.operation.duration",
        attributes={**_CALL, "outcome": semconv.ERROR_TYPE},
        of_model=True,
    ),
    semconv.LLM_CALL_TOKENS.name: _Named(
        name="gen_ai.client.token.usage",
        attributes={**_CALL, "type": semconv.TOKEN_TYPE},
        of_model=True,
    ),
    semconv.LLM_FIRST_TOKEN.name: _Named(
        name="gen_ai.client.operation.time_to_first_chunk",
        attributes=_CALL,
        always={semconv.OPERATION: "chat"},
        of_model=True,
    ),
    semconv.DB_QUERIES.name: _Named(
        name="db.client.operation.duration",
        attributes={"operation": semconv.DB_OPERATION, "outcome": semconv.ERROR_TYPE},
        always={semconv.DB_SYSTEM: "postgresql"},
    ),
}


_NO_ERRORS: Final = frozenset({"ok", "left", "cancelled", "CancelledError"})


class Push:
    """Sends the series of this process to a collector, again and again and once more at the end.

    Args:
        settings: To whom, and how often.
        families: Gives what there is to send.
        servers: What spans say of each model's server.
        service: The name of who sends; None where our settings say none.
        told: Called with whether the collector took a batch.
        clock: Where the pauses come from.
    """

    def __init__(
        self,
        settings: MetricsSettings,
        families: Callable[[], Iterable[Family]],
        servers: Mapping[str, Mapping[str, Any]],
        *,
        service: str | None = None,
        told: Callable[[bool], None],
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._settings = settings
        self._families = families
        self._servers = servers
        self._service = service
        self._told = told
        self._clock = clock
        self._began = time.time_ns()
        self._exporter: Any = None
        self._resource: Any = None
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin to send.

        Raises:
            MissingPackageError: OpenTelemetry, or the exporter, is not installed.
        """
        protocol = self._settings.exporter
        if protocol == "none":
            return
        await preload([*_VENDORS, otlp.MODULES["metrics", protocol]])
        self._exporter = otlp.exporter_of("metrics", protocol, self._settings.endpoint, _TIMEOUT)
        self._resource = otlp.resource_of(self._service)
        self._task = asyncio.create_task(self._go_on(), name="agentinfra-metrics")

    async def close(self) -> None:
        """Send what there is now, for four seconds at most, and stop."""
        if self._task is None:
            return
        await cancel_and_wait(self._task)
        await self._send()
        await in_thread(self._exporter.shutdown)

    async def _go_on(self) -> None:
        while True:
            await self._clock.sleep(self._settings.export_interval)
            await self._send()

    async def _send(self) -> None:
        # An exporter that waits to try again is woken where whoever sends is cancelled.
        self._told(await in_thread(self._export, on_cancel=self._exporter.shutdown))

    def _export(self) -> bool:
        export = load("opentelemetry.sdk.metrics.export")
        scope = load("opentelemetry.sdk.util.instrumentation").InstrumentationScope("agentinfra")
        metrics = list(metrics_of(self._families(), self._servers, began=self._began))
        sent = export.ScopeMetrics(scope, metrics, "")
        data = export.MetricsData([export.ResourceMetrics(self._resource, [sent], "")])
        try:
            result = self._exporter.export(data, timeout_millis=_TIMEOUT * 1000)
        except Exception:  # noqa: BLE001 - whatever it is, the next batch says the same and more
            return False
        return bool(result is export.MetricExportResult.SUCCESS)


def metrics_of(
    families: Iterable[Family], servers: Mapping[str, Mapping[str, Any]], *, began: int
) -> Iterator[Any]:
    """Give metrics as OpenTelemetry's exporters take them.

    Args:
        families: What there is.
        servers: What spans say of each model's server.
        began: When counting began, in nanoseconds since the epoch.
    """
    export = load("opentelemetry.sdk.metrics.export")
    sums = export.AggregationTemporality.CUMULATIVE
    moment = {"start_time_unix_nano": began, "time_unix_nano": time.time_ns()}
    for family in families:
        spec = family.spec
        named = _BY_CONVENTION.get(spec.name)
        points = [
            _point(export, spec, attributes, numbers, moment)
            for attributes, numbers in _added_up(family, named, servers)
        ]
        if not points:
            continue
        if spec.kind == "histogram":
            data = export.Histogram(points, sums)
        elif spec.kind == "counter":
            data = export.Sum(points, sums, is_monotonic=True)
        else:
            data = export.Gauge(points)
        name = spec.name.removesuffix("_total") if named is None else named.name
        yield export.Metric(name, spec.help, _unit(spec.name), data)


def _added_up(
    family: Family, named: _Named | None, servers: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[dict[str, Any], list[float]]]:
    """Give the attributes and numbers of series; those that have the same attributes become one."""
    told: dict[tuple[Any, ...], tuple[dict[str, Any], list[float]]] = {}
    for labels, series in family.labelled():
        attributes = labels if named is None else _attributes(labels, named, servers)
        numbers = series.values()
        if family.spec.kind == "histogram" and not any(numbers):
            continue
        _, known = told.setdefault(tuple(attributes.items()), (attributes, [0.0] * len(numbers)))
        known[:] = [a + b for a, b in zip(known, numbers, strict=True)]
    yield from told.values()


def _attributes(
    labels: Mapping[str, str], named: _Named, servers: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    attributes: dict[str, Any] = dict(named.always)
    if named.of_model:
        attributes |= {semconv.PROVIDER: "openai", **servers.get(labels["model"], {})}
    for label, value in labels.items():
        # How a call ended is an attribute only where that is an error.
        if label != "outcome" or value not in _NO_ERRORS:
            attributes[named.attributes[label]] = value
    return attributes


def _point(
    export: Any,
    spec: semconv.MetricSpec,
    attributes: dict[str, Any],
    numbers: list[float],
    moment: dict[str, int],
) -> Any:
    if spec.kind != "histogram":
        value = numbers[0] / 10**spec.decimals
        return export.NumberDataPoint(attributes, **moment, value=value)
    counts = [int(number) for number in numbers[:-1]]
    return export.HistogramDataPoint(
        attributes,
        **moment,
        count=sum(counts),
        sum=numbers[-1],
        bucket_counts=counts,
        explicit_bounds=spec.buckets,
        min=None,
        max=None,
    )


def _unit(name: str) -> str:
    bare = name.removesuffix("_total")
    return next((unit for ending, unit in _UNITS.items() if bare.endswith(ending)), "1")
