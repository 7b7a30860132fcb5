"""No wait that nobody asked for is long, and no header that makes no sense is believed."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from llm_support import HELLO, run_through
from raw_server import answer, event, events, piece, raw_server, reply

from agentinfra import AsyncLLMClient, Settings
from agentinfra.errors import (
    BadRequestError,
    CircuitOpenError,
    LLMError,
    LLMStreamInterruptedError,
    LLMTimeoutError,
    RateLimitedError,
    ServerError,
)
from agentinfra.llm.dialects.failures import retry_after
from agentinfra.llm.policy.ratelimit import limits_in
from agentinfra.testing import faults

BUSY = {"error": {"message": "busy", "code": "rate_limit_exceeded"}}


@asynccontextmanager
async def _client(give, *, clock=None, **fields):
    async with raw_server(give) as server:
        given = {"base_url": server.base_url, "api_key": "k", **fields}
        more = {} if clock is None else {"clock": clock}
        async with AsyncLLMClient(Settings(llm=given).llm, **more) as llm:
            llm.server = server
            yield llm


@pytest.mark.parametrize(
    ("text", "value"),
    [("5", 5.0), ("0.5", 0.5), ("-3", None), ("nan", None), ("1e400", None), ("99999999999", None)],
)
def test_a_retry_after_that_makes_no_sense_is_none(text, value):
    """Negative, not a number, or a date taken for seconds."""
    assert retry_after({"retry-after": text}) == value


@pytest.mark.parametrize(
    ("limit", "remaining", "reset", "found"),
    [
        ("-1", "-1", "0", {}),
        ("100", "-5", "1s", {}),
        ("100", "nan", "1s", {}),
        ("-1", "50", "1s", {"tokens": (None, 50.0, 1.0)}),
        ("100", "50", "1764264000", {"tokens": (100.0, 50.0, None)}),
        ("100", "50", "-7", {"tokens": (100.0, 50.0, None)}),
        ("10", "50", "soon", {"tokens": (None, 50.0, None)}),
    ],
)
def test_limits_that_make_no_sense_are_left_out(limit, remaining, reset, found):
    """Azure's -1, times of day and sizes below what is left."""
    headers = {
        "x-ratelimit-limit-tokens": limit,
        "x-ratelimit-remaining-tokens": remaining,
        "x-ratelimit-reset-tokens": reset,
    }
    assert limits_in(headers) == found


async def test_a_long_retry_after_fails_at_once(clock):
    """Without a deadline nobody has asked to wait for a day."""
    give = reply(BUSY, status=429, headers={"Retry-After": "86400"})
    async with _client(give, clock=clock) as llm:
        with pytest.raises(RateLimitedError) as caught:
            await llm.chat_completion(HELLO)
        assert len(llm.server.requests) == 1
    assert caught.value.retry_after == 86400


async def test_who_gives_a_deadline_has_asked_for_the_wait(clock):
    """Up to it the endpoint's wish is granted."""
    replies = iter([reply(BUSY, status=429, headers={"Retry-After": "300"}), reply(answer("now"))])
    async with _client(lambda _: next(replies), clock=clock) as llm:
        began = clock.now()
        task = asyncio.create_task(llm.chat_completion(HELLO, deadline=1000))
        assert (await run_through(clock, task, step=10)).text == "now"
    assert clock.now() - began >= 300


async def test_waiting_for_ones_turn_is_bounded(clock):
    """A call that gets no turn within longest_wait says what to do."""
    arrived, gate = asyncio.Event(), asyncio.Event()

    async def slow():
        arrived.set()
        await gate.wait()
        yield reply(answer())

    async with _client(
        lambda _: slow(), clock=clock, max_connections=1, longest_wait=30, timeout=None
    ) as llm:
        first = asyncio.create_task(llm.chat_completion(HELLO))
        await arrived.wait()
        second = asyncio.create_task(llm.chat_completion(HELLO))
        with pytest.raises(RateLimitedError, match="longest_wait"):
            await run_through(clock, second, step=5)
        gate.set()
        assert (await first).text == "hi"


@pytest.mark.parametrize("given", [{"deadline": 0}, {"timeout": 0}, {"deadline": 0.0}])
async def test_zero_is_now(client, server, given):
    """No time is no call, of either kind."""
    with pytest.raises(LLMTimeoutError, match="no time"):
        await client.chat_completion(HELLO, **given)
    with pytest.raises(LLMTimeoutError, match="no time"):
        await client.get_embeddings(["a"], **given)
    assert server.ledger.count() == 0


async def test_none_has_no_end(clock):
    """It outlasts what the settings would allow."""

    async def slow():
        await clock.sleep(500)
        yield reply(answer("late"))

    async with _client(lambda _: slow(), clock=clock, timeout=5, deadline=5) as llm:
        task = asyncio.create_task(llm.chat_completion(HELLO, timeout=None, deadline=None))
        assert (await run_through(clock, task, step=50)).text == "late"


async def test_signs_of_life_are_not_progress(clock):
    """A stream that only says it is alive stands still."""

    async def alive():
        yield b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
        yield event(piece({"content": "a"}))
        while True:
            await clock.sleep(2)
            yield b": keep-alive\n\ndata:\n\n" + event(piece({}))

    async with _client(lambda _: alive(), clock=clock, timeout=10) as llm:
        stream = await llm.chat_completion(HELLO, stream=True)
        task = asyncio.create_task(stream.response())
        with pytest.raises(LLMStreamInterruptedError, match="stood still for 10 s"):
            await run_through(clock, task, step=1)


