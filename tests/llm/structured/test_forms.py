"""The forms a model takes: learned from refusals that name them, or from being ignored."""

import pytest
from llm_support import HELLO
from pydantic import BaseModel

from agentinfra.errors import BadRequestError
from agentinfra.llm.wire.forms import FormLessons
from agentinfra.testing import ManualClock, OpenAIServer, faults
from agentinfra.testing.replies import RawReply, Reply


class Route(BaseModel):
    agent: str


def lookup(city: str) -> str:
    """Look up."""
    return city


FITS = '{"agent": "a"}'


def _refusing(server, message, *names, param=None, code=None, status=400):
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    server.fail_always(
        faults.status(status, {"error": error}),
        when=lambda record: bool(set(names) & set(record.body or {})),
    )


_FORMS = ("tools strict", "tools", "json_schema strict", "json_schema", "json_object", "words")


class _Forms:
    def __init__(self, first):
        self.names = _FORMS[_FORMS.index(first) :] if first in _FORMS else (first,)


class _Request:
    def __init__(self, form, unfit=()):
        self.form, self.forms, self.unfit = form, _Forms(form or FIRST), frozenset(unfit)


def _after(message, form="tools strict", *, param=None, code=None, status=400):
    """Return the form after a refusal, for this request and the next; None where it is raised."""
    lessons = FormLessons(ManualClock(), remembered=3600)
    request = _Request(form)
    error = BadRequestError(message, status_code=status, param=param, code=code)
    again = lessons.learn(error, request, "m")
    return (lessons.best(request, "m") if again else None), lessons.best(_Request(""), "m")


FIRST = "tools strict"
SCHEMA = "json_schema strict"


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        ("tools are not supported", {}),
        ("this model does not support tools", {}),
        ("registry.ollama.ai/library/gemma does not support tools", {}),
        ('"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser', {}),
        ("No endpoints found that support tool use.", {"status": 404}),
        ("tools param requires --jinja flag", {}),
        ("Unrecognized request argument supplied: functions", {}),
        ("Unknown parameter: 'tools'.", {"param": "tools", "code": "unknown_parameter"}),
        ("body.tools: Extra inputs are not permitted", {"status": 422}),
        ("deepseek-reasoner does not support Function Calling", {}),
        ("Function calling is not enabled for this model", {}),
    ],
)
def test_a_refusal_of_tools_leads_to_schemas_and_is_remembered(message, fields):
    """As servers put it."""
    assert _after(message, **fields) == (SCHEMA, SCHEMA)


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        (
            "An assistant message with 'tool_calls' must be followed by tool messages for each.",
            {"param": "messages"},
        ),
        ("messages with role 'tool' must be a response to a preceding 'tool_calls'", {}),
        ("Invalid parameter: tool messages are not allowed here", {}),
        ("No tool output found for function call call_1.", {}),
        ("temperature is not supported with this model", {}),
        ("Unsupported value: tools", {"param": "reasoning_effort"}),
        ("Invalid 'tools': array too long. Expected at most 128", {"param": "tools"}),
        ("Invalid 'tools[0].function.name': unexpected", {"param": "tools[0].function.name"}),
        ("tools are not supported", {"status": 403}),
    ],
)
def test_a_refusal_of_something_else_teaches_nothing(message, fields):
    """The conversation, another parameter, what is in the tools: the error is raised."""
    assert _after(message, **fields) == (None, FIRST)


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        ("Invalid tool_choice type: 'object'. Supported string values: none, auto", {}),
        ("tool_choice does not support being set to required in thinking mode", {}),
        ("Thinking may not be enabled when tool_choice forces tool use.", {}),
        ("This value is not supported.", {"param": "tool_choice", "code": "unsupported_value"}),
    ],
)
def test_a_refusal_to_be_forced_leaves_the_tools(message, fields):
    """A call that leaves the choice to the model still goes with tools."""
    lessons = FormLessons(ManualClock(), remembered=3600)
    forced = ("tools strict forced", "tools forced", SCHEMA, "words")
    request = _Request(forced[0])
    request.forms.names = forced
    assert lessons.learn(BadRequestError(message, status_code=400, **fields), request, "m")
    assert lessons.best(request, "m") == SCHEMA
    assert lessons.best(_Request(""), "m") == FIRST


def test_a_refusal_of_the_strict_form_leads_to_the_same_without_it():
    """A server that does not know the word is remembered; a schema it dislikes is not."""
    said = "Unknown parameter: 'tools[0].function.strict'"
    assert _after(said, param="tools[0].function.strict") == ("tools", "tools")
    said = "Invalid schema for function 'f': In context=(), 'x' is not permitted."
    assert _after(said, param="tools[0].function.parameters") == ("tools", FIRST)
    assert _after(said, "tools", param="tools[0].function.parameters") == (None, FIRST)


