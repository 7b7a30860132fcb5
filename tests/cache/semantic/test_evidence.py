"""Learning where answers may be given."""

from __future__ import annotations

import pytest

from agentinfra.cache.semantic.evidence import Audits, Evidence


def taught(labels, score=1.0, **more):
    evidence = Evidence(0.01, 0.95)
    for number in range(labels):
        evidence.learn(score, f"q{number}", right=True, **more)
    return evidence


def test_nothing_is_served_before_the_bound_is_reached():
    """368 right labels are enough for one per cent, 367 are not."""
    evidence = taught(367)
    assert not evidence.serves(1.0, "x")
    evidence.learn(1.0, "x", right=True)
    assert evidence.serves(1.0, "x")
    assert evidence.serves(1.5, "x")
    assert not evidence.serves(0.97, "x")


def test_a_wrong_label_shuts_a_band_until_more_are_right():
    """With one wrong 609 labels are needed."""
    evidence = taught(368)
    evidence.learn(1.0, "bad", right=False)
    assert not evidence.serves(1.0, "x")
    for _ in range(240):
        evidence.learn(1.0, "good", right=True)
    assert evidence.serves(1.0, "x")


def test_a_lower_band_counts_what_is_above_it():
    """A band opens on the labels in it and above it together, not on those below."""
    evidence = taught(200, 1.0)
    for _ in range(168):
        evidence.learn(0.5, "x", right=True)
    assert evidence.opens_at == pytest.approx(0.5)
    evidence = taught(368, 0.5)
    assert not evidence.serves(1.0, "x") or evidence.opens_at == pytest.approx(0.5)
    for _ in range(50):
        evidence.learn(0.3, "x", right=False)
    assert evidence.opens_at == pytest.approx(0.5)


def test_an_entry_that_was_wrong_stays_shut_where_it_was():
    """It is not given up to the band it was wrong in, until its own labels are enough."""
    evidence = taught(1_000)
    evidence.learn(1.0, "bad", right=False)
    assert evidence.serves(1.0, "x")
    assert not evidence.serves(1.0, "bad")
    assert evidence.serves(1.1, "bad")
    for _ in range(608):
        evidence.learn(1.0, "bad", right=True)
    assert evidence.serves(1.0, "bad")


def test_what_is_forgotten_of_an_entry_is_forgotten():
    """A question that comes back begins anew."""
    evidence = taught(1_000)
    evidence.learn(1.0, "bad", right=False)
    evidence.forget("bad")
    assert evidence.serves(1.0, "bad")


def test_too_many_false_audits_switch_it_off_and_it_learns_anew():
    """One false audit is an accident; two of few are not, and what was learnt counts no more."""
    evidence = taught(2_000)
    assert not evidence.audit(1.0, "a", right=False)
    assert evidence.serves(1.0, "x")
    assert not evidence.serves(1.0, "a")  # an audit is a label like any other
    assert evidence.labels == 2_001
    assert evidence.audit(1.0, "b", right=False)
    assert (evidence.off, evidence.labels, evidence.serves(1.0, "x")) == (True, 0, False)
    for number in range(368):
        evidence.learn(1.0, f"n{number}", right=True)
    assert (evidence.off, evidence.serves(1.0, "x")) == (False, True)


def test_few_false_audits_among_many_leave_it_on():
    """Three false of a thousand are within one per cent."""
    evidence = taught(3_000)
    said = [evidence.audit(1.0, "x", right=number % 333 != 332) for number in range(1_000)]
    assert not any(said)
    assert (evidence.audited, evidence.false, evidence.off) == (1_000, 3, False)


def test_audits_say_a_rate_and_its_interval():
    """Without audits nothing is known; with them the interval holds the rate."""
    assert Audits.of(0, 0, 0.95) == Audits()
    found = Audits.of(1_000, 5, 0.95)
    assert (found.rate, found.low, found.high) == pytest.approx((0.005, 0.00163, 0.01163), abs=1e-5)
