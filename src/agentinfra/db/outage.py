"""A database that is away: callers are refused at once, and one task asks whether it is back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from agentinfra._mechanics.closing import cancel_and_wait
from agentinfra.errors import AgentInfraError, ConnectionLostError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agentinfra._mechanics.clock import Clock

__all__ = ["Outage"]

_FIRST = 0.05
"""Seconds before the first question: a server of ours is started again by it."""

_PAUSE = 0.5
"""Seconds between two questions at most: whoever comes back is used again within a second. The
first ones follow one another sooner, for a server that crashed is there again in less."""


class Outage:
    """Keeps callers from asking a dead server, and asks in their place.

    Args:
        clock: Where time comes from.
        began: Called with the reason when the server goes away.
        ended: Called when it is back.
        ask: Asks the server; raises one of our errors while it is away.
        connected: Whether there are connections to it; then a failed attempt to open one more
            is no outage: there may only be no room for it.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        began: Callable[[str], None],
        ended: Callable[[], None],
        ask: Callable[[], Awaitable[None]],
        connected: Callable[[], bool],
    ) -> None:
        self._clock = clock
        self._began = began
        self._ended = ended
        self._ask = ask
        self._connected = connected
        self._reason = ""
        self._asking: asyncio.Task[None] | None = None

    @property
    def active(self) -> bool:
        """Whether the server is away as far as is known."""
        return bool(self._reason)

    def refuse(self) -> None:
        """Refuse a call while the server is away.

        Raises:
            ConnectionLostError: With the reason of the last attempt.
        """
        if self._reason:
            raise ConnectionLostError(f"{self._reason} (it is asked again every {_PAUSE:g} s)")

    def failed(self, reason: str) -> None:
        """Note that the server could not be reached."""
        if self._connected():
            return
        news = not self._reason
        self._reason = reason
        if news:
            self._began(reason)

    def watch(self) -> None:
        """Ask for the server until it is back, unless that is being done."""
        if self._reason and self._asking is None:
            self._asking = asyncio.create_task(self._keep_asking(), name="ask for the database")

    def over(self) -> None:
        """Note that the server answers."""
        if self._reason:
            self._reason = ""
            self._ended()

    async def close(self) -> None:
        """Ask no more."""
        asking, self._asking = self._asking, None
        if asking is not None and asking is not asyncio.current_task():
            await cancel_and_wait(asking)

    async def _keep_asking(self) -> None:
        try:
            pause = _FIRST
            while self._reason:
                await self._clock.sleep(pause)
                pause = min(2 * pause, _PAUSE)
                if not self._reason:
                    return
                try:
                    await self._ask()
                except AgentInfraError as error:
                    self._reason = str(error)
                else:
                    self.over()
        finally:
            if self._asking is asyncio.current_task():
                self._asking = None
