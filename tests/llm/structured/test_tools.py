"""Structured output: tools, fall-backs, validation and repair."""

from typing import Literal

import pytest
from llm_support import HELLO
from pydantic import BaseModel, Field

from agentinfra.errors import ConfigurationError, StructuredOutputError
from agentinfra.testing import faults
from agentinfra.testing.replies import FunctionCall, Reply


class Route(BaseModel):
    """Where a question goes."""

    agent: Literal["analytics", "knowledge"]
    confidence: float = Field(ge=0, le=1)


def lookup(city: str, days: int = 3) -> str:
    """Look the weather up."""
    return f"{city} {days}"


def _calling(name, arguments):
    return Reply(tool_calls=[FunctionCall(name=name, arguments=arguments)])


GOOD = {"agent": "analytics", "confidence": 0.5}


async def test_a_pydantic_model_comes_back_as_an_instance(client, server):
    """structured() returns the instance; the request forces the tool."""
    server.script(_calling("Route", GOOD))
    route = await client.structured(HELLO, Route)
    assert route == Route(agent="analytics", confidence=0.5)
    body = server.ledger.last.body
    assert body["tool_choice"] == {"type": "function", "function": {"name": "Route"}}
    assert body["tools"][0]["function"]["description"] == "Where a question goes."


async def test_the_arguments_are_the_text(client, server):
    """Text is the JSON of the arguments, parsed their value."""
    server.script(_calling("Route", GOOD))
    reply = await client.chat_completion_with_tools(HELLO, [Route])
    assert reply.text == '{"agent":"analytics","confidence":0.5}'
    assert reply.parsed.agent == "analytics"
    assert reply.degraded is None


async def test_a_json_schema_gives_plain_data(client, server):
    """Without a model the parsed value is a dict."""
    schema = {"title": "Point", "type": "object", "properties": {"x": {"type": "number"}}}
    server.script(_calling("Point", {"x": 1.5}))
    assert await client.structured(HELLO, schema) == {"x": 1.5}


async def test_a_function_becomes_a_tool(client, server):
    """Name, docstring and annotations make the definition; what has a default may be null."""
    server.script(_calling("lookup", {"city": "Rome"}))
    reply = await client.chat_completion_with_tools(HELLO, [lookup])
    function = server.ledger.last.body["tools"][0]["function"]
    assert function["name"] == "lookup"
    assert function["description"] == "Look the weather up."
    assert function["strict"] is True
    assert function["parameters"]["properties"]["days"]["type"] == ["integer", "null"]
    assert (reply.parsed.city, reply.parsed.days) == ("Rome", 3)


async def test_several_tools_are_told_apart(client, server):
    """Each call is validated against its own tool."""
    server.script(
        Reply(
            tool_calls=[
                FunctionCall(name="lookup", arguments={"city": "Rome"}),
                FunctionCall(name="Route", arguments=GOOD),
            ]
        )
    )
    reply = await client.chat_completion_with_tools(HELLO, [Route, lookup])
    assert [call.name for call in reply.tool_calls] == ["lookup", "Route"]
    assert server.ledger.last.body["tool_choice"] == "required"


async def test_auto_lets_the_model_answer_in_text(client, server):
    """With tool_choice auto a plain answer is an answer."""
    server.script("no tool needed")
    reply = await client.chat_completion_with_tools(HELLO, [Route], tool_choice="auto")
    assert (reply.text, reply.tool_calls) == ("no tool needed", ())
    assert server.ledger.count() == 1


async def test_arguments_that_do_not_fit_are_sent_back(client, server):
    """The model is shown its output and what is wrong, once."""
    server.script(_calling("Route", {"agent": "sales", "confidence": 7}), _calling("Route", GOOD))
    assert (await client.structured(HELLO, Route)).agent == "analytics"
    shown = server.ledger.last.body["messages"]
    assert [message["role"] for message in shown] == ["user", "assistant", "tool"]
    assert "agent" in shown[-1]["content"]
    assert "confidence" in shown[-1]["content"]


async def test_repair_is_bounded(client, server):
    """After the rounds the error carries the text and what the validator said."""
    server.on("hello", _calling("Route", {"agent": "sales", "confidence": 0.1}))
    with pytest.raises(StructuredOutputError) as caught:
        await client.structured(HELLO, Route, repair_rounds=2)
    assert server.ledger.count() == 3
    assert "sales" in caught.value.text
    assert any("agent" in line for line in caught.value.errors)


