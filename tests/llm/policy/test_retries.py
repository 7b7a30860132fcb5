"""Retries, deadlines, fall-backs, the breaker and hedging, in virtual time."""

import asyncio

import pytest
from llm_support import HELLO, run_through

from agentinfra.errors import (
    AuthenticationError,
    CircuitOpenError,
    LLMConnectionError,
    LLMError,
    LLMTimeoutError,
    QuotaExceededError,
    RateLimitedError,
    ServerError,
)
from agentinfra.testing import OpenAIServer, faults
from agentinfra.testing.replies import Reply


async def _call(llm, clock, *, step=1.0, **options):
    task = asyncio.create_task(llm.chat_completion(HELLO, **options))
    return await run_through(clock, task, step=step)


async def test_a_failed_request_is_sent_again(client_of, server, clock):
    """The response counts its attempts."""
    server.fail(faults.server_error(), times=2)
    async with client_of(server, clock=clock) as llm:
        reply = await _call(llm, clock)
    assert reply.attempts == 3
    assert server.ledger.count() == 3


async def test_the_idempotency_key_is_the_same_for_every_attempt(client_of, server, clock):
    """A server that knows the key can tell a repetition from a new call."""
    server.fail(faults.server_error(), times=2)
    async with client_of(server, clock=clock) as llm:
        await _call(llm, clock)
        await _call(llm, clock)
    keys = [record.headers["idempotency-key"] for record in server.ledger.requests]
    assert len(set(keys[:3])) == 1
    assert keys[3] != keys[0]


async def test_attempts_are_bounded(client_of, server, clock):
    """After max_attempts the last error is raised."""
    server.fail_always(faults.server_error())
    async with client_of(server, clock=clock, max_attempts=3) as llm:
        with pytest.raises(ServerError):
            await _call(llm, clock)
    assert server.ledger.count() == 3


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (faults.unauthorized(), AuthenticationError),
        (faults.quota_exceeded(), QuotaExceededError),
        (faults.context_length(), LLMError),
    ],
)
async def test_what_waiting_cannot_mend_is_sent_once(client_of, server, clock, fault, kind):
    """Auth, quota and bad requests are never retried."""
    server.fail_always(fault)
    async with client_of(server, clock=clock) as llm:
        with pytest.raises(kind):
            await _call(llm, clock)
    assert server.ledger.count() == 1


async def test_retry_after_is_honoured(client_of, server, clock):
    """The next attempt comes when the server said, not before."""
    server.fail(faults.rate_limited(retry_after=12))
    began = clock.now()
    async with client_of(server, clock=clock) as llm:
        reply = await _call(llm, clock)
    assert reply.attempts == 2
    assert 12 <= clock.now() - began <= 14


async def test_a_wait_past_the_deadline_fails_now(client_of, server, clock):
    """Nobody sleeps towards a deadline that cannot be met."""
    server.fail_always(faults.rate_limited(retry_after=60))
    began = clock.now()
    async with client_of(server, clock=clock) as llm:
        with pytest.raises(RateLimitedError):
            await _call(llm, clock, deadline=30)
    assert clock.now() - began < 2
    assert server.ledger.count() == 1


async def test_the_deadline_ends_a_hanging_call(client_of, server, clock):
    """All attempts together take no longer than the deadline."""
    server.fail_always(faults.hang())
    began = clock.now()
    async with client_of(server, clock=clock, timeout=20) as llm:
        with pytest.raises(LLMTimeoutError):
            await _call(llm, clock, deadline=30)
    assert clock.now() - began <= 33


async def test_back_off_grows_and_is_jittered(client_of, server):
    """The n-th wait is a random part of a bound that doubles."""
    async with client_of(server) as llm:
        policy = llm._calls._policy
        policy._jitter = lambda: 1.0
        waits = [policy.wait_for(ServerError("x", status_code=500), n) for n in range(8)]
        policy._jitter = lambda: 0.25
        assert policy.wait_for(ServerError("x", status_code=500), 2) == 0.5
    assert waits == [0.5, 1, 2, 4, 8, 16, 20, 20]


async def test_another_model_answers_when_the_first_fails(client_of, server, clock):
    """The fall-back is visible in the response."""
    server.fail_always(
        faults.server_error(), when=lambda r: bool(r.body) and r.body["model"] == "gpt-4o-mini"
    )
    async with client_of(server, clock=clock, fallback_models=["gpt-4o"], max_attempts=2) as llm:
        reply = await _call(llm, clock)
    assert reply.model == "gpt-4o"
    assert reply.attempts == 3
    assert "gpt-4o-mini failed: ServerError" in reply.degraded


async def test_another_endpoint_answers_when_the_first_is_down(client_of, server, clock):
    """name/model is a model of a named endpoint, with its own key."""
    async with OpenAIServer(api_key="sk-other") as other:
        endpoints = {"backup": {"base_url": other.base_url, "api_key": "sk-other"}}
        async with client_of(
            server,
            clock=clock,
            base_url="http://127.0.0.1:9/v1",
            endpoints=endpoints,
            fallback_models=["backup/gpt-4o-mini"],
            max_attempts=1,
        ) as llm:
            reply = await _call(llm, clock)
            stream = await llm.chat_completion(HELLO, stream=True)
            streamed = await stream.response()
        assert other.ledger.count() == 2
    assert reply.model == streamed.model == "gpt-4o-mini"
    assert "LLMConnectionError" in reply.degraded


