"""Closing steps finish, whoever is cancelled meanwhile."""

import asyncio

import pytest

from agentinfra._mechanics.closing import Window, bounded, cancel_and_wait, finish, settle


async def test_a_step_runs_to_its_end_and_the_caller_is_cancelled_after():
    """A caller cancelled twice leaves only after the step has finished."""
    entered, go, done = asyncio.Event(), asyncio.Event(), []

    async def step():
        entered.set()
        await go.wait()
        done.append(True)

    caller = asyncio.create_task(finish(step(), grace=5, name="step"))
    await entered.wait()
    caller.cancel()
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.sleep(0)
    assert not caller.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert done == [True]


async def test_a_step_that_hangs_is_cancelled_after_its_grace():
    """A step that never ends is cancelled and reported as a timeout."""
    cancelled = []

    async def hang():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    with pytest.raises(TimeoutError, match="hanging step"):
        await finish(hang(), grace=0.005, name="hanging step")
    assert cancelled == [True]


async def test_what_a_step_raises_reaches_the_caller():
    """An error of the step is the caller's error."""

    async def fail():
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await finish(fail(), grace=1, name="step")


async def test_settle_gives_up_waiting_and_leaves_the_task_alone():
    """settle() never cancels what it waits for."""
    task = asyncio.create_task(asyncio.Event().wait())
    assert await settle(task, timeout=0.005) is False
    assert not task.done()
    await cancel_and_wait(task)
    assert task.cancelled()


async def test_a_bounded_step_that_obeys_no_cancellation_is_left_behind():
    """The caller goes on when the window is over, and the error says so."""
    end, cancelled = asyncio.Event(), []

    async def stubborn():
        while not end.is_set():
            try:
                await end.wait()
            except asyncio.CancelledError:
                cancelled.append(True)

    try:
        with pytest.raises(TimeoutError, match="step took longer than .* s and goes on though"):
            await bounded(stubborn(), Window(0.1), name="step")
        assert cancelled == [True]
    finally:
        end.set()  # or the loop would never end


async def test_a_bounded_step_has_its_share_before_it_is_cancelled():
    """One that ends within its window is not cancelled; what it raises is raised."""

    async def fail():
        await asyncio.sleep(0)
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await bounded(fail(), Window(5), name="step")
    with pytest.raises(TimeoutError, match="was cancelled from inside"):
        await bounded(_cancels_itself(), Window(5), name="step")


async def _cancels_itself():
    asyncio.current_task().cancel()
    await asyncio.sleep(0)
