"""From a request to an outcome: who may ask, what for, within which limits."""

from __future__ import annotations

import asyncio
import dataclasses
import re
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, cast

import orjson

from agentinfra.testing.completion import complete, response_body
from agentinfra.testing.delivery import Outcome, Sleep, deliver, stay_silent
from agentinfra.testing.embeddings import Embedder, embeddings_body, embeddings_usage
from agentinfra.testing.faults import Answer, Change, Fault, Silence
from agentinfra.testing.injection import FaultQueue
from agentinfra.testing.ledger import Exchange, Ledger, parse_body
from agentinfra.testing.ratelimit import Limiter
from agentinfra.testing.replies import Playbook, Reply
from agentinfra.testing.streaming import events
from agentinfra.testing.tokens import count_input, count_prompt
from agentinfra.testing.validation import (
    RefusedError,
    check_chat,
    check_embeddings,
    check_model,
)

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["Endpoints"]

_AZURE = re.compile(r"/openai/deployments/([^/]+)/(chat/completions|embeddings)")
_PATHS = {
    "/v1/chat/completions": "chat",
    "/v1/embeddings": "embeddings",
    "/v1/models": "models",
    "/openai/models": "models",
}
_UNCHANGED = Change(name="")
_SAMPLE_MODELS = (
    "gpt-4o",
    "gpt-4o-mini",
    "gpt-4.1-mini",
    "text-embedding-3-small",
    "text-embedding-3-large",
)
_SMALL, _REMEMBERED = 4096, 1000
_CREATED = 1_735_689_600


class Endpoints:
    """Answers the requests of one server.

    Args:
        ledger: Where they are entered.
        playbook: What chat requests are answered.
        faults: What goes wrong.
        limiter: Refuses what is too much, None for no limits.
        api_key: The one key that is let in, None for all.
        models: The models there are, None for all.
        clock: The time in seconds.
        sleep: Waits.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        playbook: Playbook,
        faults: FaultQueue,
        limiter: Limiter | None,
        api_key: str | None,
        models: Collection[str] | None,
        clock: Callable[[], float],
        sleep: Sleep,
    ) -> None:
        self._ledger = ledger
        self._playbook = playbook
        self._faults = faults
        self._limiter = limiter
        self._api_key = api_key
        self._models = models
        self._clock = clock
        self._sleep = sleep
        self._embedder = Embedder()
        # The default replies to small requests: they are the same every time.
        self._known: dict[bytes, Reply] = {}
        self.tasks: set[asyncio.Task[Any]] = set()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; aiohttp calls this in a task of its own, cancelled on disconnect."""
        exchange = self._ledger.open(
            self._clock(), request.method, request.path, request.raw_headers
        )
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        self.tasks.add(task)
        try:
            return await self._answer(request, exchange)
        finally:
            self.tasks.discard(task)
            self._ledger.close(exchange, self._clock())

    async def _answer(self, request: web.BaseRequest, exchange: Exchange) -> web.StreamResponse:
        exchange.authorized = self._lets_in(request.headers)
        body = _read_body(await request.read(), exchange)
        self._ledger.arrived(exchange)
        fault = self._faults.take(exchange) if exchange.authorized else None
        if isinstance(fault, Silence):
            await stay_silent(request, fault)
        try:
            outcome = await self._outcome(request, exchange, body, fault)
        except RefusedError as refusal:
            outcome = Outcome(status=refusal.status, body=refusal.body, headers=refusal.headers)
        outcome.headers.update(
            {
                "x-request-id": f"req_{exchange.index:032x}",
                "openai-processing-ms": str(int((self._clock() - exchange.started) * 1000)),
                "openai-version": "2020-10-01",
            }
        )
        return await deliver(request, exchange, outcome, fault, self._sleep)

    async def _outcome(
        self, request: web.BaseRequest, exchange: Exchange, body: Any, fault: Fault | None
    ) -> Outcome:
        if not exchange.authorized:
            raise _unauthorized()
        if isinstance(fault, Answer):
            return Outcome(
                status=fault.status,
                body=fault.body,
                headers=dict(fault.headers),
                content_type=fault.content_type,
            )
        endpoint, argument = _route(request, exchange)
        if endpoint == "models":
            return Outcome(body=orjson.dumps(self._list_models()))
        if endpoint == "model":
            return Outcome(body=orjson.dumps(self._show_model(argument)))
        if argument and isinstance(body, dict):
            body = {"model": argument, **body}
            exchange.model = exchange.model or argument
        model = check_model(body, self._models)
        change = fault if isinstance(fault, Change) else _UNCHANGED
        if endpoint == "chat":
            return await self._chat(body, model, exchange, change)
        return self._embeddings(body, model, change)

    async def _chat(
        self, body: dict[str, Any], model: str, exchange: Exchange, change: Change
    ) -> Outcome:
        known = None if self._playbook.told else self._known.get(exchange.raw_body)
        if known is None:
            check_chat(body)
        headers = self._admit_chat(model, body)
        reply = known or await self._reply(body, exchange)
        completion = complete(reply, body, index=exchange.index, model=model)
        if change.finish_reason:
            completion = dataclasses.replace(completion, finish_reason=change.finish_reason)
        if not exchange.stream:
            return Outcome(
                body=response_body(completion, usage=change.usage, choices=change.choices),
                usage=completion.usage if change.usage else None,
                headers=headers,
                delay=reply.delay,
            )
        include = bool((body.get("stream_options") or {}).get("include_usage"))
        return Outcome(
            events=events(
                completion, include_usage=include, usage=change.usage, choices=change.choices
            ),
            usage=completion.usage if include and change.usage else None,
            headers=headers,
            delay=reply.delay,
            chunk_delay=reply.chunk_delay,
        )

    async def _reply(self, body: dict[str, Any], exchange: Exchange) -> Reply:
        told = self._playbook.told
        try:
            reply = await self._playbook.reply_to(body)
        except Exception as error:  # whatever a scripted function raises is told to its caller
            message = f"the reply could not be made: {type(error).__name__}: {error}"
            raise RefusedError(message, status=500, kind="server_error") from error
        if not told and len(exchange.raw_body) <= _SMALL:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[exchange.raw_body] = reply
        return reply

    def _embeddings(self, body: dict[str, Any], model: str, change: Change) -> Outcome:
        inputs = check_embeddings(body)
        headers = self._admit(model, count_input(inputs)) if self._limiter else {}
        wanted = inputs if change.choices else []
        usage = embeddings_usage(inputs) if change.usage else None
        size = body.get("dimensions")
        vectors = [self._embedder.embed(text, model=model, dimensions=size) for text in wanted]
        packed = embeddings_body(
            vectors,
            model=model,
            base64_format=body.get("encoding_format") == "base64",
            usage=usage,
        )
        return Outcome(body=packed, usage=usage, headers=headers)

    def _admit_chat(self, model: str, body: Mapping[str, Any]) -> dict[str, str]:
        if self._limiter is None:
            return {}
        most = body.get("max_completion_tokens") or body.get("max_tokens") or 0
        return self._admit(model, max(count_prompt(body), most))

    def _admit(self, model: str, tokens: int) -> dict[str, str]:
        """Return the rate limit headers of a request that is let through."""
        if self._limiter is None:
            return {}
        verdict = self._limiter.admit(model, tokens)
        if verdict.refused is not None:
            raise RefusedError(
                verdict.message,
                status=429,
                kind=verdict.refused,
                code="rate_limit_exceeded",
                headers=verdict.headers,
            )
        return verdict.headers

    def _lets_in(self, headers: Mapping[str, str]) -> bool:
        if self._api_key is None:
            return True
        bearer = headers.get("Authorization", "").removeprefix("Bearer ")
        return self._api_key in (bearer, headers.get("api-key"))

    def _list_models(self) -> dict[str, Any]:
        known = _SAMPLE_MODELS if self._models is None else self._models
        return {"object": "list", "data": [_model(name) for name in known]}

    def _show_model(self, name: str) -> dict[str, Any]:
        if self._models is not None and name not in self._models:
            raise RefusedError(
                f"The model '{name}' does not exist",
                status=404,
                param="model",
                code="model_not_found",
            )
        return _model(name)


