"""What servers of others send, whole and in pieces, over both transports."""

import json
from contextlib import asynccontextmanager

import pytest
from llm_support import HELLO
from raw_server import answer, event, events, piece, raw_server, reply

from agentinfra import AsyncLLMClient, Settings
from agentinfra.errors import (
    BadRequestError,
    ContextLengthError,
    LLMConnectionError,
    LLMError,
    LLMResponseError,
    LLMStreamInterruptedError,
    QuotaExceededError,
    RateLimitedError,
)


@pytest.fixture
def client_to(transport):
    """Return a factory of clients to a raw server."""

    @asynccontextmanager
    async def enter(give, **fields):
        async with raw_server(give) as server:
            base = {"base_url": server.base_url, "api_key": "k", "transport": transport}
            settings = Settings(llm={"max_attempts": 1, **base, **fields}).llm
            async with AsyncLLMClient(settings) as llm:
                llm.server = server
                yield llm

    return enter


async def _streamed(llm, **options):
    stream = await llm.chat_completion(HELLO, stream=True, **options)
    chunks = [chunk async for chunk in stream]
    return chunks, await stream.response()


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 10.0, "completion_tokens": 5.0, "total_tokens": 15.0},
        {"prompt_tokens": "10", "completion_tokens": "5", "total_tokens": "15"},
        {"prompt_tokens": 10, "completion_tokens": None, "total_tokens": 15},
        {"input_tokens": 10, "output_tokens": 5},
    ],
)
async def test_usage_of_any_make(client_to, usage):
    """Floats, texts, other names and a missing part are the same numbers."""
    async with client_to(reply(answer("x", usage=usage))) as llm:
        got = await llm.chat_completion(HELLO)
    assert (got.usage.prompt_tokens, got.usage.completion_tokens) == (10, 5)
    assert not got.usage.estimated


@pytest.mark.parametrize("usage", [{}, {"prompt_tokens": None}, [], "none"])
async def test_usage_that_says_nothing_is_estimated(client_to, usage):
    """It is marked, and the answer is there."""
    async with client_to(reply(answer("the answer", usage=usage))) as llm:
        got = await llm.chat_completion(HELLO)
    assert got.text == "the answer"
    assert got.usage.estimated
    assert got.usage.completion_tokens > 0


async def test_every_class_of_tokens(client_to):
    """Cached, written, thought and spoken tokens have fields of their own."""
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "total_tokens": 150,
        "prompt_tokens_details": {
            "cached_tokens": 40,
            "cache_write_tokens": 30,
            "audio_tokens": 5,
        },
        "completion_tokens_details": {"reasoning_tokens": 20, "audio_tokens": 7},
    }
    async with client_to(reply(answer("x", usage=usage))) as llm:
        got = (await llm.chat_completion(HELLO)).usage
    assert (got.cached_tokens, got.cache_write_tokens, got.reasoning_tokens) == (40, 30, 20)
    assert got.audio_tokens == 12


async def test_content_in_parts(client_to):
    """Text is text, thoughts are thoughts, and the turn goes back as it came."""
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "France"}]},
        {"type": "text", "text": "Paris"},
    ]
    async with client_to(reply(answer(parts))) as llm:
        got = await llm.chat_completion(HELLO)
        await llm.chat_completion([*HELLO, got.message])
        sent = llm.server.bodies[1]["messages"][1]
    assert (got.text, got.reasoning) == ("Paris", "France")
    assert sent["content"] == parts


async def test_arguments_as_an_object(client_to):
    """They are text again, whole and streamed."""
    call = {"id": 7, "type": "function", "function": {"name": "f", "arguments": {"a": [1]}}}
    async with client_to(reply(answer(None, "tool_calls", tool_calls=[call]))) as llm:
        (got,) = (await llm.chat_completion(HELLO)).tool_calls
    assert (got.id, got.name, json.loads(got.arguments)) == ("7", "f", {"a": [1]})
    async with client_to(events(piece({"tool_calls": [call]}, "tool_calls"))) as llm:
        _, streamed = await _streamed(llm)
    assert streamed.tool_calls == (got,)


def _call(index=None, call_id=None, name=None, arguments=""):
    function = {"arguments": arguments, **({"name": name} if name else {})}
    made = {"type": "function", "function": function}
    made |= {} if index is None else {"index": index}
    return made | ({} if call_id is None else {"id": call_id})


