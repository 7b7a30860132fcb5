"""What the tests of the LLM client share."""

import asyncio

from agentinfra.testing.clock.stillness import QUIET_TURNS, Stillness, leads_to, waits_for

HELLO = [{"role": "user", "content": "hello"}]

_LOOK = 0.0005
_QUIET = 0.004


async def run_through(clock, task, *, step=1.0, limit=2000):
    """Move virtual time until a task that waits for it is done; return its result."""
    for _ in range(limit):
        await _stopped(clock, task)
        if task.done():
            return await task
        clock.shift(step)
    raise AssertionError("the task never ended")


async def _stopped(clock, task):
    """Wait until all tasks wait for time: none may be overtaken by it on a busy machine."""
    stillness = Stillness(_LOOK)
    while not task.done():
        others = asyncio.all_tasks() - {asyncio.current_task()}
        waits = {other: waits_for(other) for other in others}
        still = stillness.look(None if None in waits.values() else waits)
        asleep = all(leads_to(other, clock._timeline.ends) for other in others)
        if still >= _QUIET or (asleep and stillness.looks > QUIET_TURNS):
            return
        await asyncio.sleep(0 if asleep else _LOOK)
