"""Steps that are bounded in time by one timer, as asyncio's own timeouts bound them."""

import asyncio
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentinfra._mechanics.clock import SYSTEM_CLOCK
from agentinfra._mechanics.timeouts import Timeouts
from agentinfra.testing import ManualClock


class _Counting(ManualClock):
    """Knows how many alarms were set, and how many of them are left."""

    def __init__(self):
        super().__init__()
        self.made = 0
        self.left = 0

    def call_at(self, when, callback):
        self.made += 1
        self.left += 1
        clock = self

        def ring():
            clock.left -= 1
            callback()

        alarm = super().call_at(when, ring)

        class Alarm:
            def cancel(self):
                clock.left -= 1
                alarm.cancel()

        return Alarm()


@pytest.fixture
def clock():
    return _Counting()


@pytest.fixture
def timeouts(clock):
    return Timeouts(clock)


async def _step(timeouts, when, work):
    with timeouts.until(when):
        return await work


async def test_a_step_in_time_is_left_alone(timeouts, clock):
    """What ends before its moment gives its value, and is forgotten."""
    task = asyncio.create_task(_step(timeouts, clock.now() + 2, clock.sleep(1)))
    await clock.sleepers(1)
    await clock.advance(1)
    await task
    assert len(timeouts) == 0


async def test_a_late_step_times_out(timeouts, clock):
    """What takes longer is cancelled at its moment, and leaves as TimeoutError."""
    task = asyncio.create_task(_step(timeouts, clock.now() + 2, clock.sleep(9)))
    await clock.sleepers(1)
    await clock.advance(1.9)
    assert not task.done()
    await clock.advance(0.2)
    with pytest.raises(TimeoutError):
        await task
    assert task.cancelling() == 0


async def test_a_moment_that_has_passed(timeouts, clock):
    """A step whose moment has passed times out at its first wait."""
    with pytest.raises(TimeoutError):
        await _step(timeouts, clock.now() - 1, clock.sleep(9))


async def test_without_a_moment_nothing_is_bounded(timeouts, clock):
    """None never cancels and sets no timer."""
    task = asyncio.create_task(_step(timeouts, None, clock.sleep(1e9)))
    await clock.sleepers(1)
    assert clock.made == 0
    await clock.advance(2e9)
    await task


async def test_a_cancellation_from_elsewhere_stays_one(timeouts, clock):
    """Cancelling the task is not taken for the timeout, even when both come at once."""
    for expired in (False, True):
        task = asyncio.create_task(_step(timeouts, clock.now() + 1, clock.sleep(9)))
        await asyncio.sleep(0)
        if expired:
            advancing = clock.advance(1)
            task.cancel()
            await advancing
        else:
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_an_error_of_the_block_goes_through(timeouts, clock):
    """An error is raised as it is, and the step is forgotten."""
    with pytest.raises(KeyError), timeouts.until(clock.now() + 1):
        raise KeyError("a")
    assert len(timeouts) == 0


async def test_the_inner_of_two_steps_ends_first(timeouts, clock):
    """A step inside of another times out alone; the outer one goes on."""

    async def nested():
        with timeouts.until(clock.now() + 5):
            with pytest.raises(TimeoutError):
                await _step(timeouts, clock.now() + 1, clock.sleep(9))
            await clock.sleep(2)
            return "went on"

    task = asyncio.create_task(nested())
    await clock.sleepers(1)
    await clock.advance(1)
    await clock.sleepers(1)
    await clock.advance(2)
    assert await task == "went on"


async def test_a_thousand_steps_share_one_timer(timeouts, clock):
    """Steps that end in time set no timer beside the first one's."""
    for _ in range(1000):
        await _step(timeouts, clock.now() + 60, asyncio.sleep(0))
        await clock.advance(0.001)
    assert clock.made == 1


async def test_closing_takes_the_timer_away(timeouts, clock):
    """No timer is left on the loop."""
    task = asyncio.create_task(_step(timeouts, clock.now() + 1, clock.sleep(2)))
    await clock.sleepers(1)
    timeouts.close()
    assert clock.left == 0
    await clock.advance(2)
    await task


@given(
    st.lists(
        st.tuples(
            st.integers(0, 50),
            st.integers(1, 50),
            st.one_of(st.none(), st.integers(1, 50)),
        ),
        max_size=20,
    )
)
def test_who_is_late_times_out_and_nobody_else(steps):
    """Whenever steps begin, exactly those that take longer than they may time out, on time."""

    async def one(timeouts, clock, begin, takes, may):
        await clock.sleep(begin + 0.5)
        began = clock.now()
        when = None if may is None else began + may + 0.25
        try:
            await _step(timeouts, when, clock.sleep(takes))
        except TimeoutError:
            return "late", clock.now() - began
        return "done", clock.now() - began

    async def main():
        clock = ManualClock()
        timeouts = Timeouts(clock)
        tasks = [asyncio.create_task(one(timeouts, clock, *step)) for step in steps]
        await asyncio.sleep(0)
        for _ in range(110):
            await clock.advance(1)
        for (_, takes, may), outcome in zip(steps, await asyncio.gather(*tasks), strict=True):
            bound = math.inf if may is None else may + 0.25
            wanted = ("late", bound) if takes > bound else ("done", takes)
            assert outcome[0] == wanted[0]
            assert outcome[1] == pytest.approx(wanted[1])
        assert len(timeouts) == 0
        timeouts.close()

    asyncio.run(main())


async def test_real_time_counts_as_well():
    """On the system's clock a late step times out too."""
    timeouts = Timeouts()
    never = asyncio.get_running_loop().create_future()
    with pytest.raises(TimeoutError):
        await _step(timeouts, SYSTEM_CLOCK.now() + 0.005, never)
    timeouts.close()
