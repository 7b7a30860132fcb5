"""A stream on the wire, from its first content to the end of its connection."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, suppress
from typing import TYPE_CHECKING

from agentinfra.errors import LLMError, LLMResponseError, LLMTimeoutError
from agentinfra.llm.dialects.encoding import unreadable
from agentinfra.llm.wire.sse import EventSplitter

if TYPE_CHECKING:
    from agentinfra._mechanics.deadline import Deadline
    from agentinfra._mechanics.timeouts import Timeouts
    from agentinfra.llm.dialects.answer import Assembly, StreamChunk
    from agentinfra.llm.wire.transport import ReplyStream

__all__ = ["OpenStream"]

_DONE = b"[DONE]"

LINGER = 0.05
"""Seconds the end of a body may come after its last event; a connection read to its end is used
again, one that is not has to be closed."""

TRAILER = 5.0
"""Seconds the bookkeeping (the usage) may come after the finish reason."""


class OpenStream:
    """A stream on the wire whose first content has come; before that it may be retried.

    Args:
        connection: The transport's open response, as a context manager already entered.
        reply: What it gave.
        assembly: Puts the events together.
        timeouts: Bounds the waits.
        deadline: When the whole call has to be over.
        patience: Seconds between two events that say something at most; None has no end.
        largest: Bytes an answer may have that came in place of a stream.
    """

    def __init__(
        self,
        connection: AbstractAsyncContextManager[ReplyStream],
        reply: ReplyStream,
        assembly: Assembly,
        *,
        timeouts: Timeouts,
        deadline: Deadline,
        patience: float | None,
        largest: int,
    ) -> None:
        self.assembly = assembly
        self.headers = reply.headers
        self._connection: AbstractAsyncContextManager[ReplyStream] | None = connection
        self._bytes = reply.chunks()
        self._splitter = EventSplitter()
        self._timeouts = timeouts
        self._deadline = deadline
        self._patience = patience
        self._largest = largest
        self._ready: deque[StreamChunk] = deque()
        self._body: bytearray | None = None
        self._begun = False
        self._ended = False
        self._done = False
        self._failure: LLMError | None = None

    @property
    def complete(self) -> bool:
        """Whether all the model said has come, or the endpoint has said that it is over."""
        return self._done or self.assembly.whole

    async def begin(self) -> None:
        """Wait for the first content.

        Raises:
            LLMError: It never came.
        """
        if not await self._fill():
            raise LLMResponseError("the endpoint sent a stream without any content")

    def take(self) -> StreamChunk | None:
        """Return a piece that has come already, None where the next has to be waited for."""
        return self._ready.popleft() if self._ready else None

    async def next(self) -> StreamChunk | None:
        """Return the next piece, None when the stream is over."""
        if not self._ready and not await self._fill():
            return None
        return self._ready.popleft()

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
        # One span of patience for the next event of substance: comments, keep-alives and empty
        # pieces that come meanwhile do not begin a new one.
        until = self._deadline.within(self._patience)
        while not self._ready and not self._ended:
            if self._failure is not None:
                raise self._failure
            if self.assembly.whole and self._begun:
                until = self._deadline.within(min(TRAILER, self._patience or TRAILER))
            try:
                chunk = await self._receive(until)
                self._take(chunk)
            except LLMError as error:
                if self.assembly.whole:
                    # What the model said is here and paid for; only bookkeeping was to come.
                    self._ended = True
                    self._close_at_once()
                elif self._ready:
                    # What came before it in the same packet is handed out first.
                    self._failure = error
                else:
                    raise
        return bool(self._ready)

    def _close_at_once(self) -> None:
        """Have the connection closed without waiting for more of it."""
        self._bytes = _nothing()

    async def _receive(self, until: float | None) -> bytes | None:
        try:
            with self._timeouts.until(until):
                return await anext(self._bytes, None)
        except TimeoutError as error:
            named = "" if self._patience is None else f" for {self._patience:g} s"
            raise LLMTimeoutError(
                f"the stream stood still{named}, or passed its deadline"
            ) from error

    def _take(self, chunk: bytes | None) -> None:
        if not self._begun and chunk:
            self._look_at(chunk)
        if self._body is not None:
            self._take_body(chunk)
            return
        events = self._splitter.feed(chunk) if chunk else self._splitter.flush()
        self._ended = chunk is None
        try:
            for event in events:
                if event[:6] == _DONE and event.strip() == _DONE:
                    self._ended = self._done = True
                    return
                self._ready += self.assembly.add(event)
        except LLMError:
            self._ended = False
            raise

    def _look_at(self, chunk: bytes) -> None:
        """Tell a stream from a whole answer that came in place of one, by its first byte."""
        first = chunk.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
        if not first:
            return
        self._begun = True
        if first in (b"{", b"["):
            self._body = bytearray()
        elif first == b"<":
            raise unreadable(chunk, "it is no stream")

    def _take_body(self, chunk: bytes | None) -> None:
        assert self._body is not None  # noqa: S101 - asked before
        if chunk is None:
            self._ended = self._done = True
            self._ready += self.assembly.take_whole(bytes(self._body).strip())
            return
        self._body += chunk
        if len(self._body) > self._largest:
            raise LLMResponseError(f"the answer is larger than {self._largest} bytes")


async def _nothing() -> AsyncIterator[bytes]:
    """Give no bytes."""
    none: tuple[bytes, ...] = ()
    for chunk in none:
        yield chunk
