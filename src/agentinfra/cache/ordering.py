"""The order in which one cache's writes reach the shared tier."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from agentinfra.cache.entry import Records

__all__ = ["WriteOrder"]


class WriteOrder:
    """Writes of one key go one after the other, and a clearing goes alone.

    The network may deliver two commands in any order, and a new connection takes longer than an
    old one: only waiting for the first write's answer makes the second one the last.

    Args:
        records: The cache's records; each has its key's turn.
    """

    __slots__ = ("_clearing", "_idle", "_open", "_records", "_writers")

    def __init__(self, records: Records[Any]) -> None:
        self._records = records
        self._clearing = asyncio.Lock()
        self._open = asyncio.Event()
        self._open.set()
        self._idle = asyncio.Event()
        self._writers = 0

    @asynccontextmanager
    async def writing(self, keys: Iterable[bytes]) -> AsyncIterator[None]:
        """Wait for these keys' turn, and for the end of a clearing."""
        async with AsyncExitStack() as stack:
            # In one order for all writers: two that want the same keys cannot each hold one.
            records = [stack.enter_context(self._records.of(key)) for key in sorted(keys)]
            while not self._open.is_set():
                await self._open.wait()
            # Between this line and the one above nothing waits: a clearing sees the writer.
            self._writers += 1
            stack.callback(self._done)
            for record in records:
                await stack.enter_async_context(record.turn)
            yield

    @asynccontextmanager
    async def clearing(self) -> AsyncIterator[None]:
        """Wait until no write is under way, and keep new ones out."""
        async with self._clearing:
            self._open.clear()
            try:
                while self._writers:
                    self._idle.clear()
                    await self._idle.wait()
                yield
            finally:
                self._open.set()

    def _done(self) -> None:
        self._writers -= 1
        if not self._writers:
            self._idle.set()
