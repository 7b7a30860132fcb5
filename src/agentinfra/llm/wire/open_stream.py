"""A stream on the wire, from its first content to the end of its connection."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, suppress
from typing import TYPE_CHECKING

from agentinfra.errors import LLMError, LLMResponseError, LLMTimeoutError
from agentinfra.llm.dialects.assembly import Assembly, StreamChunk
from agentinfra.llm.dialects.codec import decode_chunk
from agentinfra.llm.wire.sse import EventSplitter

if TYPE_CHECKING:
    from agentinfra._mechanics.deadline import Deadline
    from agentinfra._mechanics.timeouts import Timeouts
    from agentinfra.llm.wire.transport import ReplyStream

__all__ = ["OpenStream"]

_DONE = b"[DONE]"

LINGER = 0.05
"""Seconds the end of a body may come after its last event; a connection read to its end is used
again, one that is not has to be closed."""


class OpenStream:
    """A stream on the wire whose first content has come; before that it may be retried.

    Args:
        connection: The transport's open response, as a context manager already entered.
        reply: What it gave.
        timeouts: Bounds the waits.
        deadline: When the whole call has to be over.
        patience: Seconds between two pieces at most.
    """

    def __init__(
        self,
        connection: AbstractAsyncContextManager[ReplyStream],
        reply: ReplyStream,
        *,
        timeouts: Timeouts,
        deadline: Deadline,
        patience: float,
    ) -> None:
        self.assembly = Assembly()
        self.headers = reply.headers
        self._connection: AbstractAsyncContextManager[ReplyStream] | None = connection
        self._bytes = reply.chunks()
        self._splitter = EventSplitter()
        self._timeouts = timeouts
        self._deadline = deadline
        self._patience = patience
        self._ready: list[StreamChunk] = []
        self._ended = False
        self._failure: LLMError | None = None

    async def begin(self) -> None:
        """Wait for the first content.

        Raises:
            LLMError: It never came.
        """
        if not await self._fill():
            raise LLMResponseError("the endpoint sent a stream without any content")

    async def next(self) -> StreamChunk | None:
        """Return the next piece, None when the stream is over."""
        if not self._ready and not await self._fill():
            return None
        return self._ready.pop(0)

    async def aclose(self) -> None:
        """Close the connection; a second time does nothing."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                if self._ended:
                    await self._read_out()
            finally:
                await connection.__aexit__(None, None, None)

    async def _read_out(self) -> None:
        step = self._timeouts.until(self._deadline.within(LINGER))
        with suppress(LLMError, TimeoutError), step:
            while await anext(self._bytes, None) is not None:
                pass

    async def _fill(self) -> bool:
        while not self._ready and not self._ended:
            if self._failure is not None:
                raise self._failure
            try:
                with self._timeouts.until(self._deadline.within(self._patience)):
                    chunk = await anext(self._bytes, None)
            except TimeoutError as error:
                raise LLMTimeoutError(
                    f"the stream stood still for {self._patience:g} s, or passed its deadline"
                ) from error
            events = self._splitter.feed(chunk) if chunk else self._splitter.flush()
            self._ended = chunk is None
            try:
                self._take(events)
            except LLMError as error:
                # What came before it in the same packet is handed out first.
                self._failure, self._ended = error, False
        return bool(self._ready)

    def _take(self, events: list[bytes]) -> None:
        for event in events:
            if event == _DONE:
                self._ended = True
                return
            self._ready += self.assembly.add(decode_chunk(event))
