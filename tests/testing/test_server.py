"""The server's life, its routes and its errors."""

from __future__ import annotations

import asyncio
import io
import time

import aiohttp
import openai
import orjson
import pytest

from agentinfra.errors import ConfigurationError, NotStartedError
from agentinfra.testing import OpenAIServer, assert_no_leaks, faults

HELLO = [{"role": "user", "content": "hello"}]


async def send(url, *, method="POST", **options):
    """Send one request of our own making and return status, parsed body and headers."""
    async with aiohttp.ClientSession() as session, session.request(method, url, **options) as reply:
        return reply.status, await reply.json(content_type=None), reply.headers


async def test_address_is_known_once_it_listens():
    """A server has no address before it is entered, and a loopback one after."""
    server = OpenAIServer()
    with pytest.raises(NotStartedError, match="enter it"):
        _ = server.base_url
    async with server:
        assert server.base_url.startswith("http://127.0.0.1:")
        assert server.base_url.endswith("/v1")
        assert server.base_url == f"{server.root_url}/v1"


async def test_start_and_close_twice():
    """Starting a started server and closing a closed one do nothing."""
    server = OpenAIServer()
    await server.start()
    url = server.base_url
    await server.start()
    assert server.base_url == url
    await server.aclose()
    await server.aclose()


async def test_restart_keeps_the_port(server, client):
    """A server that is closed and started again listens where it did, so outages can be played."""
    url = server.base_url
    await server.aclose()
    with pytest.raises(openai.APIConnectionError):
        await client.chat.completions.create(model="m", messages=HELLO)
    await server.start()
    assert server.base_url == url
    assert (await client.chat.completions.create(model="m", messages=HELLO)).choices


async def test_taken_port_is_named(server):
    """A port that is taken is an error that names it and says what to do."""
    port = int(server.root_url.rpartition(":")[2])
    with pytest.raises(ConfigurationError, match=rf"127\.0\.0\.1:{port} .*0 for a free one"):
        await OpenAIServer(port=port).start()


async def test_closing_cancels_what_hangs():
    """Closing takes less than 0.2 s with hung requests, and leaves nothing behind."""
    async with assert_no_leaks(), aiohttp.ClientSession() as session:
        server = OpenAIServer()
        await server.start()
        server.fail_always(faults.hang())
        url = f"{server.base_url}/chat/completions"
        body = {"model": "m", "messages": HELLO}
        calls = [asyncio.create_task(session.post(url, json=body)) for _ in range(20)]
        await server.wait_for_requests(20)
        begin = time.perf_counter()
        await server.aclose()
        assert time.perf_counter() - begin < 0.2
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(result, aiohttp.ClientError) for result in results)
        assert server.ledger.in_flight == 0


async def test_closing_ends_idle_connections():
    """Connections that clients keep open end with the server."""
    async with assert_no_leaks():
        session = aiohttp.ClientSession()
        async with OpenAIServer() as server, session.get(f"{server.base_url}/models") as reply:
            await reply.read()
        await session.close()


async def test_key_is_in_no_repr():
    """The key shows neither in the server's repr nor in the ledger."""
    async with OpenAIServer(api_key="sk-secret-987654") as server:
        headers = {"Authorization": "Bearer sk-secret-987654"}
        status, _, _ = await send(f"{server.base_url}/models", method="GET", headers=headers)
        assert status == 200
        assert "secret" not in repr(server) + repr(server.ledger.requests)


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer wrong"}, {"api-key": "wrong"}],
    ids=["none", "bearer", "azure"],
)
async def test_wrong_key_is_refused(headers):
    """A server with a key answers 401 with code invalid_api_key to every other one."""
    async with OpenAIServer(api_key="right") as server:
        status, body, _ = await send(f"{server.base_url}/models", method="GET", headers=headers)
        assert status == 401
        assert body["error"]["code"] == "invalid_api_key"
        assert server.ledger.last.authorized is False


async def test_refused_key_meets_no_fault():
    """A request that is not let in uses up no fault."""
    async with OpenAIServer(api_key="right") as server:
        server.fail(faults.server_error())
        await send(f"{server.base_url}/models", method="GET")
        headers = {"Authorization": "Bearer right"}
        status, _, _ = await send(f"{server.base_url}/models", method="GET", headers=headers)
        assert status == 500


