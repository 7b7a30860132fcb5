"""What a reply is comes first: refusals, filters and cut-offs are errors at once, in either API."""

import pytest
from llm_support import HELLO
from pydantic import BaseModel

from agentinfra.errors import (
    ConfigurationError,
    LLMResponseError,
    OutputCutOffError,
    OutputFilteredError,
    OutputRefusedError,
    StructuredOutputError,
)
from agentinfra.llm.structured.verdict import Verdict, verdict_of
from agentinfra.results import LLMResponse, ToolCall, Usage
from agentinfra.testing.replies import FunctionCall, RawReply, Reply


class Order(BaseModel):
    """An order."""

    customer: str
    items: list[str] = []


CALL = ToolCall(id="1", name="f", arguments="{}")


def _reply(text="", **fields):
    fields = {"model": "m", "usage": Usage(), "cost_usd": None, "finish_reason": "stop"} | fields
    return LLMResponse(text=text, **fields)


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        (_reply(refusal="no", tool_calls=(CALL,), finish_reason="length"), Verdict.REFUSED),
        (_reply(tool_calls=(CALL,), finish_reason="content_filter"), Verdict.FILTERED),
        (_reply("x", finish_reason="SAFETY"), Verdict.FILTERED),
        (_reply(tool_calls=(CALL,), finish_reason="length"), Verdict.CUT_OFF),
        (_reply("", finish_reason="MAX_TOKENS"), Verdict.CUT_OFF),
        (_reply("x", finish_reason="error"), Verdict.FAILED),
        (_reply("x", tool_calls=(CALL,), finish_reason=None), Verdict.CALLED),
        (_reply("x", finish_reason=None), Verdict.SAID),
        (_reply(" \n"), Verdict.SILENT),
    ],
)
def test_the_first_row_that_is_true_counts(reply, verdict):
    """Whatever else is in a reply that was refused, filtered or cut off."""
    assert verdict_of(reply) is verdict


WHOLE = '{"customer": "Ann", "items": []}'


def _called(arguments=WHOLE, **fields):
    return Reply(tool_calls=[FunctionCall(name="Order", arguments=arguments)], **fields)


@pytest.fixture(params=["chat", "responses"])
async def asked(request, client_of, server):
    async with client_of(server, max_attempts=1, api=request.param) as client:
        yield client


@pytest.mark.parametrize(
    ("reply", "error", "text"),
    [
        (Reply(refusal="I cannot help."), OutputRefusedError, "I cannot help."),
        (
            _called('{"customer": "An', finish_reason="length"),
            OutputCutOffError,
            '{"customer": "An',
        ),
        (_called(finish_reason="length"), OutputCutOffError, WHOLE),
        (Reply(text=WHOLE, finish_reason="length"), OutputCutOffError, WHOLE),
        (Reply(text=WHOLE, finish_reason="content_filter"), OutputFilteredError, WHOLE),
    ],
)
async def test_what_can_be_no_value_is_a_typed_error_at_once(asked, server, reply, error, text):
    """One request, however many repair rounds; the error holds what came and what it cost."""
    for attempt in (
        lambda: asked.structured(HELLO, Order, repair_rounds=3),
        lambda: asked.chat_completion(HELLO, response_format=Order),
        lambda: asked.structured_stream(HELLO, Order).value(),
    ):
        before = server.ledger.count()
        server.script(reply)
        with pytest.raises(error) as caught:
            await attempt()
        assert server.ledger.count() == before + 1
        assert caught.value.text == text
        assert caught.value.attempts == 1
        assert caught.value.cost is not None
        assert caught.value.usage.total_tokens > 0
        assert isinstance(caught.value, StructuredOutputError)
    server.script(_called())
    assert (await asked.structured(HELLO, Order)).customer == "Ann"
    assert server.ledger.last.body["tools"]


