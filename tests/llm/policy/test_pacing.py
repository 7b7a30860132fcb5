"""Pacing: within a server's limits, nearly as fast as they allow, fair, and bounded."""

import asyncio

import pytest
from llm_support import HELLO, run_through

from agentinfra.errors import RateLimitedError
from agentinfra.llm.policy.ratelimit import limits_in, seconds
from agentinfra.testing import OpenAIServer, RateLimits, faults
from agentinfra.testing.replies import Reply


@pytest.mark.parametrize(
    ("text", "value"),
    [("1s", 1), ("6m0s", 360), ("12ms", 0.012), ("1h2m3.5s", 3723.5), ("7", 7), ("soon", None)],
)
def test_durations_are_read_as_openai_writes_them(text, value):
    """Each unit counts; what cannot be read is None."""
    assert seconds(text) == value


def test_limits_are_read_from_headers():
    """A kind without a rest is left out."""
    headers = {
        "x-ratelimit-limit-requests": "100",
        "x-ratelimit-remaining-requests": "99",
        "x-ratelimit-reset-requests": "600ms",
        "x-ratelimit-limit-tokens": "5",
    }
    assert limits_in(headers) == {"requests": (100.0, 99.0, 0.6)}


async def _throughput(clock, limits, calls, *, llm_of, tokens=None):
    usage = {} if tokens is None else {"max_tokens": tokens}
    async with (
        OpenAIServer(limits=limits, clock=clock.now, sleep=clock.sleep) as server,
        llm_of(server, clock=clock, max_attempts=10) as llm,
    ):
        began = clock.now()
        work = asyncio.gather(*(llm.chat_completion(HELLO, **usage) for _ in range(calls)))
        await run_through(clock, asyncio.ensure_future(work), step=0.25, limit=20_000)
        refused = sum(record.status == 429 for record in server.ledger.requests)
        return clock.now() - began, refused, server.ledger.count()


async def test_hidden_request_limits_are_kept_to(client_of, clock):
    """At most 1 % of the requests get a 429, at 90 % of what the limit allows or more."""
    limits = RateLimits(requests_per_minute=300)
    took, refused, sent = await _throughput(clock, limits, 450, llm_of=client_of)
    # 300 are there at the start, the other 150 come at 5 a second.
    assert refused <= 0.01 * sent
    assert took <= 30 / 0.9 + 1


async def test_hidden_token_limits_are_kept_to(client_of, clock):
    """The same for tokens, whose cost is only known about."""
    limits = RateLimits(requests_per_minute=100_000, tokens_per_minute=30_000)
    took, refused, sent = await _throughput(clock, limits, 400, llm_of=client_of, tokens=100)
    assert refused <= 0.01 * sent
    # A call takes 9 to 100 tokens, as the server counts; 30,000 are there at the start.
    assert took <= (400 * 100 - 30_000) / 500 / 0.9


async def test_a_server_that_shows_no_limits_is_approached_carefully(client_of, server, clock):
    """After a refusal without headers the number in flight is halved, and grows again."""
    async with client_of(server, clock=clock, max_attempts=5) as llm:
        server.fail(faults.rate_limited(retry_after=2), times=3)
        work = asyncio.gather(*(llm.chat_completion(HELLO) for _ in range(64)))
        replies = await run_through(clock, asyncio.ensure_future(work))
        (pacer,) = (gate.pacer for gate in llm._calls.gates)
        assert all(reply.text for reply in replies)
        assert server.ledger.max_in_flight <= 64
        assert (pacer.running, pacer.queued) == (0, 0)


async def test_tenants_share_an_endpoint_fairly(client_of, server):
    """A tenant with one call is not behind another's hundred."""
    server.on("hello", Reply(text="x", delay=0.002))
    order = []

    async with client_of(server, max_connections=2) as llm:

        async def one(tenant):
            await llm.chat_completion(HELLO, tenant=tenant)
            order.append(tenant)

        async with asyncio.TaskGroup() as group:
            for _ in range(40):
                group.create_task(one("big"))
            for _ in range(5):
                await asyncio.sleep(0)
            group.create_task(one("small"))
    assert order.index("small") < 12


async def test_the_number_that_waits_is_bounded(client_of, server):
    """Beyond max_queued the next call is refused at once, and says what to change."""
    server.fail_always(faults.hang())
    async with client_of(server, max_connections=1, max_queued=1, max_attempts=1) as llm:
        tasks = [asyncio.create_task(llm.chat_completion(HELLO)) for _ in range(2)]
        await server.wait_for_requests(1)
        with pytest.raises(RateLimitedError, match="max_queued"):
            await llm.chat_completion(HELLO)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_wait_is_visible(client_of, clock, metrics):
    """What waited is in the wait histogram."""
    limits = RateLimits(requests_per_minute=60)
    await _throughput(clock, limits, 70, llm_of=client_of)
    page = metrics.expose()
    line = next(line for line in page.splitlines() if line.startswith("llm_wait_seconds_count"))
    assert float(line.split()[-1]) > 0
