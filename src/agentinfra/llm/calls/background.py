"""Responses that go on at their endpoint while nobody is connected (Responses API)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from agentinfra._mechanics.deadline import Deadline
from agentinfra.errors import LLMTimeoutError
from agentinfra.llm.dialects.request import TextRequest, resumed
from agentinfra.llm.policy.patience import CONFIGURED, Configured

if TYPE_CHECKING:
    from agentinfra._mechanics.clock import Clock
    from agentinfra.llm.calls.stream import LLMStream
    from agentinfra.llm.policy.call import Call
    from agentinfra.results import LLMResponse
    from agentinfra.settings import LLMSettings

__all__ = ["Background"]


class Background:
    """Waits for responses that were begun with ``background=True``, and goes on with streams.

    Args:
        settings: The client's.
        run: Makes a call and returns its whole answer.
        stream: Makes a call and returns its stream.
        begin: Begins a call that may take so many seconds.
        clock: Where time comes from.
    """

    def __init__(
        self,
        settings: LLMSettings,
        run: Callable[[TextRequest, Call], Awaitable[LLMResponse]],
        stream: Callable[[TextRequest, Call], Awaitable[LLMStream]],
        begin: Callable[[float | Configured | None], Call],
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._run = run
        self._stream = stream
        self._begin = begin
        self._clock = clock

    async def wait_for(
        self,
        response_id: str,
        *,
        model: str | None = None,
        poll: float = 2.0,
        deadline: float | Configured | None = CONFIGURED,
    ) -> LLMResponse:
        """Wait for a response and return it; cancelling stops waiting, and nothing else.

        Args:
            response_id: The id of a reply to a call with ``background=True``.
            model: The model it was asked of; None is the configured one.
            poll: Seconds between two looks.
            deadline: Seconds to wait at most; 0 is now, None has no end; left out, the
                configured one.

        Raises:
            LLMTimeoutError: It was not finished by then; it goes on at its endpoint.
            LLMError: It failed, or the endpoint has none of that id.
        """
        until = self._settings.deadline if isinstance(deadline, Configured) else deadline
        end = Deadline(until, clock=self._clock)
        while True:
            request = resumed(response_id, model or self._settings.model, {}, stream=False)
            reply = await self._run(request, self._begin(end.remaining()))
            if reply.finish_reason is not None:
                return reply
            if not end.allows(poll):
                raise LLMTimeoutError(
                    f"the response {response_id} is not finished yet", impatient=True
                )
            await self._clock.sleep(poll)

    async def resume(
        self, response_id: str, *, starting_after: int | None = None, model: str | None = None
    ) -> LLMStream:
        """Go on with the stream of a response.

        Args:
            response_id: Its id: ``LLMStream.response_id``.
            starting_after: The number of the last event that came: ``LLMStream.place``; None
                begins anew.
            model: The model it was asked of; None is the configured one.

        Raises:
            LLMError: The endpoint has none of that id, or cannot stream it again.
        """
        query: dict[str, Any] = {"stream": True}
        if starting_after is not None:
            query["starting_after"] = starting_after
        request = resumed(response_id, model or self._settings.model, query, stream=True)
        return await self._stream(request, self._begin(CONFIGURED))
