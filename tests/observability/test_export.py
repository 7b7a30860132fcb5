from __future__ import annotations

import asyncio
import io
import json
import logging
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal

import grpc
import numpy as np
import pytest
from aiohttp import web
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from agentinfra.errors import ConfigurationError
from agentinfra.observability.metrics import Metrics
from agentinfra.observability.otlp import signal_url
from agentinfra.observability.tracing import FinishedSpan, Tracing, current_span, start_span
from agentinfra.settings import TracingSettings

THREADS = ("agentinfra-tracing", "OtelBatch")


class Collector:
    """An OTLP receiver over HTTP, in this process."""

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        self.paths: list[str] = []
        self.status = 200
        self.hanging: asyncio.Event | None = None
        self.asked = asyncio.Event()
        self.url = ""

    @property
    def spans(self) -> dict[str, WireSpan]:
        return {
            span.name: span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        }

    async def handle(self, request: web.BaseRequest) -> web.Response:
        body = await request.read()
        self.paths.append(request.path)
        self.asked.set()
        if self.hanging is not None:
            await self.hanging.wait()
        if self.status == 200:
            self.requests.append(ExportTraceServiceRequest.FromString(body))
        return web.Response(status=self.status)


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    collector = Collector()
    runner = web.ServerRunner(web.Server(collector.handle), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    collector.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield collector
    finally:
        if collector.hanging is not None:
            collector.hanging.set()
        await runner.cleanup()


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    async with collecting() as collector:
        yield collector


@pytest.fixture(autouse=True)
def _nothing_left_behind(caplog):
    caplog.set_level(logging.CRITICAL)
    before = set(threading.enumerate())
    yield
    left = [t for t in threading.enumerate() if t not in before and "asyncio" not in t.name]
    assert left == []


def otlp(url: str, **more: object) -> TracingSettings:
    return TracingSettings(exporter="otlp-http", endpoint=url, **more)


def attributes(span: WireSpan | WireSpan.Event) -> dict[str, object]:
    read = {}
    for pair in span.attributes:
        kind = pair.value.WhichOneof("value")
        value = getattr(pair.value, kind)
        read[pair.key] = [v.string_value for v in value.values] if kind == "array_value" else value
    return read


async def test_spans_arrive(collector):
    """What is recorded is what a collector receives: names, ids, parents, kinds, attributes."""
    settings = otlp(collector.url, service_name="shop")
    async with Tracing(settings) as tracing:
        with start_span("outer", {"a": 1}) as outer:
            async with start_span("inner", kind="client") as inner:
                inner.set_all({"b": "two", "c": 0.5, "d": True, "e": ["x", "y"]})
                inner.event("first_token", {"n": 1})
    assert collector.paths == ["/v1/traces"]
    (resource,) = collector.requests[0].resource_spans
    about = attributes(resource.resource)
    assert about["service.name"] == "shop"
    assert about["telemetry.sdk.name"] == "opentelemetry"
    first, second = collector.spans["inner"], collector.spans["outer"]
    assert first.trace_id.hex() == second.trace_id.hex() == outer.trace_id
    assert (first.span_id.hex(), second.span_id.hex()) == (inner.span_id, outer.span_id)
    assert first.parent_span_id.hex() == outer.span_id == inner.parent_id
    assert second.parent_span_id == b""
    assert (first.kind, second.kind) == (WireSpan.SPAN_KIND_CLIENT, WireSpan.SPAN_KIND_INTERNAL)
    assert attributes(first) == {"b": "two", "c": 0.5, "d": True, "e": ["x", "y"]}
    assert [(e.name, attributes(e)) for e in first.events] == [("first_token", {"n": 1})]
    assert tracing.dropped == 0


@pytest.mark.parametrize("path", ["", "/", "/v1/traces", "/v1/traces/"])
async def test_endpoints(collector, path):
    """A collector's base address and the full one both work."""
    async with Tracing(otlp(collector.url + path)):
        with start_span("a"):
            pass
    assert collector.paths == ["/v1/traces"]


def test_an_endpoint_with_a_query():
    """The path is put in front of a query, which may hold a key."""
    assert signal_url("http://c:4318?key=k", "traces") == "http://c:4318/v1/traces?key=k"
    assert signal_url("http://c:4318/v1/traces/?key=k", "traces") == "http://c:4318/v1/traces?key=k"


@pytest.mark.parametrize(
    ("exporter", "endpoint"),
    [
        ("otlp-http", "http://u:hunter2Aa1hunter2@127.0.0.1:9"),
        ("otlp-http", "http://127.0.0.1:9/hunter2Aa1hunter2/v1/traces"),
        ("otlp-http", "http://127.0.0.1:9?api-key=hunter2Aa1hunter2"),
        ("otlp-grpc", "http://u:hunter2Aa1hunter2@127.0.0.1:9"),
    ],
)
async def test_a_collector_that_is_away_tells_no_secret(exporter, endpoint, caplog):
    """Neither the exporter's own log nor the reason holds what the address hides."""
    caplog.set_level("DEBUG")
    settings_ = TracingSettings(exporter=exporter, endpoint=endpoint)
    async with Tracing(settings_, export_timeout=0.2) as tracing:
        with start_span("a"):
            pass
    assert tracing.dropped == 1
    assert "127.0.0.1:9" in tracing.reason
    assert "hunter2" not in caplog.text + tracing.reason + repr(settings_)


async def test_a_disabled_sdk(monkeypatch):
    """An exporter beside a switched-off OpenTelemetry is refused, and names the variable."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    with pytest.raises(ConfigurationError, match="OTEL_SDK_DISABLED"):
        await Tracing(TracingSettings(exporter="console")).__aenter__()
    with start_span("a") as span:
        assert len(span.trace_id) == 32


async def test_failures_arrive(collector):
    """An exception arrives as status and exception event, without the secrets in it."""
    async with Tracing(otlp(collector.url)):
        with pytest.raises(ValueError, match="hunter2"), start_span("a"):
            raise ValueError("password=hunter2")
    span = collector.spans["a"]
    assert span.status.code == 2
    assert span.status.message == "ValueError: password=[redacted]"
    (event,) = span.events
    described = attributes(event)
    assert event.name == "exception"
    assert described["exception.type"] == "ValueError"
    assert described["exception.message"] == "password=[redacted]"
    assert "test_failures_arrive" in described["exception.stacktrace"]
    assert "hunter2" not in str(span)
    assert attributes(span)["error.type"] == "ValueError"


class Broken:
    def __repr__(self):
        raise RuntimeError("repr")


async def test_attributes_opentelemetry_refuses(collector):
    """Values no collector takes arrive as text, and none of them costs the batch."""
    odd = {
        "decimal": Decimal("1.50"),
        "numpy": np.float32(0.5),
        "big": 2**70,
        "none": None,
        "mixed": [1, "a"],
        "mapping": {"a": [1], "api_key": "hunter2"},
        "surrogate": "\ud800",
        "broken": Broken(),
        "bytes": b"\x00",
        "api_key": "hunter2",
        "url": "postgres://u:hunter2@h",
        "": "no name",
        "\ud800": 1,
    }
    async with Tracing(otlp(collector.url)):
        with start_span("odd \ud800", odd) as span:
            span.event("event \ud800", odd)
    (read,) = collector.spans.values()
    got = attributes(read)
    assert got["decimal"] == "1.50"
    assert got["numpy"] == 0.5
    assert got["big"] == str(2**70)
    assert json.loads(got["mixed"]) == [1, "a"]
    assert json.loads(got["mapping"]) == {"a": [1], "api_key": "[redacted]"}
    assert got["broken"] == "<unprintable Broken>"
    assert "none" not in got
    assert "hunter2" not in str(read)
    assert got["?"] == 1
    assert attributes(read.events[0]) == got


async def test_sampling(collector):
    """With ratio 0 nothing is exported and nothing counts as dropped; subscribers still hear."""
    ended: list[FinishedSpan] = []
    async with Tracing(otlp(collector.url, sample_ratio=0.0)) as tracing:
        tracing.subscribe(ended.append)
        with start_span("a") as outer, start_span("b") as inner:
            assert inner.trace_id == outer.trace_id
            assert outer.traceparent.endswith("-00")
            inner.event("unseen")
    assert (collector.requests, tracing.dropped, len(ended)) == ([], 0, 2)


async def test_the_sdk_reads_its_sampler_itself(collector, monkeypatch):
    """Where the settings say no share, OpenTelemetry's own variables decide; else the settings."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    async with Tracing(otlp(collector.url)):
        with start_span("left out") as span:
            assert not span.exported
    async with Tracing(otlp(collector.url, sample_ratio=1.0)):
        with start_span("taken") as span:
            assert span.exported


async def test_an_incoming_parent(collector):
    """A parent in the OpenTelemetry context is continued, its sampling decision included."""
    for flags, exported in ((TraceFlags.SAMPLED, True), (TraceFlags.DEFAULT, False)):
        collector.requests.clear()
        remote = SpanContext(0xABC, 0xDEF, is_remote=True, trace_flags=TraceFlags(flags))
        async with Tracing(otlp(collector.url)):
            with trace.use_span(NonRecordingSpan(remote)), start_span("a") as span:
                assert span.trace_id == f"{0xABC:032x}"
                assert span.parent_id == f"{0xDEF:016x}"
        assert bool(collector.requests) is exported


async def test_other_instrumentation_nests(collector):
    """Spans of another tracer nest in ours, and ours in theirs."""
    theirs = TracerProvider().get_tracer("vendor")
    async with Tracing(otlp(collector.url)):
        with start_span("ours") as ours, theirs.start_as_current_span("vendor") as vendor:
            assert vendor.parent.span_id == int(ours.span_id, 16)
            with start_span("inner") as inner:
                assert inner.parent_id == f"{vendor.get_span_context().span_id:016x}"
                assert inner.trace_id == ours.trace_id
        assert not trace.get_current_span().get_span_context().is_valid


async def test_a_span_from_before_the_tracing_is_continued(collector):
    """A span that was open before the tracing is the parent of those inside."""
    with start_span("before") as before:
        async with Tracing(otlp(collector.url)):
            with start_span("inside") as inside:
                assert (inside.trace_id, inside.parent_id) == (before.trace_id, before.span_id)
        collector.requests.clear()
        async with Tracing(otlp(collector.url, sample_ratio=0.0)):
            with start_span("unsampled"):
                pass
    assert collector.requests == []


async def test_left_in_another_task(collector, caplog):
    """A span left in another task than it was entered in arrives, and nothing complains."""
    async with Tracing(otlp(collector.url)):
        span = start_span("stream")

        async def enter() -> None:
            span.__enter__()

        async def leave() -> None:
            span.__exit__(None, None, None)

        await asyncio.create_task(enter())
        await asyncio.create_task(leave())
        assert current_span() is None
    assert list(collector.spans) == ["stream"]
    assert caplog.records == []


async def test_the_global_provider_stays(collector):
    """The global tracer provider is what it was."""
    before = trace.get_tracer_provider()
    async with Tracing(otlp(collector.url)):
        with start_span("a"):
            pass
        assert trace.get_tracer_provider() is before


async def test_a_full_queue_drops_and_counts(collector):
    """Spans beyond the queue's bound are dropped and counted, and making them costs no waiting."""
    collector.hanging = asyncio.Event()
    async with Metrics() as metrics:
        settings = otlp(collector.url, max_queue=4)
        async with Tracing(settings, metrics=metrics) as tracing:
            for _ in range(4):  # a full batch, which the exporter takes at once
                with start_span("first"):
                    pass
            await asyncio.wait_for(collector.asked.wait(), 5)
            for _ in range(10):
                with start_span("more"):
                    pass
            assert tracing.dropped == 6
            collector.hanging.set()
        assert tracing.dropped == 6
        assert "\nspans_dropped_total 6\n" in metrics.expose()
    assert len([s for r in collector.requests for s in _all(r)]) == 8


def _all(request: ExportTraceServiceRequest) -> list[WireSpan]:
    return [s for r in request.resource_spans for scope in r.scope_spans for s in scope.spans]


@pytest.mark.parametrize("exporter", ["otlp-http", "otlp-grpc"])
async def test_a_collector_that_is_away(exporter):
    """Without a collector the work goes on, closing is bounded, and every span is counted."""
    settings = TracingSettings(exporter=exporter, endpoint="http://127.0.0.1:1")
    async with Metrics() as metrics:
        async with Tracing(settings, metrics=metrics, export_timeout=0.3) as tracing:
            assert tracing.state == "ready"
            began = time.perf_counter()
            for _ in range(20):
                with start_span("a"):
                    pass
            assert time.perf_counter() - began < 0.2
            began = time.perf_counter()
        assert time.perf_counter() - began < 1.5
        assert tracing.dropped == 20
        assert "\nspans_dropped_total 20\n" in metrics.expose()
    assert tracing.state == "degraded"
    assert "20 dropped" in tracing.reason
    assert "http://127.0.0.1:1" in tracing.reason


async def test_a_collector_that_hangs(collector):
    """With a collector that never answers closing is bounded, and every span is counted."""
    collector.hanging = asyncio.Event()
    async with Tracing(otlp(collector.url), export_timeout=0.3) as tracing:
        for _ in range(20):
            with start_span("a"):
                pass
        began = time.perf_counter()
    assert time.perf_counter() - began < 1.0
    assert tracing.dropped == 20
    assert tracing.state == "degraded"


async def test_a_collector_that_drips():
    """With a collector that keeps every read alive, too, closing is bounded and all is counted."""
    asked, ended = asyncio.Event(), asyncio.Event()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        writer.write(b"HTTP/1.1 400 Bad Request\r\n")
        while not ended.is_set():
            writer.write(b"x: y\r\n")
            await asyncio.sleep(0.01)
        writer.close()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = otlp(f"http://127.0.0.1:{port}", max_queue=4)
    async with Tracing(settings, export_timeout=0.2) as tracing:
        for _ in range(4):
            with start_span("under way"):
                pass
        await asyncio.wait_for(asked.wait(), 5)
        for _ in range(3):
            with start_span("waiting"):
                pass
        began = time.perf_counter()
    assert time.perf_counter() - began < 1.0
    assert tracing.dropped >= 3
    ended.set()
    await _until(lambda: not [t for t in threading.enumerate() if t.name.startswith(THREADS)])
    assert tracing.dropped == 7
    server.close()
    await server.wait_closed()


async def test_a_collector_that_refuses_and_recovers(collector):
    """A refused batch is counted and degrades the tracing; one that is taken restores it."""
    collector.status = 400
    async with Tracing(otlp(collector.url, max_queue=1)) as tracing:
        with start_span("lost"):
            pass
        await _until(lambda: tracing.state == "degraded")
        assert tracing.dropped == 1
        collector.status = 200
        with start_span("kept"):
            pass
        await _until(lambda: tracing.state == "ready")
    assert tracing.dropped == 1
    assert list(collector.spans) == ["kept"]


async def _until(condition) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - it is threads that are waited for
            await asyncio.sleep(0.005)


async def test_a_span_that_outlives_its_tracing_is_counted(collector):
    """A span that ends after closing is counted as dropped."""
    async with Tracing(otlp(collector.url)) as tracing:
        span = start_span("late").__enter__()
    span.__exit__(None, None, None)
    assert tracing.dropped == 1
    assert collector.requests == []


async def test_closing_while_cancelled(collector):
    """Closing that is cancelled leaves no thread behind once the batch under way is over."""
    collector.hanging = asyncio.Event()
    tracing = await Tracing(otlp(collector.url), export_timeout=0.3).__aenter__()
    with start_span("a"):
        pass
    closing = asyncio.create_task(tracing.aclose())
    await asyncio.wait_for(collector.asked.wait(), 5)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await _until(lambda: not [t for t in threading.enumerate() if t.name.startswith(THREADS)])


async def test_console(capsys):
    """The console exporter writes one JSON object a span to stderr."""
    async with Tracing(TracingSettings(exporter="console")):
        with start_span("a", {"x": 1}) as span:
            pass
    (line,) = capsys.readouterr().err.splitlines()
    written = json.loads(line)
    assert written["name"] == "a"
    assert written["context"]["trace_id"] == f"0x{span.trace_id}"
    assert written["attributes"] == {"x": 1}


async def test_a_console_that_fails(monkeypatch):
    """Spans that cannot be written to stderr are counted."""
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr("sys.stderr", closed)
    async with Tracing(TracingSettings(exporter="console")) as tracing:
        with start_span("a"):
            pass
    monkeypatch.undo()
    assert tracing.dropped == 1


async def test_grpc():
    """The gRPC exporter reaches a gRPC collector."""
    received: list[ExportTraceServiceRequest] = []

    async def export(request, context):
        received.append(request)
        return ExportTraceServiceResponse()

    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(
        export,
        request_deserializer=ExportTraceServiceRequest.FromString,
        response_serializer=ExportTraceServiceResponse.SerializeToString,
    )
    service = "opentelemetry.proto.collector.trace.v1.TraceService"
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service, {"Export": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    settings = TracingSettings(exporter="otlp-grpc", endpoint=f"http://127.0.0.1:{port}")
    async with Tracing(settings) as tracing:
        with start_span("a"):
            pass
    await server.stop(0)
    assert [span.name for request in received for span in _all(request)] == ["a"]
    assert tracing.dropped == 0


async def test_a_collector_is_asked_with_an_empty_batch(collector):
    """A health report asks it once in a while; no span is needed to see that it takes them."""
    async with Tracing(otlp(collector.url)) as tracing:
        rows = [await tracing.probe() for _ in range(3)]
        assert {row.state for row in rows} == {"ready"}
        assert rows[0].detail == f"otlp-http at {collector.url}"
    assert len(collector.requests) == 1
    assert not collector.spans


@pytest.mark.parametrize("exporter", ["otlp-http", "otlp-grpc"])
async def test_a_collector_that_is_away_is_seen_by_asking(exporter, caplog):
    """Without any span, in bounded time, and without a log line of the exporter's."""
    caplog.set_level(logging.WARNING)
    endpoint = "http://agent:open-barley@127.0.0.1:9"
    async with Tracing(TracingSettings(exporter=exporter, endpoint=endpoint)) as tracing:
        row = await tracing.probe()
    assert row.state == "degraded"
    assert "does not take spans" in row.reason
    assert "barley" not in row.reason + row.detail
    assert [record.name for record in caplog.records if record.name[:5] == "opent"] == []
