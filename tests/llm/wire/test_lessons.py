"""What refusals teach, also where several calls meet them at once."""

import asyncio

import pytest
from llm_support import HELLO
from raw_server import answer, events, piece, raw_server, reply

from agentinfra import AsyncLLMClient, Settings
from agentinfra.errors import BadRequestError

TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]


def _settings(server, **fields):
    return Settings(llm={"base_url": server.base_url, "max_attempts": 1, **fields}).llm


def _no_usage(request):
    if "stream_options" in request["body"]:
        return reply({"detail": "stream_options: extra inputs are not permitted"}, status=422)
    return events(piece({"content": "x"}), piece({}, "stop"))


def _other_limit(request):
    if "max_tokens" in request["body"]:
        message = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
        return reply({"error": {"message": message, "param": "max_tokens"}}, status=400)
    return reply(answer("x"))


async def test_calls_that_are_refused_together_all_learn():
    """None of them is failed because another one was told first."""
    async with raw_server(_no_usage) as server, AsyncLLMClient(_settings(server)) as llm:
        calls = (llm.chat_completion(HELLO, stream=True) for _ in range(8))
        for stream in await asyncio.gather(*calls):
            assert (await stream.response()).text == "x"
    async with raw_server(_other_limit) as server, AsyncLLMClient(_settings(server)) as llm:
        calls = (llm.chat_completion(HELLO, max_tokens=5) for _ in range(8))
        assert [got.text for got in await asyncio.gather(*calls)] == ["x"] * 8


async def test_the_name_of_the_limit_is_learned_for_its_model():
    """Of a model nobody knows by name; once."""
    async with raw_server(_other_limit) as server, AsyncLLMClient(_settings(server)) as llm:
        for _ in range(2):
            await llm.chat_completion(HELLO, model="new-one", max_tokens=5)
        sent = [set(body) & {"max_tokens", "max_completion_tokens"} for body in server.bodies]
    assert sent == [{"max_tokens"}, {"max_completion_tokens"}, {"max_completion_tokens"}]


async def test_what_the_caller_asked_for_is_not_unlearned():
    """A refusal of the caller's own stream_options is the caller's."""
    async with raw_server(_no_usage) as server, AsyncLLMClient(_settings(server)) as llm:
        with pytest.raises(BadRequestError, match="stream_options"):
            options = {"include_usage": True}
            await llm.chat_completion(HELLO, stream=True, stream_options=options)
        assert len(server.requests) == 1


async def test_a_lesson_about_an_api_is_forgotten(clock):
    """An hour later the endpoint is asked anew: it may have been updated."""
    message = "use /v1/responses for tools"

    def give(request):
        if request["path"].endswith("/responses"):
            return reply({"id": "r", "status": "completed", "output_text": "x", "output": []})
        return reply({"error": {"message": message}}, status=400)

    async with raw_server(give) as server, AsyncLLMClient(_settings(server), clock=clock) as llm:
        for _ in range(2):
            assert (await llm.chat_completion(HELLO, tools=TOOLS)).text == "x"
        await clock.advance(3601)
        await llm.chat_completion(HELLO, tools=TOOLS)
        paths = [request["path"].rpartition("/")[2] for request in server.requests]
    assert paths == ["completions", "responses", "responses", "completions", "responses"]


async def test_what_another_call_has_learned_is_heeded_by_one_that_waits():
    """Put into words before the refusal came, it is put anew when its turn comes: one refusal."""
    async with (
        raw_server(_other_limit) as server,
        AsyncLLMClient(_settings(server, max_connections=1)) as llm,
    ):
        calls = (llm.chat_completion(HELLO, max_tokens=5) for _ in range(4))
        got = await asyncio.gather(*calls)
    assert [one.text for one in got] == ["x"] * 4
    assert len(server.requests) == 5
