"""What the tests of observation share: a stream to read back, and collectors others wrote."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

import pytest
from oteltest.sink import GrpcSink, HttpSink
from oteltest.sink.handler import RequestHandler


class LogStream(StringIO):
    """Takes log lines, and reads them back."""

    @property
    def lines(self) -> list[str]:
        return self.getvalue().splitlines()

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


@pytest.fixture
def stream() -> LogStream:
    return LogStream()


class Collected(RequestHandler):
    """What a collector was sent.

    Attributes:
        url: Where it listens.
    """

    def __init__(self) -> None:
        self.url = ""
        self._traces: list[Any] = []
        self._metrics: list[Any] = []

    def handle_trace(self, request: Any, headers: Any) -> None:
        self._traces.append(request)

    def handle_metrics(self, request: Any, headers: Any) -> None:
        self._metrics.append(request)

    def handle_logs(self, request: Any, headers: Any) -> None:
        raise AssertionError("nobody sends logs")

    @property
    def resources(self) -> list[Any]:
        return [part.resource for request in self._traces for part in request.resource_spans]

    @property
    def spans(self) -> list[Any]:
        return [
            span
            for request in self._traces
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def metrics(self) -> list[list[Any]]:
        """What was sent, batch by batch."""
        return [
            [
                metric
                for resource in request.resource_metrics
                for scope in resource.scope_metrics
                for metric in scope.metrics
            ]
            for request in self._metrics
        ]


@contextmanager
def collecting(exporter: str) -> Iterator[Collected]:
    """Run a collector of the package oteltest's, for the protocol of an exporter of ours."""
    collected, quiet = Collected(), logging.getLogger("collector")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    kind = {"otlp-http": HttpSink, "otlp-grpc": GrpcSink}[exporter]
    sink = kind(collected, quiet, port=port)
    collected.url = f"http://127.0.0.1:{port}"
    sink.start()
    try:
        yield collected
    finally:
        sink.stop()


@pytest.fixture(params=["otlp-http", "otlp-grpc"])
def exporter(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def collected(exporter: str) -> Iterator[Collected]:
    with collecting(exporter) as collected:
        yield collected
