"""What a log line, a counter, a histogram and a span cost, beside the best set-ups of their peers.

Each pair is interleaved in one process, a short block at a time, so that a machine's moods meet
both; the figures are those of the best block, for what else runs on the machine can only add.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager

from benchmarks.report import Claim, Result, Table, versions

NAME = "telemetry"

LONG = ("The key point: the customer was right about the invoice. " * 40)[:2000]
HOSTILE = (
    "key=",
    "token='",
    "authorization=",
    "cookie: a ",
    "://a:",
    "a-",
    '"token","',
    "<token>a",
    'login("aaaaaaaaaaaaaaaa',
    "key a1b2c3d4e5f6g7h8 ",
    "x-key: 1a ",
)
FIELDS = {"model": "gpt-4o-mini", "tokens": 512, "cost_usd": 0.00031, "latency": 1.25}


async def run(*, quick: bool) -> Result:
    """Measure one after another, and all three on one call."""
    rounds, blocks = (6, 240) if quick else (12, 600)
    async with AsyncExitStack() as stack:
        pairs = {
            **await _lines(stack),
            **await _series(stack),
            **await _spans(stack),
        }
        costs = {name: _least(pair, blocks) for name, pair in pairs.items()}
        both = await _together(stack)
        costs["all three on one call, the three"] = _least(both, blocks)
        stuck = await _streams(both[0], rounds, blocks // 3)
    slow = await _collectors(rounds, blocks // 3)
    hostile = max(map(_hidden_in_ms, HOSTILE))
    rows = [
        (name, *(f"{cost:.2f}" for cost in pair), f"{pair[0] / pair[1]:.3f}")
        for name, pair in costs.items()
    ]
    ratios = {name: ours / theirs for name, (ours, theirs) in costs.items()}
    claims = (
        Claim("log_line_of_structlog", ratios["log line, structlog"], "<=", 1.2),
        Claim("long_log_line_of_structlog", ratios["log line with 2 KB, structlog"], "<=", 2.0),
        Claim("counter_of_prometheus_client", ratios["counter, prometheus_client"], "<=", 1.0),
        Claim("histogram_of_prometheus_client", ratios["histogram, prometheus_client"], "<=", 1.0),
        Claim("span_of_opentelemetry", ratios["exported span, opentelemetry"], "<=", 1.2),
        Claim("all_on_one_call_us", costs["all three on one call, the three"][0], "<=", 40.0),
        Claim("all_on_one_call_of_three", ratios["all three on one call, the three"], "<=", 1.2),
        Claim("hostile_20_mb_ms", hostile, "<=", 20.0),
        *(Claim(f"{name}_of_a_free_one", value, "<=", 1.05) for name, value in stuck.items()),
        *(Claim(f"{name}_of_a_quick_one", value, "<=", 1.05) for name, value in slow.items()),
    )
    table = Table(
        title="Microseconds each, and ours of theirs",
        columns=("what, beside", "ours", "theirs", "ratio"),
        rows=tuple(rows),
    )
    packages = ("structlog", "orjson", "prometheus-client", "opentelemetry-sdk", "google-re2")
    return Result(name=NAME, versions=versions(*packages), tables=(table,), claims=claims)


Pair = tuple[Callable[[], object], Callable[[], object]]


_TIMES = 50
"""Calls of one block: a millisecond or two, which a busy machine leaves alone now and then."""


def _least(calls: Sequence[Callable[[], object]], blocks: int) -> list[float]:
    """Return the microseconds each of some functions takes, in the best of its blocks."""
    least = [float("inf")] * len(calls)
    for _ in range(blocks):
        for which, call in enumerate(calls):
            began = time.perf_counter()
            for _ in range(_TIMES):
                call()
            least[which] = min(least[which], (time.perf_counter() - began) / _TIMES * 1e6)
    return least


async def _lines(stack: AsyncExitStack) -> dict[str, Pair]:
    import orjson
    import structlog

    from agentinfra.observability.logging import Logging, get_logger
    from agentinfra.settings import LoggingSettings

    ours = stack.enter_context(open(os.devnull, "w"))  # noqa: SIM115
    theirs = stack.enter_context(open(os.devnull, "wb"))  # noqa: SIM115
    await stack.enter_async_context(Logging(LoggingSettings(json_output=True), stream=ours))
    log = get_logger("bench")
    structlog.configure(
        cache_logger_on_first_use=True,
        wrapper_class=structlog.make_filtering_bound_logger(20),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(serializer=orjson.dumps),
        ],
        logger_factory=structlog.BytesLoggerFactory(file=theirs),
    )
    peer = structlog.get_logger()
    stack.callback(structlog.reset_defaults)
    return {
        "log line, structlog": (
            lambda: log.info("llm.call_finished", **FIELDS),
            lambda: peer.info("llm.call_finished", **FIELDS),
        ),
        "log line with 2 KB, structlog": (
            lambda: log.info("llm.call_finished", text=LONG),
            lambda: peer.info("llm.call_finished", text=LONG),
        ),
    }


async def _series(stack: AsyncExitStack) -> dict[str, Pair]:
    import prometheus_client

    from agentinfra.observability import semconv
    from agentinfra.observability.metrics import Metrics

    metrics = await stack.enter_async_context(Metrics())
    counter = metrics.counter(semconv.LLM_CALLS, "gpt-4o-mini", "ok")
    histogram = metrics.histogram(semconv.LLM_LATENCY, "gpt-4o-mini", "chat", "ok")
    registry = prometheus_client.CollectorRegistry()
    calls = prometheus_client.Counter("calls", "Calls.", ["model", "outcome"], registry=registry)
    took = prometheus_client.Histogram("took", "Took.", ["model"], registry=registry)
    their_counter, their_histogram = calls.labels("gpt-4o-mini", "ok"), took.labels("gpt-4o-mini")
    return {
        "counter, prometheus_client": (counter.inc, their_counter.inc),
        "histogram, prometheus_client": (
            lambda: histogram.observe(1.25),
            lambda: their_histogram.observe(1.25),
        ),
    }


async def _spans(stack: AsyncExitStack) -> dict[str, Pair]:
    from opentelemetry.trace import SpanKind

    from agentinfra.observability.tracing import Tracing, start_span
    from agentinfra.settings import TracingSettings

    attributes = {f"gen_ai.attribute_{number}": f"value {number}" for number in range(12)}
    tracing = Tracing(TracingSettings(exporter="console", max_queue=100_000))
    await stack.enter_async_context(tracing)
    # The SDK's console exporter is not what is measured: both sides hand their spans to nothing.
    tracing._sink.exporting.queue._exporter = _Nothing()  # noqa: SLF001
    tracer = _provider(stack).get_tracer("bench")

    def ours():
        with start_span("chat gpt-4o-mini", attributes, kind="client"):
            pass

    def theirs():
        with tracer.start_as_current_span("chat gpt-4o-mini", kind=SpanKind.CLIENT) as span:
            span.set_attributes(attributes)

    return {"exported span, opentelemetry": (ours, theirs)}


def _provider(stack: AsyncExitStack):
    """Return a provider of OpenTelemetry's own that hands its spans to nothing."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(_Nothing(), 100_000, 1000, 512))
    stack.callback(provider.shutdown)
    return provider


