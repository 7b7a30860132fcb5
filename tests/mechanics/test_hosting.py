"""A block held by a task of its own: entered and left there, whoever asks."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from agentinfra._mechanics.hosting import Host


class _Block:
    """Takes down in which tasks it is entered and left."""

    def __init__(self, *, fails=None, hangs=False):
        self.fails, self.hangs = fails, hangs
        self.tasks = []
        self.undone = False

    @asynccontextmanager
    async def open(self):
        self.tasks.append(asyncio.current_task())
        try:
            if self.hangs:
                await asyncio.Event().wait()
            if self.fails:
                raise self.fails
            yield "value"
        finally:
            self.undone = True
            self.tasks.append(asyncio.current_task())


def _host(block, lost=None):
    return Host(block.open(), name="block", lost=(lost if lost is not None else []).append)


async def test_it_is_entered_and_left_in_one_task():
    """Neither is the task that asked."""
    block = _Block()
    host = _host(block)
    assert await host.enter() == "value"
    await asyncio.create_task(host.leave())
    entered, left = block.tasks
    assert entered is left is not asyncio.current_task()


async def test_what_entering_raises_reaches_the_caller():
    """The task is over then, and leaving does nothing."""
    block = _Block(fails=ValueError("no"))
    host = _host(block)
    with pytest.raises(ValueError, match="no"):
        await host.enter()
    await host.leave()
    assert block.undone


async def test_entering_that_is_cancelled_is_undone_first():
    """The caller's cancellation ends the block, and is raised when it has ended."""
    block = _Block(hangs=True)
    host = _host(block)
    task = asyncio.create_task(host.enter())
    while not block.tasks:  # noqa: ASYNC110 - the block is the host's
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert block.undone


async def test_a_cancellation_from_inside_is_an_error_for_who_enters():
    """The task that asked was not cancelled, and is not told so."""
    block = _Block(hangs=True)
    host = _host(block)
    entering = asyncio.create_task(host.enter())
    while not block.tasks:  # noqa: ASYNC110
        await asyncio.sleep(0)
    block.tasks[0].cancel()
    with pytest.raises(ConnectionError, match="cancelled from inside"):
        await entering
    assert block.undone


async def test_a_block_that_ends_by_itself_is_told():
    """The owner is told what ended it, before anybody leaves."""
    block, lost = _Block(), []
    host = _host(block, lost)
    await host.enter()
    block.tasks[0].cancel()
    while not lost:  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert isinstance(lost[0], asyncio.CancelledError)
    await host.leave()
