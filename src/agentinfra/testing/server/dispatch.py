"""Who answers which endpoint, from the script or by default."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

import orjson

from agentinfra.testing.apis.chat import complete, response_payload
from agentinfra.testing.apis.chat_stream import DONE, chunk_payloads, event
from agentinfra.testing.apis.embeddings import Embedder, embeddings_payload, embeddings_usage
from agentinfra.testing.apis.files import Files
from agentinfra.testing.apis.models import Models
from agentinfra.testing.apis.plain import plain_chat
from agentinfra.testing.apis.responses.api import Responses
from agentinfra.testing.apis.responses.events import error_event
from agentinfra.testing.apis.tokens import count_input, count_prompt
from agentinfra.testing.faults.kinds import StreamBreak
from agentinfra.testing.ledger import Exchange
from agentinfra.testing.outcome import Asked, Outcome, RefusedError
from agentinfra.testing.replies import RawReply, Reply
from agentinfra.testing.scripts.checks import pieces_of
from agentinfra.testing.scripts.playbook import Playbook, UnscriptedError, make_reply
from agentinfra.testing.server.routing import route
from agentinfra.testing.server.wire import before_the_end
from agentinfra.testing.validation.chat import (
    check_chat,
    check_embeddings,
    check_loosely,
    check_model,
)

if TYPE_CHECKING:
    from agentinfra.testing.scripts.verdict import Verdict
    from agentinfra.testing.server.ratelimit import Limiter
    from agentinfra.testing.zoo import Animal

__all__ = ["Dispatch"]

_SMALL, _REMEMBERED = 4096, 1000
_BATCHED = 10**12
_GARBAGE = event(b'{"id":"chatcmpl-0","object":"chat.completion.chunk","choices":[{"ind')


class Dispatch:
    """Turns requests into outcomes, with the manners of one animal."""

    def __init__(
        self,
        playbook: Playbook,
        verdict: Verdict,
        kind: Animal,
        *,
        models: Collection[str] | None,
        clock: Callable[[], float],
    ) -> None:
        self._playbook = playbook
        self._verdict = verdict
        self._kind = kind
        self._models = Models(models)
        self._responses = Responses(clock)
        self._files = Files()
        self._batched = 0
        self._embedder = Embedder()
        # The default replies to small requests: they are the same every time.
        self._known: dict[tuple[str, bytes], Reply] = {}

    async def answer(self, asked: Asked, limiter: Limiter | None) -> Outcome:
        """Return what a request is answered.

        Raises:
            RefusedError: It is answered with an error.
        """
        try:
            return await self._answer(asked, limiter)
        except RefusedError:
            raise
        except Exception as error:
            if self._kind.validates:
                # A fault of this server's own must not pass for one of the model's.
                raise self.failed(asked.exchange, error, "The test server") from error
            # Such a server checks no types, and so reads whatever it is sent until it cannot.
            raise RefusedError(f"The request cannot be read: {error}") from error

    async def _answer(self, asked: Asked, limiter: Limiter | None) -> Outcome:
        exchange = asked.exchange
        asked.endpoint, asked.argument = route(exchange.method, exchange.path, asked.query)
        family = asked.endpoint.partition(".")[0]
        if family not in self._kind.serves:
            raise RefusedError(
                f"Invalid URL ({exchange.method} {exchange.path})", status=404, code="unknown_url"
            )
        if family == "chat":
            return await self._chat(asked, limiter)
        if family == "embeddings":
            return await self._embeddings(asked, limiter)
        if family == "responses":
            return await self._respond(asked, limiter)
        scripted = await self._scripted(asked)
        if scripted is not None:
            return scripted
        if family == "models":
            return self._models.answer(asked)
        return await self._files.answer(asked, functools.partial(self._run, asked))

    async def _run(self, asked: Asked, path: str, body: dict[str, Any]) -> tuple[int, bytes]:
        """Answer one request of a batch, as if it had come by itself."""
        self._batched += 1
        exchange = Exchange(_BATCHED + self._batched, asked.exchange.started, "POST", path, ())
        exchange.raw_body = orjson.dumps(body)
        inner = dataclasses.replace(asked, exchange=exchange, body=body)
        try:
            outcome = await self._answer(inner, None)
        except RefusedError as refusal:
            outcome = self.refused(refusal)
        return outcome.status, outcome.body

    def failed(self, exchange: Exchange, error: BaseException, what: str) -> RefusedError:
        """Note what was raised for the one who leaves the server; return what the client gets."""
        self._verdict.raised(exchange, error)
        return _not_scripted(f"{what} failed at this request")

    def headers(self, asked: Asked) -> dict[str, str]:
        """Return the headers that go with every answer."""
        return self._kind.headers(asked)

    def refused(self, refusal: RefusedError) -> Outcome:
        """Return a refusal as this server writes it."""
        status, body = self._kind.error(refusal)
        return Outcome(status=status, body=orjson.dumps(body), headers=dict(refusal.headers))

    def broken(self, outcome: Outcome, fault: StreamBreak, asked: Asked) -> Outcome:
        """Return what a fault of streams makes of an outcome, but for the connection's end."""
        if outcome.status != 200:
            return outcome
        if not outcome.events:
            if fault.then == "error":
                return dataclasses.replace(outcome, status=500, body=fault.error, usage=None)
            if fault.then in ("end", "garbage"):
                half = outcome.body[: len(outcome.body) // 2]
                return dataclasses.replace(outcome, body=half, usage=None)
            return outcome
        place = before_the_end(outcome.events, fault.after_chunks)
        start = list(outcome.events[:place])
        if fault.then == "garbage":
            events = [*start, _GARBAGE, *outcome.events[place:]]
            return dataclasses.replace(outcome, events=events)
        if fault.then == "error":
            return dataclasses.replace(
                outcome, events=[*start, self._error_event(fault.error, asked, place)], usage=None
            )
        if fault.then == "end":
            return dataclasses.replace(outcome, events=start, usage=None)
        return outcome

    def _error_event(self, body: bytes, asked: Asked, place: int) -> bytes:
        error = orjson.loads(body)["error"]
        if asked.endpoint == "responses":
            return error_event(error, place)
        return self._kind.stream_error(error, asked)

    async def _chat(self, asked: Asked, limiter: Limiter | None) -> Outcome:
        model = self._model(asked)
        reply = self._remembered("chat", asked)
        if reply is None:
            (check_chat if self._kind.validates else check_loosely)(asked.body)
        self._kind.admit(asked)
        body = asked.body
        headers = _admit(limiter, model, count_prompt(body), body) if limiter else {}
        made = reply or await self._reply(asked, body)
        if isinstance(made, RawReply):
            return _raw(made)
        return self._chat_outcome(made, asked, model, {**headers, **made.headers})

    def _chat_outcome(
        self, reply: Reply, asked: Asked, model: str, headers: dict[str, str]
    ) -> Outcome:
        change = asked.change
        completion = complete(reply, asked.body, index=asked.exchange.index, model=model)
        if change.finish_reason:
            completion = dataclasses.replace(completion, finish_reason=change.finish_reason)
        if not asked.stream:
            if reply.failure is not None:
                status, failed = self._kind.failed(reply.failure)
                return Outcome(status=status, body=orjson.dumps(failed), headers=headers)
            payload = response_payload(completion, usage=change.usage, choices=change.choices)
            if self._kind.reasoning_key and completion.reasoning:
                for choice in payload["choices"]:
                    choice["message"][self._kind.reasoning_key] = completion.reasoning
            return Outcome(
                body=orjson.dumps(self._kind.whole(payload, asked)),
                usage=completion.usage if change.usage else None,
                headers=headers,
                delay=reply.delay,
            )
        asked_for = (asked.body.get("stream_options") or {}).get("include_usage")
        include = bool(asked_for) or self._kind.reports_usage
        payloads = chunk_payloads(
            completion,
            include_usage=include,
            usage=change.usage,
            choices=change.choices,
            reasoning_key=self._kind.reasoning_key,
        )
        events = [event(orjson.dumps(one)) for one in self._kind.chunks(payloads, asked)]
        events.append(DONE)
        if reply.failure is not None:
            error = {"message": reply.failure, "type": "server_error", "param": None, "code": None}
            place = before_the_end(events, len(events))
            events = [*events[:place], self._kind.stream_error(error, asked)]
        return Outcome(
            events=self._kind.events(events, asked),
            usage=completion.usage if include and change.usage and reply.failure is None else None,
            headers=headers,
            delay=reply.delay,
            chunk_delay=reply.chunk_delay,
        )

    async def _respond(self, asked: Asked, limiter: Limiter | None) -> Outcome:
        if asked.endpoint not in ("responses", "responses.input_tokens"):
            return self._responses.later(asked)
        if asked.endpoint == "responses.input_tokens":
            return self._responses.count(asked, strict=self._kind.validates)
        model = self._model(asked)
        reply = self._remembered("responses", asked)
        strict = self._kind.validates and reply is None
        chat, items = self._responses.prepare(asked, strict=strict)
        self._kind.admit(asked)
        headers = _admit(limiter, model, count_prompt(chat), chat) if limiter else {}
        made = reply or await self._reply(asked, chat)
        if isinstance(made, RawReply):
            return _raw(made)
        return self._responses.finish(made, asked, chat, items, {**headers, **made.headers})

    async def _embeddings(self, asked: Asked, limiter: Limiter | None) -> Outcome:
        model = self._model(asked)
        body, change = asked.body, asked.change
        inputs = check_embeddings(body, strict=self._kind.validates)
        self._kind.admit(asked)
        body = asked.body
        headers = _admit(limiter, model, count_input(inputs), {}) if limiter else {}
        scripted = await self._scripted(asked)
        if scripted is not None:
            return scripted
        wanted = inputs if change.choices else []
        usage = embeddings_usage(inputs) if change.usage else None
        size = body.get("dimensions")
        vectors = [self._embedder.embed(text, model=model, dimensions=size) for text in wanted]
        payload = embeddings_payload(
            vectors,
            model=model,
            base64_format=body.get("encoding_format") == "base64",
            usage=usage,
        )
        packed = orjson.dumps(
            self._kind.embeddings(payload, asked), option=orjson.OPT_SERIALIZE_NUMPY
        )
        return Outcome(body=packed, usage=usage, headers=headers)

    def _model(self, asked: Asked) -> str:
        if asked.argument and isinstance(asked.body, dict):
            asked.body = {"model": asked.argument, **asked.body}
            asked.exchange.model = asked.exchange.model or asked.argument
        return check_model(asked.body, self._models.known)

    async def _scripted(self, asked: Asked) -> Outcome | None:
        """Return what is scripted for an endpoint that is answered with raw replies."""
        endpoint = asked.endpoint.partition(".")[0]
        if not self._playbook.is_told(endpoint):
            return None
        made = await self._told(asked, {"messages": []})
        if made is None or isinstance(made, RawReply):
            return None if made is None else _raw(made)
        return Outcome(body=made.text.encode(), headers=dict(made.headers), delay=made.delay)

    async def _reply(self, asked: Asked, chat: dict[str, Any]) -> Reply | RawReply:
        """Return what answers a request, by default too."""
        told = await self._told(asked, chat)
        if told is not None:
            return told
        made = self._playbook.builtin(plain_chat(chat))
        self._remember(asked, made)
        return made

    async def _told(self, asked: Asked, chat: dict[str, Any]) -> Reply | RawReply | None:
        """Return what was told to answer a request; note where nothing does or it fails.

        Args:
            asked: The request; functions are given its body.
            chat: It as chat would have it; its last user message is what texts are matched with.
        """
        endpoint = asked.endpoint.partition(".")[0]
        exchange = asked.exchange
        body = asked.body if isinstance(asked.body, dict) else {}
        try:
            told = self._playbook.choose(endpoint, body, chat["messages"])
            exchange.source = told
            return None if told is None else await make_reply(told, body)
        except UnscriptedError:
            self._verdict.unscripted(exchange)
            raise _not_scripted("Nothing is scripted for this request") from None
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - raised again where the server is left
            raise self.failed(exchange, error, "The function that answers") from None

    def _remembered(self, endpoint: str, asked: Asked) -> Reply | None:
        """Return the default reply to a body that was valid before, None where others may do."""
        if self._playbook.is_told(endpoint):
            return None
        return self._known.get((endpoint, asked.exchange.raw_body))

    def _remember(self, asked: Asked, reply: Reply) -> None:
        # A body that goes on from a stored response is not all of its conversation.
        if len(asked.exchange.raw_body) > _SMALL or asked.body.get("previous_response_id"):
            return
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[asked.endpoint, asked.exchange.raw_body] = reply


def _not_scripted(what: str) -> RefusedError:
    """Return the refusal of a request the test did not foresee: no client sends it again."""
    return RefusedError(
        f"{what}; the test server says which when it is left.",
        status=400,
        kind="test_server_error",
        code="not_scripted",
    )


def _raw(reply: RawReply) -> Outcome:
    headers = dict(reply.headers)
    content_type = next(
        (headers.pop(n) for n in list(headers) if n.lower() == "content-type"), None
    )
    pieces = pieces_of(reply)
    return Outcome(
        status=reply.status,
        body=pieces if isinstance(pieces, bytes) else b"",
        events=() if isinstance(pieces, bytes) else pieces,
        headers=headers,
        content_type=content_type,
        delay=reply.delay,
        chunk_delay=reply.chunk_delay,
    )


def _admit(limiter: Limiter, model: str, tokens: int, body: dict[str, Any]) -> dict[str, str]:
    """Return the rate limit headers of a request that is let through."""
    most = body.get("max_completion_tokens") or body.get("max_tokens") or 0
    verdict = limiter.admit(model, max(tokens, most))
    if verdict.refused is not None:
        raise RefusedError(
            verdict.message,
            status=429,
            kind=verdict.refused,
            code="rate_limit_exceeded",
            headers=verdict.headers,
        )
    return verdict.headers
