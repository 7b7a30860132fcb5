"""Whether an endpoint works is told by what it answers, and costs nothing."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from agentinfra.testing import OpenAIServer, faults

LIST = (200, "application/json", {"data": [{"id": "gpt-4o-mini"}, {"id": "other"}]})
EMBEDS = (200, "application/json", {"data": [{"id": "text-embedding-3-small"}]})
REFUSED = (400, "application/json", {"error": {"message": "messages is required"}})
UNPROCESSABLE = (422, "application/json", {"detail": [{"loc": ["body", "messages"]}]})
BAD_KEY = (401, "application/json", {"error": {"message": "no such key: sk-test"}})
NO_SCOPE = (403, "application/json", {"error": {"message": "Missing scopes: api.model.read"}})
NO_QUOTA = (429, "application/json", {"error": {"code": "insufficient_quota"}})
BUSY = (429, "application/json", {"error": {"code": "rate_limit_exceeded"}})
NO_MESSAGES = (500, "application/json", {"error": {"message": "key 'messages' not found"}})
NO_INPUT = (500, "application/json", {"error": {"message": "1 validation error: input"}})
SAID = (200, "application/json", {"choices": [{"message": {"content": "Sure"}}]})
BROKEN = (500, "application/json", {"error": {"message": "The server had an error"}})
DOWN = (503, "text/html", "<h1>Service Unavailable</h1>")
LOGIN = (200, "text/html", "<!doctype html><title>Hotel</title>")
NOT_FOUND = (404, "text/html", "<h1>Not Found</h1>")
NO_ROUTE = (404, "application/json", {"detail": "Not Found"})
NO_MODEL = (404, "application/json", {"error": {"message": "The model '' does not exist"}})
NO_DEPLOYMENT = (404, "application/json", {"error": {"code": "DeploymentNotFound"}})
UNEXPECTED = (200, "application/json", {"error": "Unexpected endpoint or method. (GET /models)"})
MOVED = (308, "text/plain", "")
TEXT = (200, "text/plain", "Ollama is running")


@asynccontextmanager
async def endpoint(default=NOT_FOUND, **answers):
    """Serve what each call is answered with; give the address and the paths asked for."""
    asked = []

    async def handle(request):
        path = request.path.removeprefix("/v1/")
        name = {"models": "models", "chat/completions": "chat", "embeddings": "embeddings"}
        asked.append(f"{request.method} {request.path}")
        known = name.get(path) if request.path.startswith("/v1/") else None
        status, kind, content = answers.get(known, default) if known else default
        body = content if isinstance(content, str) else json.dumps(content)
        return web.Response(status=status, text=body, content_type=kind)

    runner = web.ServerRunner(web.Server(handle))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", asked
    finally:
        await runner.cleanup()


@pytest.fixture
def probed(client_of):
    """Give a function that asks a client of an address for its row."""

    class Named:
        def __init__(self, base_url):
            self.base_url = base_url

    async def probe(url, **fields):
        async with client_of(Named(url), **fields) as client:
            return await client.probe(thorough=True)

    return probe


@pytest.mark.parametrize(
    ("answers", "state", "words"),
    [
        ({"models": LIST, "chat": REFUSED, "embeddings": REFUSED}, "ready", ""),
        ({"models": EMBEDS, "chat": UNPROCESSABLE}, "ready", ""),
        ({"models": NOT_FOUND, "chat": REFUSED, "embeddings": REFUSED}, "ready", ""),
        ({"models": NO_SCOPE, "chat": REFUSED, "embeddings": REFUSED}, "ready", ""),
        ({"models": LIST, "chat": NO_MODEL, "embeddings": NO_MODEL}, "ready", ""),
        ({"models": LIST, "chat": UNEXPECTED, "embeddings": REFUSED}, "ready", ""),
        ({"models": LIST, "chat": NO_MESSAGES, "embeddings": REFUSED}, "ready", ""),
        ({"models": LIST, "chat": SAID, "embeddings": NO_INPUT}, "ready", ""),
        ({"models": LIST, "chat": REFUSED}, "degraded", "has no embeddings (HTTP 404)"),
        ({"models": LIST, "chat": REFUSED, "embeddings": LOGIN}, "degraded", "no embeddings"),
        ({"default": BAD_KEY}, "failed", "refuses the key (HTTP 401)"),
        ({"models": LIST, "chat": BAD_KEY}, "failed", "refuses the key (HTTP 401)"),
        ({"models": NO_SCOPE, "chat": NOT_FOUND}, "failed", "refuses the key (HTTP 403)"),
        ({"default": NO_QUOTA}, "degraded", "no quota left (HTTP 429)"),
        ({"models": LIST, "chat": NO_QUOTA}, "degraded", "no quota left"),
        ({"default": BUSY}, "degraded", "no more requests at the moment"),
        ({"default": DOWN}, "degraded", "answers with HTTP 503"),
        ({"default": BROKEN}, "degraded", "answers with HTTP 500"),
        ({"models": LIST, "chat": BROKEN}, "degraded", "answers with HTTP 500"),
        ({"default": LOGIN}, "failed", "a web page and not with JSON (HTTP 200)"),
        ({"models": LIST, "chat": LOGIN}, "failed", "a web page and not with JSON"),
        ({"default": MOVED}, "failed", "sends elsewhere (HTTP 308)"),
        ({"default": TEXT}, "failed", "what no OpenAI-compatible API does"),
        ({"default": NOT_FOUND}, "failed", "answers 404 to everything"),
        ({"default": NO_ROUTE}, "failed", "answers 404 to everything"),
        ({"models": LIST, "chat": NO_DEPLOYMENT}, "failed", "no deployment of that name"),
        ({"models": LIST}, "failed", "answers 404 to calls, though it lists its models"),
    ],
)
async def test_what_an_endpoint_answers_tells_how_it_is(probed, answers, state, words):
    """Each way of not working has its sentence; a refused empty call is a working one."""
    async with endpoint(**answers) as (url, _):
        row = await probed(f"{url}/v1")
    assert (row.state, row.latency is not None) == (state, True)
    assert words in row.reason
    assert bool(row.reason) is (state != "ready")
    assert "sk-test" not in row.reason


async def test_a_forgotten_v1_is_found(probed):
    """Where the API answers below /v1, that is the sentence, whatever stands at the root."""
    answers = {"models": LIST, "chat": REFUSED, "embeddings": REFUSED}
    for at_the_root in (NOT_FOUND, LOGIN, TEXT, UNEXPECTED):
        async with endpoint(at_the_root, **answers) as (url, _):
            row = await probed(url)
        assert row.state == "failed"
        assert "add /v1 to OPENAI_BASE_URL" in row.reason
        assert f"answers at {url}/v1" in row.reason


async def test_what_is_not_there_is_told_without_passwords(probed):
    """An address nobody listens at is told, and a password in it is not."""
    row = await probed("http://127.0.0.1:9/v1")
    assert row.state == "degraded"
    assert "http://127.0.0.1:9/v1 cannot be reached" in row.reason
    row = await probed("http://agent:open-barley@127.0.0.1:9/v1")
    assert row.state in ("degraded", "failed")
    assert "barley" not in row.reason + row.detail


async def test_a_server_that_does_not_answer_is_given_up(client_of, clock):
    """A checkup ends before the five seconds of the report that waits for it are over."""
    async with OpenAIServer() as server, client_of(server, clock=clock) as client:
        server.fail(faults.hang())
        probing = asyncio.create_task(client.probe())
        await server.ledger.wait_for(arrived=1)
        await clock.advance(4.5)
        row = await probing
    assert row.state == "degraded"
    assert "does not answer within 4 s" in row.reason


async def test_a_key_that_cannot_be_had_is_told(client_of):
    """What a provider of keys raises is named, and its text is kept: the key may be in it."""

    async def key():
        raise RuntimeError("the vault refused sk-open-barley")

    async with OpenAIServer() as server, client_of(server, key=key) as client:
        row = await client.probe()
    assert row.state == "failed"
    assert "the key's provider failed with RuntimeError" in row.reason
    assert "barley" not in row.reason


async def test_the_price_of_asking_is_nothing(client_of, clock):
    """No token is spent; an answer holds for a while, and what has worked is not tried again."""
    async with OpenAIServer() as server, client_of(server, clock=clock) as client:
        rows = await asyncio.gather(*(client.probe() for _ in range(10)))
        assert {row.state for row in rows} == {"ready"}
        assert server.ledger.tokens().total_tokens == 0
        # A test that counts calls, or scripts their answers, does not meet a checkup.
        assert {record.path for record in server.ledger.requests} == {"/v1/models"}
        first = len(server.ledger.requests)
        await clock.advance(29)
        await client.probe()
        assert len(server.ledger.requests) == first
        await clock.advance(2)
        await client.probe()
        assert len(server.ledger.requests) == first + 1


async def test_a_thorough_look_tries_calls_once(client_of):
    """A call that is refused for what it lacks would have worked, and is not tried again."""
    async with OpenAIServer() as server, client_of(server) as client:
        for _ in range(3):
            assert (await client.probe(thorough=True)).state == "ready"
        assert server.ledger.count(path="/chat/completions") == 1
        assert server.ledger.tokens().total_tokens == 0


async def test_what_was_mended_is_seen_soon(client_of, clock):
    """A bad answer holds for five seconds."""
    async with OpenAIServer() as server, client_of(server, clock=clock) as client:
        server.fail(faults.server_error(), times=2)
        assert (await client.probe()).state == "degraded"
        await clock.advance(6)
        assert (await client.probe()).state == "ready"


async def test_a_fallback_that_is_away_is_less_than_all(client_of):
    """The endpoint that is called first decides; another one that is away degrades."""
    async with OpenAIServer() as server:
        endpoints = {"backup": {"base_url": "http://127.0.0.1:9/v1"}}
        async with client_of(server, endpoints=endpoints) as client:
            row = await client.probe()
    assert row.state == "degraded"
    assert "'backup' in AGENTINFRA_LLM__ENDPOINTS" in row.reason


async def test_a_model_that_is_not_listed_is_told(client_of):
    """It may be an alias, so the row stays ready; its detail says what there is."""
    async with (
        OpenAIServer(models=["gpt-4o", "text-embedding-3-small"]) as server,
        client_of(server, model="gpt-4o-mimi") as client,
    ):
        row = await client.probe()
    assert row.state == "ready"
    assert "gpt-4o-mimi is not in its list: gpt-4o" in row.detail
