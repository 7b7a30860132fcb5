"""One agent over both APIs: the same loop, the same answer, everything sent back as it came."""

import json
from contextlib import asynccontextmanager

import pytest
from llm_support import HELLO
from openapi_support import DESCRIPTION, complaints
from raw_server import answer, event, events, piece, raw_server, reply

from agentinfra import AsyncLLMClient, Settings
from agentinfra._mechanics.clock import SYSTEM_CLOCK
from agentinfra.errors import BadRequestError, LLMError, LLMTimeoutError, RateLimitedError

TOOL = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add one.",
        "parameters": {"type": "object", "properties": {"to": {"type": "integer"}}},
    },
}
TURNS = 10
REFUSAL = {
    "error": {
        "message": "Function tools with reasoning_effort are not supported for this model in "
        "/v1/chat/completions. To use function tools, use /v1/responses or set reasoning_effort "
        "to 'none'.",
        "type": "invalid_request_error",
        "param": "reasoning_effort",
        "code": None,
    }
}
USAGE = {
    "input_tokens": 20,
    "input_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 3},
    "output_tokens": 10,
    "output_tokens_details": {"reasoning_tokens": 7},
    "total_tokens": 30,
}


def _response(number, output, **more):
    body = {"id": f"resp_{number}", "object": "response", "created_at": 1, "status": "completed"}
    return {**body, "model": "gpt-5.6-luna", "output": output, "usage": USAGE, **more}


def _items(turn):
    thought = {
        "id": f"rs_{turn}",
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": f"thinking {turn}"}],
        "encrypted_content": f"gAAAA{turn}/+=\u00e9",
    }
    if turn == TURNS:
        part = {"type": "output_text", "text": f"It is {turn}.", "annotations": [], "logprobs": []}
        message = {"id": f"msg_{turn}", "type": "message", "role": "assistant"}
        return [thought, {**message, "status": "completed", "content": [part]}]
    return [
        thought,
        {
            "id": f"fc_{turn}",
            "type": "function_call",
            "status": "completed",
            "call_id": f"call_{turn}",
            "name": "add",
            "arguments": json.dumps({"to": turn}),
        },
    ]


def _as_events(body):
    number = 0

    def numbered(kind, **fields):
        nonlocal number
        number += 1
        return {"type": kind, "sequence_number": number, **fields}

    yield numbered("response.created", response={**body, "output": [], "status": "in_progress"})
    for place, item in enumerate(body["output"]):
        at = {"output_index": place}
        yield numbered("response.output_item.added", item={**item, "arguments": ""}, **at)
        if item["type"] == "reasoning":
            text = item["summary"][0]["text"]
            for half in (text[:4], text[4:]):
                kind = "response.reasoning_summary_text.delta"
                yield numbered(kind, item_id=item["id"], summary_index=0, delta=half, **at)
        elif item["type"] == "function_call":
            for half in (item["arguments"][:3], item["arguments"][3:]):
                kind = "response.function_call_arguments.delta"
                yield numbered(kind, item_id=item["id"], delta=half, **at)
        else:
            text = item["content"][0]["text"]
            for half in (text[:3], text[3:]):
                kind = "response.output_text.delta"
                yield numbered(kind, item_id=item["id"], content_index=0, delta=half, **at)
        yield numbered("response.output_item.done", item=item, **at)
    yield numbered("response.completed", response=body)


def gpt56(request):
    """Answer as OpenAI's models since gpt-5.4 do: tools on the Responses API alone."""
    body = request["body"]
    if request["path"].endswith("/chat/completions"):
        refused = body.get("tools") and body.get("reasoning_effort") != "none"
        return reply(REFUSAL, status=400) if refused else reply(answer("plain"))
    turn = sum(item.get("type") == "function_call_output" for item in body["input"])
    made = _response(turn, _items(turn))
    if body.get("stream"):
        return events(*_as_events(made), done=b"")
    return reply(made)


def chat_only(request):
    """Answer as a server that has Chat Completions alone."""
    if not request["path"].endswith("/chat/completions"):
        return reply({"detail": "Not Found"}, status=404)
    body = request["body"]
    turn = sum(message["role"] == "tool" for message in body["messages"])
    function = {"name": "add", "arguments": json.dumps({"to": turn})}
    call = {"id": f"call_{turn}", "type": "function", "function": function}
    thought = f"thinking {turn}"
    if turn == TURNS:
        made = answer(f"It is {turn}.", reasoning_content=thought)
    else:
        made = answer(None, "tool_calls", tool_calls=[call], reasoning_content=thought)
    if not body.get("stream"):
        return reply(made)
    message = made["choices"][0]["message"]
    delta = {**message, "tool_calls": [{"index": 0, **c} for c in message.get("tool_calls", ())]}
    return events(piece(delta), piece({}, made["choices"][0]["finish_reason"]))


