"""Numbers people type: out of range they are one sentence that says what is in it."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Final

__all__ = ["amount", "duration", "whole"]

_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_DURATION: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*([smhdw])", re.ASCII)
_LONGEST: Final = 100 * 365 * 86_400.0
_AMOUNT: Final = re.compile(r"\d{1,12}(?:\.\d{1,12})?", re.ASCII)
_DIGITS: Final = re.compile(r"-?\d[\d_,]{0,24}", re.ASCII)


def whole(what: str, *, least: int, most: int) -> Callable[[str], int]:
    """Return a function that reads a whole number, ``12_000`` and ``12,000`` too.

    Args:
        what: What the number is, with its article.
        least: The smallest.
        most: The largest.
    """

    def read(text: str) -> int:
        match = _DIGITS.fullmatch(text.strip())
        number = int(match[0].replace(",", "").replace("_", "")) if match else None
        if number is None or not least <= number <= most:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not {what}: give a whole number from {least:,} to {most:,}"
            )
        return number

    return read


def amount(text: str) -> Decimal:
    """Return an amount of money such as ``7.50``, exactly."""
    given = text.strip().removeprefix("$")
    if not _AMOUNT.fullmatch(given):
        raise argparse.ArgumentTypeError(f"{text!r} is no amount in US dollars: write 7.50")
    return Decimal(given)


def duration(text: str) -> float:
    """Return the seconds of a duration such as ``30d``."""
    match = _DURATION.fullmatch(text.strip().lower())
    seconds = float(match[1]) * _UNITS[match[2]] if match else None
    if seconds is None or seconds > _LONGEST:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no duration of up to 100 years: write 30d, 12h or 2w"
        )
    return seconds