class _Nothing:
    """An exporter that takes everything."""

    def export(self, spans):
        del spans
        from opentelemetry.sdk.trace.export import SpanExportResult

        return SpanExportResult.SUCCESS

    def shutdown(self):
        """Nothing is held."""

    def force_flush(self, timeout_millis=0):
        """Nothing waits."""
        del timeout_millis
        return True


async def _together(stack: AsyncExitStack) -> Pair:
    """Return a line, five series and an exported span on one call, ours and the peers'."""
    import prometheus_client
    import structlog
    from opentelemetry import trace

    from agentinfra.observability import semconv
    from agentinfra.observability.logging import get_logger
    from agentinfra.observability.metrics import Metrics
    from agentinfra.observability.tracing import start_span

    log, peer = get_logger("bench"), structlog.get_logger()
    metrics = await stack.enter_async_context(Metrics())
    counters = [metrics.counter(semconv.LLM_TOKENS, "m", kind) for kind in ("prompt", "total")]
    calls = metrics.counter(semconv.LLM_CALLS, "m", "ok")
    latency = metrics.histogram(semconv.LLM_LATENCY, "m", "chat", "ok")
    cost = metrics.counter(semconv.LLM_COST, "m")
    registry = prometheus_client.CollectorRegistry()
    theirs = [prometheus_client.Counter(f"c{n}", "C.", registry=registry) for n in range(4)]
    took = prometheus_client.Histogram("h", "H.", registry=registry)
    tracer = _provider(stack).get_tracer("bench")

    def ours():
        with start_span("chat m", FIELDS, kind="client"):
            for counter in counters:
                counter.inc(512)
            calls.inc()
            cost.inc(0.00031)
            latency.observe(1.25)
            log.info("llm.call_finished", **FIELDS)

    def peers():
        with tracer.start_as_current_span("chat m", kind=trace.SpanKind.CLIENT) as span:
            span.set_attributes(FIELDS)
            for counter in theirs:
                counter.inc(512)
            took.observe(1.25)
            context = span.get_span_context()
            peer.info(
                "llm.call_finished",
                trace_id=trace.format_trace_id(context.trace_id),
                span_id=trace.format_span_id(context.span_id),
                **FIELDS,
            )

    return ours, peers


