"""An agent that is put through the matrix of faults."""

import asyncio

import pytest

from agentinfra import AsyncLLMClient, ConfigurationError
from agentinfra.settings import LLMSettings
from agentinfra.testing import assert_no_leaks, assert_resilient, faults
from agentinfra.testing.resilience import FAULTS, STREAM_FAULTS, WRONGS, ZOO

HELLO = [{"role": "user", "content": "hello"}]


def settings(url):
    return LLMSettings(base_url=url, api_key="x", timeout=0.3, deadline=3)


async def ours(url):
    async with AsyncLLMClient(settings(url)) as llm:
        return (await llm.chat_completion(HELLO)).text


async def ours_streaming(url):
    async with AsyncLLMClient(settings(url)) as llm:
        chunks = await llm.chat_completion(HELLO, stream=True)
        return "".join([chunk.text async for chunk in chunks])


async def test_our_client_stands_the_matrix_and_the_zoo():
    """Whatever a server does, a call answers or says in its own words why not."""
    table = await assert_resilient(ours)
    by_fault = {outcome.fault: outcome for outcome in table.outcomes}
    assert by_fault["rate limited"].verdict == "answered"
    assert by_fault["unauthorized"].error == "AuthenticationError"
    assert list(by_fault) == [*FAULTS, *(f"as {name}" for name in ZOO)]
    assert all(by_fault[f"as {name}"].verdict == "answered" for name in ZOO)
    counts = table.counts()
    assert [counts[name] for name in WRONGS] == [0] * len(WRONGS)
    assert counts["answered"] + counts["typed error"] == len(table.outcomes)


async def test_our_streams_stand_it_too():
    """An agent that streams meets what only streams can meet."""
    zoo = ("gemini", "mistral", "openrouter")
    table = await assert_resilient(ours_streaming, zoo=zoo)
    by_fault = {outcome.fault: outcome for outcome in table.outcomes}
    assert set(by_fault) == {*FAULTS, *STREAM_FAULTS, *(f"as {name}" for name in zoo)}
    for name in STREAM_FAULTS:
        # What was read already cannot be read again: the reader is told.
        assert by_fault[name].error == "LLMStreamInterruptedError"


async def _forgetful(url):
    async with AsyncLLMClient(settings(url)) as llm:
        await llm.chat_completion(HELLO)
    asyncio.get_running_loop().call_later(3600, print)


async def _silent(url):
    await asyncio.Event().wait()


async def _plain(url):
    raise KeyError("choices")


@pytest.mark.parametrize(
    ("agent", "told", "patience"),
    [(_forgetful, "leaked", 20), (_silent, "hung", 0.05), (_plain, "untyped error", 20)],
)
async def test_what_is_wrong_is_told(agent, told, patience):
    """An agent that hangs, leaks or raises what says nothing fails, with the table."""
    matrix = {"server error": faults.server_error}
    with pytest.raises(AssertionError, match=rf"\| server error \| .*{told}") as raised:
        await assert_resilient(agent, matrix=matrix, zoo=(), patience=patience)
    assert ("server error left timer print in" in str(raised.value)) is (told == "leaked")


async def _greedy(url):
    async with AsyncLLMClient(settings(url)) as llm:
        first = await llm.chat_completion(HELLO)
        if not first.usage.total_tokens or first.usage.estimated:
            await llm.chat_completion(HELLO)  # it has its answer, and asks again for the usage


async def _stubborn(url):
    from agentinfra.errors import LLMError

    async with AsyncLLMClient(settings(url)) as llm:
        for _ in range(8):
            try:
                await llm.chat_completion(HELLO)
            except LLMError:
                continue
            return


@pytest.mark.parametrize(
    ("agent", "fault", "told"),
    [
        (_greedy, {"no usage": faults.missing_usage}, "paid twice"),
        (_stubborn, {"refused": lambda: faults.together(faults.unauthorized())}, None),
    ],
)
async def test_what_is_asked_for_again_is_counted(agent, fault, told):
    """An answer that was usable is paid for once."""
    table = await assert_resilient(agent, matrix=fault, zoo=(), raises=False)
    assert [outcome.faults for outcome in table.outcomes] == [(told,) if told else ()]
    assert table.counts()["paid twice"] == int(told is not None)


async def test_too_many_requests_are_told():
    """More requests than the agent may send are wrong, though one is answered in the end."""
    matrix = {"server error": faults.server_error}
    table = await assert_resilient(ours, matrix=matrix, zoo=(), retries=0, raises=False)
    (outcome,) = table.wrong
    assert (outcome.verdict, outcome.faults) == ("answered", ("retried too often",))
    table = await assert_resilient(ours, matrix=matrix, zoo=(), retries=1)
    assert not table.wrong


async def _forgiving(url):
    """Return what came of a stream, whatever ended it."""
    from openai import AsyncOpenAI, OpenAIError

    pieces = []
    async with AsyncOpenAI(base_url=url, api_key="x", max_retries=0, timeout=0.3) as client:
        try:
            stream = await client.chat.completions.create(model="m", messages=HELLO, stream=True)
            async for chunk in stream:
                pieces += [choice.delta.content or "" for choice in chunk.choices]
        except OpenAIError:
            return "".join(pieces) if pieces else "Sorry, try again later."
    return "".join(pieces)


async def test_half_an_answer_is_no_answer():
    """Whoever returns the beginning for the whole, or nothing, is told; an excuse is an answer."""
    names = ("a stream cut short", "a stream broken off", "no choices", "unauthorized", "nothing")
    matrix = {name: {**FAULTS, **STREAM_FAULTS}[name] for name in names}
    table = await assert_resilient(_forgiving, matrix=matrix, zoo=(), raises=False)
    half = [outcome.fault for outcome in table.outcomes if "half an answer" in outcome.faults]
    assert half == ["a stream cut short", "a stream broken off", "no choices"]
    assert table.outcomes[3].answer == "Sorry, try again later."


async def _elsewhere(url):
    return "an answer from nowhere"


@pytest.mark.parametrize(
    ("agent", "told"),
    [(lambda url: "at once", "returned str at once"), (_elsewhere, "sent no request")],
)
async def test_what_is_no_agent_is_refused(agent, told):
    """A function that is not async, or does without the server, is told what is wanted of it."""
    with pytest.raises(ConfigurationError, match=told):
        await assert_resilient(agent)
    async with assert_no_leaks():  # the check it began is over: nothing is taken for new
        pass
