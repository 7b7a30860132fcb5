"""Show what models cost, and where the figures come from."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from agentinfra.cli.configuring import settings_for
from agentinfra.cli.numbers import whole

if TYPE_CHECKING:
    from rich.table import Table

    from agentinfra.llm.money.prices import PriceBook
    from agentinfra.settings import LLMSettings

__all__ = ["EPILOG", "HELP", "Price", "add_arguments", "prices_of", "run"]

HELP = "show what models cost"
EPILOG = """\
examples:
  agentinfra prices gpt-4o-mini text-embedding-3-small
  agentinfra prices gpt-4o --prompt-tokens 12000 --completion-tokens 800

A model without a known price is unknown, never free. Give it one:
  AGENTINFRA_LLM__PRICES='{"my-model": {"input": 0.5, "output": 1.5}}'"""

_DATED = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{4,8}|latest)$")
_MILLION = Decimal(1_000_000)
_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a model costs, in USD per million tokens; None where nobody knows.

    Attributes:
        model: The model.
        input: A million prompt tokens.
        cached: A million prompt tokens the server had cached.
        output: A million completion tokens.
        tiered: Whether long prompts cost more than short ones; the dearest price is shown.
        source: Where the figures come from.
        call: What the call asked about costs, None where none was asked about.
    """

    model: str
    input: Decimal | None = None
    cached: Decimal | None = None
    output: Decimal | None = None
    tiered: bool = False
    source: str = _UNKNOWN
    call: Decimal | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("models", nargs="+", metavar="MODEL", help="a model's name")
    for kind, what in (
        ("prompt", "sent"),
        ("cached", "of the prompt that the server had cached"),
        ("completion", "generated"),
    ):
        parser.add_argument(
            f"--{kind}-tokens",
            type=whole("a number of tokens", least=0, most=10**12),
            default=0,
            metavar="N",
            help=f"compute a call's cost: tokens {what}",
        )
    parser.add_argument("--json", action="store_true", help="print a JSON array")


def run(args: argparse.Namespace) -> int:
    """Run the command; 1 where a model's price is unknown."""
    found = prices_of(args, settings_for(args).llm)
    if args.json:
        print(json.dumps([_plain(price) for price in found]))
    else:
        from agentinfra.demo.rendering import open_console

        console = open_console()
        console.print(_table(found, call=_usage_of(args) is not None))
        console.print("USD per million tokens", style="dim")
    return 0 if all(price.input is not None for price in found) else 1


def prices_of(args: argparse.Namespace, settings: LLMSettings) -> list[Price]:
    """Return the prices of the models asked about."""
    from agentinfra.llm.money.prices import PriceBook

    book = PriceBook(
        settings.prices,
        base_url=settings.base_url,
        azure=settings.api_version is not None,
        vendor=settings.prices_of,
    )
    return [_price(model, book, settings, _usage_of(args)) for model in args.models]


def _price(model: str, book: PriceBook, settings: LLMSettings, usage: Any) -> Price:
    rates = book.rates(model)
    if rates is None:
        return Price(model=model, source=book.missing or _UNKNOWN)
    return Price(
        model=model,
        input=rates.input * _MILLION,
        cached=rates.cached * _MILLION,
        output=rates.output * _MILLION,
        tiered=bool(rates.longer),
        source=_source(model, settings),
        call=None if usage is None else rates.cost(usage),
    )


def _source(model: str, settings: LLMSettings) -> str:
    if model in settings.prices or _DATED.sub("", model) in settings.prices:
        return "your settings"
    from importlib.metadata import version

    return f"genai-prices {version('genai-prices')}"


def _usage_of(args: argparse.Namespace) -> Any:
    if not (args.prompt_tokens or args.completion_tokens or args.cached_tokens):
        return None
    from agentinfra.results import Usage

    return Usage(
        prompt_tokens=max(args.prompt_tokens, args.cached_tokens),
        completion_tokens=args.completion_tokens,
        cached_tokens=args.cached_tokens,
        total_tokens=args.prompt_tokens + args.completion_tokens,
    )


def _table(found: list[Price], *, call: bool) -> Table:
    from rich.markup import escape

    from agentinfra.demo.rendering import plain_table

    table = plain_table()
    table.add_column("model")
    for name in ("input", "cached", "output", *(["this call"] if call else [])):
        table.add_column(name, justify="right")
    table.add_column("source")
    for price in found:
        figures = [_shown(price.input), _shown(price.cached), _shown(price.output)]
        if call:
            figures.append(_shown(price.call, prefix="$"))
        source = f"{price.source}; dearest tier" if price.tiered else price.source
        table.add_row(escape(price.model), *figures, escape(source))
    return table


def _shown(amount: Decimal | None, *, prefix: str = "") -> str:
    if amount is None:
        return "[yellow]unknown[/yellow]"
    return f"{prefix}{amount.normalize():f}"


def _plain(price: Price) -> Mapping[str, Any]:
    values = asdict(price)
    return {k: float(v) if isinstance(v, Decimal) else v for k, v in values.items()}
