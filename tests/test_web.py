"""The runtime behind HTTP: probes, metrics, and a lifespan for web apps."""

import httpx
from fastapi import FastAPI, Request
from starlette.applications import Starlette
from starlette.routing import Mount

from agentinfra import InfraRuntime, Settings
from agentinfra.web import create_app, lifespan

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


async def test_it_can_be_mounted(infra_runtime):
    """A web app shows the probes under a path of its own."""
    app = Starlette(routes=[Mount("/infra", create_app(infra_runtime))])
    async with _client(app) as http:
        assert (await http.get("/infra/livez")).status_code == 200


async def test_a_runtime_that_was_left_is_not_ready(infra_settings):
    """After leaving, /readyz says so instead of failing."""
    async with InfraRuntime(infra_settings) as rt:
        app = create_app(rt)
    async with _client(app) as http:
        assert (await http.get("/readyz")).status_code == 503


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


async def test_lifespan_enters_a_runtime_around_the_app(infra_settings):
    """Requests find it in their state."""
    app = FastAPI(lifespan=lifespan(infra_settings))

    @app.get("/ask")
    async def ask(request: Request, question: str) -> str:
        messages = [{"role": "user", "content": question}]
        return (await request.state.infra.llm.chat_completion(messages)).text

    async with app.router.lifespan_context(app) as state:
        assert InfraRuntime.current() is state["infra"] is app.state.infra
        ask_request = {"infra": state["infra"]}
        transport = httpx.ASGITransport(app=_with_state(app, ask_request))
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as http:
            assert "hello" in (await http.get("/ask", params={"question": "hello"})).text


def _with_state(app, state):
    async def call(scope, receive, send):
        await app({**scope, "state": state}, receive, send)

    return call


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
