"""One load for many callers: who is told what when it does not end."""

import asyncio

import pytest

from agentinfra._mechanics.single_flight import SingleFlight
from agentinfra.errors import ClosedError


async def _never():
    await asyncio.Event().wait()


async def test_closing_tells_everybody_who_waits():
    """Their tasks were not cancelled: they get ClosedError."""
    flights = SingleFlight()
    waiting = [asyncio.create_task(flights.run("key", _never)) for _ in range(3)]
    await asyncio.sleep(0)
    await flights.aclose()
    done = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(each) for each in done] == [ClosedError] * 3
    assert "closed meanwhile" in str(done[0])
    assert len(flights) == 0


async def test_a_load_that_is_cancelled_from_inside_cancels_nobody():
    """What a loader does to itself is an error for those who wait, and no cancellation."""
    flights = SingleFlight()

    async def load():
        asyncio.current_task().cancel()
        await asyncio.sleep(0)

    with pytest.raises(ClosedError, match="cancelled from inside"):
        await flights.run("key", load)


async def test_a_cancelled_caller_is_cancelled_and_the_others_are_answered():
    """A caller's own cancellation stays one."""
    flights, go = SingleFlight(), asyncio.Event()

    async def load():
        await go.wait()
        return "value"

    first, second = (asyncio.create_task(flights.run("key", load)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    go.set()
    assert await second == "value"
    assert first.cancelled()
