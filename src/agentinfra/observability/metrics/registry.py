"""Prometheus metrics on aioprometheus.

The registry, the collectors with their checks of names, and the store of their values are
aioprometheus's. Two things are ours, because of what its release 23.12 does:

* The values in the store are our series, bound once and kept by their users. Its own ``inc`` turns
  the labels into JSON at each call, takes numpy's numbers for errors and ``200`` and ``"200"`` for
  two series with one text.
* The page is written by ``exposition.py``. Its formatter does not escape
  label values, so that one quote in one of them makes the server refuse the whole page; it writes
  ``nan`` and ``inf``, which no reader takes; and it walks the live store, which fails when another
  thread adds a series meanwhile.
"""

from __future__ import annotations

import math
from itertools import pairwise
from threading import RLock
from typing import TYPE_CHECKING, Any

from agentinfra._mechanics.resource import Resource
from agentinfra._mechanics.vendors import MissingPackageError, load
from agentinfra.errors import ConfigurationError
from agentinfra.observability.metrics import exposition as page
from agentinfra.observability.metrics.series import Counter, Gauge, Histogram, Series
from agentinfra.observability.semconv import METRICS, SERIES_DROPPED, MetricSpec

if TYPE_CHECKING:
    from agentinfra.settings import MetricsSettings

__all__ = ["Counter", "Gauge", "Histogram", "MetricSpec", "Metrics"]

_MAX_SERIES = 1000
_OTHER = "other"


class Metrics(Resource):
    """The metrics of a runtime, and their page.

    Series can be taken and counted on in any thread. Before it is entered, switched off, or
    without aioprometheus it gives series that work and are on no page. Closing changes nothing
    of this: the page stays readable.

    Args:
        settings: Whether to count, and how many series a metric keeps; None is the defaults.
    """

    name = "metrics"
    vendors = ("aioprometheus",)

    def __init__(self, settings: MetricsSettings | None = None) -> None:
        super().__init__()
        self._enabled = settings is None or settings.enabled
        self._max_series = _MAX_SERIES if settings is None else settings.max_series
        self._registry: Any = None
        self._collectors: dict[str, Any] = {}
        self._families: dict[str, _Family] = {}
        self._lock = RLock()

    @classmethod
    def off(cls) -> Metrics:
        """Return metrics that count nothing as long as nobody enters them."""
        return cls()

    def counter(self, spec: MetricSpec, *label_values: str) -> Counter:
        """Return the counter with these labels; keep it where it is used often.

        Args:
            spec: One of :mod:`~agentinfra.observability.semconv`, or your own.
            label_values: One for each of its labels, in order.

        Raises:
            ConfigurationError: The spec is no counter, is not well-formed or contradicts another
                of its name, or the number of labels is wrong.
        """
        series = self._series("counter", spec, label_values)
        return series if isinstance(series, Counter) else Counter(spec.name)

    def gauge(self, spec: MetricSpec, *label_values: str) -> Gauge:
        """Return the gauge with these labels; see :meth:`counter`."""
        series = self._series("gauge", spec, label_values)
        return series if isinstance(series, Gauge) else Gauge(spec.name)

    def histogram(self, spec: MetricSpec, *label_values: str) -> Histogram:
        """Return the histogram with these labels; see :meth:`counter`."""
        series = self._series("histogram", spec, label_values)
        return series if isinstance(series, Histogram) else Histogram(spec.name)

    def expose(self) -> str:
        """Return the page in the Prometheus text format 0.0.4."""
        if self._registry is None:
            return f"# {self._reason}\n" if self._state == "degraded" else ""
        lines: list[str] = []
        for collector in self._registry.get_all():
            lines.append(page.preamble(collector.name, collector.kind.name, collector.doc))
            # The copy is made in one step; walking the store itself fails while threads add to it.
            for series in list(collector.values.store.values()):
                lines.extend(series.lines())
        return "\n".join(lines) + "\n"

    async def _open(self) -> None:
        if not self._enabled:
            self.degrade("switched off: set AGENTINFRA_METRICS__ENABLED=true", state="disabled")
            return
        try:
            vendor = load("aioprometheus")
        except MissingPackageError as error:
            self.degrade(str(error))
            return
        self._collectors = {
            "counter": vendor.Counter,
            "gauge": vendor.Gauge,
            "histogram": vendor.Histogram,
        }
        self._registry = vendor.Registry()
        for spec in METRICS:
            self._register(spec)

    def _series(self, kind: str, spec: MetricSpec, values: tuple[str, ...]) -> Series | None:
        if spec.kind != kind:
            raise ConfigurationError(
                f"metric {spec.name} is a {spec.kind}: take it with metrics.{spec.kind}(...)"
            )
        if len(values) != len(spec.labels):
            raise ConfigurationError(
                f"metric {spec.name} has {len(spec.labels)} labels ({', '.join(spec.labels)}) and "
                f"was given {len(values)} values: give one for each"
            )
        family = self._families.get(spec.name)
        if family is None:
            if self._registry is None:
                return None
            family = self._register(spec)
        elif family.spec is not spec:
            family.check(spec)
        return family.series.get(values) or self._grow(family, values)

    def _register(self, spec: MetricSpec) -> _Family:
        _check(spec)
        with self._lock:
            family = self._families.get(spec.name)
            if family is None:
                collector = self._collectors[spec.kind](
                    spec.name, spec.help, registry=self._registry
                )
                family = self._families[spec.name] = _Family(spec, collector)
                if not spec.labels:
                    family.add(())
        family.check(spec)
        return family

    def _grow(self, family: _Family, values: tuple[str, ...]) -> Series:
        plain = tuple(page.label_value(value) for value in values)
        with self._lock:
            known = family.series.get(plain)
            if known is not None:
                return known
            bounded = family.spec.name != SERIES_DROPPED.name  # has one series a metric at most
            if bounded and len(family.series) >= self._max_series:
                return self._fold(family)
            return family.add(plain)

    def _fold(self, family: _Family) -> Series:
        if family.folded is None:
            others = (_OTHER,) * len(family.spec.labels)
            shared = family.series.get(others) or family.add(others)
            family.folded = shared.folded(self.counter(SERIES_DROPPED, family.spec.name))
        return family.folded