async def test_a_value_that_ends_early_is_cut_off_whatever_the_server_says(client, server):
    """A server that names no reason has cut it off; one that says it is done is asked again."""
    message = {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "1",
                "type": "function",
                "function": {"name": "Order", "arguments": '{"customer": "A'},
            }
        ],
    }
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini"}
    server.script(RawReply(body={**body, "choices": [{"index": 0, "message": message}]}))
    with pytest.raises(OutputCutOffError):
        await client.structured(HELLO, Order)
    server.script(_called('{"customer": "A'), _called())
    assert (await client.structured(HELLO, Order)).customer == "Ann"
    assert "ends before" in server.ledger.last.body["messages"][-1]["content"]


async def test_an_answer_that_the_endpoint_broke_off_is_no_value(client, server):
    """A finish reason of error is one."""
    server.script(_called(finish_reason="error"))
    with pytest.raises(LLMResponseError, match="broke off"):
        await client.structured(HELLO, Order)


async def test_a_text_that_fits_is_a_value_where_a_call_was_asked_for(client, server):
    """No other request, and the text is the call."""
    server.script(Reply(text=f"Sure: {WHOLE}"))
    reply = await client.chat_completion_with_tools(HELLO, [Order])
    assert reply.parsed == Order(customer="Ann")
    assert [(call.name, call.parsed) for call in reply.tool_calls] == [("Order", reply.parsed)]
    assert server.ledger.count() == 1


async def test_an_empty_reply_is_asked_for_again(client, server):
    """Nothing at all is no value; what is asked again has no empty turn in it."""
    server.script(Reply(text=""), Reply(text=""), WHOLE)
    assert (await client.structured(HELLO, Order)).customer == "Ann"
    assert all(turn.get("content") for turn in server.ledger.last.body["messages"])


async def test_every_parallel_call_has_its_value(asked, server):
    """Each call is parsed by its own tool; the reply's value is the first's."""

    def add(a: int, b: int) -> int:
        return a + b

    calls = [FunctionCall(name="add", arguments={"a": 1, "b": n}) for n in range(2)]
    server.script(Reply(tool_calls=[*calls, FunctionCall(name="Order", arguments=WHOLE)]))
    reply = await asked.chat_completion_with_tools(HELLO, [Order, add])
    assert [call.parsed() for call in reply.tool_calls[:2]] == [1, 2]
    assert reply.tool_calls[2].parsed == Order(customer="Ann")
    assert reply.parsed is reply.tool_calls[0].parsed


async def test_what_a_structured_call_cannot_do_is_refused_before_it_is_sent(client, server):
    """The error says what to use instead."""
    with pytest.raises(ConfigurationError, match="structured_stream"):
        await client.chat_completion(HELLO, response_format=Order, stream=True)
    with pytest.raises(ConfigurationError, match="extract_json"):
        await client.structured(HELLO, Order, background=True)
    with pytest.raises(ConfigurationError, match="repair_rounds"):
        await client.structured(HELLO, Order, repair_rounds=-1)
    assert server.ledger.count() == 0


async def test_a_type_as_response_format_is_parsed_beside_tools_of_the_callers(asked, server):
    """The answer is a value; a call of the caller's own tools is the caller's."""
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    server.script(Reply.calling("look"), WHOLE)
    reply = await asked.chat_completion(HELLO, response_format=Order, tools=[tool])
    assert (reply.parsed, reply.tool_calls[0].name) == (None, "look")
    reply = await asked.chat_completion(HELLO, response_format=Order, tools=[tool])
    assert reply.parsed == Order(customer="Ann")
    assert reply.degraded is None
    body = server.ledger.last.body
    form = body.get("response_format", {}).get("json_schema") or body["text"]["format"]
    assert form["strict"] is True


async def test_a_dict_as_response_format_goes_out_as_it_is(client, server):
    """OpenAI's own forms are the caller's, and nothing is parsed."""
    server.script(WHOLE)
    reply = await client.chat_completion(
        [{"role": "user", "content": "as json"}], response_format={"type": "json_object"}
    )
    assert (reply.text, reply.parsed) == (WHOLE, None)
    assert server.ledger.last.body["response_format"] == {"type": "json_object"}
