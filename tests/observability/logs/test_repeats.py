"""Events that repeat themselves, by a clock that the test moves."""

from agentinfra.observability.logs.repeats import Repeats


def test_what_was_left_out_is_told_with_the_next_one():
    """Twenty of a kind are written in a second; the next one then says how many were left out."""
    moment = 100.0
    repeats = Repeats(now=lambda: moment)
    answers = [repeats.admit("x", "down", {"reason": "refused"}) for _ in range(25)]
    assert answers == [0] * 20 + [None] * 5
    assert repeats.admit("x", "down", {"reason": "other"}) == 0
    moment += 1.5
    assert repeats.admit("x", "down", {"reason": "refused"}) == 5
    moment += 1.5
    assert repeats.admit("x", "down", {"reason": "refused"}) == 0
