"""What is refused and what is taken, from the types of OpenAI's own package."""

from __future__ import annotations

import copy
import http.client
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentinfra.testing import OpenAIServer
from agentinfra.testing.zoo import NAMES

USER = {"role": "user", "content": "hello"}
CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
FUNCTION = {"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}}
TOOL = {"type": "function", "function": FUNCTION}
SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "integer"}},
    "required": ["a"],
    "additionalProperties": False,
}
NAMED = {"name": "f"}
CHATS = {
    "plain": {},
    "custom tool": {"tools": [{"type": "custom", "custom": {"name": "code"}}]},
    "allowed tools": {
        "tools": [TOOL],
        "tool_choice": {
            "type": "allowed_tools",
            "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": NAMED}]},
        },
    },
    "named tool": {"tools": [TOOL], "tool_choice": {"type": "function", "function": NAMED}},
    "function_call": {
        "messages": [
            USER,
            {"role": "assistant", "content": None, "function_call": CALL["function"]},
            {"role": "function", "name": "f", "content": "r"},
        ]
    },
    "audio": {"messages": [USER, {"role": "assistant", "audio": {"id": "a"}}, USER]},
    "turns": {
        "messages": [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "x"}]},
            {"role": "assistant", "content": None, "tool_calls": [CALL], "annotations": []},
            {"role": "tool", "tool_call_id": "a", "content": "1"},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
    },
    "image": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
                    {"type": "input_audio", "input_audio": {"data": "aa", "format": "wav"}},
                    {"type": "file", "file": {"file_id": "file-1"}},
                ],
            }
        ]
    },
    "structured": {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "x", "strict": True, "schema": SCHEMA},
        },
        "temperature": 0,
        "seed": 1,
        "stop": ["a", "b"],
        "logit_bias": {"1": 2},
        "metadata": {"a": "b"},
        "user": "me",
        "reasoning_effort": "low",
    },
}
FLAT = {"type": "function", **FUNCTION, "strict": False}
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAAAB"}
RESPONSES = {
    "text": {"input": "hello"},
    "items": {
        "input": [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "input_text", "text": "x"}]},
            {
                "type": "message",
                "role": "assistant",
                "id": "msg_1",
                "status": "completed",
                "content": [{"type": "output_text", "text": "a", "annotations": []}],
            },
            THOUGHT,
            {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "a", "output": "1"},
        ],
        "tools": [FLAT],
        "store": False,
        "include": ["reasoning.encrypted_content"],
    },
    "structured": {
        "text": {"format": {"type": "json_schema", "name": "x", "strict": True, "schema": SCHEMA}},
        "reasoning": {"effort": "low", "summary": "auto"},
        "max_output_tokens": 16,
    },
    "tools": {
        "tools": [FLAT, {"type": "web_search"}, {"type": "custom", "name": "code"}],
        "tool_choice": {
            "type": "allowed_tools",
            "mode": "auto",
            "tools": [{"type": "function", "name": "f"}],
        },
    },
    "named": {"tools": [FLAT], "tool_choice": {"type": "function", "name": "f"}, "stream": True},
}
COUNTS = {name: RESPONSES[name] for name in ("text", "items", "tools")}
EMBEDDINGS = {
    "text": {},
    "texts": {"input": ["one", "two"], "dimensions": 8, "encoding_format": "base64"},
    "tokens": {"input": [[1, 2], [3]], "user": "ann"},
}
PATHS = {
    "chat/completions": CHATS,
    "responses": RESPONSES,
    "responses/input_tokens": COUNTS,
    "embeddings": EMBEDDINGS,
}


@pytest.fixture(scope="module")
def server():
    """Give a server for the whole module."""
    with OpenAIServer() as started:
        yield started


def post(server, path, body):
    """Send a body; return the status and the raw answer."""
    host, port = server.root_url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    try:
        raw = body if isinstance(body, bytes) else json.dumps(body)
        connection.request("POST", f"/v1/{path}", raw)
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


def whole(path, extra):
    """Return a whole request."""
    start = {"messages": [USER]} if path == "chat/completions" else {"input": "hello"}
    counted = {"store", "include"} if path == "responses/input_tokens" else set()
    return {"model": "gpt-4o", **start, **{k: v for k, v in extra.items() if k not in counted}}


CASES = [(path, name) for path, named in PATHS.items() for name in named]


@pytest.mark.parametrize(("path", "name"), CASES)
def test_what_is_valid_is_taken(server, path, name):
    """Nothing that OpenAI's types allow is refused."""
    status, answer = post(server, path, whole(path, PATHS[path][name]))
    assert status == 200, answer


