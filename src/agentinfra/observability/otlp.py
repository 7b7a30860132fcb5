"""What spans and metrics share on their way to a collector: its address, the exporter, who sends.

OpenTelemetry's own exporters speak the protocol. Here they are made, so that neither their log
nor their errors show an address with a secret in it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from agentinfra._mechanics.vendors import load
from agentinfra.observability.semconv import SERVICE_NAME

if TYPE_CHECKING:
    from agentinfra.settings.url import CollectorUrl

__all__ = ["LOGGERS", "MODULES", "Protocol", "Signal", "exporter_of", "resource_of", "signal_url"]

Signal: TypeAlias = Literal["traces", "metrics"]
Protocol: TypeAlias = Literal["otlp-http", "otlp-grpc"]

MODULES: Final = {
    ("traces", "otlp-http"): "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    ("traces", "otlp-grpc"): "opentelemetry.exporter.otlp.proto.grpc.trace_exporter",
    ("metrics", "otlp-http"): "opentelemetry.exporter.otlp.proto.http.metric_exporter",
    ("metrics", "otlp-grpc"): "opentelemetry.exporter.otlp.proto.grpc.metric_exporter",
}
"""Where each exporter is; importing one takes a while."""

LOGGERS: Final = (
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.exporter.otlp.proto.http.metric_exporter",
    "opentelemetry.exporter.otlp.proto.grpc.exporter",
)
"""Loggers of the standard library in which the exporters say what went wrong."""

_EXPORTERS: Final = {"traces": "OTLPSpanExporter", "metrics": "OTLPMetricExporter"}
_SERVICE: Final = "agentinfra"


def exporter_of(
    signal: Signal, protocol: Protocol, endpoint: CollectorUrl | None, timeout: float
) -> Any:
    """Return an exporter of OpenTelemetry's that gives a batch so many seconds.

    Raises:
        MissingPackageError: It is not installed.
    """
    kind = getattr(load(MODULES[signal, protocol], extra="otlp"), _EXPORTERS[signal])
    address = None if endpoint is None else endpoint.get_secret_value()
    if protocol == "otlp-grpc":
        # gRPC has no login in its addresses, and writes all of them into its log.
        place = address and re.sub(r"(?<=//)[^/?#]*@", "", address)
        return kind(endpoint=place, timeout=timeout)
    url = address and signal_url(address, signal)
    return kind(endpoint=url, timeout=timeout, session=_session())


def signal_url(endpoint: str, signal: Signal) -> str:
    """Return where a signal is sent for a collector's base address, or for the full one."""
    place, question, query = endpoint.partition("?")
    base, path = place.rstrip("/"), f"/v1/{signal}"
    return f"{base}{'' if base.endswith(path) else path}{question}{query}"


def resource_of(service: str | None) -> Any:
    """Return who sends: ``OTEL_RESOURCE_ATTRIBUTES``, then what our settings say.

    Args:
        service: The service's name; None where our settings name none.
    """
    resources = load("opentelemetry.sdk.resources")
    resource = resources.Resource.create(None if service is None else {SERVICE_NAME: service})
    if str(resource.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        resource = resource.merge(resources.Resource({SERVICE_NAME: _SERVICE}))
    return resource


def _session() -> Any:
    """Return a session of requests whose errors do not tell the address, which may be a secret."""
    requests = load("requests", extra="otlp")
    session = requests.Session()
    send = session.send

    def sent(request: Any, **options: Any) -> Any:
        try:
            return send(request, **options)
        except requests.RequestException as error:
            # The exporter logs the error, and looks at its type.
            raise type(error)(f"the collector cannot be reached: {_why(error)}") from None

    session.send = sent
    return session


def _why(error: BaseException) -> str:
    """Return what the system said, of an error and those behind it; else the error's name."""
    behind: BaseException | None = error
    while behind is not None:
        if isinstance(behind, OSError) and behind.strerror:
            return behind.strerror
        behind = behind.__cause__ or behind.__context__
    return type(error).__name__
