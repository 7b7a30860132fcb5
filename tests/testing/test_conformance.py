"""Responses against OpenAI's own description of them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import aiohttp
import jsonschema
import pytest

from agentinfra.results import Usage
from agentinfra.testing import FunctionCall, Reply, faults

DESCRIPTION = Path(__file__).parents[3] / "shared" / "data" / "openai-openapi.json.gz"
pytestmark = pytest.mark.skipif(not DESCRIPTION.exists(), reason="OpenAI's description is not here")

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
SCHEMA = {"name": "thing", "schema": {"type": "object", "properties": {"a": {"type": "integer"}}}}
REQUESTS = {
    "plain": {},
    "choices": {"n": 2},
    "tools": {"tools": [TOOL], "tool_choice": "required"},
    "json": {"response_format": {"type": "json_schema", "json_schema": SCHEMA}},
    "cut": {"max_completion_tokens": 1},
}


def nullable(schema):
    """Return a schema with OpenAPI's nullable written as JSON Schema has it."""
    if isinstance(schema, list):
        return [nullable(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: nullable(value) for key, value in schema.items() if key != "nullable"}
    return {"anyOf": [plain, {"type": "null"}]} if schema.get("nullable") is True else plain


@pytest.fixture(scope="module")
def conforms():
    """Give a function that validates a value against a schema of the description."""
    with gzip.open(DESCRIPTION) as file:
        schemas = nullable(json.load(file)["components"]["schemas"])

    def check(value, name):
        schema = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}}
        jsonschema.Draft202012Validator(schema).validate(value)
        known = schemas[name].get("properties")
        assert known is None or set(value) <= set(known)

    return check


async def post(server, path, body):
    """Return a response's text."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{server.base_url}{path}", json=body) as reply,
    ):
        return await reply.text()


def chat(**more):
    """Return the body of a chat request."""
    return {
        "model": "gpt-4o-mini",
        "messages": [{"role": "user", "content": "What is the weather in Paris?"}],
        **more,
    }


@pytest.mark.parametrize("name", REQUESTS)
async def test_completion(server, conforms, name):
    """A completion is a CreateChatCompletionResponse."""
    text = await post(server, "/chat/completions", chat(**REQUESTS[name]))
    conforms(json.loads(text), "CreateChatCompletionResponse")


@pytest.mark.parametrize("include_usage", [False, True])
@pytest.mark.parametrize("name", REQUESTS)
async def test_chunks(server, conforms, name, include_usage):
    """Every chunk of a stream is a CreateChatCompletionStreamResponse."""
    body = chat(**REQUESTS[name], stream=True, stream_options={"include_usage": include_usage})
    text = await post(server, "/chat/completions", body)
    *events, end, rest = text.split("\n\n")
    assert (end, rest) == ("data: [DONE]", "")
    chunks = [json.loads(event.removeprefix("data: ")) for event in events]
    for chunk in chunks:
        conforms(chunk, "CreateChatCompletionStreamResponse")
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert [("usage" in chunk) for chunk in chunks] == [include_usage] * len(chunks)
    assert bool(chunks[-1].get("usage")) is include_usage


async def test_scripted_replies(server, conforms):
    """A refusal and several calls conform too."""
    calls = (FunctionCall(name="f"), FunctionCall(name="g", arguments={"a": 1}))
    for reply in (Reply(refusal="no"), Reply(text="both", tool_calls=calls)):
        for stream in (False, True):
            server.script(reply)
            text = await post(server, "/chat/completions", chat(stream=stream))
            if stream:
                for event in text.split("\n\n")[:-2]:
                    chunk = json.loads(event.removeprefix("data: "))
                    conforms(chunk, "CreateChatCompletionStreamResponse")
            else:
                conforms(json.loads(text), "CreateChatCompletionResponse")


FLAT = {"type": "function", **TOOL["function"], "strict": False}
ASKED = {
    "plain": {},
    "instructions": {"instructions": "Be brief.", "metadata": {"a": "b"}, "store": False},
    "tools": {"tools": [FLAT], "tool_choice": "required"},
    "json": {"text": {"format": {"type": "json_schema", **SCHEMA}}},
    "cut": {"max_output_tokens": 16, "input": "one two three " * 20},
    "background": {"background": True},
    "sealed": {"include": ["reasoning.encrypted_content"], "reasoning": {"effort": "low"}},
}
SAID = {
    "default": None,
    "thought": Reply(text="Paris", reasoning="Let me think."),
    "calls": Reply(
        text="both",
        reasoning="hm",
        tool_calls=(FunctionCall(name="f"), FunctionCall(name="g", arguments={"a": 1})),
    ),
    "refusal": Reply(refusal="no"),
    "filtered": Reply(text="x", finish_reason="content_filter"),
    "failed": Reply(failure="boom"),
    "usage": Reply(text="x", usage=Usage(prompt_tokens=9, completion_tokens=8, cached_tokens=4)),
}


def question(**more):
    """Return the body of a Responses request."""
    return {"model": "gpt-4o-mini", "input": "What is the weather in Paris?", **more}


@pytest.mark.parametrize("said", SAID)
@pytest.mark.parametrize("name", ASKED)
async def test_responses(server, conforms, name, said):
    """A response, whole and as it is kept, is a Response."""
    if SAID[said] is not None:
        server.script(SAID[said])
    made = json.loads(await post(server, "/responses", question(**ASKED[name])))
    conforms(made, "Response")
    if not made["store"]:
        return
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{server.base_url}/responses/{made['id']}") as reply:
            conforms(await reply.json(), "Response")
        async with session.get(f"{server.base_url}/responses/{made['id']}/input_items") as reply:
            conforms(await reply.json(), "ResponseItemList")


@pytest.mark.parametrize("said", SAID)
@pytest.mark.parametrize("name", ASKED)
async def test_response_events(server, conforms, name, said):
    """Every event of a stream is one of the description's, numbered, and named as its type."""
    if SAID[said] is not None:
        server.script(SAID[said])
    text = await post(server, "/responses", question(**ASKED[name], stream=True))
    *events, rest = text.split("\n\n")
    assert rest == ""
    for number, event in enumerate(events):
        first, _, data = event.partition("\ndata: ")
        payload = json.loads(data)
        assert first == f"event: {payload['type']}"
        assert payload["sequence_number"] == number
        conforms(payload, "ResponseStreamEvent")
    assert json.loads(events[0].partition("data: ")[2])["type"] == "response.created"


