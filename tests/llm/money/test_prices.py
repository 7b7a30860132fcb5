"""Prices: real ones, by kind of token, tier and time; never a guess, never 0."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import get_args

import genai_prices
import pytest
from genai_prices.data import providers
from openai.types.shared.all_models import AllModels

from agentinfra.llm.money.bound import Most
from agentinfra.llm.money.prices import PriceBook
from agentinfra.results import Usage
from agentinfra.settings import ModelPrice

MILLION = 1_000_000


def _usage(prompt, completion, **more):
    return Usage(
        prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion, **more
    )


def _names(kind):
    """Yield every text of a union of literals."""
    for inner in get_args(kind):
        if isinstance(inner, str):
            yield inner
        else:
            yield from _names(inner)


def test_the_names_of_the_openai_package_are_priced():
    """Each that genai-prices can price, at its price; those are 110 of 115 at least."""
    book = PriceBook({})
    used = _usage(1000, 100, cached_tokens=400)
    billed = genai_prices.Usage(input_tokens=1000, output_tokens=100, cache_read_tokens=400)
    priced = 0
    names = set(_names(AllModels)) - {"str"}
    for name in names:
        try:
            due = genai_prices.calc_price(billed, model_ref=name, provider_id="openai").total_price
        except LookupError:
            assert book.cost(name, used) is None, name
            continue
        assert book.cost(name, used) == due, name
        priced += 1
    assert len(names) >= 115
    assert priced >= 110


@pytest.mark.parametrize("prompt", [1_000, 400_000])
@pytest.mark.parametrize("tier", ["", "flex", "priority", "batch"])
@pytest.mark.parametrize("model", ["gpt-5.6-sol", "gpt-5", "o4-mini"])
def test_tiers_and_long_prompts_cost_what_genai_prices_says(model, tier, prompt):
    """Flat or by the prompt's length, with the cache's parts."""
    context = {"processing" if tier == "batch" else "service_tier": tier} if tier else None
    due = genai_prices.calc_price(
        genai_prices.Usage(
            input_tokens=prompt,
            cache_read_tokens=prompt // 4,
            cache_write_tokens=prompt // 2,
            output_tokens=10,
        ),
        model_ref=model,
        provider_id="openai",
        price_context=context,
    ).total_price
    usage = _usage(prompt, 10, cached_tokens=prompt // 4, cache_write_tokens=prompt // 2)
    assert PriceBook({}).cost(model, usage, tier) == due


def test_a_tier_without_a_price_costs_none():
    """Another tier is never priced as the ordinary one."""
    usage = _usage(MILLION, 0)
    assert PriceBook({}).cost("gpt-4o-mini", usage, "scale") is None
    assert PriceBook({}).cost("gpt-4-turbo", usage, "flex") is None


def test_the_settings_price_tiers_by_name():
    """What they give ``model@tier`` wins."""
    book = PriceBook({"gpt-4o-mini@flex": ModelPrice(input=Decimal("0.01"), output=Decimal(1))})
    usage = _usage(MILLION, 0)
    assert book.cost("gpt-4o-mini", usage, "default") == Decimal("0.15")
    assert book.cost("gpt-4o-mini-2024-07-18", usage, "flex") == Decimal("0.01")


@pytest.mark.parametrize("address", [None, "http://127.0.0.1:8000/v1", "http://vllm:8000/v1"])
@pytest.mark.parametrize(
    "model",
    [
        "gpt-4o-foo",
        "my-gpt-4o",
        "deepseek-chat-foo",
        "claude-mine",
        "llama-3.1-8b",
        "gpt-oss:20b",
        "",
    ],
)
def test_an_unknown_model_has_no_price(model, address):
    """None, never 0 and never that of a model whose name begins so."""
    assert PriceBook({}, base_url=address).cost(model, _usage(100, 100)) is None


@pytest.mark.parametrize(
    ("model", "input_price"),
    [
        ("claude-sonnet-4-0", 3),
        ("claude-sonnet-4-20250514", 3),
        ("anthropic/claude-sonnet-4", 3),
        ("openai/gpt-4o", Decimal("2.5")),
        ("gpt-4o-2024-08-06", Decimal("2.5")),
        ("gemini-2.5-flash", Decimal("0.3")),
    ],
)
def test_behind_a_private_address_models_cost_what_their_makers_take(model, input_price):
    """A gateway of one's own passes the maker's bill on."""
    book = PriceBook({}, base_url="http://gateway:4000/v1")
    assert book.cost(model, _usage(MILLION // 10, 0)) == Decimal(input_price) / 10


def test_an_address_nobody_knows_has_prices_of_its_own():
    """Until the settings say whose hold there."""
    usage = _usage(MILLION, 0)
    address = "https://llm.example.com/v1"
    assert PriceBook({}, base_url=address).cost("gpt-4o", usage) is None
    book = PriceBook({}, base_url=address, vendor="openai")
    assert book.cost("gpt-4o", usage) == book.cost("openai/gpt-4o", usage) == Decimal("2.5")


def test_dated_names_have_their_models_price():
    """gpt-4o-mini-2024-07-18 is gpt-4o-mini."""
    book = PriceBook({})
    assert book.rates("gpt-4o-mini-2024-07-18") == book.rates("gpt-4o-mini")


def test_the_override_table_wins():
    """A private deployment's price is the one of the settings, whatever the endpoint reports."""
    book = PriceBook({"mine": ModelPrice(input=Decimal(1), output=Decimal(2))})
    usage = _usage(MILLION, MILLION)
    assert book.cost("mine", usage) == 3
    assert book.cost("mine", _usage(MILLION, MILLION, reported_cost=Decimal(9))) == 3


