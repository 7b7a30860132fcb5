"""Prometheus metrics on aioprometheus.

The registry is aioprometheus's: collectors a program registers there are on the page, and ours can
be rendered by whatever renders it. Series, their numbers and the page are ours, because of what its
release 23.12 does: its ``inc`` turns the labels into JSON at each call, takes numpy's numbers for
errors and ``200`` and ``"200"`` for two series with one text; its formatter does not escape label
values, so that one quote in one of them makes the server refuse the whole page, and writes ``nan``
and ``inf``, which no reader takes; and it knows one process only.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, cast

from agentinfra._mechanics.clock import SYSTEM_CLOCK, Clock
from agentinfra._mechanics.resource import Resource
from agentinfra._mechanics.vendors import MissingPackageError, load
from agentinfra.errors import ConfigurationError
from agentinfra.observability.metrics.cells import Cells, PrivateCells
from agentinfra.observability.metrics.exposition import label_value
from agentinfra.observability.metrics.families import Family, check
from agentinfra.observability.metrics.page import Sample, foreign, render
from agentinfra.observability.metrics.process import process_samples
from agentinfra.observability.metrics.push import Push
from agentinfra.observability.metrics.series import Counter, Gauge, Histogram, Series, folded
from agentinfra.observability.semconv import METRICS, SERIES_DROPPED, MetricSpec

if TYPE_CHECKING:
    from agentinfra.settings import MetricsSettings

__all__ = ["Counter", "Gauge", "Histogram", "MetricSpec", "Metrics"]

_MAX_SERIES = 1000
_OTHER = "other"


class Metrics(Resource):
    """The metrics of a runtime, and their page.

    Series can be taken and counted on in any thread, before it is entered too: what was counted by
    then is on the page. Switched off, or without aioprometheus, it gives series that work and are
    on no page. Closing changes nothing of this: the page stays readable. Where the settings name
    an exporter, a collector is sent the figures too; while it takes none the state is ``degraded``.

    Args:
        settings: Whether to count, how many series a metric keeps, and which folder workers
            share; None is the defaults.
        address: Where workers of one service serve the page; they share a folder of its own, where
            the settings name none. None shares nothing.
        service: The name under which figures are sent to a collector; None is what
            ``OTEL_SERVICE_NAME`` says, else ``agentinfra``.
        clock: Where the pauses between two sendings come from.

    Attributes:
        servers: What spans say of each model's server; figures sent to a collector say it too.
    """

    name = "metrics"
    vendors = ("aioprometheus",)

    def __init__(
        self,
        settings: MetricsSettings | None = None,
        *,
        address: str | None = None,
        service: str | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        super().__init__()
        self._enabled = settings is None or settings.enabled
        self._max_series = _MAX_SERIES if settings is None else settings.max_series
        self._shared = None if settings is None else settings.shared_dir
        if self._shared is None and address is not None:
            self._shared = _folder_of(address)
        self._registry: Any = None
        self._families: dict[str, Family] = {}
        self._cells: Cells = PrivateCells()
        self._created = 0.0
        self._lock = RLock()
        self.servers: dict[str, Mapping[str, Any]] = {}
        self._push = None if settings is None else self._pushing(settings, service, clock)

    @classmethod
    def off(cls) -> Metrics:
        """Return metrics that count nothing as long as nobody enters them."""
        return cls()

    @property
    def registry(self) -> Any:
        """The ``aioprometheus.Registry`` behind the page, None where there is none.

        Collectors that a program registers there are on the page too; ours are in it, for
        whatever renders it.
        """
        return self._registry

    def counter(self, spec: MetricSpec, *label_values: str) -> Counter:
        """Return the counter with these labels; keep it where it is used often.

        Taking it is enough for it to be on the page, at 0: a server never sees the first increment
        of a series that was not there.

        Args:
            spec: One of `semconv`, or your own.
            label_values: One for each of its labels, in order.

        Raises:
            ConfigurationError: The spec is no counter, is not well-formed or contradicts another
                of its name, or the number of labels is wrong.
        """
        return cast("Counter", self._series("counter", spec, label_values))

    def gauge(self, spec: MetricSpec, *label_values: str) -> Gauge:
        """Return the gauge with these labels; see `counter`."""
        return cast("Gauge", self._series("gauge", spec, label_values))

    def histogram(self, spec: MetricSpec, *label_values: str) -> Histogram:
        """Return the histogram with these labels; see `counter`."""
        return cast("Histogram", self._series("histogram", spec, label_values))

    def expose(self, *, openmetrics: bool = False) -> str:
        """Return the page.

        Args:
            openmetrics: True gives OpenMetrics 1.0, with traces beside buckets and with the time
                counters began at; else it is the Prometheus text format 0.0.4.
        """
        if self._registry is None:
            return f"# {self._reason}\n" if self._state == "degraded" else ""
        specs = [family.spec for family in list(self._families.values())]
        page = render(specs, self._samples(), openmetrics=openmetrics, created=self._created)
        lines = list(page)
        ours = {id(family.collector) for family in self._families.values()}
        own = [line for c in self._registry.get_all() if id(c) not in ours for line in foreign(c)]
        end = [lines.pop()] if openmetrics else []
        return "\n".join([*lines, *own, *end]) + "\n"

    async def _open(self) -> None:
        if not self._enabled:
            self.degrade("switched off: set AGENTINFRA_METRICS__ENABLED=true", state="disabled")
            return
        try:
            vendor = load("aioprometheus")
        except MissingPackageError as error:
            self.degrade(str(error))
            return
        if self._shared is not None:
            self._cells = self._open_shared(self._shared)
        self._created = time.time()
        with self._lock:
            self._registry = vendor.Registry()
            for family in self._families.values():
                family.settle(self._cells)
            for spec in METRICS:
                self._family(spec)
            for family in self._families.values():
                family.join(vendor, self._registry)
        if self._push is not None:
            try:
                await self._push.open()
            except MissingPackageError as error:
                self._push = None
                self.degrade(str(error))

    async def _close(self) -> None:
        try:
            if self._push is not None:
                await self._push.close()
        finally:  # whoever leaves in a hurry leaves the numbers to the siblings all the same
            self._let_go()

    def _let_go(self) -> None:
        cells, self._cells = self._cells, PrivateCells()
        if isinstance(cells, PrivateCells):
            return
        with self._lock:
            for family in self._families.values():
                family.settle(self._cells)
        # Only now: whoever counts writes to numbers of this process, the siblings keep the others.
        cells.close()

    def _pushing(self, settings: MetricsSettings, service: str | None, clock: Clock) -> Push | None:
        if settings.exporter == "none":
            return None
        where = settings.endpoint or "its default address"
        complaint = (
            f"{settings.exporter} at {where} does not take figures: see that the collector runs "
            "and AGENTINFRA_METRICS__ENDPOINT is its address"
        )

        def told(well: bool) -> None:  # noqa: FBT001 - it is an answer, not a switch
            if not well:
                self.degrade(complaint)
            elif self.reason == complaint:  # what else is wrong stays
                self.restore()

        families = self._families
        return Push(
            settings,
            lambda: list(families.values()),
            self.servers,
            service=service,
            told=told,
            clock=clock,
        )

    def _open_shared(self, folder: Path) -> Cells:
        try:
            from agentinfra.observability.metrics.workers import SharedCells

            return SharedCells(folder)
        except (ImportError, OSError) as error:  # no such locks, no such folder
            self.degrade(
                f"workers do not add up on one page, {folder} cannot be used: {error}: set "
                "AGENTINFRA_METRICS__SHARED_DIR to a folder all of them may write"
            )
            return PrivateCells()

    def _samples(self) -> Iterator[Sample]:
        for family in list(self._families.values()):
            yield from family.samples()
        if not isinstance(self._cells, PrivateCells) and self._shared is not None:
            from agentinfra.observability.metrics.workers import SharedCells, read_workers

            mine = self._cells.folder if isinstance(self._cells, SharedCells) else None
            for key, values in read_workers(self._shared, mine):
                yield Sample(key, values)
        yield from process_samples()

    def _series(self, kind: str, spec: MetricSpec, values: tuple[str, ...]) -> Series:
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
            family = self._family(spec)
        elif family.spec is not spec:
            family.check(spec)
        return family.series.get(values) or self._grow(family, values)

    def _family(self, spec: MetricSpec) -> Family:
        check(spec)
        with self._lock:
            family = self._families.get(spec.name)
            if family is None:
                family = self._families[spec.name] = Family(spec, self._cells)
                if self._registry is not None:
                    family.join(load("aioprometheus"), self._registry)
        family.check(spec)
        return family

    def _grow(self, family: Family, values: tuple[str, ...]) -> Series:
        plain = tuple(label_value(value) for value in values)
        with self._lock:
            known = family.series.get(plain)
            if known is not None:
                return known
            bounded = family.spec.name != SERIES_DROPPED.name  # has one series a metric at most
            if bounded and len(family.series) >= self._max_series:
                return self._fold(family)
            return family.add(plain)

    def _fold(self, family: Family) -> Series:
        if family.folded is None:
            others = (_OTHER,) * len(family.spec.labels)
            shared = family.series.get(others) or family.add(others)
            count = self.counter(SERIES_DROPPED, family.spec.name)
            family.folded = folded(shared, count.inc)
        return family.folded


def _folder_of(address: str) -> Path | None:
    """Return the folder that workers of an address share; None for a port that is any free one."""
    host, _, port = address.rpartition(":")
    if not port.strip("0"):
        return None
    user = os.getuid() if hasattr(os, "getuid") else "user"
    place = re.sub(r"[^A-Za-z0-9.]+", "_", host)
    return Path(tempfile.gettempdir()) / f"agentinfra-metrics-{user}" / f"{place}-{port}"
