"""Series: one metric under one combination of labels, as fast as counting can be.

Adding to a series is one statement without a call inside, so threads under one interpreter lock
lose nothing, and a page rendered meanwhile reads either the old or the new value.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from agentinfra.errors import ConfigurationError
from agentinfra.observability.metrics.cells import Key, PrivateCells

if TYPE_CHECKING:
    from agentinfra.observability.metrics.cells import Place

__all__ = [
    "Amount",
    "Counter",
    "ExactCounter",
    "Exemplar",
    "Gauge",
    "Histogram",
    "Series",
    "folded",
]

Amount: TypeAlias = float | Decimal

Exemplar: TypeAlias = tuple[str, float, float]
"""A trace id, the value seen in it, and when, in seconds since the epoch."""

_INFINITE = float("inf")
_EXACT = 2.0**52
"""Below it the floats are at most half a unit apart: a product is right to the nearest unit."""


class Series:
    """What all series have.

    Args:
        key: What it is.
        place: Where its numbers are; None keeps them here, for a series that is on no page.
    """

    __slots__ = ("_at", "_cells", "key")

    def __init__(self, key: Key, place: Place | None = None) -> None:
        self.key = key
        self._cells, self._at = place or PrivateCells().place(key)

    def move(self, place: Place) -> None:
        """Keep the numbers elsewhere from now on; while nobody counts."""
        cells, at = place
        for offset, value in enumerate(self.values()):
            cells[at + offset] = value
        self._cells, self._at = cells, at

    def values(self) -> list[float]:
        """Return the series' numbers as they are now."""
        return list(self._cells[self._at : self._at + self.key.size])


class Counter(Series):
    """A number that only goes up. Any thread may add to it."""

    __slots__ = ()

    @property
    def value(self) -> float:
        """The number."""
        return self._cells[self._at]

    def inc(self, amount: Amount = 1.0) -> None:
        """Add an amount.

        Raises:
            ConfigurationError: The amount is negative, infinite or not a number.
        """
        if not 0.0 <= amount < _INFINITE:
            raise _cannot_go_up(self.key.name, float(amount))
        try:
            self._cells[self._at] += amount  # type: ignore[operator]
        except TypeError:  # a Decimal
            self._cells[self._at] += float(amount)


class ExactCounter(Counter):
    """Adds up in whole units of its last digit, so that a million small amounts are their sum."""

    __slots__ = ("_small", "_units")

    def __init__(self, key: Key, place: Place | None = None) -> None:
        super().__init__(key, place)
        self._units = 10**key.decimals
        self._small = _EXACT / self._units

    @property
    def value(self) -> float:
        """The number."""
        return float(self._cells[self._at] / self._units)

    def inc(self, amount: Amount = 1.0) -> None:
        """Add an amount, to the nearest unit.

        Raises:
            ConfigurationError: The amount is negative, infinite or not a number.
        """
        if not 0.0 <= amount < _INFINITE:
            raise _cannot_go_up(self.key.name, float(amount))
        if type(amount) is float and amount < self._small:
            units = round(amount * self._units)
        else:
            units = round((amount if type(amount) is Decimal else Decimal(amount)) * self._units)
        self._cells[self._at] += units


class Gauge(Series):
    """A number that goes up and down. Any thread may set it."""

    __slots__ = ()

    @property
    def value(self) -> float:
        """The number."""
        return self._cells[self._at]

    def set(self, value: float) -> None:
        """Set it."""
        self._cells[self._at] = float(value)

    def inc(self, amount: float = 1.0) -> None:
        """Add an amount."""
        amount = float(amount)
        self._cells[self._at] += amount

    def dec(self, amount: float = 1.0) -> None:
        """Take an amount away."""
        amount = float(amount)
        self._cells[self._at] -= amount


class Histogram(Series):
    """Counts values by size. Any thread may add to it. NaN is no size and is left out."""

    __slots__ = ("_bounds", "_sum", "exemplars")

    exemplars: dict[int, Exemplar]
    """The last trace that was seen in a bucket, by the bucket's number."""

    def __init__(self, key: Key, place: Place | None = None) -> None:
        super().__init__(key, place)
        self._bounds = key.buckets
        self._sum = self._at + len(key.buckets) + 1
        self.exemplars = {}

    def move(self, place: Place) -> None:
        """Keep the numbers elsewhere from now on; while nobody counts."""
        super().move(place)
        self._sum = self._at + len(self._bounds) + 1

    def observe(self, value: float, trace_id: str = "") -> None:
        """Count a value in the buckets that are not below it.

        Args:
            value: The value.
            trace_id: The trace it was seen in, shown beside its bucket in OpenMetrics.
        """
        value = float(value)
        if value == value:  # false for NaN alone
            bucket = bisect_left(self._bounds, value)
            self._cells[self._at + bucket] += 1
            self._cells[self._sum] += value
            if trace_id:
                self.exemplars[bucket] = (trace_id, value, time.time())


def folded(shared: Series, count: Callable[[], None]) -> Series:
    """Return what stands for label combinations beyond the bound: adds to the series they share.

    Args:
        shared: That series.
        count: Called each time, to count that it was one of many.
    """
    kind: Any = _FOLDED[type(shared)]
    twin: Any = kind(shared.key, (shared._cells, shared._at))  # noqa: SLF001 - its own module
    twin.count = count
    return cast("Series", twin)


class _FoldedCounter(Counter):
    __slots__ = ("count",)
    count: Callable[[], None]

    def inc(self, amount: Amount = 1.0) -> None:
        super().inc(amount)
        self.count()


class _FoldedExactCounter(ExactCounter):
    __slots__ = ("count",)
    count: Callable[[], None]

    def inc(self, amount: Amount = 1.0) -> None:
        super().inc(amount)
        self.count()


class _FoldedGauge(Gauge):
    __slots__ = ("count",)
    count: Callable[[], None]

    def set(self, value: float) -> None:
        super().set(value)
        self.count()

    def inc(self, amount: float = 1.0) -> None:
        super().inc(amount)
        self.count()

    def dec(self, amount: float = 1.0) -> None:
        super().dec(amount)
        self.count()


class _FoldedHistogram(Histogram):
    __slots__ = ("count",)
    count: Callable[[], None]

    def observe(self, value: float, trace_id: str = "") -> None:
        super().observe(value, trace_id)
        self.count()


_FOLDED: dict[type[Series], type[Series]] = {
    Counter: _FoldedCounter,
    ExactCounter: _FoldedExactCounter,
    Gauge: _FoldedGauge,
    Histogram: _FoldedHistogram,
}


def _cannot_go_up(name: str, amount: float) -> ConfigurationError:
    return ConfigurationError(
        f"counter {name} cannot go up by {amount:g}: count with a finite amount of 0 or more, or "
        "use a gauge"
    )
