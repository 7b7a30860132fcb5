"""What is left of a server's rate limit where several processes share it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentinfra._mechanics.rate import ServerBucket
from agentinfra.testing import ManualClock


def _fits(bucket):
    """Return how many units can be sent now."""
    return next(n for n in range(200) if bucket.seconds_until(n + 1.0) > 0)


@pytest.fixture
def spent(clock):
    """Return a bucket of which a tenth was guessed to be ours, and all of that was sent."""
    bucket = ServerBucket(clock)
    bucket.told(limit=100, remaining=80, reset=60, on_the_way=0)
    bucket.share(0.1)
    bucket.take(8.0)
    assert _fits(bucket) == 0
    return bucket


def test_a_larger_part_gives_what_the_server_said_is_left(spent):
    """Half of the 80 the server spoke of a moment ago, less the 8 that were sent since."""
    spent.share(0.5)
    assert _fits(spent) == 32


def test_who_has_just_begun_is_careful(spent):
    """All of them take the last word of the server for the whole: 0.7 of it is handed out."""
    spent.share(0.5, first=True)
    assert _fits(spent) == 20


async def test_what_was_said_long_ago_is_not_handed_out(spent, clock):
    """Others have used it meanwhile; what comes in by the rate is all there is."""
    await clock.advance(1.0)
    before = _fits(spent)
    spent.share(0.2)
    assert _fits(spent) <= 2 * before + 1


@given(
    limit=st.floats(1.0, 1e6),
    left=st.floats(0.0, 1.0),
    reset=st.floats(1.0, 600.0),
    amounts=st.lists(st.floats(0.1, 1e4), min_size=1, max_size=5),
)
def test_what_was_waited_for_fits(limit, left, reset, amounts):
    """Behind the wait it names a request fits: what rounding leaves is not waited for again."""
    clock = ManualClock()
    bucket = ServerBucket(clock)
    bucket.told(limit=limit, remaining=limit * left, reset=reset, on_the_way=0.0)
    for amount in amounts:
        clock.shift(bucket.seconds_until(amount))
        assert bucket.seconds_until(amount) == 0.0
        bucket.take(amount)