PIECES = {
    "openai": [
        [_call(0, "a", "f", "")],
        [_call(0, arguments='{"x":')],
        [_call(0, arguments="1}")],
        [_call(1, "b", "g", "")],
        [_call(1, arguments="{}")],
    ],
    "all with index 0": [[_call(0, "a", "f", '{"x":1}')], [_call(0, "b", "g", "{}")]],
    "without index": [[_call(None, "a", "f", '{"x":1}')], [_call(None, "b", "g", "{}")]],
    "id in every piece": [
        [_call(0, "a", "f", '{"x":')],
        [_call(1, "b", "g", "{")],
        [_call(0, "a", "f", "1}")],
        [_call(1, "b", "g", "}")],
    ],
    "id after the name": [
        [_call(0, None, "f", "")],
        [_call(0, "a", None, '{"x":1}')],
        [_call(1, None, "g", "")],
        [_call(1, "b", None, "{}")],
    ],
    "together": [[_call(0, "a", "f", '{"x":1}'), _call(1, "b", "g", "{}")]],
    "interleaved without id": [
        [_call(0, "a", "f", ""), _call(1, "b", "g", "")],
        [_call(1, arguments="{")],
        [_call(0, arguments='{"x":1}')],
        [_call(1, arguments="}")],
    ],
}


@pytest.mark.parametrize("name", PIECES)
async def test_pieces_of_calls_find_their_call(client_to, name):
    """By id, then by name, then by index; what goes back holds the same calls."""
    deltas = [piece({"tool_calls": calls}) for calls in PIECES[name]]
    async with client_to(events(*deltas, piece({}, "tool_calls"))) as llm:
        chunks, got = await _streamed(llm)
    wanted = [("a", "f", '{"x":1}'), ("b", "g", "{}")]
    assert [(call.id, call.name, call.arguments) for call in got.tool_calls] == wanted
    back = [(c["id"], c["function"]["name"]) for c in got.message["tool_calls"]]
    assert back == [("a", "f"), ("b", "g")]
    joined = ["", ""]
    for chunk in chunks:
        for delta in chunk.tool_calls:
            joined[delta.index] += delta.arguments
    assert joined == ['{"x":1}', "{}"]


async def test_two_calls_of_one_function_without_ids(client_to):
    """A second whole object is a second call."""
    calls = [_call(0, None, "f", '{"x":1}'), _call(0, None, "f", '{"x":2}')]
    deltas = [piece({"tool_calls": [call]}) for call in calls]
    async with client_to(events(*deltas, piece({}, "tool_calls"))) as llm:
        _, got = await _streamed(llm)
    assert [call.arguments for call in got.tool_calls] == ['{"x":1}', '{"x":2}']


async def test_what_an_endpoint_wants_back_is_in_the_message(client_to):
    """Thoughts and signatures of a streamed turn are sent on exactly as they came."""
    signature = {"google": {"thought_signature": "SIG=="}}
    call = {"index": 0, **_call(0, "a", "f", "{}"), "extra_content": signature}
    stream = events(
        piece({"role": "assistant", "reasoning_content": "be"}),
        piece({"reasoning_content": "cause"}),
        piece({"content": "Par"}),
        piece({"content": "is", "tool_calls": [call]}),
        piece({}, "tool_calls"),
    )
    async with client_to(stream) as llm:
        _, got = await _streamed(llm)
        await _streamed(llm)
    assert (got.text, got.reasoning) == ("Paris", "because")
    assert got.message == {
        "role": "assistant",
        "reasoning_content": "because",
        "content": "Paris",
        "tool_calls": [
            {
                "id": "a",
                "type": "function",
                "function": {"name": "f", "arguments": "{}"},
                "extra_content": signature,
            }
        ],
    }
    assert got.raw.choices[0].message.content == "Paris"


async def test_refusals_are_no_text(client_to):
    """They have a field of their own, whole and streamed."""
    async with client_to(reply(answer(None, refusal="I cannot."))) as llm:
        got = await llm.chat_completion(HELLO)
    assert (got.text, got.refusal) == ("", "I cannot.")
    async with client_to(
        events(piece({"refusal": "I "}), piece({"refusal": "cannot."}, "stop"))
    ) as llm:
        chunks, got = await _streamed(llm)
    assert "".join(chunk.refusal for chunk in chunks) == got.refusal == "I cannot."


async def test_several_choices(client_to):
    """Each has its own text, whole and streamed."""
    body = answer("one")
    body["choices"].append({**body["choices"][0], "index": 1, "message": {"content": "two"}})
    async with client_to(reply(body)) as llm:
        got = await llm.chat_completion(HELLO, n=2)
    assert [choice.text for choice in got.choices] == ["one", "two"]
    pieces = [piece({"content": "o"}), piece({"content": "t"}), piece({}, "stop")]
    pieces[1]["choices"][0]["index"] = 1
    last = piece({}, "stop")
    last["choices"][0]["index"] = 1
    async with client_to(events(*pieces, last)) as llm:
        chunks, got = await _streamed(llm, n=2)
    assert [choice.text for choice in got.choices] == ["o", "t"]
    assert {chunk.index for chunk in chunks} == {0, 1}


