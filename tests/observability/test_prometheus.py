"""A real Prometheus beside real agents: what it has read of them, in its own words."""

from __future__ import annotations

import asyncio
import json
import math
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from agentinfra import InfraRuntime, Settings
from agentinfra.errors import AgentInfraError
from agentinfra.observability.metrics import MetricSpec
from agentinfra.testing import faults

pytestmark = [
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed"),
    pytest.mark.usefixtures("clean_environment"),
]

ROOT = Path(__file__).parents[2]
MANY = MetricSpec(name="many_total", kind="counter", help="Too many.", labels=("which",))
HELLO = [{"role": "user", "content": "hello"}]
OFF = {"enabled": False}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


class Prometheus:
    """A server that reads one address ten times a second."""

    def __init__(self, url: str) -> None:
        self._url = url

    def ask(self, query: str) -> list[dict[str, Any]]:
        asked = f"{self._url}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
        with urllib.request.urlopen(asked, timeout=5) as answer:
            result: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return result

    def figures(self, query: str) -> list[float]:
        """Return the numbers of a query's answer; a quantile of nothing is none."""
        figures = (float(one["value"][1]) for one in self.ask(query))
        return [figure for figure in figures if not math.isnan(figure)]

    def sum(self, query: str) -> float:
        return sum(self.figures(f"sum({query})"))

    async def until(self, true: Callable[[], bool]) -> bool:
        """Wait until something is so; give up when two thousand looks have not shown it."""
        for _ in range(2000):
            with suppress(OSError):  # it is starting
                if await asyncio.to_thread(true):
                    return True
            await asyncio.sleep(0.01)
        return False


