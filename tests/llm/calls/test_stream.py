"""Streams: pieces, the whole, and every way they break."""

import asyncio
from decimal import Decimal

import pytest
from llm_support import HELLO

from agentinfra.errors import (
    LLMConnectionError,
    LLMResponseError,
    LLMStreamInterruptedError,
    ServerError,
)
from agentinfra.observability.logging import Logging
from agentinfra.settings import LoggingSettings
from agentinfra.testing import faults
from agentinfra.testing.replies import FunctionCall, Reply


async def _read(llm, **options):
    pieces = []
    stream = await llm.chat_completion(HELLO, stream=True, **options)
    async with stream:
        async for chunk in stream:
            pieces.append(chunk)
    return pieces, stream


async def test_the_pieces_make_the_whole(client, server):
    """Texts add up; usage, cost and finish reason come with the response."""
    server.script(Reply(chunks=["Hel", "lo", " world"], text="Hello world"))
    pieces, stream = await _read(client)
    reply = await stream.response()
    assert "".join(piece.text for piece in pieces) == reply.text == "Hello world"
    assert reply.finish_reason == "stop"
    assert reply.usage.total_tokens > 0
    assert not reply.usage.estimated
    assert isinstance(reply.cost_usd, Decimal)


async def test_the_log_line_of_a_stream_carries_its_trace(client, capsys):
    """What is logged at a stream's end belongs to the stream's span."""
    async with Logging(LoggingSettings(json_output=True)):
        _, stream = await _read(client)
        reply = await stream.response()
    assert f'"trace_id":"{reply.trace_id}"' in capsys.readouterr().err


async def test_the_response_can_be_asked_for_without_reading(client, server):
    """response() reads to the end by itself."""
    server.script("all at once")
    stream = await client.chat_completion(HELLO, stream=True)
    assert (await stream.response()).text == "all at once"


async def test_texts_gives_only_text(client, server):
    """texts() is what a terminal wants."""
    server.script(Reply(text="a b"))
    stream = await client.chat_completion(HELLO, stream=True)
    assert "".join([text async for text in stream.texts()]) == "a b"


async def test_tool_calls_are_assembled(client, server):
    """Pieces of several calls become whole calls, in order."""
    calls = [FunctionCall(name="f", arguments={"a": 1}), FunctionCall(name="g", arguments={})]
    server.script(Reply(tool_calls=calls))
    _, stream = await _read(client, tools=[_tool("f"), _tool("g")])
    assert [(call.name, call.arguments) for call in stream.tool_calls] == [
        ("f", '{"a":1}'),
        ("g", "{}"),
    ]


async def test_leaving_early_closes_the_connection_and_books_an_estimate(client, server):
    """What came is booked, marked as an estimate; the server sees the client go."""
    server.script(Reply(text="word " * 2000, chunk_delay=0.001))
    async with client.budget(usd=1) as budget:
        stream = await client.chat_completion(HELLO, stream=True)
        async with stream:
            async for _ in stream:
                break
        assert budget.reserved == 0
        assert budget.spent > 0
    reply = await stream.response()
    assert reply.usage.estimated
    assert reply.degraded
    await server.wait_until_idle()
    assert not server.ledger.last.finished


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        (faults.truncated_stream(after_chunks=3), LLMResponseError),
        (faults.disconnect_mid_stream(after_chunks=3), LLMConnectionError),
        (faults.malformed_chunk(after_chunks=3), LLMResponseError),
        (faults.error_event_in_stream(after_chunks=3), ServerError),
    ],
    ids=["truncated", "disconnected", "malformed", "error-event"],
)
async def test_a_stream_that_breaks_raises_with_what_came(client, server, fault, cause):
    """The error has the partial text, its usage and its cost; the cause is typed."""
    server.script(Reply(chunks=["one ", "two ", "three ", "four "], text="one two three four "))
    server.fail(fault)
    seen = []
    async with client.budget(usd=1) as budget:
        with pytest.raises(LLMStreamInterruptedError) as caught:
            async with await client.chat_completion(HELLO, stream=True) as stream:
                async for chunk in stream:
                    seen.append(chunk.text)
        assert budget.reserved == 0
        assert budget.spent == caught.value.cost > 0
    error = caught.value
    assert error.partial.text == "".join(seen) == "one two "
    assert error.usage.estimated
    assert error.usage.completion_tokens == 2
    assert error.partial.finish_reason is None
    assert isinstance(error.__cause__, cause)


@pytest.mark.parametrize(
    "fault",
    [
        faults.truncated_stream(after_chunks=1),
        faults.disconnect_mid_stream(after_chunks=1),
        faults.disconnect_before_headers(),
        faults.server_error(503),
    ],
    ids=["truncated", "disconnected", "no-headers", "503"],
)
async def test_a_stream_that_breaks_before_its_content_is_tried_again(client_of, server, fault):
    """Nothing was handed out yet, so the call is retried."""
    server.fail(fault)
    async with client_of(server, max_attempts=2) as llm:
        llm._calls._policy._first = 0.0
        stream = await llm.chat_completion(HELLO, stream=True)
        reply = await stream.response()
    assert reply.attempts == 2
    assert reply.text
    assert server.ledger.count() == 2


async def test_a_missing_usage_is_estimated_and_says_so(client, server):
    """A server that reports no usage gets an estimate with its mark."""
    server.fail(faults.missing_usage())
    _, stream = await _read(client)
    assert (await stream.response()).usage.estimated


async def test_a_stream_that_stands_still_is_broken_off(client_of, server):
    """No piece within the timeout interrupts the stream."""
    slow = Reply(chunks=["a", "b", "c"], text="abc", chunk_delay=5.0)
    server.on("hello", slow, optional=True)  # a busy machine may be late with the request itself
    async with client_of(server, timeout=0.05, max_attempts=1) as llm:
        with pytest.raises(Exception, match="stood still|no answer within"):
            await (await llm.chat_completion(HELLO, stream=True)).response()


async def test_cancelling_the_reader_books_and_closes(client, server):
    """A cancelled reader leaves nothing behind."""
    server.script(Reply(text="word " * 1000, chunk_delay=0.005))
    started = asyncio.Event()

    async def read():
        async with await client.chat_completion(HELLO, stream=True) as stream:
            async for _ in stream:
                started.set()

    async with client.budget(usd=1) as budget:
        task = asyncio.create_task(read())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert budget.reserved == 0
    assert len(client._inflight) == 0
    await server.wait_until_idle()


def _tool(name):
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
