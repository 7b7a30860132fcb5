"""A chat call and what it returns, over both transports."""

import asyncio
from decimal import Decimal

import pytest
from llm_support import HELLO

from agentinfra import AsyncLLMClient, Settings
from agentinfra.errors import (
    ClosedError,
    ConfigurationError,
    LLMUnavailableError,
    NotStartedError,
)
from agentinfra.results import Usage
from agentinfra.testing import OpenAIServer, faults
from agentinfra.testing.replies import FunctionCall, Reply


async def test_a_call_returns_text_usage_cost_and_ids(client, server):
    """The response carries what the server sent, and its price."""
    usage = Usage(prompt_tokens=1000, completion_tokens=500, total_tokens=1500)
    server.script(Reply(text="Hi there", usage=usage))
    reply = await client.chat_completion(HELLO, model="gpt-4o-mini")
    assert (reply.text, reply.finish_reason, reply.attempts) == ("Hi there", "stop", 1)
    assert reply.usage == usage
    assert reply.cost_usd == Decimal("0.00045")  # 1,000 at 0.15 and 500 at 0.60 USD a million
    assert reply.request_id
    assert reply.latency > 0


async def test_cached_and_reasoning_tokens_have_their_own_price(client, server):
    """Cached prompt tokens cost what cached tokens cost."""
    usage = Usage(prompt_tokens=1000, completion_tokens=0, total_tokens=1000, cached_tokens=800)
    server.script(Reply(text="x", usage=usage))
    reply = await client.chat_completion(HELLO, model="gpt-4o-mini")
    assert reply.usage.cached_tokens == 800
    assert reply.cost_usd == Decimal("0.00009")  # 200 at 0.15 and 800 at 0.075


async def test_raw_is_the_openai_packages_type(client):
    """Raw is built on demand and holds everything the server sent."""
    from openai.types.chat import ChatCompletion

    reply = await client.chat_completion(HELLO)
    assert isinstance(reply.raw, ChatCompletion)
    assert reply.raw.choices[0].message.content == reply.text


async def test_parameters_pass_through_untouched(client_of):
    """Every parameter arrives as it was given, unknown ones too; None is left out."""
    async with OpenAIServer(like="vllm") as server, client_of(server) as client:
        await _pass_parameters(client, server)


async def _pass_parameters(client, server):
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    sound = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
    text = {"type": "text", "text": "what is this?"}
    messages = [{"role": "user", "content": [text, picture, sound]}]
    await client.chat_completion(
        messages, temperature=0.0, max_tokens=7, seed=3, top_p=None, vendor_flag={"a": [1]}
    )
    body = server.ledger.last.body
    assert body["messages"] == messages
    assert (body["temperature"], body["max_tokens"], body["seed"]) == (0.0, 7, 3)
    assert body["vendor_flag"] == {"a": [1]}
    assert "top_p" not in body
    assert "stream" not in body


async def test_messages_of_the_openai_package_can_be_sent_back(client, server):
    """A message taken out of raw is a message again."""
    first = await client.chat_completion(HELLO)
    answer = first.raw.choices[0].message
    await client.chat_completion([*HELLO, answer, *HELLO])
    assert server.ledger.last.body["messages"][1]["content"] == first.text


async def test_tool_calls_are_returned_as_the_model_wrote_them(client, server):
    """Arguments stay text, broken or not."""
    call = FunctionCall(name="f", arguments='{"a": 1', id="call_1")
    server.script(Reply(tool_calls=[call]))
    reply = await client.chat_completion(HELLO, tools=[_tool("f")])
    assert [(c.id, c.name, c.arguments) for c in reply.tool_calls] == [("call_1", "f", '{"a": 1')]
    assert reply.finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("messages", "says"),
    [
        ("hello", "wrap the text"),
        ([], "is empty"),
        ([{"content": "x"}], r"messages\[0\] has the role None"),
        ([{"role": "usr", "content": "x"}], "'usr'"),
        ({"role": "user"}, "not dict"),
    ],
)
async def test_bad_messages_are_refused_before_anything_is_sent(client, server, messages, says):
    """The error names what is wrong and nothing leaves."""
    with pytest.raises(ConfigurationError, match=says):
        await client.chat_completion(messages)
    assert server.ledger.count() == 0


async def test_without_key_and_address_chat_raises_at_once():
    """No endpoint: chat raises, embeddings are marked as degraded."""
    async with AsyncLLMClient(Settings().llm) as llm:
        with pytest.raises(LLMUnavailableError, match="OPENAI_API_KEY"):
            await llm.chat_completion(HELLO)
        batch = await llm.get_embeddings(["a", "b"])
        assert batch.degraded
        assert batch.model == "agentinfra-hash-v1"
        assert (await llm.probe()).state == "degraded"


async def test_use_outside_of_the_block_is_an_error(client_of, server):
    """Before entry and after leaving, calls say so."""
    llm = AsyncLLMClient(Settings(llm={"base_url": server.base_url}).llm)
    with pytest.raises(NotStartedError):
        await llm.chat_completion(HELLO)
    async with llm:
        await llm.chat_completion(HELLO)
    with pytest.raises(ClosedError):
        await llm.chat_completion(HELLO)


async def test_the_key_of_a_provider_is_asked_for_each_request(client_of, server):
    """A rotating key is read again for every request."""
    keys = iter(["sk-first-1111", "sk-second-2222"])

    async def key():
        return next(keys)

    async with client_of(server, key=key) as llm:
        await llm.chat_completion(HELLO)
        await llm.chat_completion(HELLO)
    sent = [record.headers["authorization"] for record in server.ledger.requests]
    assert [value[-4:] for value in sent] == ["1111", "2222"]


async def test_azure_addresses_and_keys(client_of, server):
    """Azure OpenAI gets its deployment path, its api-version and its api-key header."""
    root = server.base_url.removesuffix("/v1")
    async with client_of(server, base_url=root, api_version="2024-10-21") as llm:
        reply = await llm.chat_completion(HELLO, model="my-deployment")
        await llm.get_embeddings(["a"], model="embed")
    assert reply.text
    chat, embeddings = server.ledger.requests
    assert chat.path == "/openai/deployments/my-deployment/chat/completions"
    assert embeddings.path == "/openai/deployments/embed/embeddings"
    assert "api-key" in chat.headers


async def test_no_secret_shows(client_of, server, capsys):
    """The key is in no repr, error or log line."""
    async with client_of(server, api_key="sk-very-secret-key") as llm:
        server.fail_always(faults.unauthorized())
        with pytest.raises(Exception, match="401") as caught:
            await llm.chat_completion(HELLO)
        shown = f"{caught.value!r} {caught.value.__cause__!r} {llm!r} {capsys.readouterr()}"
    assert "very-secret" not in shown


async def test_many_calls_side_by_side(client, server, transport):
    """As many requests arrive as calls were made, and every call is answered."""
    # A thousand take the package's own wire seconds, and none may wait five to be connected.
    number = {"direct": 1000, "sdk": 100}[transport]
    calls = (client.chat_completion(HELLO, timeout=None, deadline=None) for _ in range(number))
    replies = await asyncio.gather(*calls)
    assert all(reply.text for reply in replies)
    assert server.ledger.count() == number


def _tool(name):
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
