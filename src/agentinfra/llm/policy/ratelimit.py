"""The rate-limit headers of OpenAI and compatible servers.

https://platform.openai.com/docs/guides/rate-limits, "Rate limits in headers".
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

__all__ = ["limits_in", "seconds"]

_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

LONGEST_RESET = 3600.0
"""Seconds to a reset that are believed; a date, or a day's limit, says nothing of the pace now."""

Limits = dict[str, tuple[float | None, float, float | None]]


def limits_in(headers: Mapping[str, str]) -> Limits:
    """Return by kind (``requests``, ``tokens``) the size, the rest and the seconds to reset.

    A kind is left out where the response does not say what remains, or says what cannot be
    (Azure's -1, where it knows no limit); a size or a reset that makes no sense is None.
    """
    found: Limits = {}
    for kind in ("requests", "tokens"):
        remaining = _number(headers.get(f"x-ratelimit-remaining-{kind}"))
        if remaining is None or remaining < 0:
            continue
        limit = _number(headers.get(f"x-ratelimit-limit-{kind}"))
        if limit is not None and (limit <= 0 or limit < remaining):
            limit = None
        reset = seconds(headers.get(f"x-ratelimit-reset-{kind}") or "")
        if reset is not None and not 0 <= reset <= LONGEST_RESET:
            reset = None
        found[kind] = (limit, remaining, reset)
    return found


def seconds(text: str) -> float | None:
    """Return a duration such as ``6m0s``, ``12ms`` or ``1.5`` in seconds, None when unreadable."""
    if (number := _number(text)) is not None:
        return number
    parts = _PART.findall(text)
    if not parts or _PART.sub("", text).strip():
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def _number(text: str | None) -> float | None:
    try:
        number = float(text) if text else None
    except ValueError:
        return None
    return number if number is not None and math.isfinite(number) else None
