"""The server's own thread: whoever asks, from whatever loop and thread, is answered."""

from __future__ import annotations

import asyncio
import threading

import httpx2
import openai
import pytest

from agentinfra.testing import ManualClock, OpenAIServer, assert_no_leaks, faults

HELLO = [{"role": "user", "content": "hello"}]
SAID = "You said: hello"


def ask(server):
    """Ask with the sync client."""
    transport = httpx2.Client(verify=False)
    with openai.OpenAI(
        base_url=server.base_url, api_key="x", max_retries=0, http_client=transport
    ) as client:
        reply = client.chat.completions.create(model="m", messages=HELLO)
        return reply.choices[0].message.content


async def ask_async(server):
    """Ask with the async client."""
    transport = httpx2.AsyncClient(verify=False)
    async with openai.AsyncOpenAI(
        base_url=server.base_url, api_key="x", max_retries=0, http_client=transport
    ) as client:
        reply = await client.chat.completions.create(model="m", messages=HELLO)
        return reply.choices[0].message.content


def test_a_sync_test_needs_no_loop():
    """``with`` serves the sync client, and ends the thread."""
    before = set(threading.enumerate())
    with OpenAIServer() as server:
        assert ask(server) == SAID
    assert set(threading.enumerate()) == before


async def test_a_sync_client_in_an_async_test_is_answered():
    """A client that blocks the test's loop does not block the server."""
    async with assert_no_leaks(), OpenAIServer() as server:
        assert ask(server) == SAID


def test_loops_come_and_go():
    """One server answers test loops one after another, and waits for requests on each."""

    async def use():
        assert await ask_async(server) == SAID
        await server.wait_for_requests(1)
        await server.wait_until_idle()

    with OpenAIServer() as server:
        for _ in range(3):
            asyncio.run(use())
        assert server.ledger.count() == 3


def test_a_server_outlives_the_loop_that_started_it():
    """Started on a loop that is over, closed on another one: both work."""
    server = OpenAIServer()
    asyncio.run(server.start())
    assert ask(server) == SAID
    asyncio.run(server.aclose())
    with pytest.raises(openai.APIConnectionError):
        ask(server)


async def test_a_reply_may_wait_for_the_tests_events():
    """What a scripted function awaits is awaited on the loop that scripted it."""
    gate, entered = asyncio.Event(), asyncio.Event()

    async def wait(_):
        entered.set()
        await gate.wait()
        return "open"

    async with OpenAIServer() as server:
        server.script(wait)
        call = asyncio.create_task(ask_async(server))
        await entered.wait()
        gate.set()
        assert await call == "open"


async def test_delays_are_slept_on_the_tests_clock():
    """A manual clock of the test's loop holds the server's delays."""
    clock = ManualClock()
    async with OpenAIServer(clock=clock.now, sleep=clock.sleep) as server:
        server.fail(faults.slow(first_byte=3600.0))
        call = asyncio.create_task(ask_async(server))
        await clock.sleepers(1)
        await clock.advance(3600.0)
        assert await call == SAID


async def test_closing_while_a_reply_waits_on_the_same_loop():
    """A reply that waits on the loop that leaves the server is cancelled, not waited for."""
    entered = asyncio.Event()

    async def wait(_):
        entered.set()
        await asyncio.Event().wait()

    async with assert_no_leaks():
        async with OpenAIServer() as server:
            server.script(wait)
            call = asyncio.create_task(ask_async(server))
            await entered.wait()
        with pytest.raises(openai.APIConnectionError):
            await call


def test_scripts_may_come_from_any_thread():
    """Threads that script and ask at once get one reply each."""
    with OpenAIServer() as server:
        got = []

        def work(name):
            for _ in range(5):
                server.script(name)
                got.append(ask(server))

        workers = [threading.Thread(target=work, args=(name,)) for name in "ab"]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    assert sorted(got) == ["a"] * 5 + ["b"] * 5


async def test_what_was_answered_stands_in_the_ledger_at_once():
    """A client that has its answer finds the request finished, with its usage."""
    async with OpenAIServer() as server:
        for _ in range(50):
            await ask_async(server)
            assert server.ledger.last.finished
            assert server.ledger.last.usage is not None
            assert server.ledger.in_flight == 0


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
async def test_a_cancelled_start_leaves_nothing(turns):
    """Whenever its start is cancelled, a server has no thread and no port, and can start later."""
    server = OpenAIServer()
    async with assert_no_leaks():
        starting = asyncio.create_task(server.start())
        for _ in range(turns):
            await asyncio.sleep(0)
        starting.cancel()
        await asyncio.wait([starting])
        # One that has the port already has started, and belongs to whoever asked for it.
        if not starting.cancelled():
            await server.aclose()
        assert "agentinfra-testing-server" not in {one.name for one in threading.enumerate()}
    async with server:
        assert await ask_async(server) == SAID


async def test_a_start_that_is_cancelled_in_the_middle_closes_its_port():
    """A listener that was opened for nobody is closed again."""
    server = OpenAIServer()
    starting = asyncio.create_task(server.start())
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert repr(server) == "<OpenAIServer not started>"
