"""The circuit breaker's states, and what moves it between them."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agentinfra._mechanics.breaker import CircuitBreaker
from agentinfra.testing.clock import ManualClock


@pytest.fixture
def breaker(clock):
    return CircuitBreaker(window=10, minimum=4, cool_down=5, longest=20, clock=clock)


def _fail(breaker, times=1):
    for _ in range(times):
        breaker.admit().end(ok=False)


def test_a_server_that_fails_is_left_alone(breaker):
    """After enough failures nothing is let through until the cool-down is over."""
    _fail(breaker, 4)
    assert breaker.state == "open"
    assert breaker.admit() is None
    assert breaker.retry_after == 5


def test_few_failures_among_successes_keep_it_closed(breaker):
    """Fewer failures than the ratio open nothing."""
    for _ in range(7):
        breaker.admit().end(ok=True)
    _fail(breaker, 3)
    assert breaker.state == "closed"


def test_one_probe_at_a_time(breaker, clock):
    """Half-open, a second request waits for the first one's outcome."""
    _fail(breaker, 4)
    clock.shift(5)
    assert breaker.state == "half-open"
    probe = breaker.admit()
    assert probe is not None
    assert breaker.admit() is None
    probe.end(ok=True)
    assert breaker.state == "closed"


def test_a_failed_probe_doubles_the_cool_down_up_to_the_longest(breaker, clock):
    """Each failed probe makes the next wait twice as long, to a bound."""
    _fail(breaker, 4)
    waits = []
    for _ in range(4):
        clock.shift(breaker.retry_after)
        breaker.admit().end(ok=False)
        waits.append(breaker.retry_after)
    assert waits == [10, 20, 20, 20]


def test_an_abandoned_probe_makes_room_for_the_next(breaker, clock):
    """A cancelled probe decides nothing."""
    _fail(breaker, 4)
    clock.shift(5)
    breaker.admit().end(ok=None)
    assert breaker.state == "half-open"
    assert breaker.admit() is not None


def test_late_answers_do_not_move_it(breaker, clock):
    """A request let through before it opened neither closes nor opens it later."""
    early = [breaker.admit() for _ in range(6)]
    _fail(breaker, 4)
    clock.shift(5)
    breaker.admit().end(ok=True)
    for admission in early:
        admission.end(ok=False)
    assert breaker.state == "closed"


class BreakerMachine(RuleBasedStateMachine):
    """Whatever happens, probes are given back and an open breaker always opens up again."""

    def __init__(self):
        super().__init__()
        self.clock = ManualClock()
        self.breaker = CircuitBreaker(window=6, minimum=3, cool_down=2, longest=8, clock=self.clock)
        self.out = []

    @rule()
    def admit(self):
        """Ask for leave."""
        admission = self.breaker.admit()
        if admission is not None:
            self.out.append(admission)

    @precondition(lambda self: self.out)
    @rule(ok=st.sampled_from([True, False, None]), data=st.data())
    def end(self, ok, data):
        """End any request under way, in any order."""
        index = data.draw(st.integers(0, len(self.out) - 1))
        self.out.pop(index).end(ok=ok)

    @rule(seconds=st.floats(0.1, 10))
    def wait(self, seconds):
        """Let time pass."""
        self.clock.shift(seconds)

    @invariant()
    def waits_are_bounded(self):
        """Nobody is sent away for longer than the longest cool-down."""
        assert 0 <= self.breaker.retry_after <= 8

    def teardown(self):
        """With everything ended and time gone by, a request is let through."""
        for admission in self.out:
            admission.end(ok=None)
        self.clock.shift(8)
        assert self.breaker.admit() is not None


TestBreakerMachine = BreakerMachine.TestCase
TestBreakerMachine.settings = settings(max_examples=50, stateful_step_count=40)
