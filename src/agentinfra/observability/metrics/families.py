"""Families: a metric, what may be said of it, and its series by their label values."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from agentinfra.errors import ConfigurationError
from agentinfra.observability.metrics.cells import Cells, Key
from agentinfra.observability.metrics.exposition import is_label_name, is_metric_name, labels_text
from agentinfra.observability.metrics.page import Sample
from agentinfra.observability.metrics.series import (
    Counter,
    ExactCounter,
    Gauge,
    Histogram,
    Series,
)
from agentinfra.observability.semconv import MetricSpec

__all__ = ["Family", "check"]


class Family:
    """A metric and its series.

    Args:
        spec: What the metric is.
        cells: Where its numbers are kept.
    """

    __slots__ = ("_cells", "collector", "folded", "series", "spec")

    def __init__(self, spec: MetricSpec, cells: Cells) -> None:
        self.spec = spec
        self.series: dict[tuple[str, ...], Series] = {}
        self.folded: Series | None = None
        self.collector: Any = None
        self._cells = cells
        if not spec.labels:
            self.add(())

    def check(self, spec: MetricSpec) -> None:
        """Refuse a spec that says something else under the same name."""
        mine, other = self.spec, spec
        if (mine.kind, mine.labels, mine.buckets) != (other.kind, other.labels, other.buckets):
            raise ConfigurationError(
                f"metric {mine.name} is a {mine.kind} with labels {mine.labels} and was asked for "
                f"as a {other.kind} with labels {other.labels}: use one spec, or another name"
            )

    def add(self, values: tuple[str, ...]) -> Series:
        """Make the series with these label values."""
        spec = self.spec
        key = Key(
            name=spec.name,
            kind=spec.kind,
            help=spec.help,
            labels=labels_text(spec.labels, values),
            buckets=spec.buckets if spec.kind == "histogram" else (),
            decimals=spec.decimals,
            across=spec.across,
        )
        series = self.series[values] = _KINDS[spec.kind, spec.decimals > 0](
            key, self._cells.place(key)
        )
        return series

    def settle(self, cells: Cells) -> None:
        """Move the numbers of series taken before to where they are kept from now on."""
        self._cells = cells
        for series in self.series.values():
            series.move(cells.place(series.key))

    def samples(self) -> Iterator[Sample]:
        """Give each series' numbers as they are now."""
        # The copy is made in one step; walking the store itself fails while threads add to it.
        for series in list(self.series.values()):
            seen = series.exemplars if isinstance(series, Histogram) else {}
            yield Sample(series.key, series.values(), dict(seen))

    def labelled(self) -> Iterator[tuple[dict[str, str], Series]]:
        """Give each series with its labels."""
        for values, series in list(self.series.items()):
            yield dict(zip(self.spec.labels, values, strict=True)), series

    def join(self, vendor: Any, registry: Any) -> None:
        """Stand in a registry of aioprometheus's, for whatever renders that."""
        if self.collector is not None:
            return
        base = {"counter": vendor.Counter, "gauge": vendor.Gauge, "histogram": vendor.Histogram}
        kind = base[self.spec.kind]
        live = type(kind.__name__, (kind,), {"get_all": lambda _: self._told()})
        self.collector = live(self.spec.name, self.spec.help, registry=registry)

    def _told(self) -> list[tuple[dict[str, str], Any]]:
        return [(labels, _as_vendor(series)) for labels, series in self.labelled()]


_KINDS: dict[tuple[str, bool], type[Series]] = {
    ("counter", False): Counter,
    ("counter", True): ExactCounter,
    ("gauge", False): Gauge,
    ("histogram", False): Histogram,
}


def _as_vendor(series: Series) -> Any:
    if not isinstance(series, Histogram):
        return series.value  # type: ignore[attr-defined]  # counters and gauges have it
    values = series.values()
    running, told = 0.0, {}
    for bound, count in zip((*series.key.buckets, math.inf), values[:-1], strict=True):
        running += count
        told[bound] = running
    return {**told, "sum": values[-1], "count": running}


def check(spec: MetricSpec) -> None:
    """Refuse a spec that no Prometheus server would take."""
    if not is_metric_name(spec.name):
        raise ConfigurationError(
            f"metric name {spec.name!r} cannot be used: letters, digits, _ and : only, "
            "no digit first"
        )
    reserved = {"job", "le"} if spec.kind == "histogram" else {"job"}
    for label in spec.labels:
        if not is_label_name(label) or label in reserved or spec.labels.count(label) > 1:
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