@asynccontextmanager
async def reading(port: int, folder: Path) -> AsyncIterator[Prometheus]:
    """Run a Prometheus that reads an agent's page."""
    own, config = free_port(), folder / "prometheus.yml"
    job = {"job_name": "agentinfra", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
    every = {"scrape_interval": "250ms", "scrape_timeout": "250ms"}
    config.write_text(yaml.safe_dump({"global": every, "scrape_configs": [job]}))
    options = [f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
    server = await asyncio.create_subprocess_exec(
        "prometheus",
        *options,
        f"--web.listen-address=127.0.0.1:{own}",
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield Prometheus(f"http://127.0.0.1:{own}")
    finally:
        server.kill()
        await server.wait()


WORKER = """
import asyncio, sys
from agentinfra import InfraRuntime, Settings

async def main(base_url, port, times):
    off = {"enabled": False}
    settings = Settings(
        llm={"base_url": base_url, "api_key": "k"}, database=off, cache=off, logging=off,
        runtime={"serve": f"127.0.0.1:{port}"},
    )
    async with InfraRuntime(settings) as rt:
        for _ in range(int(times)):
            await rt.llm.chat_completion([{"role": "user", "content": "hello"}])
        print("done", flush=True)
        await asyncio.to_thread(sys.stdin.readline)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def worker(openai_server, monkeypatch, tmp_path):
    """Return a function that starts a worker which has made so many calls."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    living: list[subprocess.Popen[bytes]] = []

    def start(port: int, times: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", WORKER, openai_server.base_url, str(port), str(times)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        living.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"done\n"
        return process

    yield start
    for process in living:
        process.kill()
        process.communicate()


async def test_four_workers_are_read_as_one_also_after_some_were_killed(worker, tmp_path):
    """Whichever worker answers, sums are the calls made; what killed workers counted stays."""
    port, made = free_port(), 0
    async with reading(port, tmp_path) as prometheus:
        shares = (3, 5, 7, 11)
        starts = (asyncio.to_thread(worker, port, times) for times in shares)
        workers = await asyncio.gather(*starts)
        made += sum(shares)
        calls = 'llm_calls_total{outcome="ok"}'
        assert await prometheus.until(lambda: prometheus.sum(calls) == made)
        for victim in workers[:2]:
            victim.send_signal(signal.SIGKILL)
            victim.wait()
        await asyncio.to_thread(worker, port, 2)
        made += 2
        assert await prometheus.until(lambda: prometheus.sum(calls) == made)
        assert prometheus.sum("llm_latency_seconds_count") == made
        assert prometheus.sum("max_over_time(llm_calls_total[1m])") <= made


def panels() -> list[str]:
    board = json.loads((ROOT / "deploy/grafana/dashboards/agentinfra.json").read_text())
    asked = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    words = {"$__rate_interval": "30s", "$__range": "5m", "$job": ".*", "$instance": ".*"}
    for word, meaning in {**words, "$model": ".*"}.items():
        asked = [expression.replace(word, meaning) for expression in asked]
    return asked


def selectors() -> list[str]:
    """What the rules select, each by itself."""
    file = ROOT / "deploy" / "alerts" / "agentinfra.yml"
    rules = yaml.safe_load(file.read_text())["groups"][0]["rules"]
    every = " ".join(rule["expr"] for rule in rules)
    return re.findall(r"\b[a-z_]+(?:_total|_bucket|_count|_degraded)\b(?:\{[^}]*\})?", every)


async def provoke(rt: Any, server: Any) -> None:
    """Have everything happen that a panel or a rule is about."""
    await rt.llm.chat_completion(HELLO)
    async with await rt.llm.chat_completion(HELLO, stream=True) as stream:
        async for _ in stream:
            pass
    server.fail(faults.server_error(), times=1)
    await rt.llm.chat_completion(HELLO)
    server.fail(faults.unauthorized())
    await badly(rt.llm.chat_completion(HELLO))
    await rt.llm.chat_completion(HELLO, model="nobody-knows-its-price")
    async with rt.llm.budget(usd="0.0000000001", name="small"):
        await badly(rt.llm.chat_completion(HELLO))
    with rt.node("plan", agent="sales"):
        rt.nodes.routing_fallback("sales", "support")
    await badly(rt.db.query("DELETE FROM t"))
    async with rt.db.connection():  # the only one there is
        await badly(rt.db.query("SELECT 1"))
    await rt.db.query("SELECT 1")
    await rt.checkpointer.aget_tuple({"configurable": {"thread_id": "t", "checkpoint_ns": ""}})
    cache = rt.caches.routing
    await asyncio.gather(*(cache.get_or_compute("one", slowly) for _ in range(3)))
    for query in ("one", "two", "three"):
        await cache.get(query)
        await cache.set(query, {"to": "x"})
    await provoke_state(rt)
    for number in range(200):
        rt.metrics.counter(MANY, str(number)).inc()


async def provoke_state(rt: Any) -> None:
    """Have accounts, documents, the store, tools and a cache by meaning work."""
    async with rt.budgets.of("acme", usd=5, warn_at=[1e-7]) as acme:
        await rt.llm.chat_completion(HELLO)
        await acme.refresh()
    await rt.db.vectors("pages").ingest([{"id": "a.md", "text": f"# One {random.random()}"}])
    await rt.store.aput(("users",), "ann", {"likes": "tea"})
    with rt.nodes.tool("search", agent="sales", call="c1"):
        pass
    await rt.caches.semantic_routing.get_or_compute("where is my order", slowly)


async def slowly() -> Any:
    await asyncio.sleep(0)
    return {"to": "x"}


async def badly(call: Any) -> None:
    with pytest.raises(AgentInfraError):
        await call


async def test_every_panel_and_every_rule_has_data(openai_server, postgres_url, tmp_path):
    """In a run that provokes all of it, no query of the dashboard or of the rules is empty."""
    port = free_port()
    settings = Settings(
        llm={"base_url": openai_server.base_url, "api_key": "k"},
        database={"url": postgres_url, "min_size": 1, "max_size": 1, "acquire_timeout": 0.5},
        cache={"routing_size": 2, "semantic": True},
        logging=OFF,
        metrics={"max_series": 100, "shared_dir": tmp_path / "shared"},
        runtime={"serve": f"127.0.0.1:{port}"},
    )
    asked = [*panels(), *selectors()]
    assert len(asked) > 60
    empty: list[str] = []
    async with reading(port, tmp_path) as prometheus, InfraRuntime(settings) as rt:

        def none_is_empty() -> bool:
            empty[:] = [query for query in asked if not prometheus.figures(query)]
            return not empty

        await provoke(rt, openai_server)
        # A rate needs two readings: whatever began with the first is at rest in the second.
        assert await prometheus.until(lambda: prometheus.sum("llm_calls_total") > 0)
        await provoke(rt, openai_server)
        assert await prometheus.until(none_is_empty), empty


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
async def test_promtool_takes_the_page(openai_server, postgres_url):
    """Prometheus's own tool finds nothing to say of a page on which everything happened."""
    settings = Settings(
        llm={"base_url": openai_server.base_url, "api_key": "k"},
        database={"url": postgres_url, "min_size": 1, "max_size": 1, "acquire_timeout": 0.5},
        cache={"routing_size": 2, "semantic": True},
        logging=OFF,
        metrics={"max_series": 100},
    )
    async with InfraRuntime(settings) as rt:
        await provoke(rt, openai_server)
        page = rt.metrics.expose()
    done = await asyncio.to_thread(
        subprocess.run,
        ["promtool", "check", "metrics"],
        input=page,
        capture_output=True,
        text=True,
    )
    # The name of this one is asked for, with its unit.
    said = [line for line in done.stderr.splitlines() if not line.startswith("node_latency_ms")]
    assert said == []
    assert "node_latency_ms" in done.stderr, "it has read the page"
