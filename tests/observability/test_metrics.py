from __future__ import annotations

import math
import sys
import threading
import time
from decimal import Decimal

import aioprometheus
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from agentinfra.errors import ConfigurationError
from agentinfra.observability import semconv
from agentinfra.observability.metrics import Metrics, MetricSpec
from agentinfra.settings import MetricsSettings

CALLS = MetricSpec(name="calls_total", kind="counter", help="Calls.", labels=("who", "how"))
DEPTH = MetricSpec(name="depth", kind="gauge", help="Depth.")
TOOK = MetricSpec(name="took_seconds", kind="histogram", help="Time.", buckets=(0.1, 1.0, 5.0))


def own(page):
    """Return a page without the figures of the process, which never stand still."""
    return "".join(line for line in page.splitlines(True) if "process_" not in line)


def samples(page: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Read a page with the Prometheus client's parser."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


async def test_every_metric_is_on_the_page_from_the_start():
    """A page of metrics nobody has counted on has the help and type of every metric."""
    async with Metrics() as metrics:
        lines = metrics.expose().splitlines()
    for spec in semconv.METRICS:
        assert f"# HELP {spec.name} {spec.help}" in lines
        assert f"# TYPE {spec.name} {spec.kind}" in lines
    assert len({spec.name for spec in semconv.METRICS}) == len(semconv.METRICS)


async def test_counting():
    """What is counted, set and observed is what a Prometheus reads."""
    async with Metrics() as metrics:
        metrics.counter(CALLS, "a", "b").inc()
        metrics.counter(CALLS, "a", "b").inc(2.5)
        gauge = metrics.gauge(DEPTH)
        gauge.set(5)
        gauge.inc(2)
        gauge.dec()
        for value in (0.1, 0.5, 7.0):
            metrics.histogram(TOOK).observe(value)
        read = samples(metrics.expose())
    assert read["calls_total", (("how", "b"), ("who", "a"))] == 3.5
    assert read["depth", ()] == 6
    buckets = [read["took_seconds_bucket", (("le", le),)] for le in ("0.1", "1.0", "5.0", "+Inf")]
    assert buckets == [1, 2, 2, 3]
    assert read["took_seconds_count", ()] == 3
    assert read["took_seconds_sum", ()] == pytest.approx(7.6)


async def test_children_are_kept():
    """The same labels give the same series."""
    async with Metrics() as metrics:
        assert metrics.counter(CALLS, "a", "b") is metrics.counter(CALLS, "a", "b")
        assert metrics.counter(CALLS, "a", "b") is not metrics.counter(CALLS, "b", "a")


async def test_exact_text():
    """The page is the text format 0.0.4: escapes, whole numbers, infinities."""
    spec = MetricSpec(name="x", kind="gauge", help="a \\ b\nc", labels=("l",))
    async with Metrics() as metrics:
        metrics.gauge(spec, 'q"b\\n\n').set(math.nan)
        metrics.gauge(spec, "up").set(math.inf)
        metrics.gauge(spec, "down").set(-math.inf)
        metrics.gauge(spec, "whole").set(3.0)
        metrics.gauge(spec, "part").set(0.25)
        page = own(metrics.expose())
    assert page.endswith(
        "# HELP x a \\\\ b\\nc\n"
        "# TYPE x gauge\n"
        'x{l="q\\"b\\\\n\\n"} NaN\n'
        'x{l="up"} +Inf\n'
        'x{l="down"} -Inf\n'
        'x{l="whole"} 3\n'
        'x{l="part"} 0.25\n'
    )


@given(labels=st.lists(st.tuples(st.text(), st.text()), unique=True, max_size=5))
async def test_any_label_survives_the_way_through_the_page(labels):
    """A parser reads back the label values that were given, whatever is in them."""
    async with Metrics() as metrics:
        for pair in labels:
            metrics.counter(CALLS, *pair).inc()
        page = metrics.expose()
    read = {labels for name, labels in samples(page) if name == "calls_total"}
    clean = {tuple(v.encode("utf-8", "replace").decode() for v in pair) for pair in labels}
    assert read == {(("how", how), ("who", who)) for who, how in clean}
    page.encode()


@given(value=st.floats() | st.integers(-(10**30), 10**30))
async def test_any_number_survives_the_way_through_the_page(value):
    """A parser reads back the value a gauge was set to."""
    async with Metrics() as metrics:
        metrics.gauge(DEPTH).set(value)
        read = samples(metrics.expose())["depth", ()]
    assert read == float(value) or (math.isnan(read) and math.isnan(value))


async def test_labels_are_text():
    """A number and its text are one series."""
    async with Metrics() as metrics:
        assert metrics.counter(CALLS, 200, "x") is metrics.counter(CALLS, "200", "x")


@pytest.mark.parametrize("amount", [np.float32(2), np.int64(2), Decimal(2), 2, True + True])
async def test_every_kind_of_number(amount):
    """Numbers of numpy and of decimal count as what they are."""
    async with Metrics() as metrics:
        metrics.counter(CALLS, "a", "b").inc(amount)
        metrics.gauge(DEPTH).inc(amount)
        metrics.histogram(TOOK).observe(amount)
        read = samples(metrics.expose())
    assert read["calls_total", (("how", "b"), ("who", "a"))] == 2
    assert read["depth", ()] == read["took_seconds_sum", ()] == 2


@pytest.mark.parametrize("amount", [-1, -0.001, math.nan, math.inf, np.float64(-1)])
async def test_counters_only_go_up(amount):
    """A counter refuses what is not a finite step up, names itself, and stays as it was."""
    async with Metrics() as metrics:
        counter = metrics.counter(CALLS, "a", "b")
        with pytest.raises(ConfigurationError, match="calls_total cannot go up by"):
            counter.inc(amount)
        assert counter.value == 0


async def test_nan_is_no_size():
    """A histogram leaves NaN out and puts infinity above the last bound."""
    async with Metrics() as metrics:
        histogram = metrics.histogram(TOOK)
        histogram.observe(math.nan)
        histogram.observe(math.inf)
        read = samples(metrics.expose())
    assert read["took_seconds_count", ()] == 1
    assert read["took_seconds_bucket", (("le", "5.0"),)] == 0


async def test_series_are_bounded():
    """Beyond the bound, combinations share the series ``other``, and each use of it is counted."""
    async with Metrics(MetricsSettings(max_series=2)) as metrics:
        for name in ("a", "b", "c", "d", "c"):
            metrics.counter(CALLS, name, "x").inc(10)
        metrics.counter(CALLS, "a", "x").inc(10)
        read = samples(metrics.expose())
    found = {labels[1][1]: value for (name, labels), value in read.items() if name == "calls_total"}
    assert found == {"a": 20, "b": 10, "other": 30}
    assert read["metric_series_overflow_total", (("metric", "calls_total"),)] == 3


async def test_gauges_and_histograms_fold_too():
    """The bound holds for every kind."""
    gauge = MetricSpec(name="g", kind="gauge", help="G.", labels=("l",))
    histogram = MetricSpec(name="h", kind="histogram", help="H.", labels=("l",), buckets=(1.0,))
    async with Metrics(MetricsSettings(max_series=1)) as metrics:
        for label in ("a", "b", "c"):
            metrics.gauge(gauge, label).set(5)
            metrics.gauge(gauge, label).inc(2)
            metrics.gauge(gauge, label).dec(1)
            metrics.histogram(histogram, label).observe(0.5)
        read = samples(metrics.expose())
    assert read["g", (("l", "other"),)] == 6
    assert read["h_count", (("l", "other"),)] == 2
    assert read["metric_series_overflow_total", (("metric", "g"),)] == 6
    assert read["metric_series_overflow_total", (("metric", "h"),)] == 2


async def test_a_label_that_reads_other_is_the_shared_series():
    """A combination that reads ``other`` by itself and the shared series are one."""
    async with Metrics(MetricsSettings(max_series=1)) as metrics:
        metrics.counter(CALLS, "other", "other").inc()
        metrics.counter(CALLS, "a", "b").inc()
        page = metrics.expose()
    assert page.count("\ncalls_total{") == 1
    assert samples(page)["calls_total", (("how", "other"), ("who", "other"))] == 2


async def test_the_bound_does_not_bind_the_count_of_overflows():
    """Overflows of every metric are told apart, however low the bound is."""
    specs = [
        MetricSpec(name=f"m{n}_total", kind="counter", help="M.", labels=("l",)) for n in range(5)
    ]
    async with Metrics(MetricsSettings(max_series=1)) as metrics:
        for spec in specs:
            metrics.counter(spec, "a").inc()
            metrics.counter(spec, "b").inc()
        read = samples(metrics.expose())
    for spec in specs:
        assert read["metric_series_overflow_total", (("metric", spec.name),)] == 1


@pytest.mark.parametrize(
    "other",
    [
        MetricSpec(name="calls_total", kind="gauge", help="Calls.", labels=("who", "how")),
        MetricSpec(name="calls_total", kind="counter", help="Calls.", labels=("who", "why")),
    ],
)
async def test_one_name_one_meaning(other):
    """A name that stands for another kind or other labels already is refused."""
    async with Metrics() as metrics:
        metrics.counter(CALLS, "a", "b")
        with pytest.raises(ConfigurationError, match="calls_total"):
            getattr(metrics, other.kind)(other, "a", "b")


@pytest.mark.parametrize(
    "spec",
    [
        MetricSpec(name="with space", kind="counter", help=""),
        MetricSpec(name="newline\n", kind="counter", help=""),
        MetricSpec(name="0digit", kind="counter", help=""),
        MetricSpec(name="a", kind="counter", help="", labels=("a-b",)),
        MetricSpec(name="a", kind="counter", help="", labels=("__a",)),
        MetricSpec(name="a", kind="counter", help="", labels=("a", "a")),
        MetricSpec(name="a", kind="counter", help="", labels=("job",)),
        MetricSpec(name="a", kind="histogram", help="", labels=("le",), buckets=(1.0,)),
        MetricSpec(name="a", kind="histogram", help=""),
        MetricSpec(name="a", kind="histogram", help="", buckets=(2.0, 1.0)),
        MetricSpec(name="a", kind="histogram", help="", buckets=(1.0, math.inf)),
    ],
)
async def test_specs_no_server_would_take(spec):
    """A spec that would spoil the page is refused when it is first used."""
    async with Metrics() as metrics:
        before = own(metrics.expose())
        with pytest.raises(ConfigurationError, match=spec.name.strip()):
            getattr(metrics, spec.kind)(spec, *spec.labels)
        assert own(metrics.expose()) == before


async def test_wrong_use_of_a_spec():
    """The wrong kind, or the wrong number of label values, is refused by name, also when off."""
    async with Metrics() as on:
        for metrics in (on, Metrics.off()):
            with pytest.raises(ConfigurationError, match=r"calls_total is a counter"):
                metrics.gauge(CALLS, "a", "b")
            with pytest.raises(ConfigurationError, match=r"calls_total has 2 labels \(who, how\)"):
                metrics.counter(CALLS, "a")


@pytest.mark.parametrize("metrics", [Metrics(), Metrics.off()])
async def test_metrics_that_are_not_open(metrics):
    """Metrics nobody entered take everything and show nothing."""
    metrics.counter(CALLS, "a", "b").inc()
    metrics.gauge(DEPTH).set(1)
    metrics.histogram(TOOK).observe(1)
    assert metrics.expose() == ""


async def test_disabled():
    """Metrics that are switched off say so, take everything and show nothing."""
    async with Metrics(MetricsSettings(enabled=False)) as metrics:
        metrics.counter(CALLS, "a", "b").inc()
        assert metrics.expose() == ""
        assert metrics.state == "disabled"
        assert "AGENTINFRA_METRICS__ENABLED" in metrics.reason


async def test_without_aioprometheus(monkeypatch):
    """Without its package the resource is degraded, says what to install, and takes everything."""
    monkeypatch.setitem(sys.modules, "aioprometheus", None)
    async with Metrics() as metrics:
        metrics.counter(CALLS, "a", "b").inc()
        metrics.histogram(TOOK).observe(1)
        assert metrics.state == "degraded"
        assert "pip install 'agentinfra'" in metrics.reason
        assert metrics.expose() == f"# {metrics.reason}\n"
    assert samples(metrics.expose()) == {}


async def test_the_page_outlives_the_runtime():
    """After closing, the page still shows what was counted."""
    async with Metrics() as metrics:
        metrics.counter(CALLS, "a", "b").inc()
    assert 'calls_total{who="a",how="b"} 1' in metrics.expose()


async def test_two_runtimes_count_apart():
    """Each Metrics has a registry of its own."""
    async with Metrics() as one, Metrics() as two:
        one.counter(CALLS, "a", "b").inc()
        assert "calls_total{" not in two.expose()


async def test_threads_lose_nothing_and_rendering_never_fails():
    """While threads add series and count on shared ones, each page is whole and nothing is lost."""
    shared = 20_000
    async with Metrics(MetricsSettings(max_series=100_000)) as metrics:
        counter, histogram = metrics.counter(CALLS, "shared", "x"), metrics.histogram(TOOK)

        def work(number: int) -> None:
            for step in range(shared):
                counter.inc()
                histogram.observe(0.5)
                if step % 20 == 0:
                    metrics.counter(CALLS, f"{number}-{step}", "x").inc()

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        pages = 0
        while any(thread.is_alive() for thread in threads):
            text = metrics.expose()
            pages += 1
        for thread in threads:
            thread.join()
        read = samples(metrics.expose())
    assert pages > 0
    samples(text)
    assert read["calls_total", (("how", "x"), ("who", "shared"))] == 4 * shared
    assert read["took_seconds_count", ()] == 4 * shared
    assert sum(1 for name, _ in read if name == "calls_total") == 4 * shared / 20 + 1


async def test_what_is_counted_before_entering_is_on_the_page():
    """Series taken and counted on before the runtime is entered keep their numbers."""
    metrics = Metrics()
    counter, histogram = metrics.counter(CALLS, "a", "b"), metrics.histogram(TOOK)
    counter.inc(2)
    histogram.observe(0.5)
    async with metrics:
        counter.inc()
        histogram.observe(0.5)
        read = samples(metrics.expose())
    assert read["calls_total", (("how", "b"), ("who", "a"))] == 3
    assert read["took_seconds_sum", ()] == 1.0


async def test_a_series_is_on_the_page_once_it_is_taken():
    """A known series stands at 0 before it is counted on: servers never see a first increment."""
    async with Metrics() as metrics:
        metrics.counter(CALLS, "a", "b")
        assert 'calls_total{who="a",how="b"} 0' in metrics.expose()


async def test_money_is_exact():
    """A million tiny amounts are their sum, to the last digit."""
    async with Metrics() as metrics:
        cost = metrics.counter(semconv.LLM_COST, "m")
        for _ in range(1000):
            cost.inc(Decimal("0.0000001"))
            cost.inc(0.1)
        assert 'llm_cost_usd_total{model="m"} 100.0001\n' in metrics.expose()


async def test_collectors_of_a_program_are_on_the_page():
    """What a program registers with aioprometheus itself is shown, escaped as ours is."""
    async with Metrics() as metrics:
        mine = aioprometheus.Counter("mine_total", "Mine.", registry=metrics.registry)
        mine.inc({"who": 'q"x'})
        sizes = aioprometheus.Histogram(
            "sizes", "Sizes.", buckets=[1.0, 2.0], registry=metrics.registry
        )
        sizes.add({}, 1.5)
        read = samples(metrics.expose())
    assert read["mine_total", (("who", 'q"x'),)] == 1
    assert read["sizes_bucket", (("le", "2"),)] == 1
    assert read["sizes_count", ()] == 1


async def test_ours_are_in_the_registry_of_aioprometheus():
    """Whatever renders that registry finds our numbers."""
    async with Metrics() as metrics:
        metrics.counter(CALLS, "a", "b").inc(3)
        metrics.histogram(TOOK).observe(0.3)
        page, _ = aioprometheus.render(metrics.registry, [])
    read = samples(page.decode())
    assert read["calls_total", (("how", "b"), ("who", "a"))] == 3
    assert read["took_seconds_count", ()] == 1


async def test_money_of_any_size_counts():
    """Floats and decimals add up to the nearest unit, the smallest and the largest there are."""
    async with Metrics() as metrics:
        cost = metrics.counter(semconv.LLM_COST, "m")
        for _ in range(10):
            cost.inc(0.1)
        cost.inc(Decimal("0.0000000001"))
        cost.inc(1e-11)  # less than half a unit
        assert cost.value == 1.0000000001
        cost.inc(1e300)
        assert cost.value == 1e300


async def test_openmetrics():
    """On request the page is OpenMetrics: traces beside buckets, times of creation, an end."""
    async with Metrics() as metrics:
        metrics.counter(CALLS, "a", "b").inc(3)
        metrics.histogram(TOOK).observe(0.3, trace_id="ab" * 16)
        page, plain = metrics.expose(openmetrics=True), metrics.expose()
    families = {family.name: family for family in openmetrics.text_string_to_metric_families(page)}
    calls = {sample.name: sample for sample in families["calls"].samples}
    assert calls["calls_total"].value == 3
    assert calls["calls_created"].value > 1.7e9
    assert "ab" * 16 in page
    assert "ab" * 16 not in plain  # the text format has no place for it
    seen = [sample.exemplar for sample in families["took_seconds"].samples if sample.exemplar]
    assert [(one.labels, one.value) for one in seen] == [({"trace_id": "ab" * 16}, 0.3)]


async def test_the_process_is_on_the_page():
    """Memory, CPU, files and start time are there by the names every client uses."""
    async with Metrics() as metrics:
        read = {name: value for (name, _), value in samples(metrics.expose()).items()}
    assert 0 < read["process_start_time_seconds"] <= time.time()
    assert read["process_resident_memory_bytes"] > 10_000_000
    assert read["process_open_fds"] > 2
