"""A second chance: the model's own turn goes back, with what is wrong, and all rounds are paid."""

import json

import pytest
from llm_support import HELLO
from pydantic import BaseModel, Field
from raw_server import answer, raw_server, reply

from agentinfra.errors import LLMTimeoutError, ServerError, StructuredOutputError
from agentinfra.testing import ManualClock, faults
from agentinfra.testing.replies import FunctionCall, Reply


class Route(BaseModel):
    agent: str
    confidence: float = Field(ge=0, le=1)


class Note(BaseModel):
    text: str


GOOD = {"agent": "a", "confidence": 0.5}
BAD = {"agent": "a", "confidence": 7}


def _calls(*calls):
    return Reply(tool_calls=[FunctionCall(name=name, arguments=given) for name, given in calls])


async def test_the_turn_goes_back_as_it_came(client_of):
    """With the reasoning and the signatures that its endpoint refuses to go on without."""
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "Route", "arguments": json.dumps(BAD)},
        "extra_content": {"google": {"thought_signature": "SIG"}},
    }
    fixed = {**call, "function": {"name": "Route", "arguments": json.dumps(GOOD)}}

    def give(request):
        now = call if len(request["body"]["messages"]) == 1 else fixed
        return reply(answer(None, "tool_calls", reasoning_content="because", tool_calls=[now]))

    async with raw_server(give) as server, client_of(server, max_attempts=1) as client:
        assert await client.structured(HELLO, Route) == Route(**GOOD)
    sent = server.bodies[1]["messages"][1]
    assert sent["reasoning_content"] == "because"
    assert sent["tool_calls"] == [call]


async def test_items_of_the_responses_api_go_back_whole(client_of, server):
    """What was thought comes before the call, and goes back before it."""
    async with client_of(server, max_attempts=1, api="responses", model="gpt-5.4") as client:
        server.script(
            Reply(
                reasoning="hm", tool_calls=[FunctionCall(name="Route", arguments=json.dumps(BAD))]
            ),
            _calls(("Route", GOOD)),
        )
        assert await client.structured(HELLO, Route) == Route(**GOOD)
    kinds = [item.get("type", "message") for item in server.ledger.last.body["input"]]
    assert kinds == ["message", "reasoning", "function_call", "function_call_output"]


@pytest.mark.parametrize("api", ["chat", "responses"])
async def test_only_the_wrong_call_is_complained_of(client_of, server, api):
    """The right one is kept, with its value, though the model does not make it again."""
    async with client_of(server, max_attempts=1, api=api) as client:
        server.script(
            _calls(("Note", {"text": "kept"}), ("Route", BAD), ("Note", {"text": "too"})),
            _calls(("Route", GOOD)),
        )
        reply = await client.chat_completion_with_tools(HELLO, [Route, Note])
        told = server.ledger.last.body.get("messages") or server.ledger.last.body["input"]
        said = [part.get("content") or part.get("output") for part in told[-3:]]
        assert ["confidence" in text for text in said] == [False, True, False]
        assert [call.parsed for call in reply.tool_calls] == [
            Note(text="kept"),
            Route(**GOOD),
            Note(text="too"),
        ]
        # The turn can go on: every call of it is there, and can be answered.
        turn = reply.message
        assert [call["id"] for call in turn["tool_calls"]] == sorted(
            (call.id for call in reply.tool_calls),
            key=lambda name: [call["id"] for call in turn["tool_calls"]].index(name),
        )
        answers = [
            {"role": "tool", "tool_call_id": call.id, "content": "done"}
            for call in reply.tool_calls
        ]
        server.script("fine")
        assert (await client.chat_completion([*HELLO, turn, *answers])).text == "fine"


async def test_calls_that_are_all_made_again_are_taken_as_they_are(client, server):
    """None of them is there twice."""
    server.script(
        _calls(("Note", {"text": "a"}), ("Route", BAD)),
        _calls(("Note", {"text": "b"}), ("Route", GOOD)),
    )
    reply = await client.chat_completion_with_tools(HELLO, [Route, Note])
    assert [call.parsed for call in reply.tool_calls] == [Note(text="b"), Route(**GOOD)]


