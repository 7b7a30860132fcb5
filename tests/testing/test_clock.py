"""The manual clock: who waits for it, who moves it, and what it leaves behind."""

from __future__ import annotations

import asyncio
import gc
import threading
import time

import pytest

from agentinfra import AsyncLLMClient
from agentinfra.settings import LLMSettings
from agentinfra.testing import ManualClock, OpenAIServer, faults
from agentinfra.testing.clock.stillness import Stillness

HELLO = [{"role": "user", "content": "hello"}]


async def nap(clock, *lengths, turns=2):
    """Sleep several times, with turns of the loop between; return when each sleep ended."""
    woken = []
    for length in lengths:
        await clock.sleep(length)
        woken.append(clock.now())
        for _ in range(turns):
            await asyncio.sleep(0)
    return woken


async def test_one_advance_passes_sleeps_that_follow_one_another():
    """Each sleep ends at its own moment, however many turns lie between two."""
    clock = ManualClock(0.0)
    task = asyncio.create_task(nap(clock, 60, 60, 60, turns=50))
    await clock.advance(200)
    assert await task == [60, 120, 180]
    assert clock.now() == 200


async def test_what_is_not_due_goes_on_sleeping():
    """An advance ends at its own moment, not at the next sleep's."""
    clock = ManualClock(0.0)
    task = asyncio.create_task(nap(clock, 60, 60))
    await clock.advance(119.5)
    assert (clock.sleeping, clock.now(), task.done()) == (1, 119.5, False)
    await clock.advance(0.5)
    assert await task == [60, 120]


@pytest.mark.parametrize("auto", [True, False])
async def test_a_story_of_retries_takes_no_time(auto):
    """Requests between the waits are waited for; minutes of back-off pass in one call."""
    clock = ManualClock(auto_advance=auto)
    async with OpenAIServer() as server:
        settings = LLMSettings(base_url=server.base_url, api_key="x", max_attempts=4)
        async with AsyncLLMClient(settings, clock=clock) as llm:
            server.fail(faults.rate_limited(retry_after=60), times=3)
            began = time.monotonic()
            call = asyncio.create_task(llm.chat_completion(HELLO))
            if not auto:
                await clock.sleepers(1)
                await clock.advance(3600)
            reply = await call
    assert reply.attempts == 4
    assert clock.now() >= 1180
    assert time.monotonic() - began < 30


async def test_time_jumps_when_every_task_waits_for_it():
    """With auto_advance sleeps and timeouts end in order, and nobody moves the clock."""
    clock = ManualClock(0.0, auto_advance=True)

    async def late():
        async with clock.timeout_at(90):
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(nap(clock, 60, 60))
        with pytest.raises(TimeoutError):
            await late()
        assert clock.now() == 90
    assert task.result() == [60, 120]


async def test_sleepers_nobody_wakes_are_told_so():
    """A test in which every task waits for the clock ends with the way out."""
    clock = ManualClock()
    with pytest.raises(AssertionError, match=r"advance\(60\).*auto_advance=True"):
        await clock.sleep(60)


async def test_tasks_that_wait_for_something_else_are_let_wait():
    """As long as one task waits for a thread, sleeping is no mistake."""
    clock, gate = ManualClock(quiet=0.001), threading.Event()
    sleeper = asyncio.create_task(clock.sleep(5))
    asyncio.get_running_loop().call_later(0.01, gate.set)
    await asyncio.to_thread(gate.wait)
    assert not sleeper.done()
    await clock.advance(5)
    await sleeper


async def test_too_few_sleepers():
    """Waiting for sleeps that do not come ends, and says how many there are."""
    with pytest.raises(TimeoutError, match="0 of 1 sleeps"):
        await ManualClock().sleepers(1, timeout=0.001)


async def test_nothing_is_left_behind():
    """Cancelled sleeps, blocks that are over and cancelled alarms wait for nothing."""
    clock = ManualClock()
    task = asyncio.create_task(clock.sleep(60))
    await clock.sleepers(1)
    async with clock.timeout_at(clock.now() + 30):
        alarm = clock.call_at(clock.now() + 10, lambda: None)
        assert "3 waiting" in repr(clock)
    alarm.cancel()
    task.cancel()
    await asyncio.wait([task])
    gc.collect()
    assert "0 waiting" in repr(clock)


async def test_what_has_passed_happens_soon():
    """An alarm and a timeout in the past do not wait for the next move."""
    clock, rung = ManualClock(), asyncio.Event()
    clock.call_at(clock.now() - 1, rung.set)
    await asyncio.wait_for(rung.wait(), 5)
    with pytest.raises(TimeoutError):
        async with clock.timeout_at(clock.now() - 1):
            await asyncio.Event().wait()


async def test_loops_of_other_threads_sleep_on_it():
    """A sleep of another thread's loop ends when this one moves the clock."""
    clock = ManualClock()
    work = asyncio.create_task(asyncio.to_thread(lambda: asyncio.run(nap(clock, 5))))
    await clock.sleepers(1)
    clock.shift(5)
    assert await work == [clock.now()]


def test_time_passes_without_a_loop():
    """What only reads the time needs no loop."""
    clock = ManualClock(10.0)
    clock.shift(5)
    assert clock.now() == 15


def test_stillness_is_counted_in_looks_that_come_in_time():
    """What held up the one that looks held up all: a late look counts for one pause alone."""
    stillness = Stillness(pause=0.001)
    stillness.look("the same")
    for _ in range(3):
        time.sleep(0.005)
        still = stillness.look("the same")
    assert 0 < still <= 0.0031


def test_threads_that_work_are_movement():
    """While another thread uses the CPU nothing is still, though all tasks wait as before."""
    stillness, seen = Stillness(pause=0.001), object()
    stillness.look(seen)
    worker = threading.Thread(target=sum, args=(range(1_000_000),))
    worker.start()
    worker.join()
    assert stillness.look(seen) == 0
    assert stillness.looks == 2


async def test_a_request_that_takes_long_is_waited_for():
    """Time does not jump over an answer that another thread is still working on."""
    clock = ManualClock(auto_advance=True)

    def work(request):
        return str(sum(range(3_000_000)))

    async with OpenAIServer() as server:
        settings = LLMSettings(base_url=server.base_url, api_key="x", timeout=10, max_attempts=1)
        async with AsyncLLMClient(settings, clock=clock) as llm:
            server.script(work)
            await llm.chat_completion(HELLO)
    assert clock.now() == 1000


async def test_time_does_not_go_back():
    """Moving the clock by less than nothing is an error, and moves nothing."""
    clock = ManualClock()
    with pytest.raises(ValueError, match="not back"):
        await clock.advance(-1)
    with pytest.raises(ValueError, match="not back"):
        clock.shift(float("nan"))
    assert clock.now() == 1000
