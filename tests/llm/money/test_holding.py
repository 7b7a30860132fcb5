"""What is held for a call before it is sent, and what it is settled with in the end."""

import asyncio
import base64
import struct
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest
from llm_support import HELLO, run_through
from raw_server import answer, raw_server, reply

from agentinfra import AsyncLLMClient, Budget, LLMError, Settings
from agentinfra.errors import BudgetExceededError, LLMConnectionError
from agentinfra.llm.policy.hedging import ENOUGH
from agentinfra.results import Usage
from agentinfra.testing import OpenAIServer, faults
from agentinfra.testing.replies import Reply
from agentinfra.testing.zoo import NAMES, animal


@asynccontextmanager
async def _client(address, **fields):
    given = {"base_url": address, "api_key": "sk-test", "max_attempts": 1, **fields}
    async with AsyncLLMClient(Settings(llm=given).llm) as llm:
        yield llm


async def _held(budget, call):
    """Make a call; return what it gave or raised, and the most that was held meanwhile."""
    task, most = asyncio.ensure_future(call), Decimal(0)
    while not task.done():
        await asyncio.sleep(0)
        most = max(most, budget.reserved)
    return task.exception() or task.result(), most


def _used(prompt, completion, **more):
    total = prompt + completion
    return Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=total, **more)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", ["chat", "responses"])
@pytest.mark.parametrize("like", NAMES)
async def test_each_server_is_paid_what_its_answer_used(like, api, stream):
    """Every token of its own books at the model's price, or what it reports; held was no less."""
    if api not in animal(like).serves:
        pytest.skip("it has no such API")
    used = _used(200, 90, cached_tokens=120, reasoning_tokens=60)
    async with OpenAIServer(like=like, strict=False) as server:
        server.on("hello", Reply(text="x", reasoning="hm", usage=used))
        async with _client(server.base_url, api=api) as llm, llm.budget(usd=10) as budget:
            # A router's own prices may be dearer than its model's; they are known from the first.
            before = (await llm.chat_completion(HELLO * 20, max_tokens=90)).cost_usd
            call = llm.chat_completion(HELLO * 20, max_tokens=90, stream=stream)
            got, held = await _held(budget, call)
            got = await got.response() if stream else got
            sent = server.ledger.requests[-1].usage
            prices = llm._endpoints.first.prices
            assert budget.spent == before + got.cost_usd
            assert budget.reserved == 0
    assert 0 < got.cost_usd <= held
    if got.usage.reported_cost is not None:
        assert got.cost_usd == got.usage.reported_cost
    elif not got.usage.estimated:
        assert (got.usage.prompt_tokens, got.usage.completion_tokens) == (200, 90)
        assert got.cost_usd >= prices.cost("gpt-4o-mini", sent)


FORMAT = struct.pack("<IHHIIHH", 16, 1, 1, 24000, 48000, 2, 16)
WAV = b"RIFF" + struct.pack("<I", 2**20) + b"WAVEfmt " + FORMAT
ONE = {"max_tokens": 1}
PRIORITY = {"service_tier": "priority", "max_tokens": 1000}
SPOKEN = _used(270, 1, audio_prompt_tokens=256)


def _sound(seconds):
    data = base64.b64encode(WAV + bytes(48_000 * seconds)).decode()
    return {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}


def _picture(detail):
    url = "data:image/png;base64," + "A" * 300_000
    return {"type": "image_url", "image_url": {"url": url, "detail": detail}}


FILE = {"type": "file", "file": {"file_data": "data:application/pdf;base64," + "A" * 900_000}}
TOOL = {
    "type": "function",
    "function": {
        "name": "route",
        "description": "words " * 200,
        "parameters": {"type": "object", "properties": {"agent": {"type": "string"}}},
    },
}
TEXT = {"type": "text", "text": "hello"}


