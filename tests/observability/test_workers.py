"""Several workers on one page: real processes, killed ones too."""

import asyncio
import signal
import subprocess
import sys

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agentinfra.observability.metrics import Metrics, MetricSpec
from agentinfra.settings import MetricsSettings

WORK = MetricSpec(name="work_total", kind="counter", help="Work done.", labels=("kind",))
DEPTH = MetricSpec(name="depth", kind="gauge", help="Depth.", across="max")
TOOK = MetricSpec(name="took", kind="histogram", help="Took.", buckets=(1.0, 2.0))

WORKER = """
import asyncio, sys
from agentinfra.observability.metrics import Metrics, MetricSpec
from agentinfra.settings import MetricsSettings

async def main():
    async with Metrics(MetricsSettings(shared_dir=sys.argv[1])) as metrics:
        spec = MetricSpec(name="work_total", kind="counter", help="Work done.", labels=("kind",))
        depth = MetricSpec(name="depth", kind="gauge", help="Depth.", across="max")
        took = MetricSpec(name="took", kind="histogram", help="Took.", buckets=(1.0, 2.0))
        for number in range(int(sys.argv[2])):
            metrics.counter(spec, f"k{number % 3}").inc()
            metrics.histogram(took).observe(1.5)
        metrics.gauge(depth).set(float(sys.argv[2]))
        print("done", flush=True)
        sys.stdin.readline()

asyncio.run(main())
"""


@pytest.fixture
def start(tmp_path):
    """Return a function that starts a worker which has counted so often."""
    living = []

    def _start(times):
        worker = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(tmp_path), str(times)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        living.append(worker)
        assert worker.stdout.readline() == b"done\n"
        return worker

    yield _start
    for worker in living:
        worker.kill()
        worker.wait()
        worker.stdin.close()
        worker.stdout.close()


def _totals(page):
    read = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            read[sample.name] = read.get(sample.name, 0) + sample.value
    return read


async def test_every_page_is_that_of_all_workers(start, tmp_path):
    """Counters and histograms of all workers add up, gauges as each says."""
    async with Metrics(MetricsSettings(shared_dir=tmp_path)) as metrics:
        metrics.counter(WORK, "k0").inc(2)
        metrics.gauge(DEPTH).set(3)
        for times in (10, 25):
            await asyncio.to_thread(start, times)
        read = _totals(metrics.expose())
    assert (read["work_total"], read["took_count"], read["depth"]) == (37, 35, 25)


async def test_what_killed_workers_counted_stays(start, tmp_path):
    """A worker that is killed leaves its counters, once; its gauges are gone."""
    async with Metrics(MetricsSettings(shared_dir=tmp_path)) as metrics:
        for _ in range(3):
            worker = await asyncio.to_thread(start, 10)
            worker.send_signal(signal.SIGKILL)
            worker.wait()
            metrics.expose()
        await asyncio.to_thread(start, 5)
        for _ in range(3):
            read = _totals(metrics.expose())
            assert (read["work_total"], read["took_count"], read["depth"]) == (35, 35, 5)
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 2


async def test_counters_begin_anew_with_the_first_worker(start, tmp_path):
    """Where no worker lives any more, what the last ones counted is of a service that ended."""
    worker = await asyncio.to_thread(start, 10)
    worker.communicate(b"\n")
    async with Metrics(MetricsSettings(shared_dir=tmp_path)) as metrics:
        assert "work_total" not in _totals(metrics.expose())


async def test_a_folder_that_cannot_be_used_says_so(tmp_path):
    """Without the folder each worker counts for itself, and health says what to do."""
    (tmp_path / "file").touch()
    async with Metrics(MetricsSettings(shared_dir=tmp_path / "file" / "x")) as metrics:
        metrics.counter(WORK, "a").inc()
        assert metrics.state == "degraded"
        assert "AGENTINFRA_METRICS__SHARED_DIR" in metrics.reason
        assert _totals(metrics.expose())["work_total"] == 1


async def test_many_series_take_more_room(tmp_path):
    """More series than one file of numbers has room for are all on the page."""
    settings = MetricsSettings(shared_dir=tmp_path, max_series=20_000)
    async with Metrics(settings) as metrics:
        for number in range(9_000):
            metrics.counter(WORK, str(number)).inc()
        assert _totals(metrics.expose())["work_total"] == 9_000
