"""The client behaves alike on every server of the zoo, over both transports and both APIs."""

import json
from contextlib import asynccontextmanager

import pytest
from llm_support import HELLO
from pydantic import BaseModel

from agentinfra.errors import (
    AuthenticationError,
    BadRequestError,
    LLMError,
    LLMStreamInterruptedError,
)
from agentinfra.testing import FunctionCall, OpenAIServer, Reply
from agentinfra.testing.zoo import NAMES, animal

HABITATS = [
    (name, api)
    for name in NAMES
    for api in ("auto", "chat", "responses")
    if api in animal(name).serves or api == "auto"
]
WITH_TOOLS = [habitat for habitat in HABITATS if habitat != ("gpt-5.6", "chat")]
"""All but the one whose model has tools only in the API that is ruled out."""
WITH_VECTORS = [habitat for habitat in HABITATS if "embeddings" in animal(habitat[0]).serves]
TURNS = 10
TOOL = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add one.",
        "parameters": {"type": "object", "properties": {"to": {"type": "integer"}}},
    },
}


class City(BaseModel):
    """A city and how many live there."""

    name: str
    people: int


@pytest.fixture(params=HABITATS, ids="-".join)
async def habitat(request):
    """A server of the zoo, and the API its client is told to use."""
    name, api = request.param
    async with OpenAIServer(like=name, api_key="sk-test") as server:
        yield server, name, api


@pytest.fixture
def client_in(client_of):
    """Return a factory of clients in a habitat."""

    @asynccontextmanager
    async def enter(habitat, **fields):
        server, name, api = habitat
        given = {"api": api, "model": "gpt-5.6" if name == "gpt-5.6" else "some-model"}
        async with client_of(server, **{"max_attempts": 1, **given, **fields}) as client:
            yield client

    return enter


async def _ask(llm, messages, stream, **options):
    if not stream:
        return await llm.chat_completion(messages, **options)
    return await (await llm.chat_completion(messages, stream=True, **options)).response()


def _thinks(name, server):
    """Return whether this request's answer carries what the model thought."""
    return animal(name).reasoning_key is not None or "/responses" in server.ledger.last.path


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_text_thoughts_usage_and_reason_arrive(habitat, client_in, stream):
    """Whatever the fields are called, one answer comes out."""
    server, name, _ = habitat
    server.script(Reply(text="It is four.", reasoning="two and two"))
    async with client_in(habitat) as llm:
        got = await _ask(llm, HELLO, stream, max_tokens=500)
    assert got.text == "It is four."
    assert got.finish_reason == "stop"
    assert got.usage.prompt_tokens > 0
    assert got.usage.completion_tokens > 0
    assert not got.usage.estimated
    if _thinks(name, server):
        assert got.reasoning == "two and two"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("habitat", WITH_TOOLS, ids="-".join, indirect=True)
async def test_an_agent_of_ten_turns_needs_to_know_no_server(habitat, client_in, stream):
    """What a reply said is sent on as it came, and every server takes it back."""
    server, _, _ = habitat
    server.script(
        *(
            Reply(tool_calls=(FunctionCall(name="add", arguments={"to": n}),), reasoning="hm")
            for n in range(TURNS)
        ),
        Reply(text=f"It is {TURNS}."),
    )
    conversation = list(HELLO)
    async with client_in(habitat, max_attempts=3) as llm:
        for turn in range(TURNS):
            got = await _ask(llm, conversation, stream, tools=[TOOL])
            (call,) = got.tool_calls
            assert (call.name, json.loads(call.arguments)) == ("add", {"to": turn})
            assert got.finish_reason == "tool_calls"
            conversation.append(json.loads(json.dumps(got.message)))
            result = {"role": "tool", "tool_call_id": call.id, "content": str(turn + 1)}
            conversation.append(result)
        got = await _ask(llm, conversation, stream, tools=[TOOL])
    assert got.text == f"It is {TURNS}."


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("habitat", WITH_TOOLS, ids="-".join, indirect=True)
async def test_two_calls_at_once_stay_two(habitat, client_in, stream):
    """Calls without an index, with index 0 each or with short ids are told apart."""
    server, _, _ = habitat
    calls = tuple(FunctionCall(name="add", arguments={"to": n}) for n in (1, 2))
    server.script(Reply(tool_calls=calls))
    async with client_in(habitat, max_attempts=3) as llm:
        got = await _ask(llm, HELLO, stream, tools=[TOOL])
    assert [json.loads(call.arguments)["to"] for call in got.tool_calls] == [1, 2]
    assert len({call.id for call in got.tool_calls}) == 2


async def test_values_of_a_schema_come_back(habitat, client_in):
    """Structured output works at the first try on every server."""
    server, _, _ = habitat
    city = {"name": "Ulm", "people": 126_000}

    def told(body):
        tools = body.get("tools")
        if not tools:
            return json.dumps(city)
        named = tools[0].get("function", tools[0])["name"]
        return Reply(tool_calls=(FunctionCall(name=named, arguments=city),))

    server.script(told)
    async with client_in(habitat, max_attempts=3) as llm:
        got = await llm.structured(HELLO, City)
    assert got == City(**city)


async def test_a_wrong_key_is_said_to_be_one(habitat, client_in):
    """It is the key, in each server's words for it, and nothing is tried again."""
    server, _, _ = habitat
    async with client_in(habitat, api_key="sk-wrong", max_attempts=3) as llm:
        with pytest.raises(AuthenticationError) as caught:
            await llm.chat_completion(HELLO)
    assert "sk-wrong" not in str(caught.value)
    assert server.ledger.count() == 1


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_model_that_fails_is_an_error_of_ours(habitat, client_in, stream):
    """Under status 200, in a choice, in an event or as a status: no answer is made of it."""
    server, _, _ = habitat
    server.script(Reply(text="It is", failure="the provider went away"))
    async with client_in(habitat) as llm:
        with pytest.raises(LLMError) as caught:
            await _ask(llm, HELLO, stream)
    if isinstance(caught.value, LLMStreamInterruptedError):
        assert caught.value.partial.text == "It is"
        assert caught.value.usage.completion_tokens > 0
    else:
        assert caught.value.retryable


@pytest.mark.parametrize("habitat", WITH_VECTORS, ids="-".join, indirect=True)
async def test_texts_become_vectors_where_there_is_an_endpoint(habitat, client_in):
    """More texts than one request takes, at whatever length the server likes."""
    texts = [f"text {n}" for n in range(150)]
    async with client_in(habitat) as llm:
        batch = await llm.get_embeddings(texts)
    assert len(batch) == len(texts)
    assert abs(float((batch.vectors[0] ** 2).sum()) - 1) < 1e-5


async def test_an_api_that_is_pinned_is_not_left(client_of):
    """What the model has only in the other API is refused in its words, and says so."""
    async with (
        OpenAIServer(like="gpt-5.6") as server,
        client_of(server, api="chat", model="gpt-5.6", max_attempts=3) as llm,
    ):
        with pytest.raises(BadRequestError, match="use /v1/responses"):
            await llm.chat_completion(HELLO, tools=[TOOL])
        assert server.ledger.count() == 1