def _read_body(raw: bytes, exchange: Exchange) -> Any:
    exchange.raw_body = raw
    body = parse_body(raw)
    if isinstance(body, dict):
        model = body.get("model")
        exchange.model = model if isinstance(model, str) else None
        exchange.stream = body.get("stream") is True
    return body


def _route(request: web.BaseRequest, exchange: Exchange) -> tuple[str, str]:
    """Return the endpoint a request is for, and the model its path names."""
    path = exchange.path
    if path.startswith("/openai/v1/"):
        path = path.removeprefix("/openai")
    endpoint, argument = _PATHS.get(path, ""), ""
    if not endpoint and path.startswith("/v1/models/"):
        endpoint, argument = "model", path.removeprefix("/v1/models/")
    elif not endpoint and (azure := _AZURE.fullmatch(path)):
        if "api-version" not in request.query:
            raise RefusedError("Resource not found: give an api-version", status=404, code="404")
        argument, endpoint = azure[1], "embeddings" if azure[2] == "embeddings" else "chat"
    if not endpoint:
        raise RefusedError(
            f"Invalid URL ({exchange.method} {exchange.path})", status=404, code="unknown_url"
        )
    expected = "GET" if endpoint in ("models", "model") else "POST"
    if exchange.method != expected:
        raise RefusedError(
            f"Not allowed to {exchange.method} on {exchange.path}; send {expected}.",
            status=405,
            code="method_not_supported",
        )
    return endpoint, argument


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": _CREATED, "owned_by": "agentinfra"}


def _unauthorized() -> RefusedError:
    return RefusedError(
        "Incorrect API key provided; send the key this server was given.",
        status=401,
        code="invalid_api_key",
    )
