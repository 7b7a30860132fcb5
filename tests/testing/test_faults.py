"""What OpenAI's client sees of each fault, and which requests meet one."""

from __future__ import annotations

import asyncio
import contextlib
import json

import aiohttp
import httpx2
import openai
import pytest

from agentinfra.errors import ConfigurationError
from agentinfra.testing import OpenAIServer, Reply, assert_no_leaks, faults

HELLO = [{"role": "user", "content": "one two three four five"}]
ANSWER = "You said: one two three four five"


async def ask(client, **options):
    """Send a chat request."""
    return await client.chat.completions.create(model="m", messages=HELLO, **options)


async def read(client, **options):
    """Stream a chat request; return the text and the last finish reason."""
    text, reason = "", None
    async for chunk in await ask(client, stream=True, **options):
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reason = choice.finish_reason or reason
    return text, reason


async def gather(stream, chunks):
    """Add a stream's chunks to a list, so that they are there when it breaks."""
    async for chunk in stream:
        chunks.append(chunk)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fault", "error", "code"),
    [
        (faults.status(418), openai.APIStatusError, None),
        (faults.rate_limited(), openai.RateLimitError, "rate_limit_exceeded"),
        (faults.quota_exceeded(), openai.RateLimitError, "insufficient_quota"),
        (faults.server_error(), openai.InternalServerError, None),
        (faults.server_error(503), openai.InternalServerError, None),
        (faults.unauthorized(), openai.AuthenticationError, "invalid_api_key"),
        (faults.context_length(), openai.BadRequestError, "context_length_exceeded"),
        (faults.content_filter(), openai.BadRequestError, "content_filter"),
        (faults.html_body(502), openai.InternalServerError, None),
    ],
    ids=lambda value: value.name if isinstance(value, faults.Fault) else "",
)
async def test_answers_in_place(server, client, fault, error, code, stream):
    """A fault with a status is that status' error to the client, streaming or not."""
    server.fail(fault)
    with pytest.raises(error) as caught:
        await ask(client, stream=stream)
    assert caught.value.code == code
    assert caught.value.status_code == server.ledger.last.status
    assert server.ledger.last.fault == fault.name
    assert server.ledger.last.usage is None


async def test_status_takes_body_and_headers(server, client):
    """A status fault sends the body and the headers it was given."""
    body = {"error": {"message": "no", "type": "t", "param": "p", "code": "c"}}
    server.fail(faults.status(409, body, {"x-mine": "yes"}))
    with pytest.raises(openai.ConflictError) as caught:
        await ask(client)
    assert caught.value.body == body["error"]
    assert caught.value.response.headers["x-mine"] == "yes"
    assert caught.value.request_id.startswith("req_")
    server.fail(faults.status(500, "plain"))
    with pytest.raises(openai.InternalServerError) as caught:
        await ask(client)
    assert caught.value.response.text == "plain"


async def test_retry_after_is_sent(server, client):
    """A rate limit says in seconds and in milliseconds when to come back."""
    server.fail(faults.rate_limited(retry_after=1.5))
    with pytest.raises(openai.RateLimitError) as caught:
        await ask(client)
    assert caught.value.response.headers["retry-after"] == "1.5"
    assert caught.value.response.headers["retry-after-ms"] == "1500"


@pytest.mark.parametrize("fault", [faults.hang(), faults.timeout()], ids=lambda f: f.name)
@pytest.mark.parametrize("stream", [False, True])
async def test_hang(server, client, fault, stream):
    """A request that hangs ends when its client leaves, and the server notices."""
    server.fail(fault)
    call = asyncio.create_task(ask(client, stream=stream))
    await server.wait_for_requests(1)
    assert not call.done()
    call.cancel()
    await asyncio.wait({call})
    await server.wait_until_idle()
    assert server.ledger.last.status is None
    assert not server.ledger.last.finished


async def test_hang_is_a_timeout(server, client):
    """A request that hangs is a time-out to a client that has one."""
    server.fail(faults.hang())
    with pytest.raises(openai.APITimeoutError):
        # Short only for the answer: a busy machine needs longer to get the request through.
        await ask(client, timeout=httpx2.Timeout(5.0, read=0.01))
    await server.wait_for_requests(1)


@pytest.mark.parametrize("stream", [False, True])
async def test_disconnect_before_headers(server, client, stream):
    """A connection that closes before an answer is a connection error."""
    server.fail(faults.disconnect_before_headers())
    with pytest.raises(openai.APIConnectionError):
        await ask(client, stream=stream)
    await server.wait_until_idle()
    assert server.ledger.last.status is None


async def test_disconnect_mid_body(server, client):
    """A body that is shorter than announced is a transport error."""
    server.fail(faults.disconnect_mid_body())
    with pytest.raises(openai.APIConnectionError):
        await ask(client)
    await server.wait_until_idle()
    assert (server.ledger.last.status, server.ledger.last.finished) == (200, False)


