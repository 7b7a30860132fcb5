"""The runtime behind HTTP: probes, metrics, and a lifespan for web apps."""

import asyncio
from dataclasses import dataclass

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from starlette.applications import Starlette
from starlette.routing import Mount

from agentinfra import ConfigurationError, InfraRuntime, Settings
from agentinfra.observability.tracing import Tracing, start_span
from agentinfra.settings import TracingSettings
from agentinfra.web import create_app, lifespan, trace_requests

PATHS = ("/livez", "/readyz", "/metrics")
HELLO = [{"role": "user", "content": "hello"}]


def _client(app):
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://app")


async def test_probes_and_metrics(infra_runtime):
    """/livez, /readyz and /metrics answer; other paths and methods are refused."""
    await infra_runtime.llm.chat_completion(HELLO)
    async with _client(create_app(infra_runtime)) as http:
        assert (await http.get("/livez")).status_code == 200
        ready = await http.get("/readyz")
        assert ready.status_code == 200
        assert "llm" in ready.text
        page = await http.get("/metrics")
        assert page.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert 'llm_calls_total{model="gpt-4o-mini",outcome="ok"} 1' in page.text
        assert (await http.get("/nothing")).status_code == 404
        assert (await http.post("/metrics")).status_code == 405


async def test_prometheus_gets_what_it_asks_for(infra_runtime):
    """A scraper that asks for OpenMetrics, as Prometheus does, gets it from the mounted app."""
    async with _client(create_app(infra_runtime)) as http:
        page = await http.get("/metrics", headers={"accept": "application/openmetrics-text"})
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("application/openmetrics-text")
    assert page.text.endswith("# EOF\n")


async def test_it_can_be_mounted(infra_runtime):
    """A web app shows the probes under a path of its own."""
    app = Starlette(routes=[Mount("/infra", create_app(infra_runtime))])
    async with _client(app) as http:
        assert (await http.get("/infra/livez")).status_code == 200


@pytest.mark.parametrize("given", [None, "entered later"])
async def test_it_is_mounted_before_a_runtime_runs(infra_settings, given):
    """It answers for the runtime that runs when it is asked; without one it says so."""
    rt = InfraRuntime(infra_settings)
    app = FastAPI()
    app.mount("/infra", create_app(None if given is None else rt))
    async with _client(app) as http:
        for runs in (False, True, False):
            if runs:
                async with rt:
                    statuses = [(await http.get(f"/infra{path}")).status_code for path in PATHS]
                    assert statuses == [200, 200, 200]
                continue
            assert (await http.get("/infra/livez")).status_code == 200
            for path in ("/readyz", "/metrics"):
                answer = await http.get(f"/infra{path}")
                assert answer.status_code == 503
                assert "async with" in answer.json()["reason"]


async def test_it_answers_for_the_runtime_of_the_loop(infra_settings):
    """One that was given and is not entered gives way to the one that is."""
    app = create_app(InfraRuntime(infra_settings))
    async with InfraRuntime(infra_settings), _client(app) as http:
        assert [(await http.get(path)).status_code for path in PATHS] == [200, 200, 200]


async def test_what_is_no_request_is_refused(infra_runtime):
    """A WebSocket is closed before it is accepted; a path beside the mount is none of ours."""
    sent = []

    async def receive():
        return {"type": "websocket.connect"}

    async def send(event):
        sent.append(event)

    await create_app()({"type": "websocket", "path": "/metrics", "headers": []}, receive, send)
    assert [event["type"] for event in sent] == ["websocket.close"]
    scope = {"type": "http", "method": "GET", "path": "/infralivez", "root_path": "/infra"}
    await create_app()(scope, receive, send)
    assert sent[1]["status"] == 404


@pytest.mark.parametrize("prefix", ["", "/api"])
@pytest.mark.parametrize("place", ["/infra", "/a/b", "/"])
async def test_it_knows_its_place(infra_runtime, prefix, place):
    """Wherever it is mounted, and whatever a proxy in front has taken off."""
    app = FastAPI()
    app.mount(place, create_app())
    transport = httpx.ASGITransport(app=app, root_path=prefix)
    async with httpx.AsyncClient(transport=transport, base_url="http://app") as http:
        for sent in ("", prefix):  # servers differ in whether the path still has it
            path = f"{sent}{place.rstrip('/')}/readyz"
            assert (await http.get(path)).status_code == 200


async def test_a_required_resource_decides_on_readiness(openai_server):
    """A degraded database matters only where it is required."""
    groups = {
        "llm": {"base_url": openai_server.base_url, "api_key": "x"},
        "database": {"url": "postgresql://u@127.0.0.1:9/d"},
        "checkpointer": {"enabled": False},
        "logging": {"level": "critical"},
    }
    async with (
        InfraRuntime(Settings(**groups)) as rt,
        _client(create_app(rt)) as http,
    ):
        assert (await rt.health())["database"].state == "degraded"
        assert (await http.get("/readyz")).status_code == 200


@pytest.fixture(params=["settings", "runtime", "function of settings", "function of a runtime"])
def source(request, infra_settings):
    """What a lifespan can be given."""
    return {
        "settings": infra_settings,
        "runtime": InfraRuntime(infra_settings),
        "function of settings": lambda: infra_settings,
        "function of a runtime": lambda: InfraRuntime(infra_settings),
    }[request.param]


