"""How late the event loop is: the one figure that shows code which blocks it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from agentinfra._mechanics.clock import SYSTEM_CLOCK, Clock
from agentinfra._mechanics.closing import cancel_and_wait
from agentinfra._mechanics.resource import Resource
from agentinfra.observability.semconv import LOOP_LAG

if TYPE_CHECKING:
    from agentinfra.observability.metrics.registry import Histogram, Metrics

__all__ = ["LoopLag"]


class LoopLag(Resource):
    """Sleeps again and again, and counts by how much each sleep was too long.

    Args:
        metrics: Has the histogram.
        interval: Seconds between two looks.
        clock: Where time comes from.
    """

    name = "lag"

    def __init__(
        self, metrics: Metrics, interval: float = 0.5, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        super().__init__()
        self._metrics = metrics
        self._interval = interval
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    async def _open(self) -> None:
        lag = self._metrics.histogram(LOOP_LAG)
        self._task = asyncio.create_task(self._watch(lag), name="agentinfra-loop-lag")

    async def _close(self) -> None:
        if self._task is not None:
            await cancel_and_wait(self._task)

    async def _watch(self, lag: Histogram) -> None:
        while True:
            due = self._clock.now() + self._interval
            await self._clock.sleep(self._interval)
            lag.observe(max(0.0, self._clock.now() - due))
