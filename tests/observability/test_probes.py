from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import socket
import sys
import time

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentinfra.errors import ConfigurationError, NotStartedError
from agentinfra.observability.metrics import Metrics
from agentinfra.observability.metrics.lag import LoopLag
from agentinfra.observability.probes import Probes, ProbeServer
from agentinfra.results import HealthReport, ResourceHealth


def probes(page="", required=(), timeout=5.0, **states) -> Probes:
    rows = tuple(
        ResourceHealth(
            name=name, state=state, reason="" if state == "ready" else f"{name} is {state}"
        )
        for name, state in states.items()
    )

    async def health() -> HealthReport:
        return HealthReport(resources=rows)

    return Probes(health, lambda: page, required=frozenset(required), timeout=timeout)


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


async def test_alive():
    """/livez is 200 while the loop turns, whatever the resources are."""
    answer = await probes(database="failed").respond("GET", "/livez")
    assert (answer.status, json.loads(answer.body)) == (200, {"status": "alive"})


@pytest.mark.parametrize(
    ("states", "required", "status"),
    [
        ({}, (), 200),
        ({"llm": "ready", "database": "degraded", "cache": "disabled"}, (), 200),
        ({"llm": "ready", "database": "failed"}, (), 503),
        ({"llm": "ready", "database": "degraded"}, ("llm",), 200),
        ({"llm": "degraded"}, ("llm",), 503),
        ({"llm": "disabled"}, ("llm",), 503),
        ({"database": "ready"}, ("llm",), 503),
    ],
)
async def test_ready(states, required, status):
    """/readyz is 503 when a resource has failed, or a required one is anything but ready."""
    answer = await probes(required=required, **states).respond("GET", "/readyz")
    assert answer.status == status
    body = json.loads(answer.body)
    assert body["status"] == ("ready" if status == 200 else "not ready")
    assert [(row["name"], row["state"]) for row in body["resources"]] == list(states.items())
    assert all(row["reason"] for row in body["resources"] if row["state"] != "ready")


async def test_metrics():
    """/metrics is the page in the text format."""
    answer = await probes(page="x 1\n").respond("GET", "/metrics")
    assert (answer.status, answer.body) == (200, b"x 1\n")
    assert ("content-type", "text/plain; version=0.0.4; charset=utf-8") in answer.headers


async def test_other_paths_and_methods():
    """Other paths are 404 and other methods 405, both as JSON; a query is passed over."""
    missing = await probes().respond("POST", "/nothing")
    assert missing.status == 404
    assert json.loads(missing.body)["error"] == "not found"
    refused = await probes().respond("POST", "/livez")
    assert refused.status == 405
    assert ("allow", "GET, HEAD") in refused.headers
    assert json.loads(refused.body)["error"] == "method not allowed"
    assert (await probes().respond("GET", "/livez?x=1")).status == 200


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics", "/nothing"])
async def test_head(path):
    """HEAD has the status and headers of GET, and no body."""
    got, head = [await probes(page="x 1\n").respond(m, path) for m in ("GET", "HEAD")]
    assert (head.status, head.headers, head.body) == (got.status, got.headers, b"")
    assert ("content-length", str(len(got.body))) in head.headers


async def test_a_health_check_that_fails_or_hangs():
    """A probe answers 503 when the resources cannot be asked, and tells no secrets."""

    async def failing() -> HealthReport:
        raise RuntimeError("password=hunter2")

    async def hanging() -> HealthReport:
        await asyncio.Event().wait()
        raise AssertionError

    for health in (failing, hanging):
        answer = await Probes(health, lambda: "", timeout=0.01).respond("GET", "/readyz")
        assert answer.status == 503
        assert b"hunter2" not in answer.body
    assert (await Probes(hanging, lambda: "").respond("GET", "/livez")).status == 200


@given(method=st.text(), path=st.text())
async def test_any_request_is_answered(method, path):
    """Whatever is asked is answered, with a status and JSON or the page."""
    answer = await probes().respond(method, path)
    assert answer.status in (200, 404, 405)


async def test_the_server():
    """The server serves the probes on its address, a free port where 0 was asked for."""
    async with ProbeServer("127.0.0.1:0", probes(page="x 1\n", llm="failed")) as server:
        assert server.port > 0
        base = f"http://127.0.0.1:{server.port}"
        async with aiohttp.ClientSession() as client:
            async with client.get(f"{base}/livez") as answer:
                assert answer.status == 200
            async with client.get(f"{base}/readyz") as answer:
                assert answer.status == 503
                assert (await answer.json())["resources"][0]["reason"] == "llm is failed"
            async with client.get(f"{base}/metrics") as answer:
                assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
                assert await answer.text() == "x 1\n"
            async with client.head(f"{base}/metrics") as answer:
                assert (answer.status, await answer.read()) == (200, b"")
            async with client.put(f"{base}/livez") as answer:
                assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6 loopback")
async def test_ipv6():
    """An IPv6 address is written in brackets."""
    async with (
        ProbeServer("[::1]:0", probes()) as server,
        aiohttp.ClientSession() as client,
        client.get(f"http://[::1]:{server.port}/livez") as answer,
    ):
        assert answer.status == 200


async def test_a_port_that_is_taken():
    """A port in use is refused by number, and the server leaves nothing open."""
    async with ProbeServer("127.0.0.1:0", probes()) as first:
        second = ProbeServer(f"127.0.0.1:{first.port}", probes())
        with pytest.raises(ConfigurationError, match=f"port {first.port} on 127.0.0.1 is taken"):
            await second.__aenter__()
        assert second.port == 0


