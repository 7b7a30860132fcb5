"""A chat answer that comes in pieces."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from agentinfra.errors import (
    LLMError,
    LLMResponseError,
    LLMStreamInterruptedError,
)
from agentinfra.llm.dialects.assembly import Assembly, StreamChunk
from agentinfra.llm.wire.open_stream import OpenStream

if TYPE_CHECKING:
    from agentinfra._mechanics.inflight import Work
    from agentinfra.results import LLMResponse, ToolCall, Usage

__all__ = ["LLMStream"]


class LLMStream:
    """A streamed answer: an async iterator of pieces and an async context manager.

    Leaving it early, or cancelling the task that reads it, closes the connection; what came is
    booked by our estimate. One task reads it.

    Attributes:
        model: The model asked for.

    Example:
        .. code-block:: python

            async with await llm.chat_completion(messages, stream=True) as stream:
                async for chunk in stream:
                    print(chunk.text, end="")
            reply = await stream.response()
    """

    def __init__(
        self,
        source: OpenStream,
        *,
        model: str,
        finish: Callable[[Assembly, BaseException | None], LLMResponse],
        work: Work,
    ) -> None:
        self.model = model
        self._source = source
        self._finish = finish
        self._work = work
        self._response: LLMResponse | None = None
        self._over = False

    @property
    def text(self) -> str:
        """The text so far."""
        return self._source.assembly.text

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls so far; the last one's arguments may be incomplete."""
        return self._source.assembly.tool_calls

    @property
    def usage(self) -> Usage | None:
        """The tokens, once the server has reported them or the stream is over."""
        return self._response.usage if self._response else self._source.assembly.usage

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamChunk:
        """Return the next piece.

        Raises:
            LLMStreamInterruptedError: The stream broke; it carries what came.
        """
        if self._over:
            raise StopAsyncIteration
        try:
            chunk = await self._source.next()
        except LLMError as error:
            raise await self._interrupted(error) from error
        except BaseException as error:  # noqa: BLE001 - it is raised again below
            await self._stop(error)
            raise self._work.told(error)  # noqa: B904 - the error itself, or one that names it
        if chunk is not None:
            return chunk
        if self._source.assembly.finish_reason is None:
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
        if self._response is None:
            self._response = self._finish(self._source.assembly, None)
        return self._response

    async def aclose(self) -> None:
        """Close the connection and book what came; a second call does nothing."""
        if not self._over:
            await self._stop(GeneratorExit("the stream was left before its end"))

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
        assert self._response is not None  # noqa: S101 - _stop has just set it
        return LLMStreamInterruptedError(
            f"the stream broke after {len(self.text)} characters: {error}",
            partial=self._response,
            usage=self._response.usage,
            cost=self._response.cost_usd,
        )

    async def _stop(self, error: BaseException | None) -> None:
        self._over = True
        try:
            # Booked before the connection is closed: closing may be cancelled, booking may not.
            self._response = self._finish(self._source.assembly, error)
        finally:
            self._work.end()
            await self._source.aclose()