async def test_malformed_body(server, client):
    """A body that is half an answer is a whole response of broken JSON."""
    server.fail(faults.malformed_body())
    with pytest.raises(json.JSONDecodeError):
        await ask(client)
    assert server.ledger.last.finished
    assert server.ledger.last.usage is None


async def test_malformed_body_of_a_stream(server, client):
    """A stream with a malformed body is no stream but broken JSON."""
    server.fail(faults.malformed_body())
    raw = await client.chat.completions.with_raw_response.create(
        model="m", messages=HELLO, stream=True
    )
    assert raw.headers["content-type"] == "application/json"
    assert await read(client) == (ANSWER, "stop")


async def test_html_body(server, client):
    """A proxy's page comes with status 200 and its own content type."""
    server.fail(faults.html_body())
    raw = await client.chat.completions.with_raw_response.create(model="m", messages=HELLO)
    assert raw.headers["content-type"] == "text/html"
    assert raw.text.startswith("<!DOCTYPE html>")


@pytest.mark.parametrize("stream", [False, True])
async def test_wrong_content_type(server, client, stream):
    """The right body can come under a wrong content type."""
    server.fail(faults.wrong_content_type())
    raw = await client.chat.completions.with_raw_response.create(
        model="m", messages=HELLO, stream=stream
    )
    assert raw.headers["content-type"] == "text/plain"
    assert server.ledger.last.status == 200


async def test_missing_usage(server, client):
    """The usage can be left out, of a stream that asked for it too."""
    server.fail(faults.missing_usage(), times=2)
    assert (await ask(client)).usage is None
    options = {"include_usage": True}
    usages = [chunk.usage async for chunk in await ask(client, stream=True, stream_options=options)]
    assert not any(usages)
    assert server.ledger.tokens().total_tokens == 0


async def test_empty_choices(server, client):
    """An answer can have no choice, a stream only chunks without any."""
    server.fail(faults.empty_choices(), times=2)
    assert (await ask(client)).choices == []
    assert await read(client) == ("", None)


async def test_filtered_answer(server, client):
    """An answer can end with finish reason content_filter."""
    server.fail(faults.filtered_answer(), times=2)
    assert (await ask(client)).choices[0].finish_reason == "content_filter"
    assert (await read(client))[1] == "content_filter"


async def test_truncated_stream(server, client):
    """A truncated stream ends silently, without finish reason."""
    server.fail(faults.truncated_stream(after_chunks=3))
    assert await read(client) == ("You said:", None)
    assert server.ledger.last.finished


async def test_disconnect_mid_stream(server, client):
    """A connection that closes in a stream is an error after the chunks that came."""
    server.fail(faults.disconnect_mid_stream(after_chunks=3))
    chunks = []
    with pytest.raises((openai.APIConnectionError, httpx2.RemoteProtocolError)):
        await gather(await ask(client, stream=True), chunks)
    assert "".join(chunk.choices[0].delta.content for chunk in chunks) == "You said:"
    await server.wait_until_idle()
    assert not server.ledger.last.finished


async def test_disconnect_mid_body_of_a_stream(server, client):
    """A stream's body can be cut in the middle of a chunk."""
    server.fail(faults.disconnect_mid_body())
    with pytest.raises((openai.APIConnectionError, httpx2.RemoteProtocolError)):
        await read(client)


async def test_malformed_chunk(server, client):
    """A chunk of broken JSON comes among good ones."""
    server.fail(faults.malformed_chunk(after_chunks=3))
    raw = await client.chat.completions.with_raw_response.create(
        model="m", messages=HELLO, stream=True
    )
    lines = [line async for line in raw.http_response.aiter_lines() if line]
    broken = [line for line in lines if not line.endswith(("}", "[DONE]"))]
    assert len(broken) == 1
    assert lines.index(broken[0]) == 3
    assert lines[-1] == "data: [DONE]"


async def test_error_event_in_stream(server, client):
    """An error event in a stream is an API error with its code."""
    server.fail(faults.error_event_in_stream(code="overloaded", message="Too much."))
    with pytest.raises(openai.APIError, match=r"Too much\.") as caught:
        await read(client)
    assert caught.value.code == "overloaded"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (faults.truncated_stream(), json.JSONDecodeError),
        (faults.malformed_chunk(), json.JSONDecodeError),
        (faults.disconnect_mid_stream(), openai.APIConnectionError),
        (faults.error_event_in_stream(), openai.InternalServerError),
    ],
    ids=lambda value: value.name if isinstance(value, faults.Fault) else "",
)
async def test_stream_faults_without_a_stream(server, client, fault, error):
    """A stream fault does the nearest thing to a response that is no stream."""
    server.fail(fault)
    with pytest.raises(error):
        await ask(client)


async def test_break_never_follows_the_finish_reason(server, client):
    """A break after more chunks than there are still comes before the finish reason."""
    server.fail(faults.truncated_stream(after_chunks=1000))
    assert (await read(client))[1] is None


