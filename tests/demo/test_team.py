"""The team across questions, processes and outages: memory, caches, repairs, degradation."""

import asyncio

import pytest

from agentinfra.errors import LLMError
from agentinfra.testing import FunctionCall, Reply, faults

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_another_model_answers_for_itself(rt, gather, handbook):
    """What one endpoint answered is not taken for the answer of another."""
    question = "How many products are in the Lighting category?"
    await (await gather(rt, handbook, "one endpoint")).ask(question, thread_id="one")
    other = await (await gather(rt, handbook, "other endpoint")).ask(question, thread_id="other")
    assert other.cache["response"] == "miss"


async def test_a_refused_statement_is_written_once_more(server, team):
    """The model sees what was wrong with its statement, and its second one is run."""
    server.script(
        Reply.calling("choose_agent", agent="analytics", question="How tall are tents?"),
        Reply.calling("run_sql", sql="SELECT height FROM products"),
        Reply.calling("run_sql", sql="SELECT count(*) AS tents FROM products WHERE false"),
    )
    answer = await team.ask("How tall are tents?", thread_id="repaired")
    shown = server.ledger.requests[-2].body["messages"][-1]
    assert shown["role"] == "tool"
    assert 'column \\"height\\" does not exist' in shown["content"]
    assert answer.rows == ({"tents": 0},)
    assert answer.degraded is None


async def test_two_refused_statements_are_admitted(server, team):
    """After the second refusal the answer says so, and is not remembered."""
    server.script(
        Reply.calling("choose_agent", agent="analytics", question="Empty the shop!"),
        Reply.calling("run_sql", sql="DELETE FROM orders"),
        Reply.calling("run_sql", sql="DROP TABLE orders"),
    )
    answer = await team.ask("Empty the shop!", thread_id="refused")
    assert "could not be put to the database" in answer.answer
    assert answer.degraded.startswith("no statement was accepted")
    again = await team.ask("Empty the shop!", thread_id="refused again")
    assert again.cache["response"] == "miss"


async def test_the_analytics_agent_hands_over_what_is_no_figure(server, team):
    """A question that the tables cannot answer goes to the documents."""
    question = "Who approves requested vacation?"
    server.script(
        Reply.calling("choose_agent", agent="analytics", question=question),
        Reply(tool_calls=[FunctionCall(name="hand_over")]),
    )
    answer = await team.ask(question, thread_id="misrouted")
    assert answer.agent == "knowledge"
    assert answer.sources == ("staff/holidays.md#requesting-vacation",)


async def test_nobody_knows(server, team):
    """Where both agents find nothing the answer says so, once each was asked."""
    server.script(
        Reply.calling("choose_agent", agent="knowledge", question="Qwertz?"),
        "I could not find that in the context.",
        Reply(tool_calls=[FunctionCall(name="hand_over")]),
    )
    answer = await team.ask("Qwertz vacation?", thread_id="nobody")
    assert answer.answer == "Neither the sales data nor the documents answer this."
    assert answer.sources == ()


async def test_words_are_heard_as_they_come(server, team):
    """Pieces of the answer are handed out one by one, those of a withdrawn one never."""
    heard, steps = [], []
    question = "How long does a repair in the workshop take?"
    answer = await team.ask(question, thread_id="heard", word=heard.append, step=steps.append)
    assert answer.cache["response"] == "hit" or "".join(heard).strip() == answer.answer
    server.script(
        Reply.calling("choose_agent", agent="knowledge", question="Poles?"),
        Reply(
            text="I could not find that in the context.",
            chunks=["I could not ", "find that in the context."],
        ),
        Reply.calling("run_sql", sql="SELECT 1 AS one"),
        Reply(text="It is one.", chunks=["It ", "is one."]),
    )
    heard.clear()
    await team.ask("Are there poles of broken tents?", thread_id="withdrawn", word=heard.append)
    assert heard == ["It ", "is one."]
    assert steps[0] == "route"


async def test_a_broken_stream_leaves_half_an_answer(server, team):
    """What came of a stream before it broke is the answer, which says what it is."""
    question = "How many orders were returned in 2024?"
    server.fail(faults.disconnect_mid_stream(), when=lambda record: record.body.get("stream"))
    answer = await team.ask(question, thread_id="half")
    server.recover()
    assert answer.answer
    assert "stream broke" in answer.degraded


async def test_a_failed_model_fails_the_question_only(server, team):
    """An error of the model is raised, and the next question is answered."""
    server.fail(faults.server_error())
    with pytest.raises(LLMError):
        await team.ask("How many orders were shipped in 2024?", thread_id="failing")
    answer = await team.ask("How many orders were shipped in 2024?", thread_id="failing")
    assert answer.rows


async def test_a_cancelled_question_leaves_the_conversation_usable(server, team):
    """Cancelling ends the call under way, and the conversation goes on with the next question."""
    server.fail(faults.hang())
    before = server.ledger.count()
    task = asyncio.create_task(team.ask("How many orders in May 2025?", thread_id="cancelled"))
    await server.wait_for_requests(before + 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await server.wait_until_idle()
    answer = await team.ask("How many orders in June 2025?", thread_id="cancelled")
    assert answer.rows
