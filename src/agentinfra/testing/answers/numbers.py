"""Numbers and booleans for a schema."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from agentinfra.testing.answers.evidence import Evidence
from agentinfra.testing.answers.words import (
    STOPWORDS,
    name_stems,
    root_set,
    stem,
    stems,
    tokens,
    word_set,
)

__all__ = ["fill_boolean", "fill_number"]

_SHARES = root_set("confidence score probability certainty likelihood relevance")
_BOUNDS = root_set("limit top k size count max offset page results")
_LEADS = root_set("top first last limit up")
_SURE, _FEW = 0.9, 10
_NEGATIONS = word_set("no not without don't never exclude excluding except")


def fill_number(
    schema: Mapping[str, Any], name: str, evidence: Evidence, *, integer: bool, required: bool
) -> int | float | None:
    """Return a number for a schema, None for an optional one that nothing speaks for.

    A required number takes the question's next unused number; a confidence, a limit and their
    kind only one that stands beside their name ("top 5").
    """
    roots = frozenset(name_stems(name))
    special = not roots.isdisjoint(_SHARES) or (bool(roots) and roots <= _BOUNDS)
    near = roots | _LEADS if roots <= _BOUNDS else roots
    value = evidence.number(
        near if name else (), integer=integer, anywhere=not name or (required and not special)
    )
    if value is not None:
        return _fitted(value, schema, integer=integer)
    if not required:
        return None
    default = schema.get("default")
    if isinstance(default, int | float) and not isinstance(default, bool):
        return default
    start = _SURE if not roots.isdisjoint(_SHARES) else _FEW if special else 1
    return _fitted(start, schema, integer=integer)


def _fitted(value: float, schema: Mapping[str, Any], *, integer: bool) -> int | float:
    """Return the nearest number that keeps a schema's bounds."""
    low, high = _bounds(schema, integer=integer)
    value = min(max(value, low), high)
    step = schema.get("multipleOf")
    if step:
        value = math.floor(value / step) * step
        value = value + step if value < low else value
    if integer:
        return math.ceil(value) if math.ceil(value) <= high else math.floor(value)
    return value


def _bounds(schema: Mapping[str, Any], *, integer: bool) -> tuple[float, float]:
    low = schema.get("minimum", -math.inf)
    high = schema.get("maximum", math.inf)
    over, under = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    gap = 1.0 if integer else _gap(over, under)
    if isinstance(over, int | float) and not isinstance(over, bool):
        low = max(low, math.floor(over) + 1 if integer else over + gap)
    if isinstance(under, int | float) and not isinstance(under, bool):
        high = min(high, math.ceil(under) - 1 if integer else under - gap)
    return low, high


def _gap(over: Any, under: Any) -> float:
    if over is None or under is None:
        return 1e-6
    return float(under - over) / 4


def fill_boolean(
    schema: Mapping[str, Any], name: str, description: str, evidence: Evidence, *, required: bool
) -> bool | None:
    """Return a boolean for a schema, None for an optional one that nothing speaks for.

    True when the question has a word of the property's name, unless a negation is just before it.
    """
    plain = [root for word, root in zip(tokens(name), name_stems(name), strict=False)
             if word not in STOPWORDS]  # fmt: skip
    words = stems(evidence.question)
    raw = tokens(evidence.question)
    for place, root in enumerate(words):
        if root in plain:
            return _NEGATIONS.isdisjoint(raw[max(0, place - 3) : place])
    if not required:
        return None
    default = schema.get("default")
    if isinstance(default, bool):
        return default
    said = set(stems(description)) - {stem(word) for word in STOPWORDS}
    return len(said & set(words)) > 1