async def test_token_counts(server, conforms):
    """A count of input tokens is a TokenCountsResource."""
    text = await post(server, "/responses/input_tokens", question())
    conforms(json.loads(text), "TokenCountsResource")


@pytest.mark.parametrize("given", ["one", ["one", "two"], [1, 2]], ids=["text", "texts", "tokens"])
async def test_embeddings(server, conforms, given):
    """Embeddings are a CreateEmbeddingResponse."""
    text = await post(server, "/embeddings", {"model": "m", "input": given})
    conforms(json.loads(text), "CreateEmbeddingResponse")


async def test_files_and_batches(server, client, conforms):
    """Files and batches, alone and listed, are those of the description."""
    content = b'{"custom_id": "a", "body": {"model": "m", "input": "x"}}'
    file = await client.files.create(file=("a.jsonl", content), purpose="batch")
    await client.batches.create(
        input_file_id=file.id, endpoint="/v1/embeddings", completion_window="24h"
    )
    paths = {
        "files": "ListFilesResponse",
        f"files/{file.id}": "OpenAIFile",
        "batches": "ListBatchesResponse",
        "batches/batch_000000000000000000000000": "Batch",
    }
    async with aiohttp.ClientSession() as session:
        for path, name in paths.items():
            async with session.get(f"{server.base_url}/{path}") as reply:
                conforms(await reply.json(), name)


async def test_models(server, conforms):
    """The models are a ListModelsResponse of Models."""
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{server.base_url}/models") as reply:
            conforms(await reply.json(), "ListModelsResponse")
        async with session.get(f"{server.base_url}/models/m") as reply:
            conforms(await reply.json(), "Model")


async def test_errors(server, conforms):
    """Errors of the server and of its faults are ErrorResponses."""
    conforms(json.loads(await post(server, "/chat/completions", {})), "ErrorResponse")
    conforms(json.loads(await post(server, "/nothing", {})), "ErrorResponse")
    for fault in (
        faults.status(500),
        faults.rate_limited(),
        faults.quota_exceeded(),
        faults.server_error(),
        faults.unauthorized(),
        faults.context_length(),
        faults.content_filter(),
    ):
        server.fail(fault)
        conforms(json.loads(await post(server, "/chat/completions", chat())), "ErrorResponse")
