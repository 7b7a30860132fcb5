"""Series: one metric under one combination of labels, as fast as counting can be.

Adding to a series is one statement without a call inside, so threads under one interpreter lock
lose nothing, and a page rendered meanwhile reads either the old or the new value.
"""

from __future__ import annotations

from abc import abstractmethod
from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING

from agentinfra.errors import ConfigurationError
from agentinfra.observability.metrics.exposition import number

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "Counter",
    "Gauge",
    "Histogram",
    "Series",
]

_INFINITE = float("inf")


class Series:
    """What all series have.

    Args:
        name: The metric.
        labels: The labels as the page writes them, without braces.
    """

    __slots__ = ("labels", "name")

    def __init__(self, name: str, labels: str = "") -> None:
        self.name = name
        self.labels = labels

    @abstractmethod
    def lines(self) -> Iterator[str]:
        """Give the series' lines on the page."""

    @abstractmethod
    def folded(self, count: Counter) -> Series:
        """Return what stands for label combinations that share this series."""

    def _line(self, suffix: str, labels: str, value: str) -> str:
        braced = f"{{{labels}}}" if labels else ""
        return f"{self.name}{suffix}{braced} {value}"


class Counter(Series):
    """A number that only goes up. Any thread may add to it."""

    __slots__ = ("value",)

    def __init__(self, name: str, labels: str = "") -> None:
        super().__init__(name, labels)
        self.value = 0.0

    def inc(self, amount: float = 1.0) -> None:
        """Add an amount.

        Raises:
            ConfigurationError: The amount is negative, infinite or not a number.
        """
        amount = float(amount)
        if not 0.0 <= amount < _INFINITE:
            raise ConfigurationError(
                f"counter {self.name} cannot go up by {amount:g}: count with a finite amount "
                "of 0 or more, or use a gauge"
            )
        self.value += amount

    def lines(self) -> Iterator[str]:
        """Give the series' line on the page."""
        yield self._line("", self.labels, number(self.value))

    def folded(self, count: Counter) -> FoldedCounter:
        """Return what stands for label combinations that share this counter."""
        return FoldedCounter(self, count)


class Gauge(Series):
    """A number that goes up and down. Any thread may set it."""

    __slots__ = ("value",)

    def __init__(self, name: str, labels: str = "") -> None:
        super().__init__(name, labels)
        self.value = 0.0

    def set(self, value: float) -> None:
        """Set it."""
        self.value = float(value)

    def inc(self, amount: float = 1.0) -> None:
        """Add an amount."""
        amount = float(amount)
        self.value += amount

    def dec(self, amount: float = 1.0) -> None:
        """Take an amount away."""
        amount = float(amount)
        self.value -= amount

    def lines(self) -> Iterator[str]:
        """Give the series' line on the page."""
        yield self._line("", self.labels, number(self.value))

    def folded(self, count: Counter) -> FoldedGauge:
        """Return what stands for label combinations that share this gauge."""
        return FoldedGauge(self, count)


class Histogram(Series):
    """Counts values by size. Any thread may add to it. NaN is no size and is left out.

    Args:
        name: The metric.
        labels: The labels as the page writes them, without braces.
        bounds: The buckets' upper bounds, ascending, without infinity.
    """

    __slots__ = ("_bounds", "_counts", "sum")

    def __init__(self, name: str, labels: str = "", bounds: tuple[float, ...] = ()) -> None:
        super().__init__(name, labels)
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value in the buckets that are not below it."""
        value = float(value)
        if value == value:  # false for NaN alone
            index = bisect_left(self._bounds, value)
            self._counts[index] += 1
            self.sum += value

    def lines(self) -> Iterator[str]:
        """Give the series' lines on the page; the counts are read once, so they agree."""
        running = list(accumulate(self._counts))
        before = f"{self.labels}," if self.labels else ""
        for bound, count in zip((*self._bounds, _INFINITE), running, strict=True):
            edge = "+Inf" if bound == _INFINITE else repr(bound)
            yield self._line("_bucket", f'{before}le="{edge}"', str(count))
        yield self._line("_sum", self.labels, number(self.sum))
        yield self._line("_count", self.labels, str(running[-1]))

    def folded(self, count: Counter) -> FoldedHistogram:
        """Return what stands for label combinations that share this histogram."""
        return FoldedHistogram(self, count)


class FoldedCounter(Counter):
    """Stands for label combinations beyond the bound: adds to the series they share."""

    __slots__ = ("_count", "_shared")

    def __init__(self, shared: Counter, count: Counter) -> None:
        super().__init__(shared.name)
        self._shared, self._count = shared, count

    def inc(self, amount: float = 1.0) -> None:
        """Add to the shared series, and count that it was one of many."""
        self._shared.inc(amount)
        self._count.inc()


class FoldedGauge(Gauge):
    """Stands for label combinations beyond the bound: sets the gauge they share."""

    __slots__ = ("_count", "_shared")

    def __init__(self, shared: Gauge, count: Counter) -> None:
        super().__init__(shared.name)
        self._shared, self._count = shared, count

    def set(self, value: float) -> None:
        """Set the shared gauge, and count that it was one of many."""
        self._shared.set(value)
        self._count.inc()

    def inc(self, amount: float = 1.0) -> None:
        """Add to the shared gauge, and count that it was one of many."""
        self._shared.inc(amount)
        self._count.inc()

    def dec(self, amount: float = 1.0) -> None:
        """Take from the shared gauge, and count that it was one of many."""
        self._shared.dec(amount)
        self._count.inc()


class FoldedHistogram(Histogram):
    """Stands for label combinations beyond the bound: counts in the series they share."""

    __slots__ = ("_count", "_shared")

    def __init__(self, shared: Histogram, count: Counter) -> None:
        super().__init__(shared.name)
        self._shared, self._count = shared, count

    def observe(self, value: float) -> None:
        """Count in the shared series, and count that it was one of many."""
        self._shared.observe(value)
        self._count.inc()
