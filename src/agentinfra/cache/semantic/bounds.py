"""What a few labels say about a rate: bounds of Clopper and Pearson, which are never too tight."""

from __future__ import annotations

from math import exp, lgamma, log, log1p

__all__ = ["interval", "lower_bound", "upper_bound", "within"]

_NOTHING = 1e-14
_HALVINGS = 40


def within(false: int, labels: int, rate: float, confidence: float) -> bool:
    """Say whether the one-sided upper bound of a rate is at most ``rate``."""
    if not labels or false >= rate * labels:
        return False
    return _at_most(false, labels, rate) <= 1.0 - confidence


def upper_bound(false: int, labels: int, confidence: float) -> float:
    """Return the one-sided upper bound of a rate of which ``false`` in ``labels`` were seen."""
    if false >= labels:
        return 1.0
    low, high = false / labels, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _at_most(false, labels, middle) > 1.0 - confidence:
            low = middle
        else:
            high = middle
    return high


def lower_bound(false: int, labels: int, confidence: float) -> float:
    """Return the one-sided lower bound of a rate."""
    return 1.0 - upper_bound(labels - false, labels, confidence) if labels else 0.0


def interval(false: int, labels: int, confidence: float) -> tuple[float, float]:
    """Return the two-sided interval of a rate."""
    side = (1.0 + confidence) / 2
    return lower_bound(false, labels, side), upper_bound(false, labels, side)


def _at_most(false: int, labels: int, rate: float) -> float:
    """Return the chance of so many false labels or fewer, where each is false at a rate.

    Asked for rates above what was seen only: there the terms fall from the last one downwards.
    """
    if rate >= 1.0:
        return 0.0
    term = exp(
        lgamma(labels + 1)
        - lgamma(false + 1)
        - lgamma(labels - false + 1)
        + false * log(rate)
        + (labels - false) * log1p(-rate)
    )
    total, odds = term, (1.0 - rate) / rate
    for number in range(false, 0, -1):
        term *= number / (labels - number + 1) * odds
        total += term
        if term < _NOTHING * total:
            break
    return total
