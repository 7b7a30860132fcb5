"""Texts that are being embedded now, so that calls which want the same one share its request."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from agentinfra.errors import LLMTimeoutError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from agentinfra._mechanics.deadline import Deadline

    Vector = NDArray[np.float32]

__all__ = ["Flights"]

Space: TypeAlias = tuple[Any, ...]


class Flights:
    """Who asks for a text first has it fetched; who asks meanwhile waits for that.

    The waiting is shielded: a cancelled caller never cancels another one's text, and where the
    call that fetches is itself cancelled its waiters find nothing and fetch for themselves.
    """

    def __init__(self) -> None:
        self._under_way: dict[tuple[Space, str], asyncio.Future[Vector | None]] = {}

    def __len__(self) -> int:
        return len(self._under_way)

    def board(
        self, space: Space, texts: Sequence[str]
    ) -> tuple[list[str], dict[str, asyncio.Future[Vector | None]]]:
        """Return the texts the caller has to fetch, and those that others fetch already."""
        mine: list[str] = []
        others: dict[str, asyncio.Future[Vector | None]] = {}
        loop = asyncio.get_running_loop()
        for text in texts:
            flight = self._under_way.get((space, text))
            if flight is None:
                self._under_way[space, text] = loop.create_future()
                mine.append(text)
            else:
                others[text] = flight
        return mine, others

    def land(self, space: Space, found: Mapping[str, Vector]) -> None:
        """Hand vectors to who waits for them."""
        for text, vector in found.items():
            flight = self._under_way.pop((space, text), None)
            if flight is not None and not flight.done():
                flight.set_result(vector)

    def crash(self, space: Space, texts: Iterable[str], error: BaseException) -> None:
        """End flights that failed: a failure reaches all who wait, a cancellation nobody."""
        for text in texts:
            flight = self._under_way.pop((space, text), None)
            if flight is None or flight.done():
                continue
            if isinstance(error, Exception):
                flight.set_exception(error)
                flight.exception()  # looked at: there may be nobody who waits
            else:
                flight.set_result(None)

    async def wait(
        self, others: Mapping[str, asyncio.Future[Vector | None]], deadline: Deadline
    ) -> dict[str, Vector]:
        """Return what other calls fetched; texts whose call was given up are left out.

        Raises:
            LLMTimeoutError: The deadline passed.
            LLMError: Their request failed.
        """
        if not others:
            return {}
        try:
            async with deadline.timeout():
                await asyncio.wait(others.values())
        except TimeoutError as error:
            raise LLMTimeoutError("the deadline passed", impatient=True) from error
        found = {text: flight.result() for text, flight in others.items()}
        return {text: vector for text, vector in found.items() if vector is not None}
