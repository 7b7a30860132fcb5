"""What is sent, in either dialect, is what OpenAI describes, and says what the caller said."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openapi_support import complaints

from agentinfra.errors import ConfigurationError
from agentinfra.llm.dialects.chat.dialect import ChatDialect
from agentinfra.llm.dialects.request import text_request
from agentinfra.llm.dialects.responses.dialect import ResponsesDialect
from agentinfra.llm.dialects.speech import Speech

DIALECTS = {
    "CreateChatCompletionRequest": ChatDialect(),
    "CreateResponse": ResponsesDialect(),
}
OFFICIAL = Speech(official=True)
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Say the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
CUSTOM = {"type": "custom", "custom": {"name": "run_code", "description": "Run it."}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
FILE = {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:;base64,AAAA"}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}

messages = st.lists(
    st.sampled_from(
        [
            {"role": "system", "content": "Be brief."},
            {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
            {"role": "user", "content": "Hello"},
            {"role": "user", "content": [{"type": "text", "text": "What is it?"}, PICTURE]},
            {"role": "user", "content": [FILE]},
            {"role": "assistant", "content": "Hi"},
            {"role": "assistant", "content": None, "refusal": "I cannot."},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "call_1", "content": "18 C"},
            {
                "role": "tool",
                "tool_call_id": "call_1",
                "content": [{"type": "text", "text": "18 C"}],
            },
        ]
    ),
    min_size=1,
    max_size=6,
)
options = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.just(1),
        "top_p": st.just(1),
        "max_tokens": st.integers(16, 100),
        "reasoning_effort": st.sampled_from(["low", "high", None]),
        "response_format": st.sampled_from(
            [
                {"type": "json_object"},
                {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}},
            ]
        ),
        "verbosity": st.just("low"),
        "tools": st.sampled_from([[TOOL], [TOOL, CUSTOM], []]),
        "parallel_tool_calls": st.booleans(),
        "metadata": st.just({"a": "b"}),
        "service_tier": st.just("flex"),
        "user": st.just("u"),
        "prompt_cache_key": st.just("k"),
        "stream_options": st.sampled_from([{"include_obfuscation": False}, None]),
    },
)


def _body(dialect, conversation, model, given, *, stream=False, speech=OFFICIAL):
    request = text_request(conversation, model, dict(given), stream=stream)
    return json.loads(dialect.body(request, model, speech))


@settings(max_examples=150, deadline=None)
@given(messages, options, st.sampled_from(["gpt-4o-mini", "gpt-5.6-luna", "o3"]), st.booleans())
@pytest.mark.parametrize("name", DIALECTS)
def test_every_body_is_one_that_openai_describes(name, conversation, given_options, model, stream):
    """The same conversation and parameters are valid in both dialects."""
    if not stream:
        given_options.pop("stream_options", None)
    body = _body(DIALECTS[name], conversation, model, given_options, stream=stream)
    assert complaints(name, body) == []


def test_a_conversation_in_items():
    """Calls and their answers become items; what has no name there is said in its words."""
    conversation = [
        {"role": "user", "content": [{"type": "text", "text": "weather?"}, PICTURE]},
        {"role": "assistant", "content": "One moment.", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "18 C"},
    ]
    body = _body(ResponsesDialect(), conversation, "gpt-5.6-luna", {"tools": [TOOL]})
    assert body["input"] == [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "weather?"},
                {
                    "type": "input_image",
                    "image_url": "data:image/png;base64,AAAA",
                    "detail": "auto",
                },
            ],
        },
        {"type": "message", "role": "assistant", "content": "One moment."},
        {
            "type": "function_call",
            "call_id": "call_1",
            "name": "get_weather",
            "arguments": "{}",
        },
        {"type": "function_call_output", "call_id": "call_1", "output": "18 C"},
    ]
    assert body["tools"] == [{"type": "function", "strict": False, **TOOL["function"]}]


def test_parameters_in_the_words_of_responses():
    """Limits, efforts, formats and choices keep their meaning under other names."""
    asked = {
        "max_tokens": 50,
        "reasoning_effort": "low",
        "verbosity": "low",
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}},
        "tools": [TOOL],
        "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
    }
    body = _body(ResponsesDialect(), [{"role": "user", "content": "x"}], "gpt-5.6-luna", asked)
    assert body["max_output_tokens"] == 50
    assert body["reasoning"] == {"effort": "low"}
    assert body["text"] == {
        "format": {"type": "json_schema", "name": "a", "schema": SCHEMA},
        "verbosity": "low",
    }
    assert body["tool_choice"] == {"type": "function", "name": "get_weather"}
    assert complaints("CreateResponse", body) == []


def test_what_is_the_apis_own_passes_through():
    """Built-in tools and parameters of the Responses API stay as they are."""
    own = {
        "tools": [{"type": "web_search"}, TOOL],
        "previous_response_id": "resp_1",
        "reasoning": {"effort": "high", "summary": "auto"},
        "include": ["web_search_call.action.sources"],
        "background": True,
        "store": True,
    }
    body = _body(ResponsesDialect(), [{"role": "user", "content": "x"}], "gpt-5.6-luna", own)
    assert body["tools"][0] == {"type": "web_search"}
    for name in ("previous_response_id", "reasoning", "include", "background", "store"):
        assert body[name] == own[name]


def test_nothing_is_kept_unless_asked_for():
    """As with Chat Completions; thoughts come back encrypted then, where a model has any."""
    hello = [{"role": "user", "content": "x"}]
    body = _body(ResponsesDialect(), hello, "gpt-5.6-luna", {})
    assert (body["store"], body["include"]) == (False, ["reasoning.encrypted_content"])
    assert "include" not in _body(ResponsesDialect(), hello, "gpt-4o-mini", {})
    assert "store" not in _body(
        ResponsesDialect(), hello, "gpt-5.6-luna", {"previous_response_id": "r"}
    )


@pytest.mark.parametrize(
    ("model", "name"),
    [("o3", "max_completion_tokens"), ("gpt-5.6-luna", "max_completion_tokens")],
)
def test_the_limit_is_named_as_the_model_wants_it(model, name):
    """Models that think refuse max_tokens; others take what the caller said."""
    hello = [{"role": "user", "content": "x"}]
    body = _body(ChatDialect(), hello, model, {"max_tokens": 9})
    assert (body[name], "max_tokens" in body) == (9, False)
    assert _body(ChatDialect(), hello, "gpt-4o", {"max_tokens": 9})["max_tokens"] == 9
    elsewhere = Speech(token_limit="max_tokens")
    body = _body(ChatDialect(), hello, "m", {"max_completion_tokens": 9}, speech=elsewhere)
    assert (body["max_tokens"], "max_completion_tokens" in body) == (9, False)


@pytest.mark.parametrize("dialect", DIALECTS.values())
def test_what_a_model_is_known_to_refuse(dialect):
    """It is an error that says so, or left out where the caller wants that."""
    hello = [{"role": "user", "content": "x"}]
    with pytest.raises(ConfigurationError, match="o3 refuses temperature"):
        _body(dialect, hello, "o3", {"temperature": 0.2})
    lenient = Speech(official=True, unsupported="drop")
    assert "temperature" not in _body(dialect, hello, "o3", {"temperature": 0.2}, speech=lenient)
    assert _body(dialect, hello, "gpt-4o", {"temperature": 0.2})["temperature"] == 0.2


def test_what_responses_has_no_word_for():
    """A parameter of Chat Completions alone is named, not lost in silence."""
    hello = [{"role": "user", "content": "x"}]
    with pytest.raises(ConfigurationError, match="seed"):
        _body(ResponsesDialect(), hello, "gpt-5.6-luna", {"seed": 1})


@pytest.mark.parametrize(
    "name", ["previous_response_id", "background", "conversation", "instructions"]
)
def test_what_chat_has_no_word_for(name):
    """What servers of Chat Completions pass over in silence is an error, or left out if wanted."""
    hello, given_options = [{"role": "user", "content": "x"}], {name: "x"}
    with pytest.raises(ConfigurationError, match=rf"refuses {name}: .*'responses'"):
        _body(ChatDialect(), hello, "gpt-4o", given_options)
    lenient = Speech(unsupported="drop")
    assert name not in _body(ChatDialect(), hello, "gpt-4o", given_options, speech=lenient)


def test_an_empty_list_of_tools_is_not_sent():
    """OpenAI refuses it, with the choice that goes along."""
    given_options = {"tools": [], "tool_choice": "auto", "parallel_tool_calls": True}
    for dialect in DIALECTS.values():
        body = _body(dialect, [{"role": "user", "content": "x"}], "gpt-4o", given_options)
        assert {"tools", "tool_choice", "parallel_tool_calls"} & set(body) == set()


def test_streams_are_asked_for_their_usage_unless_they_may_not():
    """By default; not where the endpoint or the caller will not have it."""
    hello = [{"role": "user", "content": "x"}]
    chat = ChatDialect()
    body = _body(chat, hello, "m", {}, stream=True)
    assert body["stream_options"] == {"include_usage": True}
    assert "stream_options" not in _body(chat, hello, "m", {"stream_options": None}, stream=True)
    quiet = Speech(stream_options=False)
    assert "stream_options" not in _body(chat, hello, "m", {}, stream=True, speech=quiet)
