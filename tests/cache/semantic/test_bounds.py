"""Bounds of a rate of which a few labels are known."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentinfra.cache.semantic.bounds import interval, lower_bound, proven, upper_bound


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
    assert not proven(0, 0, 0.5, 0.95)


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n - 1), st.just(n))))
def test_at_the_bound_so_few_are_seen_in_one_case_of_twenty(seen):
    """What the bound means, counted out."""
    false, labels = seen
    rate = upper_bound(false, labels, 0.95)
    chance = sum(comb(labels, k) * rate**k * (1 - rate) ** (labels - k) for k in range(false + 1))
    assert chance == pytest.approx(0.05, abs=1e-6)


@pytest.mark.parametrize(("false", "labels"), [(0, 368), (1, 609), (5, 1_389)])
def test_so_many_labels_prove_one_per_cent(false, labels):
    """One less does not, and neither does one more that is wrong."""
    assert proven(false, labels, 0.01, 0.95)
    assert not proven(false, labels - 1, 0.01, 0.95)
    assert not proven(false + 1, labels + 1, 0.01, 0.95)


@pytest.mark.parametrize("rate", [0.05, 0.3])
def test_a_rate_that_is_too_high_is_hardly_ever_proven_to_be_lower(rate):
    """In one of 20 streams at most, though it is looked at after every label."""
    labels = np.random.default_rng(11).random((400, 250)) < rate
    fooled = sum(
        any(proven(false, at, rate, 0.95) for at, false in enumerate(stream, 1))
        for stream in np.cumsum(labels, axis=1).tolist()
    )
    assert fooled <= 28  # 20 by the bound, and two deviations for chance
