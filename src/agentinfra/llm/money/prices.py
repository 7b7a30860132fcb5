"""What a call costs: genai-prices' rates, below an override table of the settings.

A model without a known price costs None: never 0, and never another model's price.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from agentinfra._mechanics.vendors import MissingPackageError, load

if TYPE_CHECKING:
    from agentinfra.results import Usage
    from agentinfra.settings import ModelPrice

__all__ = ["ORDINARY_TIERS", "PriceBook", "Rates"]

ORDINARY_TIERS = frozenset({None, "", "auto", "default", "standard"})
"""Service tiers that cost what the model costs."""

_MILLION = Decimal(1_000_000)
_DATED = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{4,8}|latest)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """A model's prices in USD per token.

    Attributes:
        input: A prompt token.
        output: A completion token.
        cached: A prompt token read from the provider's cache.
        written: A prompt token written to it, which some bill dearer than one that is not.
        audio_input: An audio token of the prompt.
        audio_output: An audio token of the completion.
        tiers: Computes the cost where a price depends on the prompt's length, else None.
    """

    input: Decimal
    output: Decimal
    cached: Decimal
    written: Decimal
    audio_input: Decimal
    audio_output: Decimal
    tiers: Callable[[Usage], Decimal] | None = None

    def cost(self, usage: Usage) -> Decimal:
        """Return what these tokens cost in USD, each kind at its own price."""
        if self.tiers is not None:
            return self.tiers(usage)
        cache = usage.cached_tokens + usage.cache_write_tokens
        if not (cache or usage.audio_prompt_tokens or usage.audio_completion_tokens):
            return self.input * usage.prompt_tokens + self.output * usage.completion_tokens
        text_in = usage.prompt_tokens - cache - usage.audio_prompt_tokens
        text_out = usage.completion_tokens - usage.audio_completion_tokens
        return (
            self.input * max(text_in, 0)
            + self.cached * usage.cached_tokens
            + self.written * usage.cache_write_tokens
            + self.audio_input * usage.audio_prompt_tokens
            + self.output * max(text_out, 0)
            + self.audio_output * usage.audio_completion_tokens
        )

    def at_most(self, prompt_tokens: int, completion_tokens: int) -> Decimal:
        """Return an upper bound of what a call costs in USD."""
        dearest_in = max(self.input, self.written, self.audio_input)
        dearest_out = max(self.output, self.audio_output)
        return dearest_in * prompt_tokens + dearest_out * completion_tokens


class PriceBook:
    """Finds and remembers the rates of models.

    Args:
        overrides: Prices in USD per million tokens by model; they win.
        base_url: The endpoint, whose provider's prices apply; an unknown one has OpenAI's.
        azure: Whether it is an Azure endpoint.
    """

    def __init__(
        self,
        overrides: Mapping[str, ModelPrice],
        *,
        base_url: str | None = None,
        azure: bool = False,
    ) -> None:
        self._overrides = overrides
        self._host = (urlsplit(base_url).hostname or "") if base_url else "api.openai.com"
        self._url = base_url or "https://api.openai.com/v1"
        self._azure = azure
        self._known: dict[str, Rates | None] = {}
        self.missing = ""

    def rates(self, model: str, tier: str | None = None) -> Rates | None:
        """Return a model's rates, None when nobody knows them.

        Args:
            model: The model.
            tier: The service tier; one that is not the ordinary one has the price that the
                overrides give ``model@tier``, or none.
        """
        name = model if tier in ORDINARY_TIERS else f"{model}@{tier}"
        try:
            return self._known[name]
        except KeyError:
            rates = self._known[name] = self._find(name)
            return rates

    def cost(self, model: str, usage: Usage, tier: str | None = None) -> Decimal | None:
        """Return what a call cost in USD, None when the model has no known price."""
        rates = self.rates(model, tier)
        return None if rates is None else rates.cost(usage)

    def _find(self, name: str) -> Rates | None:
        model, at, tier = name.partition("@")
        for known in (name, f"{_DATED.sub('', model)}{at}{tier}"):
            if (price := self._overrides.get(known)) is not None:
                return _from_override(price)
        if tier:
            return None  # the price of the ordinary tier would be a guess
        try:
            prices = load("genai_prices")
        except MissingPackageError as error:
            self.missing = str(error)
            return None
        return self._look_up(prices, model)

    def _look_up(self, prices: Any, model: str) -> Rates | None:
        where: dict[str, str] = {"provider_id": "openai"}
        if self._azure:
            where = {"provider_id": "azure"}
        elif not _is_private(self._host):
            where = {"provider_api_url": self._url}
        try:
            found = prices.calc_price(prices.Usage(input_tokens=1), model_ref=model, **where)
        except LookupError:
            return None
        # The lookup matches loosely; another model's price is worse than none.
        if _plain(found.model.id) != _plain(model):
            return None
        return _from_prices(found.model_price, prices.Usage)


def _is_private(host: str) -> bool:
    try:
        return ip_address(host).is_private
    except ValueError:
        return "." not in host or host == "host.docker.internal"


def _plain(model: str) -> str:
    return _DATED.sub("", model.rpartition("/")[2].lower()).replace(".", "-")


def _from_override(price: ModelPrice) -> Rates:
    cached = price.input if price.cached_input is None else price.cached_input
    return Rates(
        input=price.input / _MILLION,
        output=price.output / _MILLION,
        cached=cached / _MILLION,
        written=price.input / _MILLION,
        audio_input=price.input / _MILLION,
        audio_output=price.output / _MILLION,
    )


def _from_prices(price: Any, usage_type: Any) -> Rates:
    parts = {
        "input": price.input_mtok,
        "output": price.output_mtok,
        "cached": price.cache_read_mtok,
        "written": price.cache_write_mtok,
        "audio_input": price.input_audio_mtok,
        "audio_output": price.output_audio_mtok,
    }
    tiered = any(part is not None and not isinstance(part, Decimal) for part in parts.values())
    flat = {name: _dearest(part) for name, part in parts.items() if part is not None}
    text_in, text_out = flat.get("input", Decimal(0)), flat.get("output", Decimal(0))
    return Rates(
        input=text_in / _MILLION,
        output=text_out / _MILLION,
        cached=flat.get("cached", text_in) / _MILLION,
        written=flat.get("written", text_in) / _MILLION,
        audio_input=flat.get("audio_input", text_in) / _MILLION,
        audio_output=flat.get("audio_output", text_out) / _MILLION,
        tiers=(lambda usage: _tiered(price, usage_type, usage)) if tiered else None,
    )


def _dearest(part: Any) -> Decimal:
    """Return a flat price, or the dearest tier of one: an upper bound for reservations."""
    if isinstance(part, Decimal):
        return part
    dearest: Decimal = max([part.base, *(tier.price for tier in part.tiers)])
    return dearest


def _tiered(price: Any, usage_type: Any, usage: Usage) -> Decimal:
    counts = {
        "input_tokens": usage.prompt_tokens,
        "output_tokens": usage.completion_tokens,
        "cache_read_tokens": usage.cached_tokens or None,
        "cache_write_tokens": usage.cache_write_tokens or None,
        "input_audio_tokens": usage.audio_prompt_tokens or None,
        "output_audio_tokens": usage.audio_completion_tokens or None,
    }
    given = {name: count for name, count in counts.items() if count is not None}
    total: Decimal = price.calc_price(usage_type(**given))["total_price"]
    return total