@pytest.mark.parametrize(
    ("model", "parts", "options", "used", "most"),
    [
        # What a call without a limit may write: the model's largest answer.
        ("gpt-4o", [], {}, _used(10, 16_384), "0.17"),
        ("gpt-5", [], {}, _used(10, 128_000), "1.29"),
        ("gpt-5-pro", [], {}, _used(10, 272_000), "33"),
        ("gpt-6.1-sol", [], {}, _used(10, 128_000), "2"),
        ("gpt-4", [], {}, _used(10, 8_192), "0.6"),
        # Several answers, wherever the call says so.
        ("gpt-4o", [], {"n": 5, "max_tokens": 1000}, _used(10, 5_000), "0.06"),
        ("gpt-4o", [], {"extra_body": {"n": 5, "max_tokens": 1000}}, _used(10, 5_000), "0.06"),
        ("gpt-4o", [], {"max_completion_tokens": 2000}, _used(10, 2_000), "0.03"),
        # A picture in high detail: eight tiles and a base; in low detail the base.
        ("gpt-4o", [_picture("high")], ONE, _used(1_460, 1), "0.006"),
        ("gpt-4o", [_picture("low")], ONE, _used(100, 1), "0.003"),
        ("gpt-4o-mini", [_picture("high")], ONE, _used(48_200, 1), "0.009"),
        # Sound: ten tokens a second with OpenAI, 32 elsewhere.
        ("gpt-audio", [_sound(8)], ONE, SPOKEN, "0.03"),
        # A file is what the model can take at most, as are a conversation kept at the server and
        # what a tool of the server's brings.
        ("gpt-4o", [FILE], ONE, _used(128_000, 1), "0.36"),
        ("gpt-4o", [], {"web_search_options": {}, "max_tokens": 1}, _used(128_000, 1), "0.7"),
        # Schemas of tools are part of the prompt.
        ("gpt-4o", [], {"tools": [TOOL], "max_tokens": 1}, _used(1_500, 1), "0.01"),
        # The dearer tier that is asked for, and the ordinary one that may be served instead.
        ("gpt-5.6-sol", [], PRIORITY, _used(10, 1_000), "0.05"),
        # What is foretold and not said is billed too.
        (
            "gpt-4o",
            [],
            {"prediction": {"type": "content", "content": "x" * 4000}, "max_tokens": 10},
            _used(10, 1_010),
            "0.06",
        ),
    ],
)  # fmt: skip
async def test_what_is_held_is_the_most_a_call_can_cost(model, parts, options, used, most):
    """And no more than that by an order: who has it in the budget can make the call."""
    messages = [{"role": "user", "content": [TEXT, *parts] if parts else "hello"}]
    async with OpenAIServer(strict=False) as server:
        server.script(Reply(text="x", usage=used))
        async with _client(server.base_url, api="chat") as llm, llm.budget(usd=100) as budget:
            got, held = await _held(budget, llm.chat_completion(messages, model=model, **options))
    assert got.cost_usd == budget.spent > 0
    assert got.cost_usd <= held <= Decimal(most)


async def test_what_the_server_keeps_is_held_for_as_what_it_can_take(server, client):
    """A conversation there may fill the model's window."""
    async with client.budget(usd="0.30"):
        call = client.chat_completion(
            HELLO, model="gpt-4o", previous_response_id="resp_1", max_tokens=1
        )
        with pytest.raises(BudgetExceededError):
            await call
    assert server.ledger.count() == 0


@pytest.mark.parametrize(
    "fault", [faults.server_error(), faults.unauthorized(), faults.rate_limited()]
)
async def test_a_request_that_was_refused_costs_nothing(client, server, fault):
    """What was held is given back."""
    server.fail(fault)
    async with client.budget(usd=1) as budget:
        with pytest.raises(LLMError):
            await client.chat_completion(HELLO)
    assert (budget.spent, budget.reserved) == (0, 0)


async def test_an_endpoint_that_cannot_be_reached_costs_nothing():
    """Nothing was sent."""
    async with _client("http://127.0.0.1:9/v1") as llm, llm.budget(usd=1) as budget:
        with pytest.raises(LLMConnectionError):
            await llm.chat_completion(HELLO)
    assert (budget.spent, budget.reserved) == (0, 0)


@pytest.mark.parametrize(
    "fault", [faults.hang(), faults.disconnect_before_headers(), faults.malformed_body()]
)
async def test_a_request_that_may_have_been_served_costs_its_prompt(client, server, metrics, fault):
    """By our estimate: who left, or could not read the answer, is billed all the same."""
    server.fail(fault)
    async with client.budget(usd=1) as budget:
        with pytest.raises(LLMError):
            await client.chat_completion(HELLO, timeout=0.2)
    assert 0 < budget.spent < Decimal("0.0001")
    assert budget.reserved == 0
    counted = [
        line for line in metrics.expose().splitlines() if line.startswith("llm_cost_usd_total{")
    ]
    assert sum(float(line.rsplit(" ", 1)[1]) for line in counted) == float(budget.spent)


