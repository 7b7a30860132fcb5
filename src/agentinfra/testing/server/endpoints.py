"""From a request on a connection to what is sent back on it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from aiohttp import HttpVersion11, web

from agentinfra.testing.faults.kinds import Answer, Change, Fault, Silence, StreamBreak
from agentinfra.testing.ledger import Exchange, Ledger, parse_body
from agentinfra.testing.outcome import Asked, Outcome, RefusedError
from agentinfra.testing.server.wire import Frame, end_badly, ends, lay_out, play, with_pace

if TYPE_CHECKING:
    from agentinfra.testing.faults.queue import FaultQueue
    from agentinfra.testing.server.dispatch import Dispatch
    from agentinfra.testing.server.ratelimit import Limiter

__all__ = ["Endpoints"]

_UNCHANGED = Change(name="")
_LEFT = (ConnectionError, web.RequestPayloadError, EOFError)


class Sent:
    """What aiohttp is handed as the response: it has been sent already, byte by byte."""

    def __init__(self, *, keep_alive: bool) -> None:
        self.keep_alive = keep_alive

    async def prepare(self, request: web.BaseRequest) -> None:
        """Do nothing."""

    async def write_eof(self) -> None:
        """Do nothing."""


class Endpoints:
    """Answers the requests of one server, each in a task of its own.

    Args:
        ledger: Where they are entered.
        dispatch: What they are answered.
        faults: What goes wrong.
        limiter: Refuses what is too much, None for no limits.
        api_key: The one key that is let in, None for all.
        clock: The time in seconds.
        sleep: Waits.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        dispatch: Dispatch,
        faults: FaultQueue,
        limiter: Limiter | None,
        api_key: str | None,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[object]],
    ) -> None:
        self._ledger = ledger
        self._dispatch = dispatch
        self._faults = faults
        self._limiter = limiter
        self._api_key = api_key
        self._clock = clock
        self._sleep = sleep
        self.tasks: set[asyncio.Task[Any]] = set()

    async def handle(self, request: web.BaseRequest) -> Sent:
        """Answer one request; aiohttp calls this in a task of its own, cancelled on disconnect."""
        exchange = self._ledger.open(
            self._clock(), request.method, request.path, request.raw_headers
        )
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        self.tasks.add(task)
        try:
            return await self._answer(request, exchange)
        except _LEFT:
            return Sent(keep_alive=False)
        finally:
            self.tasks.discard(task)
            self._ledger.close(exchange, self._clock())

    async def _answer(self, request: web.BaseRequest, exchange: Exchange) -> Sent:
        exchange.authorized = self._lets_in(request.headers)
        exchange.raw_body = await request.read()
        asked = _read(exchange, request)
        self._ledger.arrived(exchange)
        faults = self._met(exchange) if exchange.authorized else ()
        asked.change = next((fault for fault in faults if isinstance(fault, Change)), _UNCHANGED)
        for fault in faults:
            if isinstance(fault, Silence):
                await end_badly(request.transport, fault.then)
        outcome = await self._outcome(asked, faults)
        outcome.headers.update(self._dispatch.headers(asked))
        outcome.headers["x-request-id"] = f"req_{exchange.index:032x}"
        outcome.headers["openai-processing-ms"] = str(
            int((self._clock() - exchange.started) * 1000)
        )
        return await self._send(request, exchange, outcome, faults)

    def _met(self, exchange: Exchange) -> Sequence[Fault]:
        """Return the faults of a request; one in their place where deciding on them failed."""
        try:
            return self._faults.take(exchange)
        except Exception as error:  # noqa: BLE001 - raised again where the server is left
            refusal = self._dispatch.failed(exchange, error, "The function that decides on faults")
            return (Answer(name="", status=refusal.status, body=refusal.body),)

    async def _send(
        self,
        request: web.BaseRequest,
        exchange: Exchange,
        outcome: Outcome,
        faults: Sequence[Fault],
    ) -> Sent:
        modern = request.version >= HttpVersion11
        keep_alive = bool(request.keep_alive) and (modern or not outcome.events)
        operations = lay_out(outcome, Frame(chunked=modern, keep_alive=keep_alive), faults)
        whole = ends(operations)

        def settle() -> None:
            if whole:
                exchange.finished = True
                exchange.usage = outcome.usage
                self._ledger.close(exchange, self._clock())

        exchange.status = outcome.status
        await play(operations, request.transport, self._sleep, settle)
        return Sent(keep_alive=keep_alive)

    async def _outcome(self, asked: Asked, faults: Sequence[Fault]) -> Outcome:
        try:
            if not asked.exchange.authorized:
                raise _unauthorized()
            answer = next((fault for fault in faults if isinstance(fault, Answer)), None)
            if answer is not None:
                outcome = _in_place(answer)
            else:
                outcome = await self._dispatch.answer(asked, self._limiter)
        except RefusedError as refusal:
            outcome = self._dispatch.refused(refusal)
        outcome = with_pace(outcome, faults)
        broken = next((fault for fault in faults if isinstance(fault, StreamBreak)), None)
        return outcome if broken is None else self._dispatch.broken(outcome, broken, asked)

    def _lets_in(self, headers: Mapping[str, str]) -> bool:
        if self._api_key is None:
            return True
        bearer = headers.get("Authorization", "").removeprefix("Bearer ")
        return self._api_key in (bearer, headers.get("api-key"))


def _in_place(answer: Answer) -> Outcome:
    return Outcome(
        status=answer.status,
        body=answer.body,
        headers=dict(answer.headers),
        content_type=answer.content_type,
    )


def _read(exchange: Exchange, request: web.BaseRequest) -> Asked:
    body = parse_body(exchange.raw_body)
    if isinstance(body, dict):
        model = body.get("model")
        exchange.model = model if isinstance(model, str) else None
        exchange.stream = body.get("stream") is True
    return Asked(
        exchange=exchange,
        endpoint="",
        argument="",
        body=body,
        query=request.query,
        headers=request.headers,
        change=_UNCHANGED,
    )


def _unauthorized() -> RefusedError:
    return RefusedError(
        "Incorrect API key provided; send the key this server was given.",
        status=401,
        code="invalid_api_key",
    )
