"""The token bucket and the headers that tell of it."""

from __future__ import annotations

import math

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentinfra.errors import ConfigurationError
from agentinfra.testing import OpenAIServer, RateLimits
from agentinfra.testing.server.ratelimit import Limiter, format_duration

HELLO = [{"role": "user", "content": "hello"}]


class Hands:
    """A clock that is set by hand."""

    def __init__(self):
        self.time = 0.0

    def __call__(self):
        return self.time


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0ms"),
        (0.012, "12ms"),
        (0.0001, "1ms"),
        (0.9999, "1s"),
        (1.0, "1s"),
        (8.64, "8.64s"),
        (60.0, "1m0s"),
        (360.0, "6m0s"),
        (90.951, "1m30.951s"),
        (3600.0, "1h0m0s"),
        (86399.0, "23h59m59s"),
    ],
)
def test_durations(seconds, text):
    """Durations are written as OpenAI writes them."""
    assert format_duration(seconds) == text


def test_requests_are_limited():
    """So many requests may come at once, the next when one has been refilled."""
    clock = Hands()
    limiter = Limiter(RateLimits(requests_per_minute=3), clock)
    assert [limiter.admit("m", 1).refused for _ in range(4)] == [None, None, None, "requests"]
    assert limiter.admit("m", 1).retry_after == 20.0
    clock.time = 19.9
    assert limiter.admit("m", 1).refused == "requests"
    clock.time = 20.0
    assert limiter.admit("m", 1).refused is None


def test_tokens_are_limited():
    """A request costs its tokens, and is let through when they have been refilled."""
    clock = Hands()
    limiter = Limiter(RateLimits(tokens_per_minute=600), clock)
    assert limiter.admit("m", 500).refused is None
    verdict = limiter.admit("m", 200)
    assert (verdict.refused, verdict.retry_after) == ("tokens", 10.0)
    assert verdict.headers["retry-after"] == "10"
    assert verdict.headers["retry-after-ms"] == "10000"
    assert "try again in 10s" in verdict.message
    clock.time = 10.0
    assert limiter.admit("m", 200).refused is None


def test_refused_requests_cost_nothing():
    """A request that one bucket refuses takes nothing from the other."""
    limiter = Limiter(RateLimits(requests_per_minute=5, tokens_per_minute=10), Hands())
    assert limiter.admit("m", 10).headers["x-ratelimit-remaining-requests"] == "4"
    assert limiter.admit("m", 10).headers["x-ratelimit-remaining-requests"] == "4"


def test_too_large_request_never_passes():
    """A request larger than the bucket is told so, and not to come back."""
    verdict = Limiter(RateLimits(tokens_per_minute=10), Hands()).admit("m", 11)
    assert math.isinf(verdict.retry_after)
    assert "retry-after" not in verdict.headers
    assert "too large" in verdict.message


def test_headers():
    """Limit, remaining and reset are told for each bucket there is."""
    clock = Hands()
    limiter = Limiter(RateLimits(requests_per_minute=60, tokens_per_minute=6000), clock)
    assert limiter.admit("m", 600).headers == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-limit-tokens": "6000",
        "x-ratelimit-remaining-tokens": "5400",
        "x-ratelimit-reset-tokens": "6s",
    }


@pytest.mark.parametrize("name", ["requests_per_minute", "tokens_per_minute"])
def test_limit_of_nothing_is_refused(name):
    """A limit below 1 is an error that says what to give instead."""
    with pytest.raises(ConfigurationError, match=f"{name}=0: give at least 1, or None"):
        RateLimits(**{name: 0})


@given(
    st.integers(1, 50),
    st.lists(st.tuples(st.floats(0, 30), st.integers(1, 5)), min_size=1, max_size=60),
)
def test_never_more_than_the_bucket_and_its_refill(limit, steps):
    """In no span of time does more pass than the bucket holds and what flows in."""
    clock = Hands()
    limiter = Limiter(RateLimits(tokens_per_minute=limit), clock)
    passed = 0
    for pause, units in steps:
        clock.time += pause
        if limiter.admit("m", units).refused is None:
            passed += units
        assert passed <= limit + clock.time * limit / 60 + 1e-6


async def test_server_refuses_what_is_too_much():
    """A server with limits answers 429 with the headers, and lets the next in later."""
    clock = Hands()
    async with (
        OpenAIServer(limits=RateLimits(requests_per_minute=2), clock=clock) as server,
        openai.AsyncOpenAI(base_url=server.base_url, api_key="x", max_retries=0) as client,
    ):
        create = client.chat.completions.with_raw_response.create
        first = await create(model="m", messages=HELLO)
        assert first.headers["x-ratelimit-remaining-requests"] == "1"
        await client.embeddings.create(model="m", input="x")
        with pytest.raises(openai.RateLimitError) as caught:
            await create(model="m", messages=HELLO)
        assert caught.value.code == "rate_limit_exceeded"
        assert caught.value.type == "requests"
        assert caught.value.response.headers["retry-after"] == "30"
        clock.time = 30.0
        await create(model="m", messages=HELLO)


async def test_request_costs_what_it_may_generate():
    """A request costs its prompt, or what it may generate where that is more."""
    limits = RateLimits(tokens_per_minute=1000)
    async with (
        OpenAIServer(limits=limits, clock=Hands()) as server,
        openai.AsyncOpenAI(base_url=server.base_url, api_key="x", max_retries=0) as client,
    ):
        create = client.chat.completions.with_raw_response.create
        small = await create(model="m", messages=HELLO)
        assert small.headers["x-ratelimit-remaining-tokens"] == "991"
        large = await create(model="m", messages=HELLO, max_tokens=500)
        assert large.headers["x-ratelimit-remaining-tokens"] == "491"
