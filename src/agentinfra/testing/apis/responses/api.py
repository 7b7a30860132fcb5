"""Requests for responses: made, kept, counted."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import orjson

from agentinfra.testing.apis.chat import complete
from agentinfra.testing.apis.responses.body import response_object
from agentinfra.testing.apis.responses.events import response_events
from agentinfra.testing.apis.responses.store import Kept, ResponseStore
from agentinfra.testing.apis.responses.view import as_chat, as_items
from agentinfra.testing.apis.tokens import count_prompt
from agentinfra.testing.outcome import Asked, Outcome
from agentinfra.testing.replies import Reply
from agentinfra.testing.validation.responses import check_responses, check_turns

__all__ = ["Responses"]


class Responses:
    """Serves the Responses API of one server.

    Args:
        clock: The time in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._store = ResponseStore(clock)

    def prepare(self, asked: Asked, *, strict: bool) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Check a request; return it as chat would have it, and its conversation's items.

        Args:
            asked: The request.
            strict: Whether it has to be as OpenAI's own types say; they need not be asked again
                for a body they let through before.

        Raises:
            RefusedError: OpenAI would answer with an error.
        """
        body = asked.body
        if strict:
            check_responses(body, counted=asked.endpoint == "responses.input_tokens")
        items = [
            *self._store.before(body.get("previous_response_id")),
            *as_items(body.get("input")),
        ]
        check_turns(items)
        self._store.check_items(items)
        return as_chat(body, items), items

    def count(self, asked: Asked, *, strict: bool) -> Outcome:
        """Answer a request that only counts tokens.

        Raises:
            RefusedError: OpenAI would answer with an error.
        """
        chat, _ = self.prepare(asked, strict=strict)
        counted = {"object": "response.input_tokens", "input_tokens": count_prompt(chat)}
        return Outcome(body=orjson.dumps(counted))

    def later(self, asked: Asked) -> Outcome:
        """Answer a request about a response that was made before.

        Raises:
            RefusedError: There is none, or it cannot be cancelled.
        """
        return self._store.answer(asked)

    def finish(
        self,
        reply: Reply,
        asked: Asked,
        chat: dict[str, Any],
        items: list[dict[str, Any]],
        headers: dict[str, str],
    ) -> Outcome:
        """Return the outcome of a reply, whole or streamed; keep the response."""
        body, change = asked.body, asked.change
        index = asked.exchange.index
        completion = complete(reply, chat, index=index, model=body["model"])
        if change.finish_reason:
            completion = dataclasses.replace(completion, finish_reason=change.finish_reason)
        response = response_object(
            completion,
            body,
            index=index,
            failure=reply.failure,
            usage=change.usage,
            output=change.choices,
        )
        kept = Kept(
            response=response,
            given=as_items(body.get("input")),
            items=[*items, *response["output"]],
            ready=self._clock() + reply.delay,
        )
        self._store.keep(kept, response)
        usage = completion.usage if "usage" in response else None
        if asked.stream:
            return Outcome(
                events=response_events(response, completion.pieces()),
                usage=usage,
                headers=headers,
                delay=reply.delay,
                chunk_delay=reply.chunk_delay,
            )
        if response["background"]:
            # It is done later: the delay is that of its work and not of this answer.
            queued = self._store.shown(kept, new=True)
            return Outcome(body=orjson.dumps(queued), headers=headers)
        return Outcome(body=orjson.dumps(response), usage=usage, headers=headers, delay=reply.delay)
