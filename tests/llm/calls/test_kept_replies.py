"""Answers that are kept where a call asks for it."""

from contextlib import asynccontextmanager
from decimal import Decimal

import pytest
from llm_support import HELLO

from agentinfra import AsyncLLMClient, Settings
from agentinfra.cache.replies import RepliesByRequest
from agentinfra.errors import CacheError, ConfigurationError, LLMStreamInterruptedError
from agentinfra.testing import faults
from agentinfra.testing.replies import FunctionCall, Reply


@asynccontextmanager
async def caching(server, replies=None, **fields):
    given = {"base_url": server.base_url, "api_key": "sk-test", "max_attempts": 1} | fields
    kept = replies or RepliesByRequest(3600, 100)
    async with AsyncLLMClient(Settings(llm=given).llm, replies=kept) as client:
        yield client


async def told(stream):
    return [chunk async for chunk in stream], await stream.response()


@pytest.mark.parametrize("api", ["chat", "responses"])
async def test_an_equal_call_is_given_the_answer_again(server, api):
    """It costs nothing and says so; everything else is as it was."""
    server.script(Reply(tool_calls=[FunctionCall(name="f", arguments='{"a": 1}')]))
    async with caching(server, api=api) as llm:
        first = await llm.chat_completion(HELLO, model="gpt-4o-mini", cache="1h")
        again = await llm.chat_completion(HELLO, model="gpt-4o-mini", cache=3600)
    assert server.ledger.count() == 1
    assert (first.cached, again.cached, again.cost_usd) == (False, True, Decimal(0))
    assert first.cost_usd
    for name in ("text", "tool_calls", "usage", "model", "finish_reason", "message", "response_id"):
        assert getattr(again, name) == getattr(first, name), name


@pytest.mark.parametrize(
    "other",
    [
        {"temperature": 0.5},
        {"model": "gpt-4o"},
        {"tenant": "another"},
        {"extra_headers": {"X-Version": "2"}},
        {"extra_query": {"v": "2"}},
        {"extra_body": {"seed": 2}},
        {"messages": [{"role": "user", "content": "Hello"}]},
    ],
)
async def test_every_parameter_and_the_tenant_tell_calls_apart(server, other):
    """Nothing that goes to the endpoint is folded, and tenants share nothing."""
    asked = {"messages": HELLO, "model": "gpt-4o-mini", "cache": "1h"}
    async with caching(server) as llm:
        await llm.chat_completion(**asked)
        reply = await llm.chat_completion(**asked | other)
    assert (reply.cached, server.ledger.count()) == (False, 2)


async def test_only_calls_that_ask_for_it_are_kept(server):
    """By default every call is sent, and nothing of it stays."""
    async with caching(server) as llm:
        await llm.chat_completion(HELLO)
        reply = await llm.chat_completion(HELLO, cache="1h")
        assert not reply.cached
        assert not (await llm.chat_completion(HELLO)).cached


async def test_an_answer_is_kept_no_longer_than_asked(server, clock):
    """After its time the call is sent again."""
    async with caching(server, RepliesByRequest(3600, 100, clock=clock)) as llm:
        await llm.chat_completion(HELLO, cache="30m")
        await clock.advance(1800)
        assert not (await llm.chat_completion(HELLO, cache="30m")).cached


@pytest.mark.parametrize("reply", [Reply(text="x", finish_reason="content_filter")])
async def test_what_may_come_out_otherwise_is_not_kept(server, reply):
    """An answer that was filtered is asked for again."""
    server.script(reply, Reply(text="whole"))
    async with caching(server) as llm:
        await llm.chat_completion(HELLO, cache="1h")
        again = await llm.chat_completion(HELLO, cache="1h")
    assert (again.text, again.cached) == ("whole", False)


async def test_a_degraded_answer_is_not_kept(server):
    """What a fall-back model has said is not the answer that was asked for."""
    server.fail(faults.server_error(503))
    server.script(Reply(text="other model"), Reply(text="right"))
    async with caching(server, fallback_models=["gpt-4o"]) as llm:
        first = await llm.chat_completion(HELLO, cache="1h")
        again = await llm.chat_completion(HELLO, cache="1h")
    assert first.degraded
    assert (again.text, again.cached) == ("right", False)


@pytest.mark.parametrize("api", ["chat", "responses"])
async def test_a_whole_stream_is_given_again_piece_by_piece(server, api):
    """The same pieces, and the same answer at its end."""
    server.script(Reply(text="a stream of some words"))
    async with caching(server, api=api) as llm:
        first = await told(await llm.chat_completion(HELLO, stream=True, cache="1h"))
        again = await told(await llm.chat_completion(HELLO, stream=True, cache="1h"))
    assert server.ledger.count() == 1
    assert again[0] == first[0]
    assert (again[1].text, again[1].usage) == (first[1].text, first[1].usage)
    assert (again[1].cached, again[1].cost_usd, first[1].cached) == (True, Decimal(0), False)


async def test_a_stream_that_was_left_or_broke_is_not_kept(server):
    """Only what came whole is given again."""
    server.script(Reply(text="one two three four"), Reply(text="a b c d"), Reply(text="whole"))
    async with caching(server) as llm:
        async with await llm.chat_completion(HELLO, stream=True, cache="1h") as stream:
            await anext(stream)
        server.fail(faults.disconnect_mid_stream())
        with pytest.raises(LLMStreamInterruptedError):
            await told(await llm.chat_completion(HELLO, stream=True, cache="1h"))
        chunks, reply = await told(await llm.chat_completion(HELLO, stream=True, cache="1h"))
    assert chunks
    assert (reply.text, reply.cached) == ("whole", False)


async def test_a_budget_pays_once(server):
    """An answer given again takes nothing out of the budgets around the call."""
    async with caching(server) as llm, llm.budget(usd=1) as budget:
        await llm.chat_completion(HELLO, model="gpt-4o-mini", cache="1h")
        spent = budget.spent
        await llm.chat_completion(HELLO, model="gpt-4o-mini", cache="1h")
    assert budget.spent == spent > 0


async def test_a_failing_cache_fails_no_call(server):
    """What the cache raises is none of the caller's trouble."""

    class Broken:
        async def get(self, request, tenant):
            raise CacheError("no")

        async def set(self, request, tenant, reply, *, ttl):
            raise CacheError("no")

    async with caching(server, Broken()) as llm:
        assert not (await llm.chat_completion(HELLO, cache="1h")).cached


@pytest.mark.parametrize("cache", ["1 week", "", 0, -1, True, "h", float("inf"), [1]])
async def test_a_time_that_makes_no_sense_is_refused(server, cache):
    """The message names it."""
    async with caching(server) as llm:
        with pytest.raises(ConfigurationError, match="cache is"):
            await llm.chat_completion(HELLO, cache=cache)
    assert server.ledger.count() == 0


async def test_a_client_without_a_cache_says_so(client):
    """Nothing is forgotten silently."""
    with pytest.raises(ConfigurationError, match="replies="):
        await client.chat_completion(HELLO, cache="1h")