async def test_lifespan_enters_a_runtime_around_the_app(source):
    """Requests find it in their state, and the mounted probes find it too."""
    app = FastAPI(lifespan=lifespan(source))
    app.mount("/infra", create_app())

    @app.get("/ask")
    async def ask(request: Request, question: str) -> str:
        messages = [{"role": "user", "content": question}]
        return (await request.state.infra.llm.chat_completion(messages)).text

    async with app.router.lifespan_context(app) as state:
        assert InfraRuntime.current() is state["infra"] is app.state.infra
        async with _client(_with_state(app, state)) as http:
            assert "hello" in (await http.get("/ask", params={"question": "hello"})).text
            statuses = [(await http.get(f"/infra{path}")).status_code for path in PATHS]
            assert statuses == [200, 200, 200]


async def test_a_function_makes_a_runtime_each_time(infra_settings):
    """An app that starts twice in one process has two runtimes, one after the other."""
    app = FastAPI(lifespan=lifespan(lambda: InfraRuntime(infra_settings)))
    seen = []
    for _ in range(2):
        async with app.router.lifespan_context(app) as state:
            seen.append(state["infra"])
    assert seen[0] is not seen[1]


@dataclass
class _Mine:
    """A type that graphs of an app have in their state."""

    value: int


async def test_allowed_types_go_to_the_runtime_that_is_made(infra_settings):
    """Next to a runtime, which has its own, they are a mistake that is told."""
    async with lifespan(infra_settings, allowed_types=[_Mine])(FastAPI()) as state:
        serde = state["infra"].checkpointer.serde
        assert serde.loads_typed(serde.dumps_typed(_Mine(1))) == _Mine(1)
    async with lifespan(infra_settings)(FastAPI()) as state:
        serde = state["infra"].checkpointer.serde
        assert serde.loads_typed(serde.dumps_typed(_Mine(1))) != _Mine(1)
    with pytest.raises(ConfigurationError, match="allowed_types"):
        lifespan(InfraRuntime(infra_settings), allowed_types=[_Mine])
    made = lifespan(lambda: InfraRuntime(infra_settings), allowed_types=[_Mine])
    with pytest.raises(ConfigurationError, match="allowed_types"):
        await made(FastAPI()).__aenter__()


def _with_state(app, state):
    async def call(scope, receive, send):
        await app({**scope, "state": state}, receive, send)

    return call


async def test_a_taken_port_is_seen(infra_settings):
    """runtime.serve on a port that is taken degrades, has a row, and names no port."""
    settings = infra_settings.with_changes(runtime={"serve": "127.0.0.1:0"})
    async with InfraRuntime(settings) as first:
        taken = f"127.0.0.1:{first.serving_port}"
        row = (await first.health())["probes"]
        assert (row.state, row.detail) == ("ready", f"http://{taken}")
        second = infra_settings.with_changes(runtime={"serve": taken})
        report, port = await asyncio.to_thread(asyncio.run, _health_of(second))
        assert (report["probes"].state, report.ok, port) == ("degraded", False, None)
        assert "is taken" in report["probes"].reason


async def _health_of(settings):
    async with InfraRuntime(settings) as rt:
        return await rt.health(), rt.serving_port


async def test_the_runtime_serves_by_itself(infra_settings):
    """With runtime.serve the paths are there without a web app, and gone after leaving."""
    settings = infra_settings.with_changes(runtime={"serve": "127.0.0.1:0"})
    async with InfraRuntime(settings) as rt:
        url = f"http://127.0.0.1:{rt.serving_port}"
        async with httpx.AsyncClient() as http:
            assert (await http.get(f"{url}/livez")).status_code == 200
    async with httpx.AsyncClient() as http:
        try:
            await http.get(f"{url}/livez")
        except httpx.ConnectError:
            return
    raise AssertionError("it still serves")


async def test_requests_continue_their_callers_trace():
    """Inside of a request the trace is the caller's; a server's error fails the span."""
    app = FastAPI()
    app.add_middleware(trace_requests)
    seen = {}

    @app.get("/work")
    async def work():
        with start_span("inside") as span:
            seen["trace"] = span.trace_id
        return {}

    @app.get("/broken")
    async def broken():
        return Response(status_code=503)

    ended = []
    async with Tracing(TracingSettings()) as tracing, _client(app) as http:
        tracing.subscribe(ended.append)
        headers = {"traceparent": "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"}
        await http.get("/work", headers=headers)
        await http.get("/broken")
        await http.request("BREW", "/work")
    assert seen["trace"] == "ab" * 16
    _, request, failed, odd = ended
    assert (request.parent_id, request.kind, request.error) == ("cd" * 8, "server", None)
    assert request.name == "GET /work"
    assert dict(request.attributes) == {
        "http.request.method": "GET",
        "http.route": "/work",
        "url.path": "/work",
        "url.scheme": "http",
        "http.response.status_code": 200,
    }
    assert failed.error == "503"
    # Anybody's word for a method makes no new name.
    assert (odd.name, odd.attributes["http.request.method"]) == ("HTTP /work", "_OTHER")
    assert odd.attributes["http.request.method_original"] == "BREW"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/items/7", "GET /items/{item}"),
        ("/shop/items/7", "GET /shop/items/{item}"),
        ("/of/acme/items/7", "GET /items/{item}"),
        ("/nowhere/7", "GET"),
    ],
)
async def test_requests_are_called_by_their_route(path, name):
    """A request's span has the template of its path for a name, and never the path itself."""
    shop, app = FastAPI(), FastAPI()
    app.add_middleware(trace_requests)

    @shop.get("/items/{item}")
    @app.get("/items/{item}")
    async def found(item: int):
        return item

    app.mount("/shop", shop)
    app.mount("/of/{tenant}", shop)
    ended = []
    async with Tracing(TracingSettings()) as tracing, _client(app) as http:
        tracing.subscribe(ended.append)
        await http.get(path)
    (request,) = ended
    route = name.removeprefix("GET").strip() or None
    assert (request.name, request.attributes.get("http.route")) == (name, route)
