"""What can be proven of the requests that a server saw."""

import asyncio
from decimal import Decimal

import pytest

from agentinfra.results import Usage
from agentinfra.settings import ModelPrice
from agentinfra.testing import OpenAIServer, Reply, faults

PRICES = {"small": ModelPrice(input=Decimal(1), output=Decimal(10))}
USAGE = Usage(prompt_tokens=1_000, completion_tokens=100)


async def ask(client, text="hello", *, model="small"):
    messages = [{"role": "user", "content": text}]
    return await client.chat.completions.create(model=model, messages=messages)


async def ask_in_vain(client, text="hello"):
    from openai import APIStatusError

    with pytest.raises(APIStatusError):
        await ask(client, text)


async def side_by_side(server, client, *texts):
    """Send requests that are all in flight before the first is answered."""
    everyone_is_there = asyncio.Event()

    async def wait(_):
        await everyone_is_there.wait()
        return "done"

    server.on(lambda _: True, wait)
    calls = [asyncio.create_task(ask(client, text)) for text in texts]
    await server.wait_for_requests(len(texts))
    everyone_is_there.set()
    await asyncio.gather(*calls)


async def test_each_request_was_sent_so_often(server, client):
    """Equal requests are counted together, different ones each for itself."""
    for text in ("one", "two"):
        server.fail(faults.server_error())
        await ask_in_vain(client, text)
        await ask(client, text)
    server.ledger.assert_attempts(2)
    server.ledger.assert_attempts(2, path="/chat/completions", model="small")


async def test_one_that_was_sent_too_often_is_named(server, client):
    """The message names the request, and has all of them in order with what they met."""
    server.fail(faults.server_error())
    await ask_in_vain(client, "one")
    await ask(client, "one")
    await ask(client, "two")
    with pytest.raises(AssertionError) as raised:
        server.ledger.assert_attempts(1)
    assert "'one' was sent twice; each should be sent once" in str(raised.value)
    assert "'two' was sent" not in str(raised.value)
    assert "0. POST /v1/chat/completions small 'one' -> 500, fault server_error" in str(
        raised.value
    )
    assert "2. POST /v1/chat/completions small 'two' -> 200" in str(raised.value)


@pytest.mark.parametrize("proof", ["assert_attempts", "assert_single_flight"])
async def test_nothing_proves_nothing(server, client, proof):
    """Without a request to look at there is nothing proven."""
    await ask(client)
    given = (1,) if proof == "assert_attempts" else ()
    getattr(server.ledger, proof)(*given)
    for elsewhere in ({"path": "/embeddings"}, {"model": "large"}):
        with pytest.raises(AssertionError, match="no request came"):
            getattr(server.ledger, proof)(*given, **elsewhere)


async def test_equal_requests_in_flight_at_once_are_no_single_flight(server, client):
    """Two who ask for the same at the same time are found, however it ends."""
    await side_by_side(server, client, "one", "one", "two")
    with pytest.raises(AssertionError, match="'one' was in flight twice at once") as raised:
        server.ledger.assert_single_flight()
    assert "'two' was in flight" not in str(raised.value)


async def test_different_requests_side_by_side_are_single_flights(server, client):
    """Only equal ones need to wait for one another."""
    await side_by_side(server, client, "one", "two")
    server.ledger.assert_single_flight()


async def test_what_was_answered_is_not_asked_again(server, client):
    """A request after the answer to an equal one is found, one after its failure is not."""
    server.fail(faults.server_error())
    await ask_in_vain(client)
    await ask(client)
    server.ledger.assert_single_flight()
    await ask(client)
    with pytest.raises(AssertionError, match="was answered twice"):
        server.ledger.assert_single_flight()


async def test_requests_are_equal_whatever_the_order_of_their_keys(server, client):
    """What is asked is the same though it is written otherwise."""
    for extra in ({"user": "a", "seed": 1}, {"seed": 1, "user": "a"}):
        await client.chat.completions.create(
            model="small", messages=[{"role": "user", "content": "hello"}], extra_body=extra
        )
    server.ledger.assert_attempts(2)


async def test_what_was_spent(server, client):
    """Every answer is paid for at its model's price; requests that failed are not."""
    server.script(*[Reply(text="x", usage=USAGE)] * 2)
    server.fail(faults.server_error())
    await ask_in_vain(client)
    await ask(client)
    await ask(client)
    assert server.ledger.cost(prices=PRICES) == Decimal("0.004")
    assert server.ledger.assert_spend(Decimal("0.004"), prices=PRICES) == Decimal("0.004")
    assert server.ledger.assert_spend(0.004, prices=PRICES) == Decimal("0.004")
    with pytest.raises(AssertionError, match=r"0\.0040* USD was spent, at most 0\.0039 .*small"):
        server.ledger.assert_spend(0.0039, prices=PRICES)


async def test_models_have_the_prices_that_are_listed(server, client):
    """Without a price of its own a model costs what OpenAI lists; one that nobody knows fails."""
    server.on("hello", Reply(text="x", usage=USAGE))
    await ask(client, model="gpt-4o-mini")
    assert server.ledger.cost() == Decimal("0.00021")
    await ask(client)
    with pytest.raises(AssertionError, match="nobody knows what 'small' costs"):
        server.ledger.cost()


async def test_a_ledger_that_dropped_records_proves_nothing(client):
    """What is not kept cannot be looked at, and is not passed over."""
    from openai import AsyncOpenAI

    async with (
        OpenAIServer(ledger_limit=1) as server,
        AsyncOpenAI(base_url=server.base_url, api_key="x", max_retries=0) as client,
    ):
        await ask(client)
        server.ledger.assert_attempts(1)
        await ask(client)
        for prove in (
            lambda: server.ledger.assert_attempts(2),
            server.ledger.assert_single_flight,
            lambda: server.ledger.assert_spend(1, prices=PRICES),
        ):
            with pytest.raises(AssertionError, match="kept 1 of 2 requests"):
                prove()
