"""A streamed answer: what the caller holds, and what settles it however it ends."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from agentinfra.errors import (
    ClosedError,
    LLMError,
    LLMResponseError,
    LLMStreamInterruptedError,
)

if TYPE_CHECKING:
    from agentinfra._mechanics.inflight import Work
    from agentinfra.llm.calls.replaying import Replay
    from agentinfra.llm.dialects.answer import Assembly, StreamChunk
    from agentinfra.llm.wire.open_stream import OpenStream
    from agentinfra.results import LLMResponse, ToolCall, Usage

__all__ = ["LLMStream", "Settlement"]


class Settlement:
    """What a stream owes when it is over: booked once, its connection closed.

    Held by the stream, and by nothing that holds the stream: so that a stream which its caller
    has dropped can still be settled.

    Args:
        source: The stream on the wire.
        finish: Books what came and returns it.
        work: The call, as the client counts it; ended here.
        leaving: Holds the tasks that close the connections of dropped streams.
    """

    def __init__(
        self,
        source: OpenStream | Replay,
        finish: Callable[[Assembly, BaseException | None], LLMResponse],
        work: Work,
        leaving: set[asyncio.Task[None]],
    ) -> None:
        self.source = source
        self.response: LLMResponse | None = None
        self.over = False
        self._finish = finish
        self._work = work
        self._leaving = leaving

    async def stop(self, error: BaseException | None) -> None:
        """Book what came and close the connection; a second time does nothing."""
        if self.over:
            return
        try:
            # Booked before the connection is closed: closing may be cancelled, booking may not.
            self.book(error)
        finally:
            await self.source.aclose()

    async def leave(self) -> None:
        """Book and close a stream that is left on purpose; a second time does nothing."""
        await self.stop(GeneratorExit("the stream was left before its end"))

    def book(self, error: BaseException | None) -> None:
        """Book what came; a second time does nothing."""
        if self.over:
            return
        self.over = True
        try:
            self.response = self._finish(self.source.assembly, error)
        finally:
            self._work.end()

    def told(self, error: BaseException) -> BaseException:
        """Return what the caller is told of an error that ended it."""
        return self._work.told(error)

    def dropped(self) -> None:
        """Settle a stream that nobody holds any more; runs on the stream's loop."""
        if self.over:
            return
        self.book(GeneratorExit("the stream was dropped before its end"))
        task = asyncio.get_running_loop().create_task(self.source.aclose(), name="dropped stream")
        self._leaving.add(task)
        task.add_done_callback(self._closed)

    def _closed(self, task: asyncio.Task[None]) -> None:
        self._leaving.discard(task)
        if not task.cancelled():
            task.exception()  # looked at: nobody is left to be told


class LLMStream:
    """A streamed answer: an async iterator of pieces and an async context manager.

    Leaving it early, or cancelling the task that reads it, closes the connection; what came is
    booked, by our estimate where the server has not reported it. Dropped without either, it
    settles itself as soon as Python finds that nobody holds it. One task reads it.

    Attributes:
        model: The model asked for.

    Example:
        ```python
        async with await llm.chat_completion(messages, stream=True) as stream:
            async for chunk in stream:
                print(chunk.text, end="")
        reply = await stream.response()
        ```
    """

    def __init__(self, settlement: Settlement, *, model: str) -> None:
        self.model = model
        self._settlement = settlement
        # The finalizer holds the settlement alone: one that held the stream would keep it alive.
        self._finalizer = weakref.finalize(self, _drop, settlement, asyncio.get_running_loop())
        self._finalizer.atexit = False

    @property
    def text(self) -> str:
        """The text so far."""
        return self._settlement.source.assembly.text

    @property
    def reasoning(self) -> str:
        """What the model has thought so far, as far as its endpoint shows it."""
        return self._settlement.source.assembly.reasoning

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls so far; the last one's arguments may be incomplete."""
        return self._settlement.source.assembly.tool_calls

    @property
    def usage(self) -> Usage | None:
        """The tokens, once the server has reported them or the stream is over."""
        response = self._settlement.response
        return response.usage if response else self._settlement.source.assembly.usage

    @property
    def response_id(self) -> str | None:
        """The answer's id, once the server has said it; a background response goes on under it."""
        return self._settlement.source.assembly.answer().id

    @property
    def place(self) -> int | None:
        """The number of the last event, to go on after; None where the endpoint has none."""
        return self._settlement.source.assembly.place

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamChunk:
        """Return the next piece.

        Raises:
            LLMStreamInterruptedError: The stream broke; it carries what came.
            ClosedError: Another task closed it, or left the client, meanwhile.
        """
        settlement = self._settlement
        if settlement.over:
            raise StopAsyncIteration
        if (chunk := settlement.source.take()) is not None:
            return chunk
        try:
            chunk = await settlement.source.next()
        except LLMError as error:
            if settlement.over:
                # Another task has closed it meanwhile, the one that leaves for one: what the
                # connection says of that is no fault of the endpoint.
                raise ClosedError("the stream was closed while its next piece was due") from error
            raise await self._interrupted(error) from error
        except BaseException as error:  # noqa: BLE001 - it is raised again below
            await self._stop(error)
            raise settlement.told(error)  # noqa: B904 - the error itself, or one that names it
        if chunk is not None:
            return chunk
        if not settlement.source.complete:
            cut = LLMResponseError("the stream ended without a finish reason")
            raise await self._interrupted(cut) from cut
        await self._stop(None)
        raise StopAsyncIteration

    async def texts(self) -> AsyncIterator[str]:
        """Yield the text only, piece by piece."""
        async for chunk in self:
            if chunk.text and chunk.index == 0:
                yield chunk.text

    async def response(self) -> LLMResponse:
        """Read what is left and return the whole answer.

        Of a stream that was left early: what had come by then, with ``degraded`` set.

        Raises:
            LLMStreamInterruptedError: The stream broke.
        """
        async for _ in self:
            pass
        response = self._settlement.response
        if response is None:
            raise LLMResponseError("the stream was over before it could be booked")
        return response

    async def aclose(self) -> None:
        """Close the connection and book what came; a second call does nothing."""
        self._finalizer.detach()
        await self._settlement.leave()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def _interrupted(self, error: LLMError) -> LLMStreamInterruptedError:
        await self._stop(error)
        response = self._settlement.response
        assert response is not None  # noqa: S101 - booking has just set it
        return LLMStreamInterruptedError(
            f"the stream broke after {len(self.text)} characters: {error}",
            partial=response,
            usage=response.usage,
            cost=response.cost_usd,
        )

    async def _stop(self, error: BaseException | None) -> None:
        self._finalizer.detach()
        await self._settlement.stop(error)


def _drop(settlement: Settlement, loop: asyncio.AbstractEventLoop) -> None:
    """Settle a dropped stream on its loop: a finalizer may run in any thread, at any moment."""
    try:
        loop.call_soon_threadsafe(settlement.dropped)
    except RuntimeError:  # the loop is closed, and its connections with it
        settlement.book(GeneratorExit("the stream was dropped, and its loop is closed"))