async def test_unknown_path(server):
    """A path that is none gets OpenAI's 404."""
    status, body, _ = await send(f"{server.base_url}/images", json={})
    assert status == 404
    assert body["error"] == {
        "message": "Invalid URL (POST /v1/images)",
        "type": "invalid_request_error",
        "param": None,
        "code": "unknown_url",
    }


async def test_a_forgotten_part_of_the_address(server):
    """A client that was given the root in place of the base URL is told so."""
    status, body, _ = await send(f"{server.root_url}/chat/completions", json={})
    assert status == 404
    assert body["error"]["message"].endswith("the base URL of this server ends with /v1")


async def test_wrong_method(server):
    """A known path with another method gets 405."""
    status, body, _ = await send(f"{server.base_url}/chat/completions", method="GET")
    assert status == 405
    assert "send POST" in body["error"]["message"]


async def test_every_response_has_an_id(server):
    """Responses, refusals too, carry a request id, the version and the time they took."""
    _, _, good = await send(f"{server.base_url}/models", method="GET")
    _, _, bad = await send(f"{server.base_url}/nothing", method="GET")
    assert good["x-request-id"].startswith("req_")
    assert good["x-request-id"] != bad["x-request-id"]
    assert int(good["openai-processing-ms"]) >= 0
    assert "x-ratelimit-limit-requests" not in good


async def test_models(server, client):
    """The models are listed, and any model can be asked for when none is configured."""
    listed = await client.models.list()
    assert {"gpt-4o-mini", "text-embedding-3-small"} <= {model.id for model in listed.data}
    assert (await client.models.retrieve("whatever")).id == "whatever"


async def test_configured_models():
    """Only configured models are listed, found and answered for."""
    async with (
        OpenAIServer(models=["tiny"]) as server,
        openai.AsyncOpenAI(base_url=server.base_url, api_key="x", max_retries=0) as client,
    ):
        assert [model.id for model in (await client.models.list()).data] == ["tiny"]
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve("huge")
        with pytest.raises(openai.NotFoundError) as caught:
            await client.chat.completions.create(model="huge", messages=HELLO)
        assert caught.value.code == "model_not_found"


async def test_azure(server):
    """Azure's client reaches chat and embeddings under the deployment's path."""
    async with openai.AsyncAzureOpenAI(
        azure_endpoint=server.root_url, api_key="x", api_version="2024-10-21", max_retries=0
    ) as client:
        reply = await client.chat.completions.create(model="my-gpt", messages=HELLO)
        assert reply.model == "my-gpt"
        assert server.ledger.last.path == "/openai/deployments/my-gpt/chat/completions"
        vectors = await client.embeddings.create(model="my-small", input="hello")
        assert len(vectors.data[0].embedding) == 1536


async def test_azure_names_the_model_by_its_path(server):
    """A body without a model is answered for the deployment; without an api-version it is a 404."""
    url = f"{server.root_url}/openai/deployments/my-gpt/chat/completions"
    status, body, _ = await send(f"{url}?api-version=2024-10-21", json={"messages": HELLO})
    assert (status, body["model"]) == (200, "my-gpt")
    status, _, _ = await send(url, json={"messages": HELLO})
    assert status == 404


USER = {"role": "user", "content": "x"}
CALLING = {
    "role": "assistant",
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
}
RESULT = {"role": "tool", "content": "x"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
LOOSE = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}}


