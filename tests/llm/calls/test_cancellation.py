"""Cancelled at any await, a call leaves nothing behind."""

import asyncio

import pytest
from llm_support import HELLO
from raw_server import event, piece, raw_server

from agentinfra.errors import ClosedError
from agentinfra.testing import assert_no_leaks, faults
from agentinfra.testing.replies import Reply


async def _spin(turns):
    for _ in range(turns):
        await asyncio.sleep(0)


def _at_rest(llm):
    for gate in llm._calls.gates:
        assert (gate.pacer.running, gate.pacer.queued, gate.pacer._sent_tokens) == (0, 0, 0)
        assert gate.health.breaker._probe is None
    assert len(llm._inflight) == 0


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_cancelled_after_any_number_of_steps(client_of, server, stream):
    """Step by step through a whole call: budget, breaker, limiter and sockets are at rest."""
    server.on("hello", Reply(text="one two three four", chunk_delay=0.0))

    async def call(llm):
        reply = await llm.chat_completion(HELLO, stream=stream)
        return await reply.response() if stream else reply

    async with assert_no_leaks(), client_of(server, max_attempts=2) as llm:
        await call(llm)
        async with llm.budget(usd=1) as budget:
            for steps in range(120):
                task = asyncio.create_task(call(llm))
                await _spin(steps)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                assert budget.reserved == 0
                _at_rest(llm)
        await server.wait_until_idle()


async def test_cancelled_in_flight(client_of, server):
    """The server sees the connection close; the prompt, which it has read, is paid for."""
    server.fail(faults.hang())
    async with client_of(server) as llm, llm.budget(usd=1) as budget:
        task = asyncio.create_task(llm.chat_completion(HELLO))
        await server.wait_for_requests(1)
        held = budget.reserved
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert 0 < budget.spent < held
        assert budget.reserved == 0
        _at_rest(llm)
        await server.wait_until_idle()


async def test_cancelled_in_back_off(client_of, server, clock):
    """A call that waits for its next attempt gives everything back."""
    server.fail_always(faults.server_error())
    async with client_of(server, clock=clock) as llm, llm.budget(usd=1) as budget:
        task = asyncio.create_task(llm.chat_completion(HELLO))
        await clock.sleepers(1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert budget.reserved == 0
        _at_rest(llm)


async def test_cancelled_while_waiting_for_its_turn(client_of, server):
    """A queued call gives up its place."""
    server.fail(faults.hang())
    async with client_of(server, max_connections=1) as llm, llm.budget(usd=1) as budget:
        first = asyncio.create_task(llm.chat_completion(HELLO))
        await server.wait_for_requests(1)
        second = asyncio.create_task(llm.chat_completion(HELLO))
        await _spin(10)
        assert next(iter(llm._calls.gates)).pacer.queued == 1
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        assert budget.reserved == 0
        _at_rest(llm)


async def test_a_call_that_waits_for_its_turn_goes_when_the_one_before_is_cancelled(
    client_of, server
):
    """Cancelling hands the place on."""
    server.fail(faults.hang())
    async with client_of(server, max_connections=1) as llm:
        first = asyncio.create_task(llm.chat_completion(HELLO))
        await server.wait_for_requests(1)
        second = asyncio.create_task(llm.chat_completion(HELLO))
        await _spin(10)
        first.cancel()
        assert (await second).text


async def test_leaving_the_client_ends_what_hangs(client_of, server):
    """Draining is bounded; then the call is cancelled, and its caller told that it was left."""
    server.fail_always(faults.hang())
    async with client_of(server) as llm:
        llm.stop_timeout = 0.05
        task = asyncio.create_task(llm.chat_completion(HELLO))
        await server.wait_for_requests(1)
    with pytest.raises(ClosedError, match="did not end in time"):
        await task


async def test_a_stream_that_hangs_is_told_too(client_of, server):
    """Whoever waits for the next piece in another task gets ClosedError, no cancellation."""
    server.fail_always(faults.hang())
    async with client_of(server) as llm:
        llm.stop_timeout = 0.05
        task = asyncio.create_task(llm.chat_completion(HELLO, stream=True))
        await server.wait_for_requests(1)
    with pytest.raises(ClosedError, match="did not end in time"):
        await task


async def test_a_stream_that_was_not_read_to_its_end_is_closed_first(client_of, server):
    """The leaving task's own stream is ended at once; nobody waits for it."""
    async with client_of(server) as llm:
        stream = await llm.chat_completion(HELLO, stream=True)
        await anext(stream)
    assert (await stream.response()).degraded


@pytest.mark.parametrize("opened_by", ["reader", "leaving task"])
async def test_a_reader_of_a_stream_is_told_too(client_of, opened_by):
    """Whoever waits for the next piece when the client is left gets ClosedError."""

    async def one_piece(_):
        yield b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
        yield event(piece({"content": "a"}))
        await asyncio.Event().wait()

    async def read(opened, begun):
        stream = opened or await llm.chat_completion(HELLO, stream=True)
        async for chunk in stream:
            assert chunk.text == "a"
            begun.set()

    async with raw_server(one_piece) as server:
        async with client_of(server) as llm:
            llm.stop_timeout = 0.05
            begun = asyncio.Event()
            opened = None
            if opened_by == "leaving task":
                opened = await llm.chat_completion(HELLO, stream=True)
            task = asyncio.create_task(read(opened, begun))
            await begun.wait()
            await _spin(10)
        with pytest.raises(ClosedError, match="under way|was closed"):
            await task