async def test_sound_comes_in_pieces(client_to):
    """Its data is joined, and goes back as its id alone."""
    stream = events(
        piece({"role": "assistant", "audio": {"id": "audio_1", "transcript": "Hel"}}),
        piece({"audio": {"data": "QUJD"}}),
        piece({"audio": {"transcript": "lo", "data": "REVG", "expires_at": 9}}),
        piece({}, "stop"),
    )
    async with client_to(stream) as llm:
        chunks, got = await _streamed(llm)
        await _streamed(llm)
        await (await llm.chat_completion([*HELLO, got.message], stream=True)).response()
        back = llm.server.bodies[-1]["messages"][-1]
    assert got.message["audio"] == {
        "id": "audio_1",
        "transcript": "Hello",
        "data": "QUJDREVG",
        "expires_at": 9,
    }
    assert [chunk.audio for chunk in chunks if chunk.audio][1] == {"data": "QUJD"}
    assert back["audio"] == {"id": "audio_1"}


async def test_custom_tools(client_to):
    """Their input is any text."""
    call = {"id": "a", "type": "custom", "custom": {"name": "run", "input": "print(1)"}}
    async with client_to(reply(answer(None, "tool_calls", tool_calls=[call]))) as llm:
        (got,) = (await llm.chat_completion(HELLO)).tool_calls
    assert (got.kind, got.name, got.arguments) == ("custom", "run", "print(1)")


ERRORS = {
    "body": ({"error": {"code": 402, "message": "Insufficient credits"}}, QuotaExceededError),
    "choice": (
        {"choices": [{"error": {"code": 429, "message": "Insufficient pace"}, "index": 0}]},
        RateLimitedError,
    ),
    "object": (
        {"object": "error", "message": "Insufficient context", "code": 400},
        BadRequestError,
    ),
    "list": ([{"error": {"code": 400, "message": "Insufficient list"}}], BadRequestError),
    "detail": ({"detail": "Insufficient detail"}, LLMError),
    "text": ({"error": "Insufficient text"}, LLMError),
}


@pytest.mark.parametrize("name", ERRORS)
async def test_errors_inside_a_success(client_to, name):
    """Wherever they hide they are errors, of their kind and in their words."""
    body, kind = ERRORS[name]
    async with client_to(reply(body)) as llm:
        with pytest.raises(kind, match="Insufficient"):
            await llm.chat_completion(HELLO)
    async with client_to(events(body)) as llm:
        with pytest.raises(kind, match="Insufficient"):
            await llm.chat_completion(HELLO, stream=True)


async def test_a_stream_answered_whole(client_to):
    """A server that ignores stream=true gives its answer as one piece."""
    async with client_to(reply(answer("the whole answer"))) as llm:
        chunks, got = await _streamed(llm)
    assert [chunk.text for chunk in chunks] == [got.text] == ["the whole answer"]
    assert not got.usage.estimated


async def test_signs_of_life_are_no_events(client_to):
    """Comments, empty data and a mark of the end with a blank are taken as meant."""
    body = b": waiting\n\ndata:\n\n" + event(piece({"content": "hel"})) + b": \n\ndata: \n\n"
    body += event(piece({"content": "lo"})) + event(piece({}, "stop")) + b"data: [DONE] \n\n"
    async with client_to(reply(body, kind="text/event-stream")) as llm:
        _, got = await _streamed(llm)
    assert got.text == "hello"


@pytest.mark.parametrize("tail", [b"", b"data: {broken\n\n", b'data: {"error": "late"}\n\n'])
async def test_a_stream_whose_finish_reason_has_come_is_whole(client_to, tail):
    """What fails after it is bookkeeping; the answer was paid for and is here."""
    whole = event(piece({"content": "all of it"})) + event(piece({}, "stop")) + tail
    async with client_to(reply(whole, kind="text/event-stream")) as llm:
        _, got = await _streamed(llm)
    assert (got.text, got.finish_reason, got.degraded) == ("all of it", "stop", None)
    assert got.usage.estimated


async def test_a_stream_that_says_done_is_whole(client_to):
    """A server without finish reasons says it so."""
    async with client_to(events(piece({"content": "all"}))) as llm:
        _, got = await _streamed(llm)
    assert (got.text, got.finish_reason) == ("all", None)


