"""What faults do on the wire, seen from a bare socket, and clients that leave."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging

import aiohttp
import pytest

from agentinfra.errors import ConfigurationError
from agentinfra.testing import ManualClock, OpenAIServer, faults

HELLO = [{"role": "user", "content": "one two three four five"}]


async def exchange(server, *, stream=False, path="/v1/chat/completions"):
    """Send a request on a bare socket; return what came and how it ended."""
    host, port = server.root_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = json.dumps({"model": "m", "messages": HELLO, "stream": stream}).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    received = b""
    try:
        while piece := await reader.read(65536):
            received += piece
    except ConnectionResetError:
        return received, "reset"
    finally:
        writer.close()
    return received, "end"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fault", "ending"),
    [
        (faults.disconnect_before_headers(), "end"),
        (faults.connection_reset(), "reset"),
        (faults.disconnect_mid_body(), "reset"),
        (faults.disconnect_mid_body(reset=False), "end"),
        (faults.disconnect_mid_stream(), "reset"),
        (faults.disconnect_mid_stream(reset=False), "end"),
        (faults.on_wire(faults.send(30), faults.reset()), "reset"),
        (faults.on_wire(faults.send(30), faults.close()), "end"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
async def test_connections_end_as_they_are_told(server, fault, ending, stream):
    """A reset is an RST and not an end, whatever was sent before it."""
    server.fail(fault)
    received, ended = await exchange(server, stream=stream)
    assert ended == ending
    whole, _ = await exchange(server, stream=stream)
    assert len(received) < len(whole)
    if fault.name == "on_wire":
        assert len(received) == 30


async def test_a_stalled_stream_stays_open(server):
    """After some chunks nothing comes and nothing ends, until the client leaves."""
    server.fail(faults.stalled_stream(after_chunks=2))
    call = asyncio.create_task(exchange(server, stream=True))
    await server.wait_for_requests(1)
    done, _ = await asyncio.wait({call}, timeout=0.01)
    assert not done
    call.cancel()
    await asyncio.wait({call})
    await server.wait_until_idle()
    assert (server.ledger.last.status, server.ledger.last.finished) == (200, False)


async def test_bytes_can_be_garbled(server):
    """Garbled bytes come in their number, every bit turned round; the rest is as it was."""
    head, _ = (await exchange(server))[0].split(b"\r\n\r\n")
    server.fail(faults.on_wire(faults.send(len(head) + 4), faults.garble(10)))
    received, _ = await exchange(server)
    body = received.split(b"\r\n\r\n", 1)[1]
    assert bytes(byte ^ 0xFF for byte in body[:10]) == b'{"id":"cha'
    assert body[10:].startswith(b"tcmpl-")


async def test_steps_wait_by_the_servers_sleep():
    """A wait between two parts of an answer is slept on the clock that was given."""
    clock = ManualClock()
    async with OpenAIServer(sleep=clock.sleep) as server:
        server.fail(faults.on_wire(faults.send(10), faults.wait(60.0)))
        call = asyncio.create_task(exchange(server))
        await clock.sleepers(1)
        assert not call.done()
        await clock.advance(60.0)
        received, _ = await call
        assert b"You said" in received


async def test_slow_and_mislabelled_go_with_what_is_answered(server):
    """One request meets a pace, a label and an answer; two answers meet one after the other."""
    server.fail(faults.slow(first_byte=0.001))
    server.fail(faults.rate_limited())
    server.fail(faults.wrong_content_type())
    server.fail(faults.server_error())
    received, _ = await exchange(server)
    assert received.startswith(b"HTTP/1.1 429")
    assert b"Content-Type: text/plain" in received
    assert server.ledger.last.fault == "slow + rate_limited + wrong_content_type"
    received, _ = await exchange(server)
    assert received.startswith(b"HTTP/1.1 500")


async def test_faults_can_be_put_together(server):
    """``together`` makes one of faults that would meet one after the other."""
    server.fail(faults.together(faults.rate_limited(), faults.disconnect_mid_body()))
    received, ended = await exchange(server)
    assert received.startswith(b"HTTP/1.1 429")
    assert ended == "reset"


async def test_the_request_decides_whether_it_is_met(server):
    """The same requests meet a probable fault in whatever order they come; a retry rolls anew."""

    async def run(order):
        server.clear()
        server.fail_always(faults.server_error(), probability=0.4, seed=3)
        met = {}
        async with aiohttp.ClientSession() as session:
            for number in order:
                body = {"model": f"m{number}", "messages": HELLO}
                async with session.post(f"{server.base_url}/chat/completions", json=body) as reply:
                    met.setdefault(number, []).append(reply.status)
        return met

    twice = [*range(20), *range(20)]
    first = await run(twice)
    assert await run(twice[::-1]) == first
    assert any(statuses[0] != statuses[1] for statuses in first.values())


def test_steps_are_checked():
    """A fault of no steps, or of something else, is refused."""
    with pytest.raises(ConfigurationError, match="give steps"):
        faults.on_wire()
    with pytest.raises(ConfigurationError, match="give steps"):
        faults.on_wire(faults.server_error())


async def leave_early(server, data):
    """Send something and reset the connection."""
    host, port = server.root_url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(data)
    await writer.drain()
    writer.transport.abort()


async def test_clients_that_leave_cause_no_error_lines(server, caplog):
    """Before, while and after they send: the server says nothing and serves the next."""
    caplog.set_level(logging.WARNING)
    body = json.dumps({"model": "m", "messages": HELLO, "stream": True}).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
    server.fail(faults.slow(first_byte=0.005), times=2)
    server.fail(faults.slow(per_chunk=0.001), times=1)
    for data in (
        b"",
        b"POST /v1/chat",
        head % 1000,
        head % 1000 + body,
        head % len(body) + body,
        head % len(body) + body,
        head % len(body) + body,
    ):
        await leave_early(server, data)
    with contextlib.suppress(TimeoutError):  # a reset may overtake the request before it
        await server.wait_for_requests(3, timeout=0.2)
    await server.wait_until_idle()
    assert b"You said" in (await exchange(server))[0]
    assert caplog.records == []
    server.clear()


async def test_old_clients_get_streams_that_end_with_the_connection(server):
    """HTTP/1.0 knows no chunks: a stream comes bare, and the connection closes."""
    host, port = server.root_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = json.dumps({"model": "m", "messages": HELLO, "stream": True}).encode()
    head = b"POST /v1/chat/completions HTTP/1.0\r\nContent-Length: %d\r\n\r\n"
    writer.write(head % len(body) + body)
    received = await reader.read()
    assert received.endswith(b"data: [DONE]\n\n")
    assert b"Transfer-Encoding" not in received
    writer.close()
