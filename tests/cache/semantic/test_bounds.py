"""Bounds of a rate of which a few labels are known."""

from __future__ import annotations

from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentinfra.cache.semantic.bounds import interval, lower_bound, upper_bound, within


@pytest.mark.parametrize(
    ("false", "labels", "confidence", "bound"),
    [
        (0, 298, 0.95, 0.01000),
        (0, 299, 0.95, 0.00997),
        (3, 100, 0.95, 0.07571),
        (1, 2, 0.95, 0.97468),
    ],
)
def test_the_upper_bound_is_that_of_clopper_and_pearson(false, labels, confidence, bound):
    """Published values come out."""
    assert upper_bound(false, labels, confidence) == pytest.approx(bound, abs=1e-5)


def test_both_ends_meet_the_published_interval():
    """Ten of a hundred at 95 % lie between 4.90 and 17.62 %."""
    assert interval(10, 100, 0.95) == pytest.approx((0.04900, 0.17622), abs=1e-5)


def test_without_labels_nothing_is_known():
    """No rate is excluded, and none is within a bound."""
    assert (lower_bound(0, 0, 0.95), upper_bound(0, 0, 0.95)) == (0.0, 1.0)
    assert not within(0, 0, 0.5, 0.95)


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n - 1), st.just(n))))
def test_at_the_bound_so_few_are_seen_in_one_case_of_twenty(seen):
    """What the bound means, counted out."""
    false, labels = seen
    rate = upper_bound(false, labels, 0.95)
    chance = sum(comb(labels, k) * rate**k * (1 - rate) ** (labels - k) for k in range(false + 1))
    assert chance == pytest.approx(0.05, abs=1e-6)


@given(st.integers(0, 40), st.integers(1, 3_000), st.sampled_from([0.005, 0.01, 0.05, 0.2]))
def test_within_is_the_bound_compared(false, labels, rate):
    """It says what comparing the upper bound would say."""
    bound = upper_bound(min(false, labels), labels, 0.95)
    if abs(bound - rate) > 1e-9:
        assert within(min(false, labels), labels, rate, 0.95) == (bound <= rate)
