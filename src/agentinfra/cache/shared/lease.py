"""The right to load a key and to store what was loaded."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from agentinfra._mechanics.closing import cancel_and_wait
from agentinfra.errors import CacheError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from agentinfra._mechanics.clock import Alarm, Clock
    from agentinfra.cache.shared.protocol import CoordinatedTier

__all__ = ["LEASE", "Lease"]

LEASE = 10.0
"""Seconds a lease holds without being renewed: so long others wait for a process that died."""


class Lease:
    """A lease this process holds on keys, renewed while its block runs.

    Args:
        tier: Who gave it.
        keys: The keys.
        token: What tells this lease from later ones.
        clock: Where time comes from.
    """

    __slots__ = ("_alarm", "_clock", "_renewing", "_tier", "keys", "token")

    def __init__(self, tier: CoordinatedTier, keys: list[str], token: str, clock: Clock) -> None:
        self.keys = keys
        self.token = token
        self._tier = tier
        self._clock = clock
        self._alarm: Alarm | None = None
        self._renewing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        # A timer, not a task: most loads are over before the first renewal.
        self._alarm = self._clock.call_at(self._clock.now() + LEASE / 3, self._start)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        if self._renewing is not None:
            await cancel_and_wait(self._renewing)

    def _start(self) -> None:
        self._renewing = asyncio.create_task(self._renew(), name="cache renew lease")

    async def _renew(self) -> None:
        while True:
            try:
                if not await self._tier.renew(self.keys, self.token, LEASE):
                    return  # newer writes have ended them all: what is loaded will not be stored
            except CacheError:
                pass  # the tier says what is wrong with it, and the next try may do
            await self._clock.sleep(LEASE / 3)
