"""Figures at a collector others wrote: under the conventions' names, exact, to the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from agentinfra import InfraRuntime, Settings
from agentinfra.errors import AgentInfraError
from agentinfra.observability import semconv
from agentinfra.observability.metrics import Metrics
from agentinfra.settings import MetricsSettings
from agentinfra.testing import faults

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "semconv" / "model"
HELLO = [{"role": "user", "content": "hello"}]


def attributes(point: Any) -> dict[str, Any]:
    return {
        pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in point.attributes
    }


def points(batch: list[Any], name: str) -> list[Any]:
    (found,) = [metric for metric in batch if metric.name == name]
    return list(getattr(found, found.WhichOneof("data")).data_points)


async def test_what_was_counted_arrives_when_it_ends(collected, exporter):
    """The last batch has every count, sum and bucket, whatever the interval."""
    async with Metrics(MetricsSettings(exporter=exporter, endpoint=collected.url)) as metrics:
        metrics.counter(semconv.REQUESTS, "sales", "plan").inc(3)
        metrics.counter(semconv.LLM_COST, "m").inc(0.1)
        metrics.gauge(semconv.LLM_IN_FLIGHT).set(2)
        for value in (0.004, 0.3, 500):
            metrics.histogram(semconv.LOOP_LAG).observe(value)
        assert metrics.state == "ready"
    (batch,) = collected.metrics
    (requests,) = points(batch, "requests")
    assert (requests.as_double, attributes(requests)) == (3, {"agent": "sales", "node": "plan"})
    (cost,) = points(batch, "llm_cost_usd")
    assert cost.as_double == 0.1
    (flight,) = points(batch, "llm_in_flight")
    assert flight.as_double == 2
    (lag,) = points(batch, "event_loop_lag_seconds")
    assert (lag.count, lag.sum) == (3, 500.304)
    assert list(lag.explicit_bounds) == list(semconv.LOOP_LAG.buckets)
    assert [n for n, count in enumerate(lag.bucket_counts) if count] == [0, 6, 14]
    assert not lag.HasField("min")
    assert 0 < lag.start_time_unix_nano < lag.time_unix_nano


async def test_a_counter_is_cumulative_and_monotonic(collected, exporter):
    """A collector is told that a counter only goes up and is a total."""
    async with Metrics(MetricsSettings(exporter=exporter, endpoint=collected.url)) as metrics:
        metrics.counter(semconv.REQUESTS, "sales", "plan").inc()
    (told,) = [metric.sum for metric in collected.metrics[0] if metric.name == "requests"]
    assert (told.is_monotonic, told.aggregation_temporality) == (True, 2)


async def test_a_collector_is_told_the_units(collected, exporter):
    """What a metric's name ends in is its unit, as OpenTelemetry writes it; else it counts."""
    async with Metrics(MetricsSettings(exporter=exporter, endpoint=collected.url)) as metrics:
        metrics.histogram(semconv.NODE_LATENCY, "plan").observe(12)
        metrics.histogram(semconv.LOOP_LAG).observe(0.1)
        metrics.counter(semconv.LLM_COST, "m").inc(0.1)
        metrics.counter(semconv.REQUESTS, "sales", "plan").inc()
    units = {metric.name: metric.unit for metric in collected.metrics[-1]}
    assert units["node_latency_ms"] == "ms"
    assert units["event_loop_lag_seconds"] == "s"
    assert units["llm_cost_usd"] == "{USD}"
    assert units["requests"] == "1"


async def test_it_is_sent_again_and_again(collected, exporter, clock):
    """A batch goes out whenever the interval is over."""
    settings = MetricsSettings(exporter=exporter, endpoint=collected.url, export_interval=60)
    async with Metrics(settings, clock=clock) as metrics:
        counter = metrics.counter(semconv.REQUESTS, "sales", "plan")
        for times in (1, 2):
            counter.inc()
            await clock.sleepers(1)
            await clock.advance(60)
            await clock.sleepers(1)
            assert len(collected.metrics) == times
            assert points(collected.metrics[-1], "requests")[0].as_double == times


@pytest.mark.parametrize("endpoint", ["http://user:hunter2secret@127.0.0.1:9"])
async def test_a_collector_that_is_away_is_seen(endpoint, exporter, caplog):
    """The state says that nobody takes the figures, without the login; leaving is bounded."""
    metrics = Metrics(MetricsSettings(exporter=exporter, endpoint=endpoint))
    async with metrics:
        metrics.counter(semconv.REQUESTS, "sales", "plan").inc()
    assert metrics.state == "degraded"
    assert "AGENTINFRA_METRICS__ENDPOINT" in metrics.reason
    assert "hunter2" not in metrics.reason + caplog.text
    assert "requests_total" in metrics.expose()


@pytest.mark.skipif(not DATA.is_dir(), reason="the conventions are not beside us")
async def test_metrics_of_models_are_as_the_conventions_have_them(
    collected, exporter, openai_server
):
    """Durations, tokens and first chunks have the name, unit, kind and attributes they are to."""
    settings = Settings(
        llm={"base_url": openai_server.base_url, "api_key": "k", "max_attempts": 1},
        database={"enabled": False},
        logging={"enabled": False},
        metrics={"exporter": exporter, "endpoint": collected.url},
    )
    async with InfraRuntime(settings) as rt:
        await rt.llm.chat_completion(HELLO)
        async with await rt.llm.chat_completion(HELLO, stream=True) as stream:
            async for _ in stream:
                break
        await rt.llm.get_embeddings(["one"])
        openai_server.fail(faults.unauthorized())
        with pytest.raises(AgentInfraError):
            await rt.llm.chat_completion(HELLO)
    batch = collected.metrics[-1]
    groups = yaml.safe_load((DATA / "gen-ai" / "metrics.yaml").read_text())["groups"]
    described = {group["metric_name"]: group for group in groups if group["type"] == "metric"}
    seen = {metric.name: metric for metric in batch if metric.name.startswith("gen_ai.")}
    assert set(seen) == {
        "gen_ai.client.operation.duration",
        "gen_ai.client.token.usage",
        "gen_ai.client.operation.time_to_first_chunk",
    }
    needed = {"gen_ai.operation.name", "gen_ai.provider.name"}
    allowed = needed | {"gen_ai.request.model", "server.address", "server.port", "error.type"}
    for name, metric in seen.items():
        assert (metric.WhichOneof("data"), metric.unit) == ("histogram", described[name]["unit"])
        own = {"gen_ai.token.type"} if name.endswith("token.usage") else set()
        for point in metric.histogram.data_points:
            given = attributes(point)
            assert needed | own <= given.keys() <= allowed | own
            assert given["server.address"] == "127.0.0.1"
    durations = points(batch, "gen_ai.client.operation.duration")
    by_error = {
        (attributes(p)["gen_ai.operation.name"], attributes(p).get("error.type")): p.count
        for p in durations
    }
    # The stream that was left is no error, and adds up with the call that went well.
    assert by_error == {
        ("chat", None): 2,
        ("chat", "AuthenticationError"): 1,
        ("embeddings", None): 1,
    }
    types = {attributes(p)["gen_ai.token.type"] for p in points(batch, "gen_ai.client.token.usage")}
    assert types == {"input", "output"}
