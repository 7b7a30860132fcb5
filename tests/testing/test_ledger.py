"""What the server remembers of its requests."""

from __future__ import annotations

import asyncio
import dataclasses

import openai
import pytest

from agentinfra.testing import OpenAIServer, Reply, faults
from agentinfra.testing.ledger import mask

HELLO = [{"role": "user", "content": "hello"}]


async def ask(client, **options):
    """Send a chat request."""
    return await client.chat.completions.create(model="m", messages=HELLO, **options)


async def test_record(server, client):
    """A record holds the request, the status and the usage that was sent."""
    reply = await ask(client, temperature=0.5)
    (record,) = server.ledger.requests
    assert (record.index, record.method, record.path) == (0, "POST", "/v1/chat/completions")
    assert record.body == {"messages": HELLO, "model": "m", "temperature": 0.5}
    assert (record.model, record.stream, record.authorized) == ("m", False, True)
    assert (record.status, record.fault, record.finished) == (200, None, True)
    assert record.usage.total_tokens == reply.usage.total_tokens
    assert record.headers["content-type"] == "application/json"
    assert record.duration >= 0
    assert record == server.ledger.last


async def test_records_are_frozen(server, client):
    """Records cannot be changed."""
    await ask(client)
    with pytest.raises(dataclasses.FrozenInstanceError):
        server.ledger.last.status = 500


async def test_order_of_arrival(server, client):
    """Records stand in the order of arrival, numbered from 0."""
    for number in range(3):
        await client.chat.completions.create(model=f"m{number}", messages=HELLO)
    assert [(r.index, r.model) for r in server.ledger.requests] == [(0, "m0"), (1, "m1"), (2, "m2")]


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("Authorization", "Bearer sk-0123456789abcd", "Bearer ****abcd"),
        ("authorization", "Bearer short", "Bearer ****"),
        ("Authorization", "sk-0123456789abcd", "****abcd"),
        ("api-key", "0123456789abcd", "****abcd"),
        ("Cookie", "session=0123456789abcd", "****"),
        ("Content-Type", "application/json", "application/json"),
    ],
)
def test_secrets_are_masked(name, value, kept):
    """Of a secret header at most the last 4 characters are kept."""
    assert mask(name, value) == kept


async def test_text_that_is_no_json_is_kept(server):
    """A body that is no JSON is kept as text."""
    reader, writer = await asyncio.open_connection(*server.root_url[7:].split(":"))
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nwho")
    assert (await reader.readline()).startswith(b"HTTP/1.1 400")
    assert server.ledger.last.body == "who"
    writer.close()
    await writer.wait_closed()


async def test_totals(server, client):
    """Requests are counted, by the end of the path too, and tokens are added up."""
    first, second = await ask(client), await ask(client)
    vectors = await client.embeddings.create(model="m", input="some text")
    assert server.ledger.count() == 3
    assert server.ledger.count(path="/chat/completions") == 2
    assert server.ledger.count(path="/images") == 0
    expected = first.usage.total_tokens + second.usage.total_tokens + vectors.usage.total_tokens
    assert server.ledger.tokens().total_tokens == expected


async def test_streams_without_usage_count_nothing(server, client):
    """Tokens are those that were reported: a stream that did not ask for usage has none."""
    async for _ in await ask(client, stream=True):
        pass
    assert server.ledger.tokens().total_tokens == 0
    async for _ in await ask(client, stream=True, stream_options={"include_usage": True}):
        pass
    await server.wait_until_idle()
    assert server.ledger.tokens().total_tokens > 0


async def test_in_flight(server, client):
    """Requests are in flight until they are answered; the most at once is remembered."""
    gate = asyncio.Event()

    async def wait(_):
        await gate.wait()
        return "done"

    server.on(lambda _: True, wait)
    calls = [asyncio.create_task(ask(client)) for _ in range(3)]
    await server.wait_for_requests(3)
    assert server.ledger.in_flight == 3
    assert server.ledger.last.status is None
    gate.set()
    await asyncio.gather(*calls)
    await server.wait_until_idle()
    assert (server.ledger.in_flight, server.ledger.max_in_flight) == (0, 3)


async def test_client_that_leaves(server, client):
    """A stream whose client leaves is not finished, and reports no usage."""
    server.script(Reply(chunks=("a", "b"), chunk_delay=60.0))
    stream = await ask(client, stream=True, stream_options={"include_usage": True})
    await anext(stream)
    await stream.close()
    await server.wait_until_idle()
    assert (server.ledger.last.status, server.ledger.last.finished) == (200, False)
    assert server.ledger.last.usage is None


async def test_cancelled_call(server, client):
    """A call that its caller cancels is noticed."""
    server.fail(faults.hang())
    call = asyncio.create_task(ask(client))
    await server.wait_for_requests(1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await server.wait_until_idle()
    assert not server.ledger.last.finished


async def test_waiting_gives_up(server):
    """Waiting for requests that do not come ends with an error that says how many came."""
    with pytest.raises(TimeoutError, match=r"0 of 2 requests came within 0\.001 s"):
        await server.wait_for_requests(2, timeout=0.001)


async def test_waiting_for_idleness_gives_up(server, client):
    """Waiting for a request that hangs ends with an error that says how many are left."""
    server.fail(faults.hang())
    call = asyncio.create_task(ask(client))
    await server.wait_for_requests(1)
    with pytest.raises(TimeoutError, match="1 requests are in flight"):
        await server.wait_until_idle(timeout=0.001)
    call.cancel()
    await asyncio.wait({call})


async def test_clear(server, client):
    """Clearing forgets records, totals, script, rules and faults."""
    await ask(client)
    server.script("x")
    server.on("hello", "y")
    server.fail_always(faults.server_error())
    server.clear()
    assert (server.ledger.requests, server.ledger.count()) == ((), 0)
    assert server.ledger.tokens().total_tokens == 0
    with pytest.raises(LookupError):
        _ = server.ledger.last
    assert (await ask(client)).choices[0].message.content == "You said: hello"
    assert server.ledger.last.index == 1


async def test_limit():
    """A ledger keeps as many records as it may, and counts all."""
    async with (
        OpenAIServer(ledger_limit=2) as server,
        openai.AsyncOpenAI(base_url=server.base_url, api_key="x", max_retries=0) as client,
    ):
        for _ in range(3):
            await ask(client)
        assert [record.index for record in server.ledger.requests] == [1, 2]
        assert server.ledger.count() == 3


async def test_time_is_the_given_clock():
    """Records carry the time and the duration of the server's clock."""
    times = iter(range(100, 200))
    async with (
        OpenAIServer(clock=lambda: float(next(times))) as server,
        openai.AsyncOpenAI(base_url=server.base_url, api_key="x", max_retries=0) as client,
    ):
        await ask(client)
        await server.wait_until_idle()
        assert server.ledger.last.time == 100.0
        assert server.ledger.last.duration >= 1.0
