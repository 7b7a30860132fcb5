"""What a few labels say about a rate."""

from __future__ import annotations

from functools import lru_cache
from math import exp, lgamma, log, log1p

__all__ = ["interval", "lower_bound", "proven", "upper_bound"]

_NOTHING = 1e-14
_HALVINGS = 40
_SMALLER = (0.05, 0.1, 0.2, 0.3, 0.5)
"""The parts of a rate that are bet on, a fifth each."""


def proven(false: int, labels: int, rate: float, confidence: float) -> bool:
    """Say whether labels prove that a rate is below ``rate``, however often they are looked at.

    A bound of Clopper and Pearson holds when it is looked at once. Looked at after every label, it
    falls below a rate that is too high sooner or later, by a lucky run, and that is when it would
    be believed. So how much likelier smaller rates make the labels is taken for a bet against
    ``rate``: where that is the truth, the bet ever grows to 20 in one case of 20 (Ville 1939).
    """
    if false >= rate * labels:
        return False
    won = sum(exp(false * wrong + (labels - false) * right) for wrong, right in _bets(rate))
    return won * (1.0 - confidence) >= len(_SMALLER)


@lru_cache(maxsize=64)
def _bets(rate: float) -> tuple[tuple[float, float], ...]:
    """Return by what a wrong and a right label multiply each bet, as logarithms."""
    return tuple((log(part), log1p(-part * rate) - log1p(-rate)) for part in _SMALLER)


def upper_bound(false: int, labels: int, confidence: float) -> float:
    """Return the upper bound of Clopper and Pearson, looked at once, of a rate."""
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
