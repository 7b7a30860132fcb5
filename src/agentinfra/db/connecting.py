"""Opening connections in tasks of their own, so that a caller who goes away wastes none."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from agentinfra._mechanics.closing import cancel_and_wait
from agentinfra.db.errors import is_gone

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agentinfra.db.errors import ErrorMap

__all__ = ["Connecting"]


class Connecting:
    """Opens the connections of one pool.

    A caller who is cancelled while a connection is being made leaves it to the next one.

    Args:
        prepare: Called with each new connection.
        errors: The words for what goes wrong.
    """

    def __init__(self, prepare: Callable[[Any], Awaitable[None]], *, errors: ErrorMap) -> None:
        self._prepare = prepare
        self._errors = errors
        self._left: list[asyncio.Task[Any]] = []

    async def connect(self, *args: Any, **kwargs: Any) -> Any:
        """Return a new connection; the arguments are those of ``asyncpg.connect``.

        Raises:
            ConnectionLostError: The server cannot be reached, or refuses the login.
        """
        task = self._take() or asyncio.create_task(self._open(*args, **kwargs))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.cancelled():
                task.add_done_callback(self._failed)
                self._left.append(task)
            raise

    async def close(self) -> None:
        """Drop what nobody came for."""
        left, self._left = self._left, []
        for task in left:
            if task.done() and not task.cancelled() and task.exception() is None:
                task.result().terminate()
        await cancel_and_wait(*left)

    def _take(self) -> asyncio.Task[Any] | None:
        while self._left:
            task = self._left.pop(0)
            failed = task.done() and (task.cancelled() or task.exception() is not None)
            if not failed and not (task.done() and is_gone(task.result())):
                return task
        return None

    def _failed(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and task.exception() is not None and task in self._left:
            self._left.remove(task)

    async def _open(self, *args: Any, **kwargs: Any) -> Any:
        import asyncpg

        with self._errors.connecting():
            connection = await asyncpg.connect(*args, **kwargs)
            try:
                async with asyncio.timeout(kwargs.get("timeout")):
                    await self._prepare(connection)
            except BaseException:
                connection.terminate()
                raise
        return connection