async def test_a_call_of_a_tool_that_is_not_there_is_told_which_are(client, server):
    """As any other call that does not fit."""
    server.script(_calls(("Ruote", GOOD)), _calls(("Route", GOOD)))
    assert await client.structured(HELLO, Route) == Route(**GOOD)
    assert "'Ruote'" in server.ledger.last.body["messages"][-1]["content"]


@pytest.mark.parametrize("rounds", [0, 1, 2])
async def test_all_rounds_are_in_the_reply(client, server, rounds):
    """Usage, cost and attempts are what was paid, in the reply as in the error."""
    wrong = [_calls(("Route", BAD))] * rounds
    async with client.budget(usd=1) as budget:
        server.script(*wrong, _calls(("Route", GOOD)))
        reply = await client.chat_completion_with_tools(HELLO, [Route], repair_rounds=rounds)
        assert (reply.cost_usd, reply.attempts) == (budget.spent, rounds + 1)
        assert reply.usage.total_tokens > 0
    async with client.budget(usd=1) as budget:
        server.script(*wrong, _calls(("Route", BAD)))
        with pytest.raises(StructuredOutputError) as caught:
            await client.structured(HELLO, Route, repair_rounds=rounds)
        error = caught.value
        assert (error.cost, error.attempts) == (budget.spent, rounds + 1)
        assert error.usage.total_tokens == error.reply.usage.total_tokens > 0
        assert "confidence" in error.errors[0]


async def test_requests_that_a_refusal_cost_are_counted(client, server):
    """What taught the client another form was a request, too."""
    refuse = faults.status(400, {"error": {"message": "tools are not supported"}})
    server.fail_always(refuse, when=lambda record: bool(record.body and record.body.get("tools")))
    server.script(json.dumps(GOOD))
    reply = await client.chat_completion_with_tools(HELLO, [Route])
    assert reply.attempts == server.ledger.count() == 2


async def test_an_error_of_a_later_round_tells_what_the_earlier_cost(client, server):
    """It is the error it is, with a note."""
    server.script(_calls(("Route", BAD)))
    server.fail_always(
        faults.status(503), when=lambda record: len(record.body.get("messages", ())) > 1
    )
    with pytest.raises(ServerError) as caught:
        await client.structured(HELLO, Route)
    assert "1 request(s)" in caught.value.__notes__[0]


async def test_one_deadline_holds_for_all_rounds(client_of, server):
    """A round does not begin anew what the caller gave for the whole call."""
    clock = ManualClock()

    def late(_body):
        clock.shift(11)
        return _calls(("Route", BAD))

    server.script(late)
    async with client_of(server, max_attempts=1, clock=clock) as client:
        with pytest.raises(LLMTimeoutError) as caught:
            await client.structured(HELLO, Route, deadline=10)
    assert server.ledger.count() == 1
    assert caught.value is not None


async def test_what_an_endpoint_says_its_model_wrote_badly_is_asked_for_again(client, server):
    """A refusal of the model's own output is no refusal of tools."""
    failed = {"message": "Failed to call a function.", "code": "tool_use_failed"}
    server.fail(faults.status(400, {"error": failed}))
    server.script(_calls(("Route", GOOD)))
    assert await client.structured(HELLO, Route) == Route(**GOOD)
    assert server.ledger.last.body["tools"]


async def test_words_in_place_of_a_format_are_answered_with_a_complaint(client, server):
    """Where there is no call to answer, the user says what is wrong."""
    server.script("I cannot decide.", json.dumps(GOOD))
    reply = await client.chat_completion(HELLO, response_format=Route)
    assert reply.parsed == Route(**GOOD)
    roles = [message["role"] for message in server.ledger.last.body["messages"]]
    assert roles == ["user", "assistant", "user"]
