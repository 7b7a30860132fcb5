"""Hedged requests: a second one for the few that take much longer than the rest.

Dean and Barroso, "The Tail at Scale", CACM 56(2), 2013.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeVar

from agentinfra._mechanics.clock import Clock
from agentinfra._mechanics.closing import cancel_and_wait
from agentinfra._mechanics.retry_budget import RetryBudget

__all__ = ["Hedger"]

T = TypeVar("T")

HISTORY = 200
"""Latencies remembered for each target."""

ENOUGH = 20
"""Latencies needed before a percentile means something."""

PERCENTILE = 0.95


class Hedger:
    """Sends a second request when the first has taken longer than 95 % of those before it.

    Args:
        clock: Where time comes from.
        ratio: Extra requests for each call, at most.
    """

    def __init__(self, *, clock: Clock, ratio: float = 0.05) -> None:
        self._clock = clock
        self._latencies: dict[str, deque[float]] = {}
        self._budget = RetryBudget(ratio=ratio, reserve=1.0, per_second=0.0, clock=clock)

    def delay(self, target: str) -> float | None:
        """Return the seconds after which a request is late, None while too few were seen."""
        seen = self._latencies.get(target, ())
        if len(seen) < ENOUGH:
            return None
        return sorted(seen)[int(len(seen) * PERCENTILE)]

    async def run(
        self, target: str, attempt: Callable[[], Awaitable[T]], *, on_second: Callable[[], None]
    ) -> T:
        """Return what the first request that succeeds gives; the other is cancelled.

        Args:
            target: What the requests go to.
            attempt: Sends one request.
            on_second: Told when a second one is sent.

        Raises:
            LLMError: What the first request raised, when none succeeds.
        """
        self._budget.deposit()
        began = self._clock.now()
        delay = self.delay(target)
        if delay is None:
            answer = await attempt()
        else:
            answer = await self._race(attempt, delay, on_second)
        latencies = self._latencies.setdefault(target, deque(maxlen=HISTORY))
        latencies.append(self._clock.now() - began)
        return answer

    async def _race(
        self, attempt: Callable[[], Awaitable[T]], delay: float, on_second: Callable[[], None]
    ) -> T:
        first = asyncio.create_task(_call(attempt), name="request")
        timer = asyncio.create_task(_call(lambda: self._clock.sleep(delay)), name="hedge timer")
        running: list[asyncio.Task[T]] = [first]
        try:
            await asyncio.wait({first, timer}, return_when=asyncio.FIRST_COMPLETED)
            if not first.done() and self._budget.withdraw():
                on_second()
                running.append(asyncio.create_task(_call(attempt), name="hedged request"))
            while pending := [task for task in running if not task.done()]:
                await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in running:
                    if task.done() and not task.cancelled() and task.exception() is None:
                        return task.result()
            return first.result()
        finally:
            await cancel_and_wait(timer, *running)


async def _call(attempt: Callable[[], Awaitable[T]]) -> T:
    return await attempt()