async def test_a_call_that_was_sent_again_costs_what_all_its_requests_did(client_of, server):
    """Each is held for before it is sent; the reply says the sum."""
    server.fail(faults.malformed_body())
    server.fail(faults.malformed_body())
    server.on("hello", Reply(text="x", usage=_used(1_000, 1_000)))
    async with client_of(server, max_attempts=3) as llm, llm.budget(usd=1) as budget:
        got, held = await _held(budget, llm.chat_completion(HELLO, max_tokens=1_000))
        alone = llm._endpoints.first.prices.cost("gpt-4o-mini", got.usage)
    assert got.attempts == 3
    assert budget.spent == got.cost_usd > alone
    assert got.cost_usd <= held
    assert budget.reserved == 0


async def test_a_call_is_not_sent_again_without_the_money_for_it(client_of, server):
    """One request's worst case is held; a second that may be billed too does not fit."""
    server.fail(faults.malformed_body())
    async with client_of(server, max_attempts=3) as llm, llm.budget(usd="0.011") as budget:
        with pytest.raises(BudgetExceededError):
            await llm.chat_completion(HELLO)
        assert budget.reserved == 0
        assert budget.spent > 0
    assert server.ledger.count() == 1


async def test_a_tier_nobody_has_a_price_of_is_booked_as_the_ordinary_one():
    """The reply says None; the cap holds."""

    def give(request):
        return reply({**answer("x"), "service_tier": "scale"})

    budget = Budget(1)
    async with raw_server(give) as server, _client(server.base_url) as llm, budget:
        got = await llm.chat_completion(HELLO)
    assert got.cost_usd is None
    assert budget.spent > 0


async def test_an_answer_without_usage_is_estimated_over_all_choices():
    """Noughts are no usage; the estimate is marked and costs something."""
    nothing = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    message = {"role": "assistant", "content": "word " * 100}
    choices = [{"index": place, "message": message, "finish_reason": "stop"} for place in (0, 1)]

    def give(request):
        return reply({**answer("x", usage=nothing), "choices": choices})

    async with raw_server(give) as server, _client(server.base_url) as llm:
        got = await llm.chat_completion(HELLO, n=2)
    assert got.usage.estimated
    assert got.usage.completion_tokens == 250
    assert got.cost_usd > 0


async def test_a_proxy_may_report_the_cost_in_a_header():
    """LiteLLM's does."""

    def give(request):
        return reply(answer("x"), headers={"x-litellm-response-cost": "0.0123"})

    async with raw_server(give) as server, _client(server.base_url) as llm:
        got = await llm.chat_completion(HELLO, model="alias-of-something")
    assert got.cost_usd == Decimal("0.0123")


async def test_embeddings_pay_for_every_part_that_was_served(client_of, server):
    """Also where another part failed for good, and for one that was asked for again."""
    async with client_of(server, max_attempts=2, embedding_inputs=1) as llm:
        async with llm.budget(usd=1) as whole:
            await llm.get_embeddings(["one text"])
        server.fail(faults.malformed_body())
        async with llm.budget(usd=1) as budget:
            batch, held = await _held(budget, llm.get_embeddings(["another text"]))
    assert budget.spent == batch.cost_usd > whole.spent > 0
    assert batch.cost_usd <= held
    assert budget.reserved == 0


async def test_two_answers_to_one_call_are_both_paid(clock):
    """Of two requests that are answered in the same moment one is taken; the other is owed."""
    answered, slow = asyncio.Event(), False

    async def give(request):
        del request
        await (answered.wait() if slow else clock.sleep(1.0))
        yield reply(answer("x"))

    fields = {"api_key": "sk-test", "hedge": True, "max_attempts": 1}
    async with raw_server(give) as server:
        settings = Settings(llm={"base_url": server.base_url, **fields}).llm
        async with AsyncLLMClient(settings, clock=clock) as llm:
            for _ in range(ENOUGH):
                task = asyncio.create_task(llm.chat_completion(HELLO))
                one = await run_through(clock, task, step=0.25)
            slow, before = True, len(server.requests)
            async with llm.budget(usd=1) as budget:
                task = asyncio.create_task(llm.chat_completion(HELLO))
                while len(server.requests) < before + 2 and not task.done():
                    await asyncio.sleep(0.001)
                    clock.shift(0.25)
                answered.set()
                got = await task
    assert got.attempts == 2
    assert budget.spent == got.cost_usd == 2 * one.cost_usd
    assert budget.reserved == 0
