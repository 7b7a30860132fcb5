"""What answers in memory until the database is there, and how it hands over."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

__all__ = ["Standby"]

M = TypeVar("M")
N = TypeVar("N")


class Standby(Generic[M]):
    """Memory, until the database takes over; shared by all copies of a saver.

    Args:
        memory: What answers; None where nothing does any more.
        patience: Seconds an operation waits at most for a hand-over that is under way.

    Attributes:
        memory: As above.
        carried: What is in the database already, or may be, and as what; for whoever hands over.
    """

    __slots__ = ("_free", "_patience", "carried", "memory")

    def __init__(self, memory: M | None, *, patience: float = 0.0) -> None:
        self.memory = memory
        self.carried: dict[Any, Any] = {}
        self._patience = patience
        self._free = asyncio.Event()
        self._free.set()

    async def answering(self) -> M | None:
        """Return what answers, None when the database does."""
        if self.memory is not None and not self._free.is_set():
            # Whoever waits in vain goes on in memory, and is carried over like the rest.
            with suppress(TimeoutError):
                async with asyncio.timeout(self._patience):
                    await self._free.wait()
        return self.memory

    async def hand_over(
        self, look: Callable[[M], list[N]], carry: Callable[[M, list[N]], Awaitable[None]]
    ) -> None:
        """Have the database answer, with everything in it that memory knows.

        Memory answers on while most is carried over: what is not in the tables yet would seem not
        to exist. What has come meanwhile is carried over while operations wait, since those that
        go on would always leave something new. The last look finds nothing, and no turn of the
        loop lies between it and the hand-over. Where carrying fails, memory answers on.

        Args:
            look: Finds what is not carried over yet, without a turn of the loop.
            carry: Carries it over.

        Raises:
            AgentInfraError: It could not be carried over.
        """
        if (memory := self.memory) is None:
            return
        if new := look(memory):
            await carry(memory, new)
        with self._held():
            while new := look(memory):
                await carry(memory, new)
            self.memory = None

    @contextmanager
    def _held(self) -> Iterator[None]:
        self._free.clear()
        try:
            yield
        finally:
            self._free.set()
