"""A value for each event loop, and none where there is no loop."""

import asyncio
import gc
import weakref

from agentinfra._mechanics.loop_local import LoopLocal


class _Value:
    pass


def test_each_loop_has_its_own():
    """Two loops see their own values; outside of any there is none."""
    local = LoopLocal()

    async def keep(value):
        local.set(value)
        await asyncio.sleep(0)
        return local.get()

    first, second = _Value(), _Value()
    with asyncio.Runner() as one, asyncio.Runner() as two:
        assert one.run(keep(first)) is first
        assert two.run(keep(second)) is second

        async def read():
            return local.get()

        assert one.run(read()) is first
        assert two.run(read()) is second
    assert local.get() is None


def test_a_loop_that_is_gone_takes_its_value_along():
    """Neither the value nor anything of the loop is held on to."""
    local = LoopLocal()

    async def keep(value):
        local.set(value)

    value = _Value()
    asyncio.run(keep(value))
    seen = weakref.ref(value)
    del value
    gc.collect()
    assert seen() is None


def test_a_value_that_leads_back_to_its_loop_does_not_keep_it():
    """A cycle through the loop is collected when nobody else has it."""
    local = LoopLocal()

    async def keep(value):
        value.loop = asyncio.get_running_loop()
        local.set(value)

    value = _Value()
    asyncio.run(keep(value))
    seen = weakref.ref(value), weakref.ref(value.loop)
    del value
    gc.collect()
    assert [each() for each in seen] == [None, None]


async def test_a_value_taken_away_is_gone():
    """After discard there is none, and another one can be set."""
    local = LoopLocal()
    first, second = _Value(), _Value()
    local.set(first)
    local.discard(second)
    assert local.get() is first
    local.discard(first)
    assert local.get() is None
    local.set(second)
    assert local.get() is second
