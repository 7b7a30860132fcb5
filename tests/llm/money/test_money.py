"""Budgets: a cap on what calls may cost, whatever becomes of them."""

import asyncio
import random
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llm_support import HELLO

from agentinfra.errors import BudgetExceededError, ConfigurationError
from agentinfra.llm.money.budget import Budget, reserve
from agentinfra.results import Usage
from agentinfra.testing.replies import Reply


def _usage(prompt, completion, **more):
    return Usage(
        prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion, **more
    )


async def test_a_budget_refuses_before_anything_is_sent(client, server):
    """The error carries limit, spent and reserved."""
    async with client.budget(usd="0.000001", name="tiny"):
        with pytest.raises(BudgetExceededError, match="'tiny'") as caught:
            await client.chat_completion(HELLO, max_tokens=1000)
    assert server.ledger.count() == 0
    assert caught.value.limit == Decimal("0.000001")
    assert caught.value.spent == caught.value.reserved == 0


async def test_budgets_nest_and_reach_child_tasks(client):
    """An inner budget's calls count against the outer one."""
    async with client.budget(usd=1, name="run") as run:
        async with client.budget(usd=1, name="agent") as agent:
            await asyncio.gather(*(client.chat_completion(HELLO, max_tokens=9) for _ in range(3)))
        await client.chat_completion(HELLO, max_tokens=9)
    assert run.spent == agent.spent / 3 * 4
    assert run.reserved == agent.reserved == 0


async def test_the_tighter_of_two_budgets_decides_and_nothing_stays_held(client):
    """A refusal by the inner one releases the outer one."""
    async with client.budget(usd=1) as outer, client.budget(usd=0):
        with pytest.raises(BudgetExceededError):
            await client.chat_completion(HELLO)
        assert outer.reserved == 0


async def test_unknown_prices_are_refused_or_allowed(client, server):
    """A budget's setting decides; the response says None."""
    async with client.budget(usd=1):
        with pytest.raises(BudgetExceededError, match="no known price"):
            await client.chat_completion(HELLO, model="mystery")
    async with client.budget(usd=1, unknown_prices="allow") as budget:
        reply = await client.chat_completion(HELLO, model="mystery")
    assert reply.cost_usd is None
    assert budget.spent == 0
    assert server.ledger.count() == 1


@pytest.mark.parametrize("value", [-1, "nan", "inf"])
def test_a_budget_is_a_number_from_zero_up(value):
    """The error names the value."""
    with pytest.raises(ConfigurationError, match=str(value)):
        Budget(value)


async def test_a_thousand_calls_under_a_cap_with_random_cancellations(client, server):
    """Spend stays under the cap, nothing stays reserved, and the books agree with the server's."""
    server.on("hello", Reply(text="x", usage=_usage(1000, 9000), delay=0.001))
    dice = random.Random(7)
    messages = [{"role": "user", "content": "hello " * 500}]
    finished = []

    async def one():
        try:
            finished.append(await client.chat_completion(messages, max_tokens=9000))
        except BudgetExceededError:
            pass

    async with client.budget(usd=5, name="run") as budget:
        tasks = [asyncio.create_task(one()) for _ in range(1000)]
        highest = Decimal(0)
        while not all(task.done() for task in tasks):
            await asyncio.sleep(0)
            highest = max(highest, budget.spent + budget.reserved)
            if dice.random() < 0.05:
                dice.choice(tasks).cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert highest <= 5
    assert budget.reserved == 0
    # Those that were cancelled on their way cost their prompts.
    assert sum(reply.cost_usd for reply in finished) <= budget.spent <= 5
    ids = {reply.request_id for reply in finished}
    assert len(ids) == len(finished) > 400
    # The server's books, request by request: its ids are its count in hexadecimal.
    records = {record.index: record for record in server.ledger.requests}
    for reply in finished:
        record = records[int(reply.request_id.removeprefix("req_"), 16)]
        assert record.usage == reply.usage
        assert record.status == 200


@given(st.lists(st.tuples(st.decimals(0, 3, places=2), st.decimals(0, 3, places=2), st.booleans())))
def test_whatever_is_reserved_and_settled_the_cap_holds(calls):
    """Reservations never exceed the cap, and settling gives everything back."""

    async def main():
        async with Budget(10, name="b") as budget:
            held = []
            for most, cost, fails in calls:
                try:
                    held.append((reserve("m", most), None if fails else min(cost, most)))
                except BudgetExceededError:
                    continue
                assert budget.spent + budget.reserved <= budget.limit
            for reservation, cost in held:
                reservation.settle(cost)
                reservation.settle(cost)
            assert budget.reserved == 0
            assert budget.spent == sum((cost or 0 for _, cost in held), Decimal(0))

    asyncio.run(main())