ODD = [2**70, -1e300, "\x00", "user", "\ud7ff", [[]], [{}], {"": None}, "a" * 5000, [0] * 300]
JSON = st.sampled_from(ODD) | st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-1, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def places(value, path=()):
    """Yield every place inside of a value."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield (*path, key)
        if isinstance(inner, dict | list):
            yield from places(inner, (*path, key))


@st.composite
def changed(draw):
    """Draw a request with one change somewhere."""
    path, name = draw(st.sampled_from(CASES))
    body = copy.deepcopy(whole(path, PATHS[path][name]))
    *way, last = draw(st.sampled_from(list(places(body))))
    inside = body
    for step in way:
        inside = inside[step]
    act = draw(st.sampled_from(["replace", "remove", "add", "wrap"]))
    if act == "wrap":
        inside[last] = [inside[last]]
    elif act == "replace":
        inside[last] = draw(JSON)
    elif act == "remove":
        del inside[last]
    elif isinstance(inside, dict):
        inside[draw(st.text(max_size=8))] = draw(JSON)
    else:
        inside.append(draw(JSON))
    return path, body


@settings(max_examples=300, deadline=None)
@given(changed())
def test_any_single_change_is_answered_or_refused(server, drawn):
    """A request that was changed in one place gets 200, or a 4xx in OpenAI's shape."""
    path, body = drawn
    status, answer = post(server, path, body)
    if status == 200:
        return
    assert 400 <= status < 500, answer
    error = json.loads(answer)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert isinstance(error["message"], str)
    assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[]", b"null", b'"x"', b"{}", b"[" * 5000])
@pytest.mark.parametrize("path", PATHS)
def test_what_is_no_request_is_refused(server, path, raw):
    """Bytes that are no JSON object are a 400 in OpenAI's shape."""
    status, answer = post(server, path, raw)
    assert status == 400
    assert set(json.loads(answer)["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("name", [name for name in NAMES if name != "openai"])
def test_no_animal_is_broken_by_a_change(name):
    """The zoo answers changed requests too, whatever it makes of them."""
    with OpenAIServer(like=name) as server:

        @settings(max_examples=25, deadline=None)
        @given(changed())
        def check(drawn):
            status, answer = post(server, *drawn)
            assert status < 500, answer

        check()


@pytest.mark.parametrize(
    ("extra", "param", "code"),
    [
        ({"encoding_format": "hex"}, "encoding_format", "invalid_value"),
        ({"dimensions": "8"}, "dimensions", "invalid_type"),
        ({"unknown": 1}, "unknown", "unknown_parameter"),
    ],
)
def test_embeddings_are_asked_for_by_their_types(server, extra, param, code):
    """What the types of embeddings do not hold is refused by its name."""
    status, answer = post(server, "embeddings", whole("embeddings", extra))
    error = json.loads(answer)["error"]
    assert (status, error["param"], error["code"]) == (400, param, code)


@pytest.mark.parametrize(
    ("kind", "strict", "got"),
    [
        ({}, True, "None"),
        ({"type": "array"}, True, '"array"'),
        ({"type": "array"}, False, '"array"'),
    ],
)
def test_a_schema_that_is_no_objects_is_refused_by_its_type(server, kind, strict, got):
    """The message says what the schema's type is, which may be none."""
    tool = {"type": "function", "function": {"name": "f", "parameters": kind, "strict": strict}}
    _, answer = post(server, "chat/completions", whole("chat/completions", {"tools": [tool]}))
    error = json.loads(answer)["error"]
    assert error["message"] == (
        f"Invalid schema for function 'f': schema must be a JSON Schema of 'type: \"object\"', "
        f"got {got}."
    )
    assert error["param"] == "tools[0].function.parameters"


def test_refusals_are_in_openais_words(server):
    """Message, parameter and code say what is wrong where."""
    body = whole("chat/completions", {"reasoning_effort": "bogus"})
    _, answer = post(server, "chat/completions", body)
    assert json.loads(answer)["error"] == {
        "message": "Invalid value: 'bogus'. Supported values are: 'none', 'minimal', 'low', "
        "'medium', 'high', 'xhigh', and 'max'.",
        "type": "invalid_request_error",
        "param": "reasoning_effort",
        "code": "invalid_value",
    }
    body = whole("chat/completions", {"messages": [USER, {"role": "user", "content": 5}]})
    _, answer = post(server, "chat/completions", body)
    assert json.loads(answer)["error"] == {
        "message": "Invalid type for 'messages[1].content': expected one of a string or an array, "
        "but got an integer instead.",
        "type": "invalid_request_error",
        "param": "messages[1].content",
        "code": "invalid_type",
    }