async def test_broken_json_arguments_are_recovered_without_another_request(client, server):
    """A trailing comma costs no repair round."""
    server.script(_calling("Route", '{"agent": "analytics", "confidence": 0.5,}'))
    assert (await client.structured(HELLO, Route)).confidence == 0.5
    assert server.ledger.count() == 1


async def test_a_server_without_tools_falls_back_and_is_remembered(client, server):
    """Refused tools lead to a JSON schema; the next call starts there."""
    refuse = faults.status(400, {"error": {"message": "this model does not support tools"}})
    server.fail_always(refuse, when=lambda record: bool(record.body and record.body.get("tools")))
    server.on("hello", '{"agent": "knowledge", "confidence": 1}')
    reply = await client.chat_completion_with_tools(HELLO, [Route])
    assert reply.parsed.agent == "knowledge"
    assert reply.tool_calls[0].name == "Route"
    assert "json_schema" in reply.degraded
    before = server.ledger.count()
    await client.structured(HELLO, Route)
    assert server.ledger.count() == before + 1
    assert server.ledger.last.body["response_format"]["type"] == "json_schema"


async def test_the_last_fall_back_is_json_in_the_text(client, server):
    """A server that takes neither tools nor formats is asked in words."""
    refuse = faults.status(400, {"error": {"message": "unsupported: tools, response_format"}})
    server.fail_always(
        refuse,
        when=lambda record: bool({"tools", "response_format"} & set(record.body or {})),
    )
    server.on("hello", 'Sure!\n```json\n{"agent": "knowledge", "confidence": 1}\n```')
    reply = await client.chat_completion_with_tools(HELLO, [Route])
    assert reply.parsed == Route(agent="knowledge", confidence=1)
    assert [record.status for record in server.ledger.requests] == [400, 400, 400, 200]


async def test_a_server_that_ignores_tools_falls_back(client, server):
    """A text where a tool was required leads to the next mode."""
    server.script("I would rather chat", '{"agent": "knowledge", "confidence": 1}')
    assert (await client.structured(HELLO, Route)).agent == "knowledge"


async def test_several_tools_without_tool_calling(client, server):
    """In JSON mode the model names the tool itself."""
    refuse = faults.status(400, {"error": {"message": "no tools here"}})
    server.fail_always(refuse, when=lambda record: bool(record.body and record.body.get("tools")))
    server.on("hello", '{"tool": "lookup", "arguments": {"city": "Oslo"}}')
    reply = await client.chat_completion_with_tools(HELLO, [Route, lookup])
    assert reply.tool_calls[0].name == "lookup"
    assert reply.parsed.city == "Oslo"


async def test_a_bad_request_about_something_else_is_not_hidden(client, server):
    """Only refusals of the mode lead to another mode."""
    server.fail(faults.status(400, {"error": {"message": "temperature is too high"}}))
    with pytest.raises(Exception, match="temperature"):
        await client.structured(HELLO, Route)
    assert server.ledger.count() == 1


@pytest.mark.parametrize(
    ("tools", "choice", "says"),
    [
        ([], None, "tools is empty"),
        ([Route, Route], None, "same name"),
        ([Route], "Other", "'Other'"),
        ([42], None, "42 is not a tool"),
        ([{"nothing": 1}], None, "neither"),
        ([lambda x: x], None, "no annotation"),
    ],
)
async def test_bad_tools_are_refused(client, server, tools, choice, says):
    """The error names the tool and nothing is sent."""
    with pytest.raises(ConfigurationError, match=says):
        await client.chat_completion_with_tools(HELLO, tools, tool_choice=choice)
    assert server.ledger.count() == 0


async def test_the_schema_of_a_model_is_written_once(client, server):
    """However often a model is asked for, its schema is made the first time only."""
    written = []

    class Counted(Route):
        @classmethod
        def model_json_schema(cls, *args, **options):
            written.append(cls)
            return super().model_json_schema(*args, **options)

    for _ in range(3):
        await client.structured(HELLO, Counted)
    assert len(written) == 1
