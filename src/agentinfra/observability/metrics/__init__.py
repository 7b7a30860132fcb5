"""Counters, gauges and histograms, and the page that shows them."""

from __future__ import annotations

from agentinfra.observability.metrics.registry import (
    Counter,
    Gauge,
    Histogram,
    Metrics,
    MetricSpec,
)

__all__ = ["Counter", "Gauge", "Histogram", "MetricSpec", "Metrics"]
