"""The pacer keeps to limits, grows and shrinks its window, and is fair."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentinfra._mechanics.pacer import Pacer, QueueFullError
from agentinfra.errors import ClosedError
from agentinfra.testing.clock import ManualClock


def _pacer(clock, **more):
    return Pacer(**{"max_running": 100, "max_queued": 1000, "clock": clock, **more})


async def _turn(times=5):
    for _ in range(times):
        await asyncio.sleep(0)


async def test_a_new_server_is_met_with_few_requests(clock):
    """Before anything is known, only the first window is let through at once."""
    pacer = _pacer(clock)
    permits = [pacer.try_acquire(1) for _ in range(20)]
    assert sum(permit is not None for permit in permits) == 16


async def test_the_window_doubles_with_each_window_of_successes(clock):
    """Successes open the window as in slow start."""
    pacer = _pacer(clock)
    for permit in [pacer.try_acquire(1) for _ in range(16)]:
        pacer.succeeded()
        pacer.release(permit)
    assert pacer.window == 32


async def test_a_refusal_halves_the_window_once_and_holds_requests_back(clock):
    """A burst of refusals counts once, and nobody is sent before the server's time."""
    pacer = _pacer(clock)
    permits = [pacer.try_acquire(1) for _ in range(10)]
    for permit in permits:
        pacer.refused(3.0)
        pacer.release(permit)
    assert pacer.window == 8
    waiting = asyncio.create_task(pacer.acquire(1))
    await _turn()
    await clock.advance(2.9)
    await _turn()
    assert not waiting.done()
    await clock.advance(0.2)
    await _turn()
    assert (await waiting).waited == pytest.approx(3.0, abs=0.2)
    await pacer.aclose()


async def test_limits_a_server_shows_are_kept_to(clock):
    """With three requests left and ten a minute, the fourth waits for its refill."""
    pacer = _pacer(clock)
    first = pacer.try_acquire(1)
    pacer.release(first)
    pacer.told(limits={"requests": (10.0, 3.0, 42.0)})  # seven missing, back in 42 s
    assert [pacer.try_acquire(1) is not None for _ in range(4)] == [True, True, True, False]
    assert pacer.expected_wait(1) == pytest.approx(6.0)


async def test_tokens_count_as_well_as_requests(clock):
    """A request whose tokens are not there waits, however many requests are left."""
    pacer = _pacer(clock)
    pacer.told(limits={"tokens": (1000.0, 100.0, 9.0)})
    assert pacer.try_acquire(200) is None
    assert pacer.try_acquire(100) is not None


async def test_a_request_larger_than_the_bucket_goes_when_it_is_full(clock):
    """What can never fit is left to the server to judge, not held for ever."""
    pacer = _pacer(clock)
    pacer.told(limits={"tokens": (1000.0, 0.0, 10.0)})
    waiting = asyncio.create_task(pacer.acquire(5000))
    await _turn()
    await clock.advance(10.1)
    await _turn()
    assert waiting.done()
    await pacer.aclose()


async def test_waiting_is_bounded(clock):
    """Beyond the bound on waiting requests the next is refused at once."""
    pacer = _pacer(clock, max_running=1, max_queued=1)
    permit = pacer.try_acquire(1)
    waiting = asyncio.create_task(pacer.acquire(1))
    await _turn()
    with pytest.raises(QueueFullError):
        await pacer.acquire(1)
    pacer.release(permit)
    await _turn()
    assert waiting.done()
    await pacer.aclose()


async def test_tenants_take_turns(clock):
    """A tenant with one request does not wait behind another's hundred."""
    pacer = _pacer(clock, max_running=1)
    held = pacer.try_acquire(1)
    order = []

    async def one(tenant):
        permit = await pacer.acquire(1, tenant=tenant)
        order.append(tenant)
        pacer.release(permit)

    tasks = [asyncio.create_task(one("big")) for _ in range(10)]
    await _turn()
    tasks.append(asyncio.create_task(one("small")))
    await _turn()
    pacer.release(held)
    await asyncio.gather(*tasks)
    assert order.index("small") <= 1
    await pacer.aclose()


async def test_a_permit_handed_to_a_cancelled_waiter_goes_to_the_next(clock):
    """Cancelling at the moment of the hand-over loses nothing."""
    pacer = _pacer(clock, max_running=1)
    held = pacer.try_acquire(1)
    first = asyncio.create_task(pacer.acquire(1))
    second = asyncio.create_task(pacer.acquire(1))
    await _turn()
    pacer.release(held)
    await asyncio.sleep(0)
    first.cancel()
    await _turn(10)
    assert second.done()
    assert pacer.running == 1
    await pacer.aclose()


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.floats(0, 30), st.booleans()), min_size=1, max_size=25
    )
)
def test_counters_come_back_to_rest(calls):
    """Whatever is cancelled whenever, nothing stays in flight or in the queue."""

    async def main():
        clock = ManualClock()
        pacer = _pacer(clock, max_running=3)
        pacer.told(limits={"requests": (5.0, 2.0, 3.0)})

        async def one(tenant, hold):
            permit = await pacer.acquire(1, tenant=tenant)
            try:
                await clock.sleep(hold)
            finally:
                pacer.release(permit)

        tasks = []
        for tenant, hold, cancel in calls:
            task = asyncio.create_task(one(tenant, hold))
            tasks.append(task)
            await _turn(2)
            if cancel:
                task.cancel()
        for _ in range(200):
            await clock.advance(5)
            await _turn()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (pacer.running, pacer.queued) == (0, 0)
        assert pacer._sent_tokens == 0
        await pacer.aclose()

    asyncio.run(main())


async def test_whoever_waits_is_told_when_it_is_closed(clock):
    """Nobody cancelled the waiting tasks, so they get ClosedError, and leave nothing behind."""
    pacer = _pacer(clock, max_running=1)
    permit = await pacer.acquire(1)
    waiting = [asyncio.create_task(pacer.acquire(1)) for _ in range(3)]
    await _turn()
    waiting[0].cancel()
    await pacer.aclose()
    done = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(each) for each in done] == [asyncio.CancelledError, ClosedError, ClosedError]
    pacer.release(permit)
    assert (pacer.running, pacer.queued) == (0, 0)