def test_what_the_endpoint_reports_is_what_it_costs():
    """Before any table, for models that no table has too; 0 is what proxies say of those."""
    book = PriceBook({})
    said = _usage(MILLION, 0, reported_cost=Decimal("0.07"))
    assert book.cost("gpt-4o", said) == book.cost("mystery", said) == Decimal("0.07")
    nothing = _usage(MILLION, 0, reported_cost=Decimal(0))
    assert book.cost("gpt-4o", nothing) == Decimal("2.5")
    assert book.cost("mystery", nothing) is None
    assert book.cost("meta/llama-4:free", nothing) == 0


def test_a_router_that_is_dearer_than_the_table_is_held_for_as_it_is():
    """From its first answer on."""
    book = PriceBook({})
    most = Most(text=MILLION, answer=0)
    before = book.bound("gpt-4o").of(most)
    book.cost("gpt-4o", _usage(MILLION, 0, reported_cost=Decimal(5)))
    assert book.bound("gpt-4o").of(most) == 2 * before


def test_the_vendors_own_price_holds_behind_a_proxy_where_the_settings_say_so():
    """What the proxy reports counts only for what the vendor has no price of."""
    book = PriceBook({}, base_url="http://proxy/v1", vendor="openai")
    said = _usage(MILLION, 0, reported_cost=Decimal("0.07"))
    assert book.cost("gpt-4o", said) == Decimal("2.5")
    assert book.cost("mystery", said) == Decimal("0.07")


def test_searches_of_the_server_are_billed():
    """By the call, beside the tokens."""
    book = PriceBook({})
    plain = _usage(1000, 10)
    searched = _usage(1000, 10, web_searches=3, file_searches=2)
    assert book.cost("gpt-5.6-sol", searched) - book.cost("gpt-5.6-sol", plain) == Decimal("0.035")
    most = Most(text=1000, answer=10, searches=5)
    assert book.cost("gpt-5.6-sol", searched) <= book.bound("gpt-5.6-sol").of(most)


def test_prices_follow_the_day():
    """A price that was cut is the old one before and the new one after; a process lives longer."""
    now = [datetime(2026, 8, 20, 23, 59, tzinfo=UTC).timestamp()]
    book = PriceBook({}, now=lambda: now[0])
    usage = _usage(MILLION // 10, 0)
    assert book.cost("gpt-5.6-sol", usage) == Decimal("0.5")
    now[0] += 120
    assert book.cost("gpt-5.6-sol", usage) == Decimal("0.4")


def test_prices_follow_the_hour_and_the_bound_holds_the_dearest():
    """DeepSeek's night costs less; what is held before midnight is enough after it."""
    night = datetime(2026, 11, 27, 17, 0, tzinfo=UTC).timestamp()
    day = datetime(2026, 11, 27, 10, 0, tzinfo=UTC).timestamp()
    model, usage, costs = "deepseek-chat", _usage(MILLION, 1000), {}
    for when in (day, night):
        book = PriceBook({}, base_url="https://api.deepseek.com", now=lambda when=when: when)
        costs[when] = book.cost(model, usage)
        assert book.bound(model).of(Most(text=MILLION, answer=1000)) >= max(costs.values())
    assert costs[night] < costs[day]


def test_every_listed_price_has_a_place():
    """A new kind of price in the table is noticed here."""
    kept = {
        "input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "cache_write_1h_mtok",
        "cache_write_5m_mtok", "input_audio_mtok", "output_audio_mtok", "cache_audio_read_mtok",
        "input_image_mtok", "output_image_mtok", "output_reasoning_mtok", "web_searches_kcount",
        "storage_searches_kcount", "requests_kcount",
    }  # fmt: skip
    elsewhere = {
        "audio_hours", "input_audio_hours", "output_audio_hours", "input_document_kpages",
        "input_annotated_document_kpages", "input_mchars", "input_text_messages_kcount",
        "input_gpixels", "input_video_mtok", "output_video_mtok", "output_citation_mtok",
        "cache_image_read_mtok", "rerank_searches_kcount", "social_searches_kcount",
        "code_executions_kcount",
    }  # fmt: skip
    listed = set()
    for provider in providers:
        for model in provider.models:
            several = model.prices if isinstance(model.prices, list) else [model.prices]
            for price in (getattr(one, "prices", one) for one in several):
                listed |= {name for name, value in vars(price).items() if value is not None}
    assert listed - kept - elsewhere == set()