@pytest.mark.parametrize(
    ("message", "fields", "following"),
    [
        (
            "Invalid parameter: 'response_format' of type 'json_schema' is not supported.",
            {"param": "response_format"},
            "json_object",
        ),
        ("This response_format type is unavailable now", {}, "json_object"),
        ("'response_format.type' must be 'text'", {"form": "json_object"}, "words"),
        ("text.format is not supported", {"form": SCHEMA, "param": "text.format"}, "json_object"),
        (
            "'messages' must contain the word 'json' in some form",
            {"form": "json_object", "param": "messages"},
            None,
        ),
    ],
)
def test_a_refusal_of_a_format_leads_to_the_next(message, fields, following):
    """Of both APIs; what the messages lack is no such refusal."""
    assert _after(message, **{"form": SCHEMA, **fields})[0] == following


def test_what_was_learned_is_forgotten_after_an_hour():
    """Servers are updated; a lesson of one model says nothing of another."""
    clock = ManualClock()
    lessons = FormLessons(clock, remembered=3600)
    error = BadRequestError("tools are not supported", status_code=400)
    assert lessons.learn(error, _Request(FIRST), "m")
    assert lessons.best(_Request(""), "m") == SCHEMA
    assert lessons.best(_Request(""), "other") == FIRST
    clock.shift(3601)
    assert lessons.best(_Request(""), "m") == FIRST


def test_one_answer_that_ignores_a_form_is_no_lesson():
    """Two in a row are; one that heeds it begins the count anew."""
    lessons = FormLessons(ManualClock(), remembered=3600)
    for _ in range(3):
        lessons.ignored(FIRST, "m")
        lessons.heeded(FIRST, "m")
    assert lessons.best(_Request(""), "m") == FIRST
    lessons.ignored(FIRST, "m")
    lessons.ignored(FIRST, "m")
    assert lessons.best(_Request(""), "m") == SCHEMA


def test_the_last_form_is_never_given_up():
    """Words every server takes."""
    lessons = FormLessons(ManualClock(), remembered=3600)
    for form in _FORMS:
        for _ in range(5):
            lessons.ignored(form, "m")
    assert lessons.best(_Request(""), "m") == "words"


# -- through the client


async def test_an_hour_later_tools_are_tried_again(client_of, server):
    """A refusal that named them is remembered for the model, and then forgotten."""
    clock = ManualClock()
    _refusing(server, "tools are not supported", "tools", param="tools")
    server.on("hello", FITS)
    async with client_of(server, max_attempts=1, clock=clock) as client:
        for statuses in ([400, 200], [200]):
            seen = server.ledger.count()
            await client.structured(HELLO, Route)
            assert [record.status for record in server.ledger.requests[seen:]] == statuses
        clock.shift(3601)
        seen = server.ledger.count()
        await client.structured(HELLO, Route)
        assert [record.status for record in server.ledger.requests[seen:]] == [400, 200]


async def test_lessons_belong_to_their_endpoint(client_of, server):
    """What one endpoint refuses another of the same client is still asked for."""
    _refusing(server, "tools are not supported", "tools")
    server.on("hello", FITS)
    async with OpenAIServer() as other:
        endpoints = {"other": {"base_url": other.base_url, "api_key": "k"}}
        async with client_of(server, max_attempts=1, endpoints=endpoints) as client:
            await client.structured(HELLO, Route)
            other.script(Reply.calling("Route", agent="b"))
            await client.structured(HELLO, Route, model="other/gpt-4o-mini")
            assert other.ledger.last.body["tools"]
            assert other.ledger.count() == 1


async def test_a_fall_back_is_asked_in_its_own_form(client_of, server):
    """The request goes to the second endpoint as that one takes it, within one call."""
    server.fail_always(faults.status(503))
    async with OpenAIServer() as other:
        _refusing(other, "tools are not supported", "tools")
        other.on("hello", FITS)
        endpoints = {"other": {"base_url": other.base_url, "api_key": "k"}}
        async with client_of(
            server, max_attempts=1, endpoints=endpoints, fallback_models=["other/m"]
        ) as client:
            reply = await client.chat_completion_with_tools(HELLO, [Route])
            assert reply.parsed == Route(agent="a")
            assert reply.attempts == 3
            assert "tools" in server.ledger.last.body
            assert other.ledger.last.body["response_format"]["json_schema"]["strict"] is True


async def test_ignored_tools_are_given_up_the_second_time(client, server):
    """Each of the two calls is answered all the same, in the next form."""
    for _ in range(2):
        server.script("I would rather chat", FITS)
        assert (await client.structured(HELLO, Route, repair_rounds=0)).agent == "a"
        assert server.ledger.last.body["response_format"]["type"] == "json_schema"
    server.script(FITS)
    await client.structured(HELLO, Route)
    assert "tools" not in server.ledger.last.body
    assert server.ledger.count() == 5


