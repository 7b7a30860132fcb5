"""An agent that is put through the matrix of faults."""

import asyncio

import pytest

from agentinfra import AsyncLLMClient
from agentinfra.settings import LLMSettings
from agentinfra.testing import assert_resilient, faults

HELLO = [{"role": "user", "content": "hello"}]


async def ours(url):
    settings = LLMSettings(base_url=url, api_key="x", timeout=0.3, deadline=3)
    async with AsyncLLMClient(settings) as llm:
        await llm.chat_completion(HELLO)


async def test_our_client_stands_the_matrix():
    """Whatever the server does, a call answers or says in its own words why not."""
    table = await assert_resilient(ours)
    by_fault = {outcome.fault: outcome for outcome in table.outcomes}
    assert by_fault["rate limited"].verdict == "answered"
    assert by_fault["unauthorized"].error == "AuthenticationError"


async def _forgetful(url):
    asyncio.get_running_loop().call_later(3600, print)


async def _silent(url):
    await asyncio.Event().wait()


async def _plain(url):
    raise KeyError("choices")


@pytest.mark.parametrize(
    ("agent", "told"), [(_forgetful, "leaked"), (_silent, "hung"), (_plain, "untyped error")]
)
async def test_what_is_wrong_is_told(agent, told):
    """An agent that hangs, leaks or raises what says nothing fails, with the table."""
    matrix = {"server error": faults.server_error}
    with pytest.raises(AssertionError, match=rf"\| server error \| .*{told}"):
        await assert_resilient(agent, matrix=matrix, patience=0.05)
