"""An answer that costs something to get, asked for now and then and not each time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from agentinfra._mechanics.clock import SYSTEM_CLOCK, Clock

__all__ = ["Remembered"]

T = TypeVar("T")


class Remembered(Generic[T]):
    """Asks a question, and gives the answer again for some seconds.

    Tasks of one loop share it. Those that ask at once wait for one answer; where the one that
    asks is cancelled, the next asks. What asking raises is raised, and not remembered.

    Args:
        ask: Gets an answer.
        seconds: How long an answer holds.
        clock: Where time comes from.
    """

    def __init__(
        self,
        ask: Callable[[], Awaitable[T]],
        *,
        seconds: Callable[[T], float],
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._ask = ask
        self._seconds = seconds
        self._clock = clock
        self._answer: tuple[T, float] | None = None
        self._asking = asyncio.Lock()

    async def get(self) -> T:
        """Return the remembered answer, or ask."""
        # A lock, not a shared task: nobody owns a probe, so it must end with whoever waits.
        async with self._asking:
            if self._answer is None or self._clock.now() >= self._answer[1]:
                answer = await self._ask()
                self._answer = (answer, self._clock.now() + self._seconds(answer))
            return self._answer[0]
