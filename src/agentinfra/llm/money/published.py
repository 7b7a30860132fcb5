"""The published prices of models: genai-prices' table as rates by kind of token."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from agentinfra._mechanics.vendors import load
from agentinfra.llm.money.known import OUTPUT_TOKENS, largest_answer
from agentinfra.llm.money.rates import Rates

__all__ = ["Published"]

_MILLION = Decimal(1_000_000)
_THOUSAND = Decimal(1_000)
_ZERO = Decimal(0)

_VERSION = re.compile(r"([-@:.]?(latest|preview|exp|beta|v?\d[\d.-]*))*")
"""What may follow the name of a model that is still that model: a date, a number, a stage."""

_QUARTERS_OF_A_DAY = 97


class Published:
    """Looks up models in genai-prices.

    Args:
        base_url: The endpoint, whose provider's prices apply; on a private address those of the
            model's maker do.
        azure: Whether it is an Azure endpoint.
        vendor: Whose prices apply in place of the endpoint's own.
    """

    def __init__(self, *, base_url: str | None, azure: bool, vendor: str | None) -> None:
        self._url = base_url or "https://api.openai.com/v1"
        self._host = urlsplit(self._url).hostname or ""
        self._vendor = "azure" if azure and vendor is None else vendor

    def rates(self, model: str, tier: str, now: float) -> Rates | None:
        """Return a model's rates; None where the table does not have them.

        Args:
            model: The model.
            tier: The service tier, or ``batch``; empty for the ordinary one.
            now: The seconds since 1970.

        Raises:
            MissingPackageError: genai-prices is not installed.
        """
        found = self._find(load("genai_prices"), model)
        if found is None:
            return None
        when = datetime.fromtimestamp(now, UTC)
        context = _context(found, tier, when)
        if tier and context is None:
            return None  # the price of the ordinary tier would be a guess
        known = found.model
        today = [
            known.get_prices(when + timedelta(minutes=15 * quarter), context)
            for quarter in range(_QUARTERS_OF_A_DAY if isinstance(known.prices, list) else 1)
        ]
        rates = _by_length(today[0], known.context_window, model)
        others = [price for price in today if price != today[0]]
        later = tuple(_by_length(price, known.context_window, model) for price in _distinct(others))
        return replace(rates, later=later, changes=isinstance(known.prices, list))

    def _find(self, prices: Any, model: str) -> Any:
        for ref, where in self._places(model):
            try:
                found = prices.calc_price(prices.Usage(input_tokens=1), model_ref=ref, **where)
            except (LookupError, ValueError):  # ValueError: it is not priced by the token
                continue
            # The table matches by beginnings too; another model's price is worse than none.
            if _names(found.model, ref.lower()):
                return found
        return None

    def _places(self, model: str) -> Iterator[tuple[str, dict[str, str]]]:
        """Yield where to look, and by which name."""
        maker, _, bare = model.rpartition("/")
        if self._vendor is not None:
            yield model, {"provider_id": self._vendor}
            if bare != model:
                yield bare, {"provider_id": self._vendor}
        elif not _is_private(self._host):
            yield model, {"provider_api_url": self._url}
        else:
            if maker:
                yield bare, {"provider_id": maker.rpartition("/")[2]}
            yield bare, {"provider_id": "openai"}
            yield bare, {}


def _is_private(host: str) -> bool:
    try:
        return ip_address(host).is_private
    except ValueError:
        return "." not in host or host == "host.docker.internal"


def _names(model: Any, ref: str) -> bool:
    """Whether a name is a model's own, or its own with a version behind it."""
    return ref == model.id.lower() or _is_exact(model.match, ref)


def _is_exact(clause: Any, ref: str) -> bool:
    if (inner := getattr(clause, "or_", None)) is not None:
        return any(_is_exact(one, ref) for one in inner)
    if (inner := getattr(clause, "and_", None)) is not None:
        return clause.is_match(ref) and any(_is_exact(one, ref) for one in inner)
    if (whole := getattr(clause, "equals", None)) is not None:
        return bool(whole.lower() == ref)
    if (pattern := getattr(clause, "regex", None)) is not None:
        return re.fullmatch(pattern, ref) is not None
    if (start := getattr(clause, "starts_with", None)) is not None:
        start = start.lower()
        return ref.startswith(start) and bool(_VERSION.fullmatch(ref[len(start) :]))
    return False


def _context(found: Any, tier: str, when: datetime) -> Mapping[str, str] | None:
    """Return what selects a tier's prices; None where the table has none of that tier."""
    if not tier or not any(found.model is model for model in found.provider.models):
        return None
    for variant in found.model.price_variants or ():
        for key in ("service_tier", "processing"):
            dated = variant.constraint is not None and not variant.constraint.active(when)
            if variant.when == {key: tier} and not dated:
                return {key: tier}
    return None


def _distinct(prices: list[Any]) -> list[Any]:
    kept: list[Any] = []
    for price in prices:
        if price not in kept:
            kept.append(price)
    return kept


def _by_length(price: Any, window: int | None, model: str) -> Rates:
    """Return rates with those of longer prompts."""
    listed = {name: value for name, value in vars(price).items() if value is not None}
    starts = sorted(
        {
            tier.start
            for value in listed.values()
            if not isinstance(value, Decimal)
            for tier in value.tiers
        }
    )
    largest = largest_answer(model)
    if largest is None:
        largest = window or OUTPUT_TOKENS

    def at(length: int) -> Rates:
        flat = {name: _at(value, length) for name, value in listed.items()}
        return _flat(flat, window, largest)

    longer = tuple((start, at(start + 1)) for start in starts)
    return replace(at(0), longer=longer)


def _at(value: Any, length: int) -> Decimal:
    """Return a price for a prompt of so many tokens."""
    if isinstance(value, Decimal):
        return value
    found: Decimal = value.base
    for tier in value.tiers:
        if length > tier.start:
            found = tier.price
    return found


def _flat(listed: Mapping[str, Decimal], window: int | None, largest: int) -> Rates:
    def million(name: str, *others: str) -> Decimal:
        for one in (name, *others):
            if one in listed:
                return listed[one] / _MILLION
        return _ZERO

    stored = ("cache_write_mtok", "input_mtok")
    return Rates(
        input=million("input_mtok"),
        output=million("output_mtok"),
        cached=million("cache_read_mtok", "input_mtok"),
        written=million("cache_write_5m_mtok", *stored),
        written_1h=million("cache_write_1h_mtok", *stored),
        audio_input=million("input_audio_mtok", "input_mtok"),
        audio_cached=million("cache_audio_read_mtok", "cache_read_mtok", "input_audio_mtok"),
        audio_output=million("output_audio_mtok", "output_mtok"),
        image_input=million("input_image_mtok", "input_mtok"),
        image_output=million("output_image_mtok", "output_mtok"),
        thought=million("output_reasoning_mtok", "output_mtok"),
        web_search=listed.get("web_searches_kcount", _ZERO) / _THOUSAND,
        file_search=listed.get("storage_searches_kcount", _ZERO) / _THOUSAND,
        request=listed.get("requests_kcount", _ZERO) / _THOUSAND,
        window=window,
        largest=largest,
    )
