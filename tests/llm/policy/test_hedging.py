"""Second requests beside slow ones: which answer counts, and what becomes of the other."""

import asyncio

import pytest

from agentinfra.errors import ServerError
from agentinfra.llm.policy.hedging import ENOUGH, Hedger


@pytest.fixture
async def hedger(clock):
    """Return one that has seen requests of a second each, and hedges all that take longer."""
    made = Hedger(clock=clock, ratio=1.0)
    for _ in range(ENOUGH):
        task = asyncio.create_task(made.run("a", lambda: clock.sleep(1), on_second=_never))
        await clock.sleepers(1)
        await clock.advance(1)
        await task
    return made


class _Requests:
    """Requests that answer or fail after a while, in the order they are sent."""

    def __init__(self, clock, *plans):
        self._clock = clock
        self._plans = list(plans)
        self.cancelled = 0
        self.sent = 0

    async def send(self):
        self.sent += 1
        seconds, outcome = self._plans.pop(0)
        try:
            await self._clock.sleep(seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def _never():
    raise AssertionError("no second request was due")


async def _outcome(hedger, clock, requests, *, steps=20, target="a"):
    seconds = []
    task = asyncio.create_task(
        hedger.run(target, requests.send, on_second=lambda: seconds.append(clock.now()))
    )
    await asyncio.sleep(0)
    for _ in range(steps):
        if task.done():
            break
        await clock.advance(0.5)
        for _ in range(5):
            await asyncio.sleep(0)
    return await task, len(seconds)


async def test_nothing_is_late_before_enough_was_seen(clock):
    """Without a history there is no second request, however long the first takes."""
    fresh = Hedger(clock=clock, ratio=1.0)
    requests = _Requests(clock, (9, "first"))
    assert fresh.delay("a") is None
    assert await _outcome(fresh, clock, requests) == ("first", 0)


async def test_targets_have_histories_of_their_own(hedger, clock):
    """What is slow for one model may be usual for another."""
    assert hedger.delay("a") == 1
    assert hedger.delay("b") is None
    assert await _outcome(hedger, clock, _Requests(clock, (9, "first")), target="b") == ("first", 0)


async def test_the_delay_is_a_high_percentile(clock):
    """One slow request among twenty is what the rest is measured by, and no more."""
    made = Hedger(clock=clock)
    for seconds in [1] * 18 + [5, 9]:
        requests = _Requests(clock, (seconds, None))
        await _outcome(made, clock, requests)
    assert made.delay("a") == 9


async def test_the_second_one_may_win(hedger, clock):
    """What answers first is taken, the other request is cancelled."""
    requests = _Requests(clock, (9, "first"), (1, "second"))
    assert await _outcome(hedger, clock, requests) == ("second", 1)
    assert requests.cancelled == 1


async def test_the_first_one_may_still_win(hedger, clock):
    """A first request that answers after all is taken, the second is cancelled."""
    requests = _Requests(clock, (2, "first"), (9, "second"))
    assert await _outcome(hedger, clock, requests) == ("first", 1)
    assert requests.cancelled == 1


async def test_a_failure_waits_for_the_other(hedger, clock):
    """Where one of two fails, the other's answer is taken, whichever failed."""
    broken = ServerError("no", status_code=500)
    assert await _outcome(hedger, clock, _Requests(clock, (2, broken), (3, "second"))) == (
        "second",
        1,
    )
    assert await _outcome(hedger, clock, _Requests(clock, (4, "first"), (1, broken))) == (
        "first",
        1,
    )


async def test_two_failures_are_the_first_ones(hedger, clock):
    """Where both fail, the first request's error is raised."""
    first, second = ServerError("first", status_code=500), ServerError("second", status_code=500)
    requests = _Requests(clock, (4, first), (1, second))
    with pytest.raises(ServerError, match="first"):
        await _outcome(hedger, clock, requests)
    assert requests.sent == 2


async def test_a_quick_failure_gets_no_second_one(hedger, clock):
    """A request that fails in time is for the retry policy, not for hedging."""
    requests = _Requests(clock, (0.5, ServerError("no", status_code=500)))
    with pytest.raises(ServerError):
        await _outcome(hedger, clock, requests)
    assert requests.sent == 1


async def test_cancelling_the_call_cancels_both(hedger, clock):
    """No request outlives the call it was sent for."""
    requests = _Requests(clock, (9, "first"), (9, "second"))
    task = asyncio.create_task(hedger.run("a", requests.send, on_second=lambda: None))
    await clock.sleepers(2)
    await clock.advance(1)
    await clock.sleepers(2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert requests.cancelled == requests.sent == 2