@asynccontextmanager
async def _client(give, transport, clock=SYSTEM_CLOCK, **fields):
    async with raw_server(give) as server:
        base = {"base_url": server.base_url, "api_key": "k", "transport": transport}
        settings = Settings(llm={"max_attempts": 1, "model": "gpt-5.6-luna", **base, **fields}).llm
        async with AsyncLLMClient(settings, clock=clock) as llm:
            llm.server = server
            yield llm


async def _ask(llm, conversation, *, stream, **options):
    if not stream:
        return await llm.chat_completion(conversation, **options)
    return await (await llm.chat_completion(conversation, stream=True, **options)).response()


async def _loop(llm, *, stream):
    conversation = list(HELLO)
    while True:
        got = await _ask(llm, conversation, stream=stream, tools=[TOOL])
        conversation.append(json.loads(json.dumps(got.message)))  # as a checkpoint keeps it
        if not got.tool_calls:
            return got, conversation
        for call in got.tool_calls:
            content = str(json.loads(call.arguments)["to"] + 1)
            conversation.append({"role": "tool", "tool_call_id": call.id, "content": content})


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("give", [gpt56, chat_only])
async def test_ten_turns_with_tools_and_reasoning(give, transport, stream):
    """The loop knows nothing of the API; each turn goes back exactly as its endpoint gave it."""
    async with _client(give, transport) as llm:
        got, conversation = await _loop(llm, stream=stream)
        bodies = [request["body"] for request in llm.server.requests]
    assert got.text == f"It is {TURNS}."
    assert got.reasoning == f"thinking {TURNS}"
    assert len(conversation) == 2 + 2 * TURNS
    last = bodies[-1]
    if give is gpt56:
        back = [
            item for item in last["input"] if item.get("type") in ("reasoning", "function_call")
        ]
        assert back == [item for turn in range(TURNS) for item in _items(turn)]
        assert (last["store"], last["include"]) == (False, ["reasoning.encrypted_content"])
        assert got.usage.cache_write_tokens == 3
    else:
        turns = [message for message in last["messages"] if message["role"] == "assistant"]
        assert [turn["reasoning_content"] for turn in turns] == [
            f"thinking {turn}" for turn in range(TURNS)
        ]
    if DESCRIPTION.is_file() and give is gpt56:
        assert complaints("CreateResponse", last) == []


async def test_a_deployment_that_thinks_is_asked_for_its_thoughts(transport):
    """Its name does not tell: the first answer does, and what cannot be sent on is left out."""

    def deployment(request):
        items = [dict(item) for item in _items(1)]
        if "include" not in request["body"]:
            del items[0]["encrypted_content"]
        return reply(_response(1, items))

    fields = {"model": "my-deployment", "api": "responses", "preset": "azure"}
    async with _client(deployment, transport, **fields) as llm:
        first = await llm.chat_completion(HELLO, tools=[TOOL])
        result = {"role": "tool", "tool_call_id": "call_1", "content": "2"}
        second = await llm.chat_completion([*HELLO, first.message, result], tools=[TOOL])
        conversation = [*HELLO, first.message, result, second.message, result]
        await llm.chat_completion(conversation, tools=[TOOL])
        bodies = [request["body"] for request in llm.server.requests]
    assert ["include" in body for body in bodies] == [False, True, True]
    call = {name: value for name, value in _items(1)[1].items() if name != "id"}
    assert bodies[1]["input"][1] == call  # without the id by which it would be looked for
    assert bodies[2]["input"][3:5] == _items(1)


async def test_what_a_proxy_leaves_empty_is_not_sent_back(transport):
    """A proxy fills in every field; what OpenAI takes as null, and only that, stays."""
    called = _items(1)[1]
    code = {"type": "code_interpreter_call", "id": "ci_1", "code": None, "outputs": None}
    filled = [{**called, "async": None, "namespace": None}, code]

    async with _client(
        lambda _: reply(_response(1, filled)), transport, api="responses", model="m"
    ) as llm:
        first = await llm.chat_completion(HELLO, tools=[TOOL])
        result = {"role": "tool", "tool_call_id": "call_1", "content": "2"}
        await llm.chat_completion([*HELLO, first.message, result], tools=[TOOL])
        sent = llm.server.requests[-1]["body"]["input"]
    assert sent[1:3] == [called, code]


async def test_a_refusal_that_names_the_other_api_teaches_it(transport):
    """One request is lost on learning, none after it; calls without tools stay where they are."""
    async with _client(gpt56, transport) as llm:
        first = await llm.chat_completion(HELLO, tools=[TOOL])
        second = await llm.chat_completion(HELLO, tools=[TOOL])
        await llm.chat_completion(HELLO)
        paths = [request["path"] for request in llm.server.requests]
    assert (first.attempts, second.attempts) == (2, 1)
    assert paths == [
        "/v1/chat/completions",
        "/v1/responses",
        "/v1/responses",
        "/v1/chat/completions",
    ]