async def test_a_whole_stream_waits_shortly_for_its_usage(clock):
    """A server that leaves the connection open after the finish reason is not waited for."""

    async def open_end():
        yield b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
        yield event(piece({"content": "all"})) + event(piece({}, "stop"))
        await clock.sleep(10_000)

    async with _client(lambda _: open_end(), clock=clock, timeout=600) as llm:
        began = clock.now()
        stream = await llm.chat_completion(HELLO, stream=True)
        task = asyncio.create_task(stream.response())
        assert (await run_through(clock, task, step=1)).text == "all"
    assert clock.now() - began < 10


async def test_ones_own_impatience_says_nothing_of_the_endpoint(client_of, server):
    """Calls cut short by their callers do not open the breaker for the patient ones."""
    async with client_of(server, max_attempts=1) as llm:
        server.fail_always(faults.hang())  # on a busy machine some never get as far as the server
        for _ in range(6):
            with pytest.raises(LLMTimeoutError):
                await llm.chat_completion(HELLO, timeout=0.02)
        server.recover()
        assert (await llm.chat_completion(HELLO)).text


async def test_one_models_gibberish_says_nothing_of_the_others():
    """Answers that nobody can read stay with their model."""

    def give(request):
        return reply(b"{" if request["body"]["model"] == "odd" else answer("fine"))

    async with _client(give, max_attempts=1) as llm:
        for _ in range(8):
            with pytest.raises(LLMError):
                await llm.chat_completion(HELLO, model="odd")
        assert (await llm.chat_completion(HELLO, model="even")).text == "fine"


async def test_operations_have_breakers_of_their_own(client_of, server, clock):
    """An endpoint whose embeddings fail still chats; the breaker tells the last cause."""
    server.fail_always(faults.server_error(503), when="embeddings")
    async with client_of(server, clock=clock, max_attempts=1) as llm:
        for _ in range(5):
            with pytest.raises(ServerError):
                await llm.get_embeddings(["a"])
        with pytest.raises(CircuitOpenError, match=r"embeddings.*503") as caught:
            await llm.get_embeddings(["a"])
        assert isinstance(caught.value.__cause__, ServerError)
        assert (await llm.chat_completion(HELLO)).text


@pytest.mark.parametrize("status", [404, 410, 501])
async def test_what_is_not_there_is_asked_for_once(status):
    """It is not retried, opens nothing, and another model may answer."""

    def give(request):
        if request["body"]["model"] == "there":
            return reply(answer("from there"))
        return reply({"error": {"message": "not here"}}, status=status)

    async with _client(give, fallback_models=["there"]) as llm:
        got = await llm.chat_completion(HELLO, model="gone")
        assert got.text == "from there"
        assert "BadRequestError" in got.degraded
        assert len(llm.server.requests) == 2
        with pytest.raises(BadRequestError):
            await llm.get_embeddings(["a"], model="gone")


async def test_a_filter_of_one_maker_may_fall_back():
    """Another maker's model may answer; a bad request may not."""

    def give(request):
        if request["body"]["model"] == "other":
            return reply(answer("fine"))
        error = {"message": "filtered", "code": "content_filter"}
        return reply({"error": error}, status=400)

    async with _client(give, fallback_models=["other"]) as llm:
        assert (await llm.chat_completion(HELLO, model="first")).text == "fine"


async def test_a_model_of_several_endpoints():
    """One that fails is passed over at once, then left alone for a while."""

    def busy(_):
        return reply(BUSY, status=429)

    async with (
        raw_server(busy) as east,
        raw_server(reply(answer("west"))) as west,
    ):
        endpoints = {
            "east": {"base_url": east.base_url, "weight": 1e9},
            "west": {"base_url": west.base_url, "weight": 1e-9},
        }
        given = {
            "base_url": west.base_url,
            "endpoints": endpoints,
            "routes": {"gpt": ["east/gpt-4o", "west/gpt-4o-deployed"]},
        }
        async with AsyncLLMClient(Settings(llm=given).llm) as llm:
            replies = [await llm.chat_completion(HELLO, model="gpt") for _ in range(5)]
        assert [got.text for got in replies] == ["west"] * 5
        assert len(east.requests) == 1
        assert west.bodies[0]["model"] == "gpt-4o-deployed"
    assert replies[0].degraded is None
    assert replies[0].attempts == 2


async def test_weights_share_calls_out():
    """Each endpoint gets about its part."""
    async with raw_server(reply(answer())) as one, raw_server(reply(answer())) as two:
        endpoints = {
            "one": {"base_url": one.base_url, "weight": 3.0},
            "two": {"base_url": two.base_url, "weight": 1.0},
        }
        given = {
            "base_url": one.base_url,
            "endpoints": endpoints,
            "routes": {"m": ["one/m", "two/m"]},
        }
        async with AsyncLLMClient(Settings(llm=given).llm) as llm:
            for _ in range(200):
                await llm.chat_completion(HELLO, model="m")
        assert 100 < len(one.requests) < 190
        assert len(one.requests) + len(two.requests) == 200


async def test_events_that_come_after_the_end_are_not_read():
    """Nothing follows the mark of the end."""
    stream = events(piece({"content": "x"}), piece({}, "stop"), done=b"data: [DONE]\n\ndata: {\n\n")
    async with _client(stream) as llm:
        assert (await (await llm.chat_completion(HELLO, stream=True)).response()).text == "x"
