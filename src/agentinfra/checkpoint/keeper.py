"""The task that prunes and sweeps now and then, in one process of all that share a database."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from agentinfra._mechanics.clock import SYSTEM_CLOCK, Clock
from agentinfra._mechanics.closing import cancel_and_wait
from agentinfra._mechanics.resource import Resource
from agentinfra.observability.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agentinfra.checkpoint.checkpointer import Checkpointer
    from agentinfra.checkpoint.store.long_term import LongTerm

__all__ = ["Keeper"]

_log = get_logger("agentinfra.checkpoint")

_FIRST = 60.0
"""Seconds after the start at which it looks at first, at the latest."""


class Keeper(Resource):
    """Prunes what the checkpointer's policies let go, and sweeps the store.

    Each of the two is done once in a while by whichever process comes first: the database holds
    when it is due again, so that a process that dies in the middle takes nothing with it. What is
    in memory is each process's own. A failure is logged, and the next time it is tried again.

    Args:
        checkpoints: The checkpointer; entered before this and left after it.
        long_term: The store; entered before this and left after it.
        every: Seconds between two times; None for never.
        clock: Where time comes from.
    """

    name = "keeper"

    def __init__(
        self,
        checkpoints: Checkpointer,
        long_term: LongTerm,
        *,
        every: float | None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        super().__init__()
        self._checkpoints = checkpoints
        self._long_term = long_term
        self._every = every
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    def refuse(self) -> None:
        """Stop at once: a prune that is cut short is taken up again by the next."""
        super().refuse()
        if self._task is not None:
            self._task.cancel()

    async def look(self, every: float) -> None:
        """Do what is due.

        Args:
            every: Seconds after which it is due again.
        """
        if self._checkpoints.policies:
            await self._do("prune", self._prune, self._checkpoints.is_due, every)
        if self._long_term.state != "disabled":
            await self._do("sweep", self._long_term.sweep, self._long_term.is_due, every)

    async def _open(self) -> None:
        if self._every is not None:
            self._task = asyncio.create_task(
                self._keep_looking(self._every), name="agentinfra prunes and sweeps"
            )

    async def _close(self) -> None:
        if self._task is not None:
            await cancel_and_wait(self._task)

    async def _keep_looking(self, every: float) -> None:
        await self._clock.sleep(min(every, _FIRST))
        while True:
            await self.look(every)
            await self._clock.sleep(every)

    async def _prune(self) -> object:
        return await self._checkpoints.prune(*self._checkpoints.policies)

    async def _do(
        self,
        duty: str,
        work: Callable[[], Awaitable[object]],
        is_due: Callable[[str, float], Awaitable[bool]],
        every: float,
    ) -> None:
        try:
            if await is_due(duty, every):
                await work()
        except Exception as error:  # noqa: BLE001 - one that ended the task would end all keeping
            _log.warning(
                "checkpoint.keeping_failed", duty=duty, error=f"{type(error).__name__}: {error}"
            )
