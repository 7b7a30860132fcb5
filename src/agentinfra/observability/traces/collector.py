"""Whether a collector takes spans, asked with a batch that has none in it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from agentinfra._mechanics.vendors import load
from agentinfra.observability.otlp import LOGGERS
from agentinfra.observability.traces.export import exporter_of

if TYPE_CHECKING:
    from agentinfra.settings import TracingSettings

__all__ = ["takes_spans"]

_PATIENCE: Final = 2.0
"""Seconds to ask for: less than a health report waits for a resource."""


def takes_spans(settings: TracingSettings) -> bool:
    """Send an empty batch as spans are sent; blocking, for two seconds at most.

    By an exporter of its own: that of the spans waits and tries again for longer than anybody
    who asks would.
    """
    export = load("opentelemetry.sdk.trace.export")
    exporter = exporter_of(settings, export, _PATIENCE)
    try:
        with _unsaid():
            return bool(exporter.export([]) is export.SpanExportResult.SUCCESS)
    finally:
        exporter.shutdown()


@contextmanager
def _unsaid() -> Iterator[None]:
    """Keep what the exporter logs in this thread to ourselves: the health row says it."""
    here = threading.get_ident()

    def others(record: logging.LogRecord) -> bool:
        return record.thread != here

    loggers = [logging.getLogger(name) for name in LOGGERS]
    for logger in loggers:
        logger.addFilter(others)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(others)
