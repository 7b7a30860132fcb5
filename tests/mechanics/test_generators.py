"""Generators that were not exhausted are closed from the outside in, and no others."""

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from agentinfra._mechanics.generators import close_holders


class _Lease:
    """Something that is held."""


@pytest.fixture
def ends():
    return []


def _lend(lease, ends, name="lease"):
    @asynccontextmanager
    async def lend():
        held = lease  # a variable of the generator, as a piece of work is
        try:
            yield held
        finally:
            ends.append(name)

    return lend()


async def test_the_outermost_is_closed_and_its_blocks_from_inside_out(ends):
    """The user's own finally runs last, when its blocks are left."""
    lease = _Lease()

    async def rows():
        try:
            async with _lend(lease, ends):
                yield 1
        finally:
            ends.append("rows")

    generator = rows()
    await anext(generator)
    await close_holders([lease])
    assert ends == ["lease", "rows"]
    with pytest.raises(StopAsyncIteration):
        await anext(generator)


async def test_it_is_found_behind_an_exit_stack(ends):
    """A block entered on a stack is a block of the generator that has the stack."""
    lease = _Lease()

    async def rows():
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(_lend(lease, ends))
            yield 1

    generator = rows()
    await anext(generator)
    await close_holders([lease])
    assert ends == ["lease"]


async def test_others_stay_as_they_are(ends):
    """A generator that holds nothing of it goes on, and so does one that is running."""
    lease, go = _Lease(), asyncio.Event()

    async def other():
        yield 1
        yield 2

    async def running():
        async with _lend(lease, ends, "running"):
            await go.wait()
            yield 1

    generator, busy = other(), running()
    assert await anext(generator) == 1
    waiting = asyncio.create_task(anext(busy))
    await asyncio.sleep(0)
    await close_holders([_Lease()])
    assert await anext(generator) == 2
    go.set()
    assert await waiting == 1
    await generator.aclose()
    await busy.aclose()


async def test_one_that_fails_keeps_no_other_from_being_closed(ends):
    """The first failure is raised when all are closed."""
    leases = [_Lease(), _Lease()]

    async def fragile():
        async with _lend(leases[0], ends, "fragile"):
            try:
                yield 1
            finally:
                raise ValueError("fragile")

    async def whole():
        async with _lend(leases[1], ends, "whole"):
            yield 1

    kept = [fragile(), whole()]
    for generator in kept:
        await anext(generator)
    with pytest.raises(ValueError, match="fragile"):
        await close_holders(leases)
    assert sorted(ends) == ["fragile", "whole"]