async def test_a_format_that_is_ignored_is_said_in_words_and_then_given_up(client, server):
    """The complaint holds the schema that the server has not looked at; twice is a lesson."""
    for _ in range(2):
        server.script("I would rather chat", FITS)
        reply = await client.chat_completion(HELLO, response_format=Route)
        assert reply.parsed == Route(agent="a")
        assert '"agent"' in server.ledger.last.body["messages"][-1]["content"]
    server.script(FITS)
    reply = await client.chat_completion(HELLO, response_format=Route)
    assert server.ledger.last.body["response_format"] == {"type": "json_object"}
    assert "json_object" in reply.degraded


async def test_what_is_said_in_words_joins_the_systems_message(client, server):
    """Templates of some models take one message of the system, and only in front."""
    _refusing(server, "not supported: tools, response_format", "tools", "response_format")
    server.on("hello", FITS)
    await client.structured([{"role": "system", "content": "Be brief."}, *HELLO], Route)
    sent = server.ledger.last.body["messages"]
    assert [message["role"] for message in sent] == ["system", "user"]
    assert sent[0]["content"].startswith("Be brief.\n\nAnswer with one JSON value")


@pytest.mark.parametrize("api", ["chat", "responses"])
@pytest.mark.parametrize(
    ("said", "text", "called"),
    [
        ("It is sunny.", "It is sunny.", None),
        ('{"value": {"answer": "It is sunny."}}', "It is sunny.", None),
        ('{"value": {"tool": "lookup", "arguments": {"city": "Oslo"}}}', None, "Oslo"),
        ('{"tool": "lookup", "arguments": {"city": "Oslo"}}', None, "Oslo"),
        ('<tool_call>{"name": "lookup", "arguments": {"city": "Oslo"}}</tool_call>', None, "Oslo"),
    ],
)
async def test_auto_keeps_its_choice_where_there_are_no_tools(
    client_of, server, api, said, text, called
):
    """The model may answer in words, and may call: either is an answer, in whatever form."""
    _refusing(server, "tools are not supported", "tools", param="tools")
    server.on("hello", said)
    async with client_of(server, max_attempts=1, api=api) as client:
        reply = await client.chat_completion_with_tools(HELLO, [lookup, Route], tool_choice="auto")
    assert "json_schema" in reply.degraded
    if called is None:
        assert (reply.text, reply.tool_calls, reply.parsed) == (text, (), None)
    else:
        assert reply.tool_calls[0].name == "lookup"
        assert reply.parsed.city == called


async def test_auto_in_words_says_that_words_will_do(client, server):
    """Where no format is taken either, the instruction leaves the choice."""
    _refusing(server, "not supported: tools, response_format", "tools", "response_format")
    server.on("hello", "It is sunny.")
    reply = await client.chat_completion_with_tools(HELLO, [lookup], tool_choice="auto")
    assert reply.text == "It is sunny."
    assert "or answer in words" in server.ledger.last.body["messages"][0]["content"]


async def test_none_is_answered_in_words(client, server):
    """Without tools nothing is said of them."""
    _refusing(server, "tools are not supported", "tools")
    server.on("hello", "words")
    reply = await client.chat_completion_with_tools(HELLO, [lookup], tool_choice="none")
    assert (reply.text, reply.tool_calls) == ("words", ())
    assert server.ledger.last.body["messages"] == HELLO


async def test_allowed_tools_are_among_the_offered(client, server):
    """A choice among some of the tools keeps the others out, in the next form too."""
    choice = {
        "type": "allowed_tools",
        "allowed_tools": {
            "mode": "required",
            "tools": [{"type": "function", "function": {"name": "lookup"}}],
        },
    }
    _refusing(server, "tools are not supported", "tools")
    server.on("hello", '{"city": "Rome"}')
    reply = await client.chat_completion_with_tools(HELLO, [lookup, Route], tool_choice=choice)
    assert reply.parsed.city == "Rome"
    assert server.ledger.last.body["response_format"]["json_schema"]["name"] == "lookup"


async def test_a_custom_tool_gives_its_text(client, server):
    """Its input is no JSON, and is not read as such."""
    tool = {"type": "custom", "custom": {"name": "run", "description": "Runs."}}
    body = {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o-mini",
        "choices": [
            {
                "index": 0,
                "finish_reason": "tool_calls",
                "message": {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {"id": "1", "type": "custom", "custom": {"name": "run", "input": "{a"}}
                    ],
                },
            }
        ],
    }
    server.script(RawReply(body=body))
    reply = await client.chat_completion_with_tools(HELLO, [tool])
    assert (reply.parsed, reply.tool_calls[0].kind) == ("{a", "custom")
