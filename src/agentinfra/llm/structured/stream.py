"""A value that is coming: partial objects first, the whole one at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, cast

from agentinfra.llm.structured.nulls import without_nulls
from agentinfra.llm.structured.partial import PartialText, partial_of
from agentinfra.llm.structured.schemas import WRAPPED

if TYPE_CHECKING:
    from agentinfra.llm.calls.stream import LLMStream
    from agentinfra.llm.dialects.answer import StreamChunk
    from agentinfra.llm.structured.calls import Asking
    from agentinfra.results import LLMResponse

__all__ = ["StructuredStream"]

T = TypeVar("T")


class StructuredStream(Generic[T]):
    """A value that is coming: an async iterator and an async context manager.

    It yields the value as far as it has come, an object of the caller's own class whose missing
    fields are None (or their defaults) and which is not validated; the last one is the whole,
    validated value. Nothing is sent before it is entered or iterated. One task reads it; leaving
    it early or cancelling the task closes the connection, and what came is booked.

    Example:
        ```python
        async with llm.structured_stream(messages, Report) as stream:
            async for report in stream:
                print(report.title)
        ```
    """

    def __init__(
        self,
        kind: Any,
        begin: Callable[[], Awaitable[tuple[LLMStream, Asking]]],
        finish: Callable[[LLMResponse, Asking], Awaitable[LLMResponse]],
    ) -> None:
        self._kind = kind
        self._begin = begin
        self._finish = finish
        self._stream: LLMStream | None = None
        self._asking: Asking | None = None
        self._reply: LLMResponse | None = None
        self._text = PartialText()

    @property
    def reply(self) -> LLMResponse | None:
        """The whole reply with its usage and cost, once the value is whole; None before."""
        return self._reply

    async def value(self) -> T:
        """Read what is left and return the whole value.

        Raises:
            StructuredOutputError: It does not fit, repair rounds included, or was refused, filtered
                or cut off; ``text`` is what came.
            LLMError: The stream broke, or a later round failed.
        """
        if self._reply is None:
            async for _ in self:
                pass
        assert self._reply is not None  # noqa: S101 - the last piece has set it
        return cast("T", self._reply.parsed)

    async def __aiter__(self) -> AsyncIterator[T]:
        if self._reply is not None:
            yield self._reply.parsed
            return
        stream, asking = await self._opened()
        try:
            async for chunk in stream:
                if not (piece := _written(chunk)):
                    continue
                more, so_far = self._text.add(piece)
                if more and (found := self._partial(so_far, asking)) is not None:
                    yield found
            answer = await stream.response()
            self._reply = await self._finish(answer, asking)
            yield self._reply.parsed
        finally:
            await stream.aclose()

    def _partial(self, so_far: Any, asking: Asking) -> T | None:
        schema = asking.plan.tools[0].schema
        if schema is not None and schema.wraps and isinstance(so_far, dict):
            if WRAPPED not in so_far:
                return None
            so_far = so_far[WRAPPED]
        if schema is not None:
            so_far = without_nulls(so_far, schema.given)
        return cast("T", partial_of(self._kind, so_far))

    async def _opened(self) -> tuple[LLMStream, Asking]:
        if self._stream is None or self._asking is None:
            self._stream, self._asking = await self._begin()
        return self._stream, self._asking

    async def aclose(self) -> None:
        """Close the connection and book what came; a second call does nothing."""
        if self._stream is not None:
            await self._stream.aclose()

    async def __aenter__(self) -> Self:
        await self._opened()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


def _written(chunk: StreamChunk) -> str:
    """Return what is new of the JSON: of the first call's arguments, or of the text."""
    if chunk.tool_calls:
        return "".join(piece.arguments for piece in chunk.tool_calls if piece.index == 0)
    return chunk.text if chunk.index == 0 else ""
