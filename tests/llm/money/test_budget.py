"""Budgets: reserved before anything is sent, settled once, around many tasks."""

import asyncio
import random
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llm_support import HELLO

from agentinfra.errors import BudgetExceededError, ConfigurationError
from agentinfra.llm.money.budget import Budget, active_budgets, reserve
from agentinfra.results import Usage
from agentinfra.testing.replies import Reply


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
    server.on(
        "hello",
        Reply(
            text="x",
            usage=Usage(prompt_tokens=1000, completion_tokens=9000, total_tokens=10_000),
            delay=0.001,
        ),
    )
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
                    held.append(
                        (
                            await reserve(active_budgets(), "m", most),
                            None if fails else min(cost, most),
                        )
                    )
                except BudgetExceededError:
                    continue
                assert budget.spent + budget.reserved <= budget.limit
            for reservation, cost in held:
                reservation.settle(cost)
                reservation.settle(cost)
            assert budget.reserved == 0
            assert budget.spent == sum((cost or 0 for _, cost in held), Decimal(0))

    asyncio.run(main())


async def test_many_tasks_are_inside_of_one_budget_at_once(client):
    """A tenant's budget is entered by every request, and leaves with each of them."""
    acme = client.budget(usd=1, name="acme")

    async def request():
        async with acme:
            assert active_budgets() == (acme,)
            reply = await client.chat_completion(HELLO, max_tokens=9)
            assert active_budgets() == (acme,)
        assert active_budgets() == ()
        return reply.cost_usd

    costs = await asyncio.gather(*(request() for _ in range(5)))
    assert acme.spent == sum(costs)
    assert acme.reserved == 0


async def test_a_budget_inside_of_itself_counts_a_call_once(client):
    """Entering again changes nothing, and leaving again ends only that block."""
    acme = client.budget(usd=1, name="acme")
    async with acme, acme:
        reply = await client.chat_completion(HELLO, max_tokens=9)
        assert active_budgets() == (acme,)
    assert acme.spent == reply.cost_usd
    assert active_budgets() == ()


async def test_a_block_is_left_in_another_task():
    """As frameworks do it: then it is around nobody any more."""
    acme = Budget(1)
    await asyncio.create_task(acme.__aenter__())
    await acme.__aenter__()
    await asyncio.create_task(acme.__aexit__(None, None, None))
    await acme.__aexit__(None, None, None)
    assert active_budgets() == ()
    await acme.__aexit__(None, None, None)


async def test_leaving_elsewhere_ends_the_block_of_the_task_that_is_there():
    """In another context of the same task it is that task's block, not a neighbour's."""
    acme, seen, inside, go_on = Budget(1), [], asyncio.Event(), asyncio.Event()

    async def neighbour():
        async with acme:
            inside.set()
            await go_on.wait()
            seen.append(active_budgets())

    other = asyncio.create_task(neighbour())
    await inside.wait()
    await acme.__aenter__()
    import contextvars

    elsewhere = contextvars.Context().run(acme.__aexit__, None, None, None)
    await elsewhere
    go_on.set()
    await other
    assert seen == [(acme,)]


async def test_where_it_cannot_be_known_which_block_was_left_all_go_on_counting():
    """The cap is kept until as many were left as were entered."""
    acme, seen, go_on = Budget(1), [], [asyncio.Event(), asyncio.Event()]

    async def inside():
        await acme.__aenter__()
        await go_on[0].wait()
        seen.append(active_budgets())
        await go_on[1].wait()
        seen.append(active_budgets())

    tasks = [asyncio.create_task(inside()) for _ in range(2)]
    await asyncio.sleep(0)
    await asyncio.create_task(acme.__aexit__(None, None, None))
    go_on[0].set()
    await asyncio.sleep(0)
    await asyncio.create_task(acme.__aexit__(None, None, None))
    go_on[1].set()
    await asyncio.gather(*tasks)
    assert seen == [(acme,), (acme,), (), ()]


async def test_what_is_around_a_generator_ends_with_it():
    """A block that is left by a generator's end in its reader's context leaves nothing behind."""
    acme = Budget(1)

    async def pieces():
        async with acme:
            yield active_budgets()
            yield active_budgets()

    reading = pieces()
    assert await anext(reading) == (acme,)
    await reading.aclose()
    assert active_budgets() == ()
