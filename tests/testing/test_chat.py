"""Chat completions as OpenAI's client sees them."""

from __future__ import annotations

from typing import Literal

import openai
import pytest
from pydantic import BaseModel, Field

from agentinfra.results import Usage
from agentinfra.testing import FunctionCall, Reply

HELLO = [{"role": "user", "content": "hello"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather in a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
PARIS = [{"role": "user", "content": "What is the weather in Paris?"}]


async def collect(stream):
    """Return a stream's text, finish reasons, usage and tool calls put together."""
    text, reasons, usage, calls = "", [], None, {}
    async for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reasons += [choice.finish_reason] if choice.finish_reason else []
            for part in choice.delta.tool_calls or ():
                call = calls.setdefault(part.index, {"id": part.id, "name": "", "arguments": ""})
                call["name"] += part.function.name or ""
                call["arguments"] += part.function.arguments or ""
    return text, reasons, usage, list(calls.values())


async def test_answer(client):
    """An answer has text, finish reason, model and a usage that adds up."""
    reply = await client.chat.completions.create(model="gpt-4o-mini", messages=HELLO)
    assert reply.choices[0].message.content == "You said: hello"
    assert reply.choices[0].finish_reason == "stop"
    assert reply.model == "gpt-4o-mini"
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens
    assert reply.usage.prompt_tokens_details.cached_tokens == 0
    assert reply.usage.completion_tokens_details.reasoning_tokens == 0


async def test_tokens_are_countable(client):
    """Tokens are a quarter of the characters, rounded up, and 4 a message and 3 a prompt."""
    messages = [{"role": "system", "content": "x" * 9}, {"role": "user", "content": "y" * 8}]
    reply = await client.chat.completions.create(model="m", messages=messages)
    assert reply.usage.prompt_tokens == 3 + (4 + 3) + (4 + 2)
    assert reply.usage.completion_tokens == -(-len(reply.choices[0].message.content) // 4)


async def test_images_and_calls_are_counted(server, client):
    """An image costs 85 tokens; names and arguments of earlier calls are counted."""
    picture = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    parts = [{"type": "text", "text": "look"}, picture]
    reply = await client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": parts}]
    )
    assert reply.usage.prompt_tokens == 3 + 4 + 1 + 85
    call = {"id": "c", "type": "function", "function": {"name": "abcd", "arguments": "{}"}}
    told = [
        {"role": "user", "content": "look"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "four"},
    ]
    reply = await client.chat.completions.create(model="m", messages=told)
    assert reply.usage.prompt_tokens == 3 + (4 + 1) + (4 + 1 + 1) + (4 + 1)


async def test_stream_says_the_same(client):
    """A stream's pieces make the text of the answer without a stream, and end with a reason."""
    whole = await client.chat.completions.create(model="m", messages=HELLO)
    stream = await client.chat.completions.create(model="m", messages=HELLO, stream=True)
    text, reasons, usage, _ = await collect(stream)
    assert text == whole.choices[0].message.content
    assert reasons == ["stop"]
    assert usage is None


async def test_stream_reports_usage_when_asked(client):
    """With include_usage the last chunk has the usage of the answer without a stream."""
    whole = await client.chat.completions.create(model="m", messages=HELLO)
    stream = await client.chat.completions.create(
        model="m", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    _, _, usage, _ = await collect(stream)
    assert usage == whole.usage


async def test_same_question_same_answer(client):
    """The default answers are the same every time."""
    replies = [
        await client.chat.completions.create(model="m", messages=PARIS, tools=[WEATHER])
        for _ in range(2)
    ]
    first, second = (reply.choices[0].message.tool_calls[0].function for reply in replies)
    assert first == second


async def test_tool_call(client):
    """A tool that fits is called with arguments from the question, finish reason tool_calls."""
    reply = await client.chat.completions.create(model="m", messages=PARIS, tools=[WEATHER])
    assert reply.choices[0].finish_reason == "tool_calls"
    assert reply.choices[0].message.content is None
    function = reply.choices[0].message.tool_calls[0].function
    assert (function.name, function.arguments) == ("get_weather", '{"city":"Paris"}')


async def test_tool_call_in_a_stream(server, client):
    """Calls come in pieces that make the same calls, each with an id of its own."""
    arguments = {"text": "a longer argument than one piece can hold"}
    calls = (FunctionCall(name="f", arguments=arguments), FunctionCall(name="g"))
    server.script(Reply(tool_calls=calls))
    stream = await client.chat.completions.create(model="m", messages=HELLO, stream=True)
    text, reasons, _, made = await collect(stream)
    assert (text, reasons) == ("", ["tool_calls"])
    assert [call["name"] for call in made] == ["f", "g"]
    assert made[0]["arguments"] == '{"text":"a longer argument than one piece can hold"}'
    assert made[0]["id"] != made[1]["id"]


@pytest.mark.parametrize(
    ("choice", "called"),
    [
        ("auto", False),
        ("none", False),
        ("required", True),
        ({"type": "function", "function": {"name": "get_weather"}}, True),
    ],
    ids=["auto", "none", "required", "named"],
)
async def test_tool_choice(client, choice, called):
    """Auto calls only what fits, none nothing, required and a named tool always something."""
    reply = await client.chat.completions.create(
        model="m",
        messages=[{"role": "user", "content": "Tell me a joke"}],
        tools=[WEATHER],
        tool_choice=choice,
    )
    assert bool(reply.choices[0].message.tool_calls) is called


class Route(BaseModel):
    """Where a question goes."""

    agent: Literal["analytics", "knowledge"] = Field(
        description="analytics: numbers, totals and counts; knowledge: policies and documents"
    )
    confidence: float = Field(ge=0, le=1)
    reason: str


async def test_structured_output(client):
    """A pydantic model gets an object that is valid for it."""
    reply = await client.chat.completions.parse(
        model="m",
        messages=[{"role": "user", "content": "How many orders did we have?"}],
        response_format=Route,
    )
    assert reply.choices[0].message.parsed.agent == "analytics"


async def test_json_object(client):
    """A response format of json_object gets a JSON object."""
    reply = await client.chat.completions.create(
        model="m",
        messages=[{"role": "user", "content": "Reply in JSON: hello"}],
        response_format={"type": "json_object"},
    )
    assert reply.choices[0].message.content.startswith("{")


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
async def test_limit_cuts_the_answer(server, client, name):
    """More tokens than allowed are cut off, with finish reason length."""
    server.script("word " * 20)
    reply = await client.chat.completions.create(model="m", messages=HELLO, **{name: 3})
    assert reply.choices[0].finish_reason == "length"
    assert reply.choices[0].message.content == ("word " * 20)[:12]
    assert reply.usage.completion_tokens == 3


async def test_limit_cuts_arguments(server, client):
    """Arguments are cut off too, so they are broken JSON."""
    server.script(Reply.calling("search", query="a rather long question"))
    reply = await client.chat.completions.create(model="m", messages=HELLO, max_tokens=4)
    choice = reply.choices[0]
    assert choice.finish_reason == "length"
    assert choice.message.tool_calls[0].function.arguments == '{"query":"'


async def test_limit_breaks_structured_output(client):
    """The client's parse reports an answer that was cut off."""
    with pytest.raises(openai.LengthFinishReasonError):
        await client.chat.completions.parse(
            model="m", messages=HELLO, response_format=Route, max_tokens=2
        )


@pytest.mark.parametrize("stop", ["STOP", ["never", "STOP"]], ids=["text", "list"])
async def test_stop(server, client, stop):
    """The answer ends before the first stop sequence."""
    server.script("one two STOP three")
    reply = await client.chat.completions.create(model="m", messages=HELLO, stop=stop)
    assert reply.choices[0].message.content == "one two "
    assert reply.choices[0].finish_reason == "stop"


async def test_several_choices(client):
    """Choices are equal, numbered, and all paid for."""
    one = await client.chat.completions.create(model="m", messages=HELLO)
    three = await client.chat.completions.create(model="m", messages=HELLO, n=3)
    assert [choice.index for choice in three.choices] == [0, 1, 2]
    assert three.usage.completion_tokens == 3 * one.usage.completion_tokens
    stream = await client.chat.completions.create(model="m", messages=HELLO, n=2, stream=True)
    _, reasons, _, _ = await collect(stream)
    assert reasons == ["stop", "stop"]


async def test_script_is_taken_in_order(server, client):
    """Scripted replies answer one request each, in order."""
    server.script("first", Reply(text="second"))
    assert server.pending_replies == 2
    texts = [
        (await client.chat.completions.create(model="m", messages=HELLO)).choices[0].message.content
        for _ in range(2)
    ]
    assert texts == ["first", "second"]
    assert server.pending_replies == 0


async def test_script_may_be_a_function(server, client):
    """A function, async too, is given the request's body and returns the reply."""

    async def echo_model(body):
        return Reply(text=body["model"])

    server.script(lambda body: body["messages"][0]["content"].upper(), echo_model)
    for expected in ("HELLO", "gpt-x"):
        reply = await client.chat.completions.create(model="gpt-x", messages=HELLO)
        assert reply.choices[0].message.content == expected


async def test_rules(server, client):
    """A rule answers every request it matches; the first that matches wins; a script goes first."""
    server.on("HELL", "by text")
    server.on(lambda body: body["model"] == "special", "by model")
    server.on("hello", "never", optional=True)

    async def ask(model, text="hello"):
        reply = await client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": text}]
        )
        return reply.choices[0].message.content

    assert [await ask("m"), await ask("m")] == ["by text", "by text"]
    assert await ask("special", "bye") == "by model"
    server.script("scripted")
    assert await ask("m") == "scripted"


async def test_reply_says_everything(server, client):
    """A reply sets text, finish reason, usage and the pieces of a stream."""
    usage = Usage(prompt_tokens=100, completion_tokens=50, cached_tokens=64, reasoning_tokens=32)
    reply = Reply(chunks=("a ", "", "b"), finish_reason="content_filter", usage=usage)
    server.script(reply, reply)
    whole = await client.chat.completions.create(model="m", messages=HELLO)
    assert whole.choices[0].message.content == "a b"
    assert whole.choices[0].finish_reason == "content_filter"
    assert whole.usage.total_tokens == 150
    assert whole.usage.prompt_tokens_details.cached_tokens == 64
    assert whole.usage.completion_tokens_details.reasoning_tokens == 32
    stream = await client.chat.completions.create(model="m", messages=HELLO, stream=True)
    pieces = [chunk.choices[0].delta.content async for chunk in stream]
    assert pieces == ["", "a ", "", "b", None]


async def test_refusal(server, client):
    """A refusal comes in place of a text, in a stream too."""
    server.script(Reply(refusal="I will not."), Reply(refusal="I will not."))
    whole = await client.chat.completions.create(model="m", messages=HELLO)
    assert (whole.choices[0].message.content, whole.choices[0].message.refusal) == (
        None,
        "I will not.",
    )
    stream = await client.chat.completions.create(model="m", messages=HELLO, stream=True)
    said = [chunk.choices[0].delta.refusal or "" async for chunk in stream]
    assert "".join(said) == "I will not."


async def test_broken_arguments_are_sent_as_they_are(server, client):
    """Arguments given as text are not touched, so broken JSON can be played."""
    server.script(Reply(tool_calls=(FunctionCall(name="f", arguments='{"a": ', id="mine"),)))
    reply = await client.chat.completions.create(model="m", messages=HELLO)
    call = reply.choices[0].message.tool_calls[0]
    assert (call.id, call.function.arguments) == ("mine", '{"a": ')
