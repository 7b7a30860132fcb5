"""What the tests of the LLM client share."""

import asyncio

HELLO = [{"role": "user", "content": "hello"}]


async def run_through(clock, task, *, step=1.0, limit=2000):
    """Move virtual time until a task that waits for it is done; return its result."""
    for _ in range(limit):
        for _ in range(40):
            await asyncio.sleep(0.0005)
            if task.done():
                return await task
            if clock.sleeping:
                break
        clock.shift(step)
    raise AssertionError("the task never ended")
