"""The rate-limit headers of OpenAI and compatible servers.

https://platform.openai.com/docs/guides/rate-limits, "Rate limits in headers".
"""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["limits_in", "seconds"]

_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

Limits = dict[str, tuple[float | None, float, float | None]]


def limits_in(headers: Mapping[str, str]) -> Limits:
    """Return by kind (``requests``, ``tokens``) the size, the rest and the seconds to reset.

    A kind is left out where the response does not say what remains.
    """
    found: Limits = {}
    for kind in ("requests", "tokens"):
        remaining = _number(headers.get(f"x-ratelimit-remaining-{kind}"))
        if remaining is not None:
            limit = _number(headers.get(f"x-ratelimit-limit-{kind}"))
            reset = seconds(headers.get(f"x-ratelimit-reset-{kind}") or "")
            found[kind] = (limit if limit and limit > 0 else None, max(0.0, remaining), reset)
    return found


def seconds(text: str) -> float | None:
    """Return a duration such as ``6m0s``, ``12ms`` or ``1.5`` in seconds, None when unreadable."""
    parts = _PART.findall(text)
    if parts:
        return sum(float(number) * _UNITS[unit] for number, unit in parts)
    return _number(text)


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
