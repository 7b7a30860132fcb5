"""Logs, metrics and traces."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from agentinfra.settings.groups.group import Group
from agentinfra.settings.url import CollectorUrl

__all__ = ["LoggingSettings", "MetricsSettings", "TracingSettings"]


class LoggingSettings(Group):
    """Structured logging.

    Attributes:
        enabled: False drops every event.
        level: The lowest level written.
        json_output: One JSON object a line; False is coloured text for people, None decides by
            whether stderr is a terminal.
        redact: Keys whose values are never shown, beside the built-in ones: not in the log, nor
            in spans, health and errors' texts.
        stdlib: Whether records of the standard library's ``logging`` (uvicorn's and other
            packages'), of ``warnings`` and of structlog's own loggers go the same way, as lines of
            the same form, with ids and without secrets. None takes those of the standard library
            where the program has set up no handler itself; False touches nothing.
    """

    enabled: bool = True
    level: Literal["debug", "info", "warning", "error", "critical"] = "info"
    json_output: bool | None = None
    redact: tuple[str, ...] = ()
    stdlib: bool | None = None

    @field_validator("level", mode="before")
    @classmethod
    def _lower(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value


class MetricsSettings(Group):
    """Prometheus metrics.

    Attributes:
        enabled: False counts nothing and exposes an empty page.
        max_series: Label combinations one metric keeps at most; later ones share the series whose
            labels read ``other``.
        shared_dir: A folder in which workers that are scraped as one keep their numbers, so that
            each worker's page is that of all. None takes one of its own for each address of
            ``runtime.serve``, in the platform's folder for temporary files.
        exporter: Who is sent the figures, besides the page: ``none`` nobody, ``otlp-http`` and
            ``otlp-grpc`` a collector, under the names of OpenTelemetry's conventions.
        endpoint: The collector's address; None is the exporter's own default.
        export_interval: Seconds between two times they are sent.
    """

    enabled: bool = True
    max_series: int = Field(default=1000, ge=1)
    shared_dir: Path | None = None
    exporter: Literal["none", "otlp-http", "otlp-grpc"] = "none"
    endpoint: CollectorUrl | None = None
    export_interval: float = Field(default=60.0, gt=0)


class TracingSettings(Group):
    """OpenTelemetry tracing.

    Attributes:
        enabled: False makes no spans; logs still carry correlation ids.
        provider: Whose tracer provider makes them: ``auto`` takes the one that the program has set
            (Logfire, Phoenix, Langfuse, an OpenTelemetry distribution ...), else our own;
            ``own`` is ours in any case.
        exporter: Where spans of our own provider go: ``none`` keeps ids for correlation and
            exports nothing.
        endpoint: The collector's address; None is the exporter's own default. ``host:port`` alone
            is spoken to without TLS.
        sample_ratio: The share of traces exported, 0.0 to 1.0.
        capture_content: True puts messages and answers into spans. Off by default: they may hold
            personal data.
        service_name: The name traces carry.
        max_queue: Spans waiting for export at most; later ones are dropped and counted.
    """

    enabled: bool = True
    provider: Literal["auto", "own"] = "auto"
    exporter: Literal["none", "console", "otlp-http", "otlp-grpc"] = "none"
    endpoint: CollectorUrl | None = None
    sample_ratio: float = Field(default=1.0, ge=0, le=1)
    capture_content: bool = False
    service_name: str = "agentinfra"
    max_queue: int = Field(default=2048, ge=1)
