"""The Responses API as OpenAI's own client meets it."""

from __future__ import annotations

import openai
import pytest
from pydantic import BaseModel

from agentinfra.results import Usage
from agentinfra.testing import FunctionCall, OpenAIServer, RawReply, Reply, ScriptError, faults

TOOL = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False}
CALL = Reply(tool_calls=(FunctionCall(name="f", arguments={"a": 1}),), reasoning="Let me see.")
SEALED = ["reasoning.encrypted_content"]


async def create(client, **options):
    """Ask for a response."""
    return await client.responses.create(**{"model": "gpt-5", "input": "hello", **options})


async def test_the_default_answer_is_that_of_chat(server, client):
    """A text is echoed, tools are called, formats are filled."""
    assert (await create(client)).output_text == "You said: hello"
    called = await create(client, tools=[TOOL], tool_choice="required")
    assert called.output[0].name == "f"

    class City(BaseModel):
        name: str

    parsed = await client.responses.parse(model="m", input="Rome", text_format=City)
    assert isinstance(parsed.output_parsed, City)


async def test_scripts_and_rules_answer_both_apis(server, client):
    """What is scripted answers whichever API asks; texts match the last user message of both."""
    server.script("first")
    server.on("weather", "sunny")
    assert (await create(client)).output_text == "first"
    parts = [{"role": "user", "content": [{"type": "input_text", "text": "The weather?"}]}]
    assert (await create(client, input=parts)).output_text == "sunny"
    chat = await client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": "weather"}]
    )
    assert chat.choices[0].message.content == "sunny"


async def test_a_script_may_be_for_one_api(server, client):
    """``to`` names the endpoint; a function is given the body as it came."""
    server.script(lambda body: f"asked {body['input']}", to="responses")
    server.script("chat", to="chat")
    chat = await client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": "x"}]
    )
    assert chat.choices[0].message.content == "chat"
    assert (await create(client)).output_text == "asked hello"


async def test_an_unscripted_request_is_refused():
    """The Responses API is as strict as chat is."""
    with pytest.raises(ScriptError, match="'hello' was asked and nothing is scripted"):
        async with (
            OpenAIServer() as server,
            openai.AsyncOpenAI(base_url=server.base_url, api_key="x") as client,
        ):
            server.script("one")
            await create(client)
            with pytest.raises(openai.BadRequestError):
                await create(client)


async def test_a_stream_adds_up_to_its_response(server, client):
    """The client's own stream helper puts the pieces together to what the last event holds."""
    server.script(Reply(text="It is sunny.", reasoning="Hm.", tool_calls=CALL.tool_calls))
    async with client.responses.stream(model="m", input="x", tools=[TOOL]) as stream:
        events = [event async for event in stream]
        final = await stream.get_final_response()
    text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    arguments = [e.delta for e in events if e.type == "response.function_call_arguments.delta"]
    assert (text, "".join(arguments)) == ("It is sunny.", '{"a":1}')
    assert [item.type for item in final.output] == ["reasoning", "message", "function_call"]
    assert events[-1].type == "response.completed"
    assert final.usage.total_tokens > 0


async def test_a_conversation_goes_on_by_id(server, client):
    """``previous_response_id`` brings the earlier items; an unknown one is named."""
    server.script(CALL, "done")
    first = await create(client, tools=[TOOL])
    result = {"type": "function_call_output", "call_id": first.output[1].call_id, "output": "1"}
    go_on = {"input": [result], "previous_response_id": first.id, "tools": [TOOL]}
    second = await create(client, **go_on)
    assert second.output_text == "done"
    assert second.previous_response_id == first.id
    assert second.usage.input_tokens > first.usage.input_tokens
    with pytest.raises(openai.BadRequestError) as caught:
        await create(client, previous_response_id="resp_nothing")
    assert caught.value.code == "previous_response_not_found"


async def test_what_is_not_stored_is_gone(server, client):
    """``store=False`` keeps nothing: no later retrieval, no going on by id."""
    made = await create(client, store=False)
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(made.id)
    with pytest.raises(openai.BadRequestError):
        await create(client, previous_response_id=made.id)


