"""What a call costs: the settings' own prices, the endpoint's word, else genai-prices' rates.

A model without a known price costs None: never 0, and never another model's price.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING

from agentinfra._mechanics.vendors import MissingPackageError
from agentinfra.llm.money.bound import Bound
from agentinfra.llm.money.known import OUTPUT_TOKENS, largest_answer
from agentinfra.llm.money.published import Published
from agentinfra.llm.money.rates import Rates

if TYPE_CHECKING:
    from agentinfra.results import Usage
    from agentinfra.settings import ModelPrice

__all__ = ["ORDINARY_TIERS", "PriceBook"]

ORDINARY_TIERS = frozenset({None, "", "auto", "default", "standard", "on_demand"})
"""Service tiers that cost what the model costs."""

_MILLION = Decimal(1_000_000)
_ONE = Decimal(1)
_DATED = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{4,8}|latest)$")

_QUARTER = 900.0
"""Seconds the prices of a model are believed that change by the hour or by the day."""


class PriceBook:
    """Finds and remembers the rates of models.

    Args:
        overrides: Prices in USD per million tokens by model; they win.
        base_url: The endpoint, whose provider's prices apply; on a private address those of the
            model's maker do.
        azure: Whether it is an Azure endpoint.
        vendor: Whose prices apply in place of the endpoint's own: a provider of genai-prices.
        now: The seconds since 1970.
    """

    def __init__(
        self,
        overrides: Mapping[str, ModelPrice],
        *,
        base_url: str | None = None,
        azure: bool = False,
        vendor: str | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._overrides = overrides
        self._vendor = vendor
        self._published = Published(base_url=base_url, azure=azure, vendor=vendor)
        self._now = now
        self._known: dict[str, Rates | None] = {}
        self._until: dict[str, float] = {}
        self._dearer: dict[str, Decimal] = {}
        self._bounds: dict[str, Bound | None] = {}
        self.missing = ""

    def rates(self, model: str, tier: str | None = None) -> Rates | None:
        """Return a model's rates, None when nobody knows them.

        Args:
            model: The model.
            tier: The service tier, or ``batch``; one that is not the ordinary one has the price
                that the overrides give ``model@tier``, else the published one, or none.
        """
        name = model if tier in ORDINARY_TIERS else f"{model}@{tier}"
        try:
            rates = self._known[name]
        except KeyError:
            return self._look_up(name)
        if self._until and self._until.get(name, self._now()) < self._now():
            return self._look_up(name)
        return rates

    def cost(self, model: str, usage: Usage, tier: str | None = None) -> Decimal | None:
        """Return what a call cost in USD, None when nobody knows.

        The settings' own price of the model, else what the endpoint has said, unless the settings
        name whose prices apply, else the published one.
        """
        said = usage.reported_cost
        rates = self.rates(model, tier)
        if said is None:
            return None if rates is None else rates.cost(usage)
        if rates is None:
            return said if _says_something(model, said) else None
        published = rates.cost(usage)
        own = self._vendor is not None or self._overridden(model) is not None
        if own or not _says_something(model, said):
            return published
        if said > published > 0:  # a router's own price; what is held next time knows of it
            self._dearer[model] = max(self._dearer.get(model, _ONE), said / published)
            self._bounds.clear()
        return said

    def bound(self, model: str, tier: str | None = None) -> Bound | None:
        """Return what bounds the cost of a call, None where nobody knows its price.

        A tier is a wish: where the endpoint has no room in it, or does not know it, a call may
        be served in the ordinary one.
        """
        name = model if tier in ORDINARY_TIERS else f"{model}@{tier}"
        try:
            bound = self._bounds[name]
        except KeyError:
            return self._bind(name, model, tier)
        if self._until and self._until.get(name, self._now()) < self._now():
            return self._bind(name, model, tier)
        return bound

    def _bind(self, name: str, model: str, tier: str | None) -> Bound | None:
        wished = dict.fromkeys((self.rates(model, tier), self.rates(model)))
        rates = [one for one in wished if one is not None]
        self._bounds[name] = bound = Bound(rates, self._dearer.get(model, _ONE)) if rates else None
        return bound

    def _overridden(self, name: str) -> ModelPrice | None:
        if not self._overrides:
            return None
        model, at, tier = name.partition("@")
        for known in (name, f"{_DATED.sub('', model)}{at}{tier}"):
            if (price := self._overrides.get(known)) is not None:
                return price
        return None

    def _look_up(self, name: str) -> Rates | None:
        rates = self._known[name] = self._find(name)
        if rates is not None and rates.changes:
            # At the next quarter of an hour: that is where the prices by the hour change.
            self._until[name] = (self._now() // _QUARTER + 1) * _QUARTER
        return rates

    def _find(self, name: str) -> Rates | None:
        model, _, tier = name.partition("@")
        if (price := self._overridden(name)) is not None:
            return _from_override(price, model)
        try:
            return self._published.rates(model, tier, self._now())
        except MissingPackageError as error:
            self.missing = str(error)
            return None


def _says_something(model: str, said: Decimal) -> bool:
    """Whether a cost that an endpoint reports means it: proxies say 0 of what they do not know."""
    return said > 0 or model.endswith(":free")


def _from_override(price: ModelPrice, model: str) -> Rates:
    def of(given: Decimal | None, otherwise: Decimal) -> Decimal:
        return (otherwise if given is None else given) / _MILLION

    written = price.input if price.cache_write is None else price.cache_write
    cached = price.input if price.cached_input is None else price.cached_input
    largest = price.output_limit or largest_answer(model) or price.context_window or OUTPUT_TOKENS
    return Rates(
        input=price.input / _MILLION,
        output=price.output / _MILLION,
        cached=cached / _MILLION,
        written=written / _MILLION,
        written_1h=of(price.cache_write_1h, written),
        audio_input=of(price.audio_input, price.input),
        audio_cached=cached / _MILLION,
        audio_output=of(price.audio_output, price.output),
        image_input=of(price.image_input, price.input),
        image_output=of(price.image_output, price.output),
        thought=price.output / _MILLION,
        window=price.context_window,
        largest=largest,
    )