async def test_the_port_is_one_that_it_listens_on():
    """0 before and after; meanwhile the row of the server names its address."""
    server = ProbeServer("127.0.0.1:0", probes())
    assert server.port == 0
    async with server:
        row = await server.probe()
        assert (row.name, row.state) == ("probes", "ready")
        assert row.detail == f"http://127.0.0.1:{server.port}"
    assert server.port == 0


async def test_without_a_runtime():
    """What has no runtime to ask says so in its own sentence, and is no failure of the probes."""

    async def health() -> HealthReport:
        raise NotStartedError("no runtime is entered")

    def page() -> str:
        raise NotStartedError("no runtime is entered")

    for path in ("/readyz", "/metrics"):
        answer = await Probes(health, page).respond("GET", path)
        assert answer.status == 503
        assert json.loads(answer.body)["reason"] == "no runtime is entered"


@pytest.mark.parametrize("address", ["", "9464", "host:", "host:port", ":9464", "host:70000"])
def test_addresses_that_are_none(address):
    """What is no host:port is refused when the server is made."""
    with pytest.raises(ConfigurationError, match="host:port"):
        ProbeServer(address, probes())


async def test_a_host_that_is_not_here():
    """A host this machine does not have is refused by name."""
    with pytest.raises(ConfigurationError, match="AGENTINFRA_RUNTIME__SERVE"):
        await ProbeServer("203.0.113.1:0", probes()).__aenter__()


@pytest.mark.parametrize("steps", range(6))
async def test_entering_that_is_cancelled(steps):
    """Entering that is cancelled, wherever it is, leaves nothing listening."""
    async with ProbeServer("127.0.0.1:0", probes()) as taken:
        port = taken.port
    server = ProbeServer(f"127.0.0.1:{port}", probes())
    entering = asyncio.create_task(server.__aenter__())
    for _ in range(steps):
        await asyncio.sleep(0)
    entering.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await (await entering).aclose()
    async with ProbeServer(f"127.0.0.1:{port}", probes()):
        pass


async def test_without_aiohttp(monkeypatch):
    """Without aiohttp the server is degraded and says what to install."""
    monkeypatch.setitem(sys.modules, "aiohttp.web", None)
    async with ProbeServer("127.0.0.1:0", probes()) as server:
        assert (server.state, server.port) == ("degraded", 0)
        assert "pip install 'agentinfra'" in server.reason


async def test_closing_is_quick():
    """Closing waits neither for idle connections nor long for a slow answer."""
    asked = asyncio.Event()

    async def hanging() -> HealthReport:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with aiohttp.ClientSession() as client:
        async with ProbeServer("127.0.0.1:0", Probes(hanging, lambda: "")) as server:
            base = f"http://127.0.0.1:{server.port}"
            async with client.get(f"{base}/livez"):
                pass
            slow = asyncio.create_task(client.get(f"{base}/readyz"))
            await asked.wait()
            began = time.perf_counter()
        assert time.perf_counter() - began < 2
        with pytest.raises(aiohttp.ClientError):
            await slow


async def test_the_lag_of_the_loop(clock):
    """Each sleep that was too long is counted by how much, and none as less than 0."""
    async with Metrics() as metrics, LoopLag(metrics, interval=0.5, clock=clock):
        await clock.advance(0)  # it falls asleep
        for late in (0.0, 0.25, 0.0, 2.0):
            clock.shift(0.5 + late)
            await clock.advance(0)
        page = metrics.expose()
    assert 'event_loop_lag_seconds_bucket{le="0.005"} 2' in page
    assert 'event_loop_lag_seconds_bucket{le="0.25"} 3' in page
    assert "event_loop_lag_seconds_sum 2.25" in page


async def test_the_lag_leaves_no_task(clock):
    """Leaving ends the task."""
    before = asyncio.all_tasks()
    async with Metrics() as metrics, LoopLag(metrics, clock=clock):
        assert len(asyncio.all_tasks() - before) == 1
    assert asyncio.all_tasks() == before


async def test_openmetrics_and_gzip_on_request():
    """What a scraper accepts decides the form of the page, and whether it is compressed."""
    async with Metrics() as metrics:
        answers = Probes(_healthy, metrics.expose)
        plain = await answers.respond("GET", "/metrics")
        small = await answers.respond("GET", "/metrics", {"accept-encoding": "gzip, deflate"})
        wanted = {"accept": "application/openmetrics-text; version=1.0.0, text/plain"}
        open_ = await answers.respond("GET", "/metrics", wanted)
    assert b"# EOF" not in plain.body
    assert dict(small.headers)["content-encoding"] == "gzip"
    assert len(small.body) < len(plain.body) / 3
    assert gzip.decompress(small.body).startswith(b"# HELP")
    assert open_.body.endswith(b"# EOF\n")
    assert dict(open_.headers)["content-type"].startswith("application/openmetrics-text")


async def _healthy():
    return HealthReport(resources=())


async def test_workers_share_an_address():
    """Two servers of one user on one address are both there; a stranger's address is refused."""
    async with ProbeServer("127.0.0.1:0", Probes(_healthy, str)) as first:
        taken = first.port
    address = f"127.0.0.1:{taken}"
    async with (
        ProbeServer(address, Probes(_healthy, str)) as one,
        ProbeServer(address, Probes(_healthy, str)) as other,
    ):
        assert one.port == other.port == taken
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", taken))
        stranger.listen()
        with pytest.raises(ConfigurationError, match="taken"):
            async with ProbeServer(address, Probes(_healthy, str)):
                pass