async def test_thoughts_come_back_with_their_calls(server, client):
    """A call without the thought it came with is refused; sealed thoughts may come back."""
    server.script(CALL, "done")
    made = await create(client, tools=[TOOL], store=False, include=SEALED)
    thought, call = (item.model_dump(exclude_none=True) for item in made.output)
    assert thought["encrypted_content"].startswith("gAAAA")
    start = [{"role": "user", "content": "hello"}]
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "1"}
    with pytest.raises(openai.BadRequestError, match="without its required 'reasoning' item"):
        await create(client, input=[*start, call, result])
    bare = {key: value for key, value in thought.items() if key != "encrypted_content"}
    with pytest.raises(openai.NotFoundError, match="not persisted when `store` is set to false"):
        await create(client, input=[*start, bare, call, result])
    reply = await create(client, input=[*start, thought, call, result])
    assert reply.output_text == "done"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            [{"type": "function_call_output", "call_id": "a", "output": "1"}],
            "No tool call found for function call output with call_id a",
        ),
        (
            [{"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"}],
            "No tool output found for function call a",
        ),
    ],
)
async def test_calls_and_outputs_belong_together(server, client, given, message):
    """A call without output and an output without call are refused in OpenAI's words."""
    with pytest.raises(openai.BadRequestError, match=message):
        await create(client, input=given)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"input": None}, "input"),
        ({"max_output_tokens": 5}, "max_output_tokens"),
        ({"temperature": 3}, "temperature"),
        ({"messages": []}, "messages"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [{**TOOL, "name": "a.b"}]}, "tools[0].name"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "name": "g"}}, "tool_choice"),
        ({"background": True, "store": False}, "background"),
        ({"text": {"format": {"type": "json_schema", "schema": {}}}}, "text.format.name"),
        ({"input": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]}, None),
    ],
)
async def test_bad_requests(server, client, change, param):
    """A request that OpenAI refuses gets a 400 that names the parameter."""
    body = {"model": "m", "input": "x", **change}
    body = {key: value for key, value in body.items() if value is not None}
    with pytest.raises(openai.BadRequestError) as caught:
        await client.post("/responses", body=body, cast_to=object)
    assert caught.value.param == (param or "input[0].content[0].type")


async def test_ends(server, client):
    """A response can be incomplete, failed, or filtered."""
    server.script(
        Reply(text="a b c", finish_reason="length"),
        Reply(text="x", finish_reason="content_filter"),
        Reply(failure="boom"),
        "one two three four five six seven eight nine ten " * 5,
    )
    assert (await create(client)).incomplete_details.reason == "max_output_tokens"
    assert (await create(client)).incomplete_details.reason == "content_filter"
    failed = await create(client)
    assert (failed.status, failed.error.message) == ("failed", "boom")
    cut = await create(client, max_output_tokens=16)
    assert (cut.status, cut.usage.output_tokens) == ("incomplete", 16)


async def test_background(client, server):
    """A background response is queued, then in progress, then done; it can be cancelled."""
    server.script("done", Reply(text="late", delay=3600.0))
    made = await create(client, background=True)
    assert made.status == "queued"
    done = await client.responses.retrieve(made.id)
    assert (done.status, done.output_text) == ("completed", "done")
    late = await create(client, background=True)
    assert (await client.responses.retrieve(late.id)).status == "in_progress"
    assert (await client.responses.cancel(late.id)).status == "cancelled"
    assert (await client.responses.retrieve(late.id)).status == "cancelled"
    with pytest.raises(openai.BadRequestError):
        await client.responses.cancel((await create_kept(client, server)).id)


async def create_kept(client, server):
    """Make a response that is not in the background."""
    server.script("kept")
    return await create(client)


async def test_later_requests(server, client):
    """Input items are listed, tokens are counted, a response can be deleted."""
    made = await create(client)
    items = await client.responses.input_items.list(made.id)
    assert items.data[0].content[0].text == "hello"
    counted = await client.responses.input_tokens.count(model="m", input="hello")
    assert counted.input_tokens == made.usage.input_tokens
    await client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(made.id)


async def test_usage_is_reported_in_its_words(server, client):
    """The usage of a reply comes in the fields of this API."""
    usage = Usage(prompt_tokens=10, completion_tokens=5, cached_tokens=4, reasoning_tokens=2)
    server.script(Reply(text="x", usage=usage))
    told = (await create(client)).usage
    assert (told.input_tokens, told.output_tokens, told.total_tokens) == (10, 5, 15)
    assert told.input_tokens_details.cached_tokens == 4
    assert told.output_tokens_details.reasoning_tokens == 2
    assert server.ledger.last.usage.total_tokens == 15


async def test_faults_reach_it_too(server, client):
    """Statuses, broken streams and error events are those of this API."""
    server.fail(faults.rate_limited(), when="responses")
    with pytest.raises(openai.RateLimitError):
        await create(client)
    server.fail(faults.error_event_in_stream(message="Too much."))
    *_, last = [event async for event in await create(client, stream=True)]
    assert (last.type, last.message) == ("error", "Too much.")
    server.fail(faults.truncated_stream())
    kinds = [event.type async for event in await create(client, stream=True)]
    assert kinds == ["response.created", "response.in_progress"]


async def test_raw_replies(server, client):
    """Bytes can be scripted, piece by piece."""
    server.script(RawReply(body=["event: error\n", 'data: {"type": "error"}\n\n'], status=200))
    raw = await client.responses.with_raw_response.create(model="m", input="x", stream=True)
    lines = [line async for line in raw.http_response.aiter_lines()]
    assert lines[0] == "event: error"
