"""With metrics, tracing and logging off a call leaves nothing, and still works."""

import pytest
from llm_support import HELLO

from agentinfra import BudgetExceededError, InfraRuntime, Settings, start_span
from agentinfra.errors import BadRequestError
from agentinfra.testing import faults

OFF = {"enabled": False}


@pytest.fixture
async def rt(server):
    settings = Settings(
        llm={"base_url": server.base_url, "api_key": "x", "model": "gpt-4o-mini"},
        database=OFF,
        checkpointer=OFF,
        cache=OFF,
        logging=OFF,
        metrics=OFF,
        tracing=OFF,
    )
    async with InfraRuntime(settings) as runtime:
        yield runtime


async def test_answers_are_whole(rt, server):
    """Text, usage, cost and attempts are the same as with everything on."""
    server.fail(faults.server_error())
    reply = await rt.llm.chat_completion(HELLO)
    assert reply.text
    assert reply.usage.total_tokens
    assert reply.cost_usd
    assert reply.attempts == 2
    async with await rt.llm.chat_completion(HELLO, stream=True) as stream:
        assert (await stream.response()).cost_usd
    assert len((await rt.llm.get_embeddings(["a"])).vectors) == 1


async def test_nothing_is_left_behind(rt, server, capsys):
    """Successes and failures write no line and touch no series."""
    await rt.llm.chat_completion(HELLO)
    server.fail(faults.content_filter())
    with pytest.raises(BadRequestError):
        await rt.llm.chat_completion(HELLO)
    async with rt.llm.budget(usd=0, name="none"):
        with pytest.raises(BudgetExceededError):
            await rt.llm.chat_completion(HELLO)
    assert capsys.readouterr() == ("", "")
    assert rt.metrics.expose() == ""


async def test_a_span_around_it_lends_its_trace(rt):
    """The reply names the trace of the span it was made in, and none outside of one."""
    assert (await rt.llm.chat_completion(HELLO)).trace_id is None
    async with start_span("plan") as span:
        reply = await rt.llm.chat_completion(HELLO)
        async with await rt.llm.chat_completion(HELLO, stream=True) as stream:
            assert (await stream.response()).trace_id == span.trace_id
    assert reply.trace_id == span.trace_id
