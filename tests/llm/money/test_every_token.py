"""Every token a server reports is priced, and priced once: for each API and each server's words."""

from dataclasses import asdict
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from usage_forms import FORMS, KINDS, Truth

from agentinfra.llm.calls.sending import DIALECTS
from agentinfra.llm.dialects.request import text_request
from agentinfra.llm.money.bound import Most
from agentinfra.llm.money.prices import PriceBook
from agentinfra.llm.money.rates import Rates, parts_of
from agentinfra.results import Usage
from agentinfra.settings import ModelPrice

BOOK = PriceBook({})
REQUEST = text_request([{"role": "user", "content": "hello"}], "m", {}, stream=True)

PRICES = {kind: Decimal(place + 1) * 10 ** (place % 5) for place, kind in enumerate(sorted(KINDS))}
RATES = Rates(
    input=PRICES["text"],
    output=PRICES["answer"],
    cached=PRICES["cached"],
    written=PRICES["written"],
    written_1h=PRICES["written_1h"],
    audio_input=PRICES["audio"],
    audio_cached=PRICES["cached"],
    audio_output=PRICES["spoken"],
    image_input=PRICES["image"],
    image_output=PRICES["drawn"],
    thought=PRICES["thought"],
)


def truths(kinds):
    few = st.integers(0, 50) | st.integers(0, 10**6)
    return st.builds(Truth, **dict.fromkeys(kinds, few)).filter(
        lambda truth: truth.prompt and truth.completion
    )


def _chat_body(usage):
    choice = {"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}
    return {"model": "m", "choices": [choice], "usage": usage}


def _response_body(usage):
    item = {"type": "message", "content": [{"type": "output_text", "text": "x"}]}
    return {"model": "m", "status": "completed", "output": [item], "usage": usage}


def _whole(api, usage):
    body = _chat_body(usage) if api == "chat" else _response_body(usage)
    return DIALECTS[api].read(msgspec.json.encode(body), {}).usage


def _streamed(api, usage):
    assembly = DIALECTS[api].assembly(REQUEST)
    if api == "chat":
        delta = {"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}
        events = [{"choices": [delta]}, {"choices": [], "usage": usage}]
    else:
        events = [{"type": "response.completed", "response": _response_body(usage)}]
    for event in events:
        assembly.add(msgspec.json.encode(event))
    return assembly.answer().usage


@pytest.mark.parametrize("read", [_whole, _streamed])
@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
@given(st.data())
def test_what_is_reported_is_priced_once(form, read, data):
    """Each kind at its own price, whole and streamed, however the server adds them up."""
    api, kinds = FORMS[form]
    truth = data.draw(truths(kinds))
    usage = read(api, form(truth))
    parts = parts_of(usage)
    assert (parts.prompt, parts.completion) == (truth.prompt, truth.completion)
    assert usage.total_tokens == truth.total
    told = {kind: getattr(parts, kind) for kind in KINDS}
    assert told == asdict(truth)
    assert RATES.cost(usage) == sum(PRICES[kind] * count for kind, count in told.items())


counts = st.integers(0, 10**6)
usages = st.builds(
    Usage,
    prompt_tokens=counts,
    completion_tokens=counts,
    cached_tokens=counts,
    cache_write_tokens=counts,
    cache_write_1h_tokens=counts,
    reasoning_tokens=counts,
    audio_prompt_tokens=counts,
    audio_completion_tokens=counts,
    image_prompt_tokens=counts,
    image_completion_tokens=counts,
)


@given(usages)
def test_no_usage_is_priced_twice_or_negatively(usage):
    """Whatever parts a server claims, they add up to its sums."""
    parts = parts_of(usage)
    assert parts.prompt == usage.prompt_tokens
    assert parts.completion == usage.completion_tokens
    assert min(getattr(parts, kind) for kind in (*KINDS, "audio_cached")) >= 0


MODELS = ("gpt-4o", "gpt-5.6-sol", "gpt-audio", "gpt-5-nano", "gpt-4o-mini", "o3-deep-research")
TIERS = (None, "flex", "priority", "batch")


def _most(usage):
    return Most(
        text=usage.prompt_tokens,
        pictures=usage.image_prompt_tokens,
        sound=usage.audio_prompt_tokens,
        answer=usage.completion_tokens,
        speaks=True,
    )


@given(usages, st.sampled_from(MODELS), st.sampled_from(TIERS))
def test_no_mix_of_kinds_costs_more_than_is_held(usage, model, tier):
    """Of the same number of tokens, in the tier that was asked for or in the ordinary one."""
    held = BOOK.bound(model, tier).of(_most(usage))
    for served in (tier, "default"):
        cost = BOOK.cost(model, usage, served)
        assert cost is None or cost <= held


@given(usages)
def test_own_prices_bound_their_calls_too(usage):
    """An override with a price for every kind."""
    price = ModelPrice(
        input=Decimal(1),
        output=Decimal(2),
        cached_input=Decimal("0.1"),
        cache_write=Decimal("1.25"),
        cache_write_1h=Decimal(2),
        audio_input=Decimal(30),
        audio_output=Decimal(60),
        image_input=Decimal(5),
        image_output=Decimal(40),
    )
    book = PriceBook({"mine": price})
    assert book.cost("mine", usage) <= book.bound("mine").of(_most(usage))
