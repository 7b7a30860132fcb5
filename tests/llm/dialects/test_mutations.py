"""Whatever becomes of an answer on its way, it is read, or refused in our own words."""

import json
from collections.abc import Mapping
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentinfra.errors import LLMResponseError, LLMStatusError
from agentinfra.llm.dialects.chat.dialect import ChatDialect
from agentinfra.llm.dialects.embeddings import read_embeddings
from agentinfra.llm.dialects.request import text_request
from agentinfra.llm.dialects.responses.dialect import ResponsesDialect
from agentinfra.llm.wire.sse import EventSplitter

TYPED = (LLMResponseError, LLMStatusError)
TEXT = "The capital is Paris."
REQUEST = text_request([{"role": "user", "content": "x"}], "m", {}, stream=False)

CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": TEXT,
                "refusal": None,
                "reasoning_content": "France, so",
                "tool_calls": [CALL],
                "annotations": [],
            },
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {
        "prompt_tokens": 12,
        "completion_tokens": 7,
        "total_tokens": 19,
        "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 3},
    },
    "service_tier": "default",
}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "error": None,
    "incomplete_details": None,
    "model": "gpt-5.6-luna",
    "output": [
        {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": "so"}]},
        {
            "id": "msg_1",
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": TEXT, "annotations": []}],
        },
        {
            "type": "function_call",
            "id": "fc_1",
            "call_id": "call_1",
            "name": "f",
            "arguments": "{}",
        },
    ],
    "usage": {
        "input_tokens": 12,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 3},
        "total_tokens": 19,
    },
}
EMBEDDINGS = {
    "object": "list",
    "data": [
        {"object": "embedding", "index": 0, "embedding": [0.6, 0.8]},
        {"object": "embedding", "index": 1, "embedding": [1.0, 0.0]},
    ],
    "model": "text-embedding-3-small",
    "usage": {"prompt_tokens": 2, "total_tokens": 2},
}

odd = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 10**18),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.builds(list),
    st.builds(dict),
    st.lists(st.integers(0, 3), max_size=3),
    st.dictionaries(st.sampled_from(["type", "text", "id"]), st.text(max_size=4), max_size=2),
)