class _Family:
    """A metric, its collector and its series by their label values."""

    __slots__ = ("_collector", "folded", "series", "spec")

    def __init__(self, spec: MetricSpec, collector: Any) -> None:
        self.spec = spec
        self.series: dict[tuple[str, ...], Series] = {}
        self.folded: Series | None = None
        self._collector = collector

    def check(self, spec: MetricSpec) -> None:
        """Refuse a spec that says something else under the same name."""
        mine, other = self.spec, spec
        if (mine.kind, mine.labels, mine.buckets) != (other.kind, other.labels, other.buckets):
            raise ConfigurationError(
                f"metric {mine.name} is a {mine.kind} with labels {mine.labels} and was asked for "
                f"as a {other.kind} with labels {other.labels}: use one spec, or another name"
            )

    def add(self, values: tuple[str, ...]) -> Series:
        spec = self.spec
        labels = page.labels_text(spec.labels, values)
        series: Series
        if spec.kind == "counter":
            series = Counter(spec.name, labels)
        elif spec.kind == "gauge":
            series = Gauge(spec.name, labels)
        else:
            series = Histogram(spec.name, labels, spec.buckets)
        self._collector.set_value(dict(zip(spec.labels, values, strict=True)), series)
        self.series[values] = series
        return series


def _check(spec: MetricSpec) -> None:
    """Refuse a spec that no Prometheus server would take."""
    if not page.is_metric_name(spec.name):
        raise ConfigurationError(
            f"metric name {spec.name!r} cannot be used: letters, digits, _ and : only, "
            "no digit first"
        )
    reserved = {"job", "le"} if spec.kind == "histogram" else {"job"}
    for label in spec.labels:
        if not page.is_label_name(label) or label in reserved or spec.labels.count(label) > 1:
            raise ConfigurationError(
                f"metric {spec.name} cannot have the label {label!r}: letters, digits and _ only, "
                f"no digit or __ first, each once, and not {' or '.join(sorted(reserved))}"
            )
    rising = all(low < high for low, high in pairwise(spec.buckets))
    finite = all(map(math.isfinite, spec.buckets))
    if spec.kind == "histogram" and not (spec.buckets and rising and finite):
        raise ConfigurationError(
            f"histogram {spec.name} has the buckets {spec.buckets}: give rising, finite bounds"
        )