async def test_a_stream_that_just_ends_is_broken(client_to):
    """Neither finish reason nor mark of the end: something is missing."""
    async with client_to(events(piece({"content": "half"}), done=b"")) as llm:
        with pytest.raises(LLMStreamInterruptedError) as caught:
            await _streamed(llm)
    assert caught.value.partial.text == "half"


@pytest.mark.parametrize("body", [b'{"choices": [{"message": {"content": "caf\xe9"}}]}', b"{", b""])
async def test_bytes_that_cannot_be_read(client_to, body):
    """Neither invalid UTF-8 nor broken JSON escapes as another library's error."""
    async with client_to(reply(body)) as llm:
        with pytest.raises(LLMResponseError):
            await llm.chat_completion(HELLO)
        with pytest.raises(LLMResponseError):
            await llm.chat_completion(HELLO, stream=True)


_SAID = b'{"choices":[{"message":{"content":"%s"},"finish_reason":"stop"%s}]}'
ODD_JSON = {
    "log probabilities of minus infinity": (
        _SAID % (b"hi", b',"logprobs":{"content":[{"token":"hi","logprob":-Infinity}]}'),
        "hi",
    ),
    "not a number": (_SAID % (b"hi", b',"score":NaN'), "hi"),
    "half of a pair": (_SAID % (b"a\\ud800b", b""), "a\ufffdb"),
    "a whole pair beside it": (_SAID % (b"\\ud83d\\ude00\\udc00", b""), "\U0001f600\ufffd"),
    "a mark of byte order": (b"\xef\xbb\xbf" + _SAID % (b"hi", b""), "hi"),
    "UTF-16": ((_SAID % (b"hi", b"")).decode().encode("utf-16"), "hi"),
}


@pytest.mark.parametrize("name", ODD_JSON)
async def test_json_as_pythons_encoder_writes_it(client_to, name):
    """What only stricter decoders refuse costs no answer that was paid for."""
    body, text = ODD_JSON[name]
    async with client_to(reply(body)) as llm:
        got = await llm.chat_completion(HELLO)
    assert got.text == text
    assert got.raw.choices[0].message.content == text


async def test_odd_numbers_in_a_stream(client_to):
    """An event whose numbers are none brings its text."""
    sent = json.dumps(piece({"content": "hi"}, "stop", score=float("nan"))).encode()
    async with client_to(reply(event(sent), kind="text/event-stream")) as llm:
        _, got = await _streamed(llm)
    assert got.text == "hi"


async def test_what_is_no_http_is_said_to_be_none(client_to):
    """It was reached; what it sent is what is wrong, and the reason stands on one line."""
    body = reply(b"plain", headers={"Content-Encoding": "gzip"})
    async with client_to(body) as llm:
        with pytest.raises(LLMConnectionError) as caught:
            await llm.chat_completion(HELLO)
    assert "\n" not in str(caught.value)
    assert "400" not in str(caught.value)


async def test_a_page_for_people(client_to):
    """An address that is no API says what to look at."""
    page = b"<!doctype html><title>Welcome</title>"
    async with client_to(reply(page, status=404, kind="text/html")) as llm:
        with pytest.raises(BadRequestError, match=r"\(Welcome\).*base_url"):
            await llm.chat_completion(HELLO)
    async with client_to(reply(page, kind="text/html")) as llm:
        with pytest.raises(LLMResponseError, match="page for people"):
            await llm.chat_completion(HELLO)


TOO_LONG = {
    "llama.cpp": "request (9000 tokens) exceeds the available context size (4096 tokens)",
    "gemini": "The input token count (12) exceeds the maximum number of tokens allowed (10).",
    "anthropic": "prompt is too long: 210000 tokens > 200000 maximum",
    "vllm": "This model's maximum context length is 4096 tokens.",
    "vllm answer": "max_tokens=5000 cannot be greater than max_model_len=max_total_tokens=1024.",
    "vllm decoder": "The decoder prompt (length 9) is longer than the maximum model length of 8.",
}


@pytest.mark.parametrize("name", TOO_LONG)
async def test_context_overflow_in_every_servers_words(client_to, name):
    """Each has a sentence of its own."""
    body = {"error": {"code": 400, "message": TOO_LONG[name], "type": "invalid_request_error"}}
    async with client_to(reply(body, status=400)) as llm:
        with pytest.raises(ContextLengthError):
            await llm.chat_completion(HELLO)


async def test_fastapis_errors_keep_their_text(client_to):
    """Its list of what is wrong names place and reason."""
    body = {"detail": [{"loc": ["body", "top_k"], "msg": "Extra inputs are not permitted"}]}
    async with client_to(reply(body, status=422)) as llm:
        with pytest.raises(BadRequestError, match=r"body\.top_k: Extra inputs"):
            await llm.chat_completion(HELLO)
