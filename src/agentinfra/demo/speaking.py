"""Answers that are heard while they are made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from agentinfra.errors import LLMStreamInterruptedError

if TYPE_CHECKING:
    from agentinfra.llm.client import AsyncLLMClient
    from agentinfra.results import LLMResponse

__all__ = ["speak"]


async def speak(
    llm: AsyncLLMClient,
    messages: Sequence[Any],
    write: Callable[[Any], None],
    *,
    unless: str = "",
    **options: Any,
) -> LLMResponse:
    """Stream an answer, and hand out each piece as it comes.

    Of a stream that breaks the part that came is the answer; its ``degraded`` says so.

    Args:
        llm: Who answers.
        messages: The conversation.
        write: Takes the pieces.
        unless: An answer that is not handed out; the pieces are held back as long as they could
            become it.
        options: Further parameters of the call.

    Raises:
        LLMError: The call failed before any text came.
    """
    held = ""
    async with await llm.chat_completion(messages, stream=True, **options) as stream:
        try:
            async for piece in stream.texts():
                held += piece
                if not unless.startswith(held.strip()):
                    write(held)
                    held, unless = "", ""
            reply = await stream.response()
        except LLMStreamInterruptedError as error:
            if not error.partial.text:
                raise
            reply = error.partial  # half an answer, which says that it is
    if held and held.strip() != unless:
        write(held)
    return reply