async def _streams(call: Callable[[], object], rounds: int, blocks: int) -> dict[str, float]:
    """Return what a call costs whose log nobody reads, or has a full disk, of one that is free."""
    from agentinfra.observability.logging import Logging
    from agentinfra.settings import LoggingSettings

    read, write = os.pipe()
    took: dict[str, list[float]] = {"free": [], "stuck": [], "full": []}
    with open(write, "w") as pipe, open(os.devnull, "w") as free, open("/dev/full", "w") as full:
        for _ in range(rounds):
            for name, stream in (("free", free), ("stuck", pipe), ("full", full)):
                async with Logging(LoggingSettings(json_output=True), stream=stream):
                    for _ in range(12_000 if stream is pipe else 1):  # until the queue is full
                        call()
                    took[name] += _least((call,), blocks)
    os.close(read)
    of = {name: min(values) for name, values in took.items()}
    return {"stuck_stream": of["stuck"] / of["free"], "full_disk": of["full"] / of["free"]}


async def _collectors(rounds: int, blocks: int) -> dict[str, float]:
    """Return what a span costs whose collector is dead or slow, of one that takes them all."""
    from agentinfra.observability.tracing import Tracing, start_span
    from agentinfra.settings import TracingSettings

    took: dict[str, list[float]] = {"quick": [], "dead": [], "slow": []}
    attributes = {f"gen_ai.attribute_{number}": f"value {number}" for number in range(12)}

    def call():
        with start_span("chat gpt-4o-mini", attributes, kind="client"):
            pass

    with _collector() as quick, socket.create_server(("127.0.0.1", 0)) as mute:
        with socket.create_server(("127.0.0.1", 0)) as gone:
            dead = gone.getsockname()[1]
        ports = {"quick": quick, "dead": dead, "slow": mute.getsockname()[1]}
        for _ in range(rounds):
            for name, port in ports.items():
                settings = TracingSettings(
                    exporter="otlp-http", endpoint=f"http://127.0.0.1:{port}", max_queue=100_000
                )
                async with Tracing(settings, export_timeout=0.5):
                    took[name] += _least((call,), blocks)
    of = {name: min(values) for name, values in took.items()}
    return {f"{name}_collector": of[name] / of["quick"] for name in ("dead", "slow")}


def _hidden_in_ms(text: str) -> float:
    """Return the milliseconds of work that 20 MB of a text make, while secrets are looked for."""
    from agentinfra.observability.redaction import Redactor

    redactor, whole = Redactor(), (text * (20_000_000 // len(text) + 1))[:20_000_000]
    took = []
    for _ in range(5):
        began = time.thread_time()
        redactor.text(whole)
        took.append((time.thread_time() - began) * 1e3)
    return min(took)


_SERVER = """
import http.server

class Taking(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass

server = http.server.HTTPServer(("127.0.0.1", 0), Taking)
print(server.server_port, flush=True)
server.serve_forever()
"""


@contextmanager
def _collector() -> Iterator[int]:
    """Run a collector that takes everything, in a process of its own; give its port."""
    command = [sys.executable, "-c", _SERVER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield int(server.stdout.readline())
        finally:
            server.kill()