async def test_slow_waits_by_the_given_sleep():
    """Slowness is slept by the server's sleep: once before the answer, once between chunks."""
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    async with (
        OpenAIServer(sleep=sleep) as server,
        openai.AsyncOpenAI(base_url=server.base_url, api_key="x", max_retries=0) as client,
    ):
        server.fail(faults.slow(first_byte=9.0, per_chunk=4.0), times=2)
        await ask(client)
        assert slept == [9.0]
        assert await read(client) == (ANSWER, "stop")
        assert slept[1] == 9.0
        assert set(slept[2:]) == {4.0}
        slept.clear()
        server.script(Reply(text="a b", delay=2.0, chunk_delay=1.0))
        assert await read(client) == ("a b", "stop")
        assert slept == [2.0, *[1.0] * 4]


async def test_embeddings_meet_faults(server, client):
    """Faults meet embeddings too; without choices they have no vectors."""
    server.fail(faults.empty_choices())
    with pytest.raises(ValueError, match="No embedding data"):
        await client.embeddings.create(model="m", input="x")
    server.fail(faults.rate_limited())
    with pytest.raises(openai.RateLimitError):
        await client.embeddings.create(model="m", input="x")


async def test_times(server, client):
    """A fault meets as many requests as it was told, then the server answers."""
    server.fail(faults.server_error(), times=2)
    for _ in range(2):
        with pytest.raises(openai.InternalServerError):
            await ask(client)
    assert (await ask(client)).choices


async def test_faults_queue(server, client):
    """Several faults meet requests in the order in which they were armed."""
    server.fail(faults.server_error())
    server.fail(faults.rate_limited())
    for error in (openai.InternalServerError, openai.RateLimitError):
        with pytest.raises(error):
            await ask(client)


async def test_always_until_recovery(server, client):
    """A permanent fault meets every request until the server recovers."""
    server.fail_always(faults.server_error())
    for _ in range(3):
        with pytest.raises(openai.InternalServerError):
            await ask(client)
    server.recover()
    assert (await ask(client)).choices


async def test_when(server, client):
    """A fault can wait for a path, or for a request that a function accepts."""
    server.fail(faults.server_error(), when="embeddings")
    server.fail(faults.rate_limited(), when=lambda request: request.model == "special")
    assert (await ask(client)).choices
    with pytest.raises(openai.InternalServerError):
        await client.embeddings.create(model="m", input="x")
    with pytest.raises(openai.RateLimitError):
        await client.chat.completions.create(model="special", messages=HELLO)


async def test_probability_is_repeatable(server, client):
    """A probable fault meets the same requests for the same seed."""

    async def run(seed):
        server.clear()
        server.fail_always(faults.missing_usage(), probability=0.5, seed=seed)
        return [(await ask(client)).usage is None for _ in range(20)]

    first = await run(seed=1)
    assert 0 < sum(first) < 20
    assert await run(seed=1) == first
    assert await run(seed=2) != first


async def test_faults_leave_the_script_alone(server, client):
    """A request that gets no real answer takes no reply from the script."""
    server.script("scripted")
    server.fail(faults.server_error())
    with pytest.raises(openai.InternalServerError):
        await ask(client)
    assert (await ask(client)).choices[0].message.content == "scripted"


async def test_constructors_may_be_given(server, client):
    """A fault's function without arguments may be given in place of the fault."""
    server.fail(faults.server_error)
    with pytest.raises(openai.InternalServerError):
        await ask(client)


async def post(session, server, *, stream):
    """Send a chat request without a client that could help; read what comes."""
    body = {"model": "m", "messages": HELLO, "stream": stream}
    with contextlib.suppress(aiohttp.ClientError):
        async with session.post(f"{server.base_url}/chat/completions", json=body) as reply:
            await reply.read()


async def test_nothing_leaks_whatever_fails():
    """Every fault, met by a client that then closes, leaves no task and no socket."""
    steps = {"close", "garble", "on_wire", "reset", "send", "stall", "together", "wait"}
    names = [name for name in faults.__all__ if name[0].islower() and name not in steps]
    every = [getattr(faults, name) for name in names]
    async with assert_no_leaks(), OpenAIServer() as server, aiohttp.ClientSession() as session:
        for stream in (False, True):
            for make in every:
                fault = make(418) if make is faults.status else make()
                server.fail(fault)
                call = asyncio.create_task(post(session, server, stream=stream))
                await server.wait_for_requests(server.ledger.count() + 1)
                if fault.name in ("hang", "timeout", "stalled_stream"):
                    call.cancel()
                await asyncio.wait({call})
        await server.wait_until_idle()
        assert server.ledger.count() == 2 * len(every)


@pytest.mark.parametrize("code", ["500", 99, 1000, True, None])
def test_a_status_that_is_none_is_refused(code):
    """What cannot stand in a status line is refused where it is said."""
    with pytest.raises(ConfigurationError, match="is no status"):
        faults.status(code)