async def test_openais_own_models_need_no_lesson(transport):
    """By name: tools of gpt-5.4 and later, codex and pro go to the Responses API at once."""
    async with _client(gpt56, transport, preset="openai") as llm:
        await llm.chat_completion(HELLO, tools=[TOOL])
        await llm.chat_completion(HELLO, model="gpt-5.1-codex")
        await llm.chat_completion(HELLO)
        await llm.chat_completion(HELLO, tools=[TOOL], reasoning_effort="none")
        paths = [request["path"].rpartition("/")[2] for request in llm.server.requests]
    assert paths == ["responses", "responses", "completions", "completions"]


async def test_where_neither_api_takes_it_the_first_refusal_is_raised(transport):
    """A server that names an API which it has not got is asked for it once."""

    def give(request):
        if request["path"].endswith("/responses"):
            return reply({"detail": "Not Found"}, status=404)
        return reply(REFUSAL, status=400)

    async with _client(give, transport) as llm:
        for _ in range(2):
            with pytest.raises(BadRequestError, match="Function tools"):
                await llm.chat_completion(HELLO, tools=[TOOL])
        paths = [request["path"].rpartition("/")[2] for request in llm.server.requests]
        efforts = [request["body"].get("reasoning_effort") for request in llm.server.requests]
    assert paths == ["completions", "responses", "completions", "completions"]
    assert efforts == [None, None, "none", "none"]


async def test_tools_go_without_reasoning_where_there_is_no_other_way(transport):
    """A gateway without the Responses API: what the refusal names second is done, and said."""

    def give(request):
        if request["path"].endswith("/responses"):
            return reply({"detail": "Not Found"}, status=404)
        body = request["body"]
        if body.get("tools") and body.get("reasoning_effort") != "none":
            return reply(REFUSAL, status=400)
        return reply(answer("Hello!"))

    async with _client(give, transport) as llm:
        for _ in range(2):
            got = await llm.chat_completion_with_tools(HELLO, [TOOL], tool_choice="auto")
            assert (got.text, got.tool_calls) == ("Hello!", ())
            assert "without reasoning" in got.degraded
        assert len(llm.server.requests) == 4
        plain = await llm.chat_completion(HELLO)
        assert plain.degraded is None
        assert "reasoning_effort" not in llm.server.requests[-1]["body"]
        with pytest.raises(BadRequestError, match="Function tools"):
            await llm.chat_completion(HELLO, tools=[TOOL], reasoning_effort="high")
        chosen = await llm.chat_completion(HELLO, tools=[TOOL], reasoning_effort="none")
        assert chosen.degraded is None


async def test_reasoning_comes_back_when_the_lesson_is_old(transport, clock):
    """A gateway that has learned the Responses API is asked for it again after an hour."""
    grown = False

    def give(request):
        if request["path"].endswith("/responses"):
            return gpt56(request) if grown else reply({"detail": "Not Found"}, status=404)
        if request["body"].get("reasoning_effort") != "none":
            return reply(REFUSAL, status=400)
        return reply(answer("Hello!"))

    async with _client(give, transport, clock=clock) as llm:
        assert "without reasoning" in (await llm.chat_completion(HELLO, tools=[TOOL])).degraded
        grown = True
        clock.shift(3601)
        assert (await llm.chat_completion(HELLO, tools=[TOOL])).degraded is None


@pytest.mark.parametrize("api", ["chat", "responses"])
async def test_an_api_can_be_pinned(transport, api):
    """No lesson changes it."""
    async with _client(gpt56, transport, api=api) as llm:
        if api == "chat":
            with pytest.raises(BadRequestError, match="not supported"):
                await llm.chat_completion(HELLO, tools=[TOOL])
        else:
            assert (await llm.chat_completion(HELLO)).tool_calls
        path = "responses" if api == "responses" else "chat/completions"
        assert {request["path"] for request in llm.server.requests} == {f"/v1/{path}"}


async def test_stream_options_are_unlearned(transport):
    """A server that refuses them is asked without, from then on."""

    def give(request):
        if "stream_options" in request["body"]:
            detail = [{"loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted"}]
            return reply({"detail": detail}, status=422)
        return events(piece({"content": "x"}), piece({}, "stop"))

    async with _client(give, transport) as llm:
        for _ in range(2):
            assert (await _ask(llm, HELLO, stream=True)).text == "x"
        assert len(llm.server.requests) == 3


