"""A block held open by a task of its own.

What is built on anyio's cancel scopes (an MCP session, an httpx2 stream) has to be left by the
task that entered it, and cancels that task when it breaks. Neither may be the task of a user.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, TypeVar

from agentinfra._mechanics.closing import settle

__all__ = ["Host"]

T = TypeVar("T")


class Host(Generic[T]):
    """Enters an async context manager and leaves it, both in one task; used once.

    Args:
        manager: What to hold open.
        name: The task's name.
        lost: Called when the block ended though nobody asked for it, with what ended it.
    """

    def __init__(
        self,
        manager: AbstractAsyncContextManager[T],
        *,
        name: str,
        lost: Callable[[BaseException], None],
    ) -> None:
        self._manager = manager
        self._name = name
        self._lost = lost
        self._task: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()

    async def enter(self) -> T:
        """Enter; cancelling it undoes what was done.

        Raises:
            Exception: What entering raised.
        """
        entered: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        task = self._task = asyncio.create_task(self._hold(entered), name=self._name)
        either: set[asyncio.Future[Any]] = {entered, task}
        try:
            # The task may end without an answer when it is cancelled from inside.
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        except BaseException:
            self._stop.set()  # it may have been entered at this very moment
            task.cancel()
            await settle(task, timeout=None)
            if entered.done():
                entered.exception()  # else the loop complains that nobody looked at it
            raise
        if not entered.done():
            raise ConnectionError(f"{self._name} was cancelled from inside")
        return entered.result()

    async def leave(self) -> None:
        """Leave; a cancellation is passed on to the leaving, and raised when that is over.

        Raises:
            Exception: What leaving raised.
        """
        task = self._task
        if task is None:
            return
        self._stop.set()
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            task.cancel()
            await settle(task, timeout=None)
            raise
        if not task.cancelled():
            task.result()

    async def _hold(self, entered: asyncio.Future[T]) -> None:
        try:
            async with self._manager as value:
                entered.set_result(value)
                await self._stop.wait()
        except BaseException as error:
            if not entered.done():
                if isinstance(error, asyncio.CancelledError):
                    raise
                entered.set_exception(error)
            elif self._stop.is_set():
                raise
            else:
                self._lost(error)
        else:
            if not self._stop.is_set():  # the block swallowed what broke it
                self._lost(ConnectionError(f"{self._name} ended by itself"))
