"""What is opened when, and what each resource does that cannot be opened."""

import asyncio
import socket

import pytest

from agentinfra import InfraRuntime, LifecycleError
from agentinfra.testing import assert_no_leaks

UNOPENABLE = {
    "llm": {"llm": {}},
    "database": {"database": {"url": "postgresql://u@127.0.0.1:9/d"}},
    "cache": {"cache": {"redis_url": "redis://127.0.0.1:9"}},
    "checkpointer": {"database": {"url": "postgresql://u@127.0.0.1:9/d"}, "checkpointer": {}},
    "tracing": {"tracing": {"exporter": "console"}},  # with a limit that the SDK cannot read
    "probes": {"runtime": {"serve": "192.0.2.1:1"}},
}
"""Settings under which one resource cannot be opened, by real causes."""


def _levels(rt):
    return [sorted(resource.name for resource in level) for level in rt._plan.levels()]


def test_levels_follow_from_who_needs_whom(quiet):
    """Observation first, the server beside the imports, what shows the runtime last."""
    rt = InfraRuntime(quiet(database={}, runtime={"serve": "127.0.0.1:0"}))
    assert _levels(rt) == [
        ["metrics"],
        ["logging"],
        ["tracing"],
        ["embedded PostgreSQL", "imports"],
        ["cache", "database", "llm"],
        ["budgets", "checkpointer", "store"],
        ["keeper", "lag", "probes"],
    ]


def test_nothing_raises_because_it_was_not_reached_yet(quiet):
    """Every name is in place from construction; only the saver is made by opening."""
    rt = InfraRuntime(quiet())
    for name in ("llm", "db", "caches", "checkpoints", "metrics", "logging", "tracing", "nodes"):
        assert getattr(rt, name) is not None
    assert rt.serving_port is None
    assert rt.startup == {}


@pytest.mark.parametrize("name", UNOPENABLE)
async def test_one_that_cannot_open_degrades_in_its_level(quiet, name, capfd, monkeypatch):
    """Whatever level it is in, the others are ready, and log, metric and health say what lacks."""
    if name == "tracing":
        monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "many")
    async with assert_no_leaks(), InfraRuntime(quiet(**UNOPENABLE[name])) as rt:
        report = await rt.health()
        states = {row.name: row.state for row in report.resources}
        assert states[name] == "degraded"
        also = {"checkpointer": {"database", "store"}, "cache": {"redis"}}.get(name, set())
        assert {n for n, s in states.items() if s not in ("ready", "disabled")} == {name} | also
        assert report[name].reason
        assert f'resource_degraded{{resource="{name}"}} 1' in rt.metrics.expose()
        assert rt.serving_port is None
    logged = capfd.readouterr().err
    assert f'"event":"runtime.resource_degraded","resource":"{name}"' in logged


async def test_one_that_does_not_open_in_time_degrades(quiet):
    """A server that is silent takes neither the runtime nor the other resources along."""
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, says nothing
        url = f"postgresql://u@127.0.0.1:{silent.getsockname()[1]}/d"
        settings = quiet(database={"url": url}, runtime={"start_timeout": 0.3})
        async with assert_no_leaks(), InfraRuntime(settings) as rt:
            assert (rt.db.state, rt.db.reason) == ("degraded", "not started within 0.3 s")
            report = await rt.health()
            ready = {row.name for row in report.resources if row.state == "ready"}
            assert ready >= {"llm", "cache", "checkpointer", "metrics", "logging", "tracing"}


@pytest.mark.parametrize("name", ["database", "checkpointer", "cache"])
async def test_a_required_one_that_is_only_degraded_fails_the_entry(quiet, name):
    """Durability fails closed: going on in memory is not what was required."""
    settings = quiet(**UNOPENABLE[name]).with_changes(runtime={"required": [name]})
    async with assert_no_leaks():
        with pytest.raises(Exception) as caught:  # noqa: PT011 - each has its own error
            async with InfraRuntime(settings):
                raise AssertionError("entered")
    if name != "database":
        assert isinstance(caught.value, LifecycleError)
        assert f"{name} is required and not ready" in str(caught.value)


async def test_a_required_one_that_degrades_later_has_failed(quiet):
    """Health says failed, so that /readyz is not ready; the same of an optional one is degraded."""
    settings = quiet(runtime={"required": ["cache"]})
    async with InfraRuntime(settings) as rt:
        for part in (rt.caches, rt.tracing):
            part.degrade("less than it was")
        report = await rt.health()
        assert (report["cache"].state, report["tracing"].state) == ("failed", "degraded")


async def test_the_metric_follows_the_state(quiet):
    """It is written when a state changes, without anybody asking for health."""
    async with InfraRuntime(quiet()) as rt:
        line = 'resource_degraded{resource="cache"} '
        assert line + "0" in rt.metrics.expose()
        rt.caches.degrade("less than it was")
        assert line + "1" in rt.metrics.expose()
        rt.caches.restore()
        assert line + "0" in rt.metrics.expose()


async def test_the_probe_server_has_a_row_and_a_port_while_it_listens(quiet):
    """Taken, it is degraded and there is no port to show; after leaving neither."""
    settings = quiet(runtime={"serve": "127.0.0.1:0"})
    async with InfraRuntime(settings) as rt:
        port = rt.serving_port
        assert port
        assert (await rt.health())["probes"].state == "ready"
    assert rt.serving_port is None

    async def nothing(reader, writer):
        writer.close()

    server = await asyncio.start_server(nothing, "127.0.0.1", 0)
    async with server:
        taken = server.sockets[0].getsockname()[1]
        async with InfraRuntime(quiet(runtime={"serve": f"127.0.0.1:{taken}"})) as rt:
            assert rt.serving_port is None
            row = (await rt.health())["probes"]
            assert row.state == "degraded"
            assert f"port {taken}" in row.reason


async def test_a_server_that_did_not_start_is_tried_again(quiet, tmp_path):
    """The database asks for it again, and is ready by itself when it can be."""
    tmp_path.chmod(0o755)
    folder = tmp_path / "data"
    folder.write_text("in the way")
    async with InfraRuntime(quiet(database={"data_dir": folder})) as rt:
        assert rt.db.state == "degraded"
        assert str(folder) in rt.db.reason
        folder.unlink()
        async with asyncio.timeout(60):
            while (await rt.health())["database"].state != "ready":  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert (await rt.db.query("SELECT 1 AS one"))[0]["one"] == 1