def places(value, path=()):
    """Yield the place of every field of a body."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield (*path, key)
            yield from places(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield (*path, index)
            yield from places(inner, (*path, index))


@st.composite
def mutated(draw, body):
    """Return a body with a few fields dropped, retyped, or turned round."""
    changed = json.loads(json.dumps(body))
    for place in draw(st.lists(st.sampled_from(list(places(body))), min_size=1, max_size=3)):
        holder = changed
        try:
            for key in place[:-1]:
                holder = holder[key]
            act = draw(st.sampled_from(["drop", "set", "reverse"]))
            if act == "drop":
                del holder[place[-1]]
            elif act == "set":
                holder[place[-1]] = draw(odd)
            elif isinstance(holder, dict):
                turned = dict(reversed(holder.items()))
                holder.clear()
                holder.update(turned)
            else:
                holder.reverse()
        except (KeyError, IndexError, TypeError, AttributeError):
            continue  # an earlier change has taken the place away
    return changed


def text_is_there(body, dialect):
    """Return whether the text still is where such a body has it."""
    try:
        if dialect == "chat":
            return body["choices"][0]["message"]["content"] == TEXT
        return any(
            item["type"] == "message"
            and item["content"][0]["text"] == TEXT
            and item["content"][0]["type"] == "output_text"
            for item in body["output"]
        )
    except (KeyError, IndexError, TypeError):
        return False


def says_error(body):
    """Return whether a change has made it an error, which goes first."""
    return (
        bool(body.get("error"))
        or body.get("status") == "failed"
        or "error"
        in (
            body.get("object"),
            body.get("type"),
        )
    )


@settings(max_examples=300)
@given(mutated(CHAT))
def test_a_chat_answer_whose_text_is_there_is_returned(body):
    """No field but the text decides; without it there is an answer or a typed error."""
    _check_whole(ChatDialect(), body, "chat")


@settings(max_examples=300)
@given(mutated(RESPONSE))
def test_a_response_whose_text_is_there_is_returned(body):
    """The same for the Responses API."""
    _check_whole(ResponsesDialect(), body, "responses")


def _check_whole(dialect, body, name):
    try:
        got = dialect.read(json.dumps(body).encode(), {})
    except TYPED:
        assert says_error(body) or not text_is_there(body, name)
        return
    if text_is_there(body, name):
        assert TEXT in got.text
    _is_sound(got)
    assert got.source is None or got.source.choices is not None


def _is_sound(got):
    assert isinstance(got.text, str)
    assert isinstance(got.reasoning, str)
    assert all(isinstance(call.id + call.name + call.arguments, str) for call in got.tool_calls)
    if got.usage is not None:
        assert got.usage.prompt_tokens >= 0
        assert got.usage.total_tokens >= 0


@given(mutated(EMBEDDINGS))
def test_vectors_are_read_or_refused(body):
    """An answer with vectors has as many as texts were sent."""
    try:
        vectors, _ = read_embeddings(json.dumps(body).encode(), {}, 2)
    except TYPED:
        return
    assert len(vectors) == 2


def _chat_events():
    base = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    deltas = [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "France"},
        {"content": TEXT[:10]},
        {"content": TEXT[10:]},
        {"tool_calls": [{"index": 0, **CALL}]},
        {},
    ]
    for place, delta in enumerate(deltas):
        finish = "stop" if place == len(deltas) - 1 else None
        yield {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
    yield {**base, "choices": [], "usage": CHAT["usage"]}


def _response_events():
    yield {"type": "response.created", "sequence_number": 0, "response": {"id": "resp_1"}}
    for number, text in enumerate((TEXT[:10], TEXT[10:]), 1):
        yield {
            "type": "response.output_text.delta",
            "sequence_number": number,
            "item_id": "msg_1",
            "output_index": 0,
            "content_index": 0,
            "delta": text,
            "logprobs": [],
        }
    yield {"type": "response.completed", "sequence_number": 3, "response": RESPONSE}


STREAMS = {
    "chat": (ChatDialect(), list(_chat_events())),
    "responses": (ResponsesDialect(), list(_response_events())),
}


def _bytes_of(pieces):
    return b"".join(b"data: " + json.dumps(piece).encode() + b"\n\n" for piece in pieces)


def _read(dialect, chunks):
    splitter, assembly = EventSplitter(), dialect.assembly(REQUEST)
    given = []
    for chunk in chunks:
        for event in splitter.feed(chunk):
            given += assembly.add(event)
    for event in splitter.flush():
        given += assembly.add(event)
    return assembly, given


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_may_be_cut_at_every_byte(name):
    """Where packets end makes no difference."""
    dialect, pieces = STREAMS[name]
    data = _bytes_of(pieces)
    for cut in range(len(data)):
        assembly, given = _read(dialect, (data[:cut], data[cut:]))
        assert "".join(chunk.text for chunk in given) == assembly.text == TEXT
    assembly, _ = _read(dialect, (bytes([byte]) for byte in data))
    assert assembly.answer().text == TEXT


@pytest.mark.parametrize("ends", [b"\r\n", b"\r"])
@pytest.mark.parametrize("name", STREAMS)
def test_lines_may_end_in_other_ways(name, ends):
    """CR, and CR with LF, end a line as LF does, wherever a packet ends."""
    dialect, pieces = STREAMS[name]
    data = b"\xef\xbb\xbf: hello\n\n" + _bytes_of(pieces)
    data = data.replace(b"\n", ends)
    for cut in range(0, len(data), 3):
        assembly, _ = _read(dialect, (data[:cut], data[cut:]))
        assert assembly.text == TEXT


@settings(max_examples=300)
@given(st.data())
@pytest.mark.parametrize("name", STREAMS)
def test_mutated_events_are_read_or_refused(name, data):
    """Fields dropped or retyped in some events: text that came is there, or the error is typed."""
    dialect, pieces = STREAMS[name]
    at = data.draw(st.integers(0, len(pieces) - 1))
    changed = [*pieces[:at], data.draw(mutated(pieces[at])), *pieces[at + 1 :]]
    try:
        assembly, given = _read(dialect, [_bytes_of(changed)])
    except TYPED:
        return
    got = assembly.answer()
    assert "".join(chunk.text for chunk in given if chunk.index == 0) == assembly.text
    _is_sound(got)
    assert got.source is None or isinstance(got.source.data, Mapping)


@given(st.binary(max_size=400))
def test_bytes_that_are_no_answer_are_refused_in_our_words(data):
    """Neither invalid UTF-8 nor broken JSON comes out as another library's error."""
    for dialect in (ChatDialect(), ResponsesDialect()):
        for read in (lambda given: dialect.read(given, {}), dialect.assembly(REQUEST).add):  # noqa: B023
            for given_bytes in (data, b'{"choices": ' + data):
                with suppress(*TYPED):
                    read(given_bytes)