async def test_a_bad_request_does_not_fall_back(client_of, server, clock):
    """Another model would get the same bad request."""
    server.fail_always(faults.status(400))
    async with client_of(server, clock=clock, fallback_models=["gpt-4o"]) as llm:
        with pytest.raises(LLMError, match="400"):
            await _call(llm, clock)
    assert server.ledger.count() == 1


async def test_a_dead_endpoint_is_left_alone_and_probed(client_of, server, clock):
    """The breaker opens, calls fail at once, and a probe closes it again."""
    server.fail_always(faults.server_error())
    async with client_of(server, clock=clock, max_attempts=1) as llm:
        for _ in range(5):
            with pytest.raises(ServerError):
                await llm.chat_completion(HELLO)
        with pytest.raises(CircuitOpenError) as caught:
            await llm.chat_completion(HELLO)
        assert server.ledger.count() == 5
        assert caught.value.retry_after == pytest.approx(5)
        health = await llm.probe()
        assert (health.state, "failed too often" in health.reason) == ("degraded", True)
        server.recover()
        await clock.advance(5)
        assert (await llm.chat_completion(HELLO)).text
        assert (await llm.probe()).state == "ready"


async def test_rate_limits_and_bad_requests_do_not_open_the_breaker(client_of, server, clock):
    """An endpoint that answers is alive."""
    async with client_of(server, clock=clock, max_attempts=1) as llm:
        for fault in (faults.status(400), faults.rate_limited()):
            server.fail(fault, times=10)
            for _ in range(10):
                with pytest.raises(LLMError):
                    await llm.chat_completion(HELLO)
        assert llm._calls.gates.health("default", "chat").breaker.state == "closed"


async def test_an_outage_is_not_multiplied(client_of, server, clock):
    """Over an outage of 60 s and its recovery: at most 1.1 requests a call, no late call."""
    waits = []

    async def one(llm, outcomes):
        began = clock.now()
        try:
            outcomes.append(await llm.chat_completion(HELLO, deadline=20, timeout=5))
        except LLMError as error:
            outcomes.append(error)
        waits.append(clock.now() - began)

    async with client_of(server, clock=clock) as llm:
        outcomes, tasks = [], []
        for second in range(120):
            if second == 20:
                server.fail_always(faults.server_error(503))
            if second == 80:
                server.recover()
            tasks += [asyncio.create_task(one(llm, outcomes)) for _ in range(5)]
            for _ in range(10):
                await asyncio.sleep(0.001)
            await clock.advance(1)
        await run_through(clock, asyncio.ensure_future(asyncio.gather(*tasks)))
    assert len(outcomes) == 600
    assert server.ledger.count() <= 1.1 * 600
    assert max(waits) <= 20 + 1
    late = outcomes[-50:]
    assert sum(isinstance(outcome, LLMError) for outcome in late) == 0


@pytest.fixture
async def slow_server(clock):
    """Answer after half a virtual second, three times after two."""
    async with OpenAIServer(sleep=clock.sleep) as running:
        running.script(*[Reply(text="hi", delay=2.0)] * 3)
        running.on("hello", Reply(text="hi", delay=0.5))
        yield running


async def test_a_slow_request_gets_a_second_one(client_of, slow_server, clock):
    """After the observed p95 a second request is sent, and what answers first is taken."""
    async with client_of(slow_server, clock=clock, hedge=True, max_attempts=1) as llm:
        for _ in range(25):
            assert (await _call(llm, clock, step=0.25)).attempts == 1
        slow_server.fail(faults.hang())
        async with llm.budget(usd=1) as budget:
            reply = await _call(llm, clock, step=0.25)
        assert budget.reserved == 0
        assert budget.spent == reply.cost_usd > 0
    assert reply.attempts == 2
    await slow_server.wait_until_idle()


async def test_hedges_are_few(client_of, slow_server, clock):
    """However many calls are slow, at most 5 % get a second request."""
    async with client_of(slow_server, clock=clock, hedge=True, max_attempts=1) as llm:
        for _ in range(25):
            await _call(llm, clock, step=0.25)
        before = slow_server.ledger.count()
        slow_server.clear()
        slow_server.on("hello", Reply(text="late", delay=3.0))
        for _ in range(40):
            await _call(llm, clock, step=0.25)
    assert before == 25
    assert 40 < slow_server.ledger.count() <= 40 + 40 * 0.05 + 1 + 1


async def test_connection_errors_say_what_could_not_be_reached(client_of, server, clock):
    """A closed port fails after its attempts with the reason."""
    async with client_of(server, clock=clock, base_url="http://127.0.0.1:9/v1") as llm:
        with pytest.raises(LLMConnectionError):
            await _call(llm, clock)