SHUT = {"type": "object", "additionalProperties": False, "required": ["a"]}


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": None}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": ["hello"]}, "messages[0]"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content[0]"),
        ({"messages": [USER, {"role": "tool", "content": "x"}]}, "messages[1].tool_call_id"),
        ({"messages": [USER, {**RESULT, "tool_call_id": "c2"}]}, "messages.[1].role"),
        ({"messages": [USER, CALLING]}, "messages.[2].role"),
        ({"messages": [USER, CALLING, USER]}, "messages.[2].role"),
        ({"messages": [USER, {"role": "assistant"}]}, "messages[1].content"),
        ({"messages": [USER, {**CALLING, "tool_calls": []}]}, "messages[1].tool_calls"),
        ({"max_token": 5}, "max_token"),
        ({"max_tokens": 5, "max_completion_tokens": 5}, "max_tokens"),
        ({"reasoning_effort": "bogus"}, "reasoning_effort"),
        ({"parallel_tool_calls": True}, "parallel_tool_calls"),
        ({"tools": []}, "tools"),
        ({"tools": [TOOL] * 129}, "tools"),
        ({"model": None}, "model"),
        ({"model": 4}, "model"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": 3}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": 1.5}, "max_completion_tokens"),
        ({"n": 0}, "n"),
        ({"stop": 5}, "stop"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"tools": {}}, "tools"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        (
            {"tools": [{"type": "function", "function": {"name": "a.b"}}]},
            "tools[0].function.name",
        ),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": "must"}, "tool_choice"),
        (
            {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "g"}}},
            "tool_choice",
        ),
        ({"response_format": {"type": "yaml"}}, "response_format.type"),
        ({"response_format": {"type": "json_object"}}, "messages"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {}}},
            "response_format.json_schema.name",
        ),
    ],
)
async def test_bad_chat_request(server, change, param):
    """A request that OpenAI refuses gets a 400 that names the parameter."""
    body = {"model": "m", "messages": HELLO, **change}
    body = {key: value for key, value in body.items() if value is not None}
    status, answer, _ = await send(f"{server.base_url}/chat/completions", json=body)
    assert status == 400
    assert answer["error"]["param"] == param
    assert answer["error"]["type"] == "invalid_request_error"
    assert answer["error"]["message"]


@pytest.mark.parametrize(
    ("schema", "complaint"),
    [
        (LOOSE, "additionalProperties"),
        ({**LOOSE, "additionalProperties": False, "required": ["a"]}, "Missing 'b'"),
        (
            {**SHUT, "properties": {"a": {"anyOf": [{"type": "array", "items": LOOSE}]}}},
            "additionalProperties",
        ),
        ({"type": "array", "items": LOOSE}, 'got "array"'),
        ({**SHUT, "properties": {"a": {"type": "strin"}}}, "'strin' is not valid"),
        ({"$defs": {"Inner": LOOSE}, "$ref": "#/$defs/Inner"}, "additionalProperties"),
    ],
)
async def test_strict_schemas_are_checked(server, schema, complaint):
    """A strict schema that is not closed is refused, for a response format and for a tool."""
    named = {"name": "thing", "strict": True, "schema": schema}
    formatted = {"response_format": {"type": "json_schema", "json_schema": named}}
    function = {"name": "thing", "strict": True, "parameters": schema}
    offered = {"tools": [{"type": "function", "function": function}]}
    for extra in (formatted, offered):
        body = {"model": "m", "messages": HELLO, **extra}
        status, answer, _ = await send(f"{server.base_url}/chat/completions", json=body)
        assert status == 400
        assert complaint in answer["error"]["message"]


@pytest.mark.parametrize("raw", [b"", b"{", b"[1]", b"5"])
async def test_body_that_is_no_object(server, raw):
    """A body that is not a JSON object gets a 400."""
    status, body, _ = await send(f"{server.base_url}/chat/completions", data=raw)
    assert status == 400
    assert "JSON body" in body["error"]["message"]


@pytest.mark.parametrize(
    "given", [None, 5, "", [], [""], ["a", 5], [[]], [["a"]], ["x"] * 2049], ids=str
)
async def test_bad_embeddings_input(server, given):
    """Inputs that OpenAI refuses are refused: none, empty ones, too many, mixed ones."""
    body = {"model": "m", "input": given}
    status, answer, _ = await send(f"{server.base_url}/embeddings", json=body)
    assert status == 400
    assert answer["error"]["param"] == "input"


async def test_large_bodies_are_taken(server):
    """A body of several megabytes is read."""
    body = {"model": "m", "messages": [{"role": "user", "content": "x" * 5_000_000}]}
    data = io.BytesIO(orjson.dumps(body))
    status, _, _ = await send(f"{server.base_url}/chat/completions", data=data)
    assert status == 200