ENDS = {
    "length": {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
    "content_filter": {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("why", ENDS)
async def test_a_response_that_was_cut_off(transport, why, stream):
    """The reason is said in the words of Chat Completions."""
    body = _response(1, _items(TURNS), **ENDS[why])

    def give(_):
        pieces = [*list(_as_events(body))[:-1], {"type": "response.incomplete", "response": body}]
        return events(*pieces, done=b"") if stream else reply(body)

    async with _client(give, transport, api="responses") as llm:
        got = await _ask(llm, HELLO, stream=stream)
    assert (got.finish_reason, got.text) == (why, f"It is {TURNS}.")


FAILURES = {
    "failed": {
        "type": "response.failed",
        "response": {"error": {"code": "rate_limit_exceeded", "message": "slow down"}},
    },
    "error": {"type": "error", "code": "rate_limit_exceeded", "message": "slow down"},
    "nested": {"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}},
}


@pytest.mark.parametrize("name", FAILURES)
async def test_failures_inside_a_stream(transport, name):
    """Each shape is the error it is."""
    async with _client(events(FAILURES[name], done=b""), transport, api="responses") as llm:
        with pytest.raises(RateLimitedError, match="slow down"):
            await llm.chat_completion(HELLO, stream=True)


async def test_other_events_are_handed_on(transport):
    """Searches, pictures and notes come as they are; the text comes as text."""
    body = _response(1, _items(TURNS))
    search = {"type": "response.web_search_call.searching", "item_id": "ws", "output_index": 0}
    stream = events(search, *_as_events(body), done=b"")
    async with _client(stream, transport, api="responses") as llm:
        stream = await llm.chat_completion(HELLO, stream=True)
        chunks = [chunk async for chunk in stream]
        got = await stream.response()
    assert chunks[0].event == search
    assert "".join(chunk.text for chunk in chunks) == got.text
    assert got.raw.output[0].id == f"rs_{TURNS}"
    assert (stream.response_id, got.response_id) == ("resp_1", "resp_1")


async def test_a_stream_without_its_last_items(transport):
    """A server whose end is bare has said all of it before."""
    pieces = list(_as_events(_response(1, _items(0))))
    pieces[-1] = {"type": "response.completed", "response": {"id": "resp_1", "status": "completed"}}
    async with _client(events(*pieces, done=b""), transport, api="responses") as llm:
        got = await _ask(llm, HELLO, stream=True)
    assert [call.name for call in got.tool_calls] == ["add"]
    assert got.message["output"] == _items(0)
    assert got.finish_reason == "tool_calls"


async def test_a_background_response_is_waited_for(transport):
    """It is looked at until it is done; nothing is booked before."""
    states = iter(["queued", "in_progress", "completed"])

    def give(request):
        state = next(states)
        output = _items(TURNS) if state == "completed" else []
        usage = USAGE if state == "completed" else None
        return reply(_response(1, output, status=state, usage=usage))

    async with _client(give, transport, api="responses") as llm, llm.budget(usd=1) as budget:
        begun = await llm.chat_completion(HELLO, background=True, store=True)
        assert (begun.finish_reason, begun.response_id) == (None, "resp_1")
        assert "not finished" in begun.degraded
        assert budget.spent == 0
        got = await llm.background.wait_for(begun.response_id, poll=0.001)
        asked = [(request["method"], request["path"]) for request in llm.server.requests]
    assert got.text == f"It is {TURNS}."
    assert asked[1:] == [("GET", "/v1/responses/resp_1")] * 2


async def test_waiting_ends_at_the_deadline(transport):
    """The response goes on without us."""
    give = reply(_response(1, [], status="queued", usage=None))
    async with _client(give, transport, api="responses") as llm:
        with pytest.raises(LLMTimeoutError, match="not finished"):
            await llm.background.wait_for("resp_1", poll=5.0, deadline=1.0)


async def test_a_stream_goes_on_after_its_last_event(transport):
    """A connection that broke is taken up again where it was."""
    pieces = list(_as_events(_response(1, _items(TURNS))))

    async def broken():
        yield b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
        for one in pieces[:7]:
            yield event(one)

    def give(request):
        if request["method"] == "GET":
            after = int(request["path"].rpartition("=")[2])
            return events(*(one for one in pieces if one["sequence_number"] > after), done=b"")
        return broken()

    async with _client(give, transport, api="responses") as llm:
        stream = await llm.chat_completion(HELLO, stream=True, background=True, store=True)
        with pytest.raises(LLMError):
            await stream.response()
        again = await llm.background.resume(stream.response_id, starting_after=stream.place)
        rest = "".join([text async for text in again.texts()])
        got = await again.response()
        path = llm.server.requests[-1]["path"]
    assert stream.text + rest == f"It is {TURNS}."
    assert got.text == f"It is {TURNS}."
    assert path == "/v1/responses/resp_1?stream=true&starting_after=7"
