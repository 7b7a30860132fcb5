"""What a log line, a counter, a histogram and a span cost, beside the best set-ups of their peers.

Each pair is interleaved in one process, round by round, so that a machine's moods meet both; the
figures are medians of the rounds.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Callable
from contextlib import AsyncExitStack

from benchmarks.report import Claim, Result, Table, versions

NAME = "telemetry"

LONG = ("The key point: the customer was right about the invoice. " * 40)[:2000]
FIELDS = {"model": "gpt-4o-mini", "tokens": 512, "cost_usd": 0.00031, "latency": 1.25}


async def run(*, quick: bool) -> Result:
    """Measure one after another, and all three on one call."""
    rounds, times = (7, 1500) if quick else (15, 4000)
    async with AsyncExitStack() as stack:
        pairs = {
            **await _lines(stack),
            **await _series(stack),
            **await _spans(stack),
        }
        costs = {name: _interleaved(pair, rounds, times) for name, pair in pairs.items()}
        together = await _together(stack, rounds, times)
        stuck = await _stuck(rounds, times)
    rows = [
        (name, *(f"{cost:.2f}" for cost in pair), pair[0] / pair[1]) for name, pair in costs.items()
    ]
    ratios = {name: ours / theirs for name, (ours, theirs) in costs.items()}
    claims = (
        Claim("log_line_of_structlog", ratios["log line, structlog"], "<=", 1.2),
        Claim("long_log_line_of_structlog", ratios["log line with 2 KB, structlog"], "<=", 2.0),
        Claim("counter_of_prometheus_client", ratios["counter, prometheus_client"], "<=", 1.0),
        Claim("histogram_of_prometheus_client", ratios["histogram, prometheus_client"], "<=", 1.0),
        Claim("span_of_opentelemetry", ratios["exported span, opentelemetry"], "<=", 1.2),
        Claim("all_on_one_call_us", together, "<=", 40.0),
        Claim("stuck_stream_of_a_free_one", stuck, "<=", 1.05),
    )
    table = Table(
        title="Microseconds each, and ours of theirs",
        columns=("what, beside", "ours", "theirs", "ratio"),
        rows=tuple(rows),
    )
    packages = ("structlog", "orjson", "prometheus-client", "opentelemetry-sdk", "google-re2")
    return Result(name=NAME, versions=versions(*packages), tables=(table,), claims=claims)


Pair = tuple[Callable[[], object], Callable[[], object]]


def _interleaved(pair: Pair, rounds: int, times: int) -> tuple[float, float]:
    """Return the microseconds each of two functions takes, by the median of rounds."""
    took: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for which, call in enumerate(pair):
            began = time.perf_counter()
            for _ in range(times):
                call()
            if number:  # the first round warms up
                took[which].append((time.perf_counter() - began) / times * 1e6)
    return statistics.median(took[0]), statistics.median(took[1])


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
    histogram = metrics.histogram(semconv.LLM_LATENCY, "gpt-4o-mini", "chat")
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
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    from agentinfra.observability.tracing import Tracing, start_span
    from agentinfra.settings import TracingSettings

    attributes = {f"gen_ai.attribute_{number}": f"value {number}" for number in range(12)}
    tracing = Tracing(TracingSettings(exporter="console", max_queue=100_000))
    await stack.enter_async_context(tracing)
    # The SDK's console exporter is not what is measured: both sides hand their spans to nothing.
    tracing._sink.exporting.queue._exporter = _Nothing()  # noqa: SLF001
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(_Nothing(), 100_000, 1000, 512))
    stack.callback(provider.shutdown)
    tracer = provider.get_tracer("bench")

    def ours():
        with start_span("chat gpt-4o-mini", attributes, kind="client"):
            pass

    def theirs():
        with tracer.start_as_current_span("chat gpt-4o-mini") as span:
            span.set_attributes(attributes)

    return {"exported span, opentelemetry": (ours, theirs)}


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


async def _together(stack: AsyncExitStack, rounds: int, times: int) -> float:
    """Return what a line, five series and an exported span take together, in microseconds."""
    from agentinfra.observability import semconv
    from agentinfra.observability.logging import get_logger
    from agentinfra.observability.metrics import Metrics
    from agentinfra.observability.tracing import start_span

    log = get_logger("bench")
    metrics = await stack.enter_async_context(Metrics())
    counters = [metrics.counter(semconv.LLM_TOKENS, "m", kind) for kind in ("prompt", "total")]
    calls = metrics.counter(semconv.LLM_CALLS, "m", "ok")
    latency = metrics.histogram(semconv.LLM_LATENCY, "m", "chat")
    cost = metrics.counter(semconv.LLM_COST, "m")

    def call():
        with start_span("chat m", FIELDS, kind="client"):
            for counter in counters:
                counter.inc(512)
            calls.inc()
            cost.inc(0.00031)
            latency.observe(1.25)
            log.info("llm.call_finished", **FIELDS)

    return _interleaved((call, call), rounds, times)[0]


async def _stuck(rounds: int, times: int) -> float:
    """Return what a line costs on a pipe that nobody reads, of one on a free stream."""
    from agentinfra.observability.logging import Logging, get_logger
    from agentinfra.settings import LoggingSettings

    log = get_logger("bench")
    read, write = os.pipe()
    took = {}
    with open(write, "w") as pipe, open(os.devnull, "w") as free:
        for name, stream in (("stuck", pipe), ("free", free)) * 2:
            async with Logging(LoggingSettings(json_output=True), stream=stream):
                for _ in range(12_000 if stream is pipe else 1):  # until the queue is full
                    log.info("fill", **FIELDS)
                call = lambda: log.info("llm.call_finished", **FIELDS)  # noqa: E731
                took[name] = _interleaved((call, call), max(3, rounds // 3), times)[0]
            await asyncio.sleep(0)
    os.close(read)
    return took["stuck"] / took["free"]
