"""Puts an outcome on the wire, with the damage a fault does to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from aiohttp import web

from agentinfra.results import Usage
from agentinfra.testing.faults import Damage, Fault, Silence, StreamBreak
from agentinfra.testing.ledger import Exchange
from agentinfra.testing.streaming import event

__all__ = ["Outcome", "Sleep", "deliver", "stay_silent"]

Sleep: TypeAlias = Callable[[float], Awaitable[object]]
_JSON = "application/json"
_EVENT_STREAM = "text/event-stream; charset=utf-8"
_GARBAGE = event(b'{"id":"chatcmpl-0","object":"chat.completion.chunk","choices":[{"ind')


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A response to be sent.

    Attributes:
        status: The HTTP status.
        body: The body of a response that is no stream.
        events: The events of a stream; empty for a response that is none.
        usage: The tokens it reports, None where it reports none.
        headers: Headers besides the content's type and length.
        content_type: The type; None: JSON, or an event stream.
        delay: Seconds before the first byte.
        chunk_delay: Seconds between events.
    """

    status: int = 200
    body: bytes = b""
    events: Sequence[bytes] = ()
    usage: Usage | None = None
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str | None = None
    delay: float = 0.0
    chunk_delay: float = 0.0


async def stay_silent(request: web.BaseRequest, fault: Silence) -> None:
    """Do not answer; the client's leaving or the server's closing cancels this."""
    if fault.hang_up:
        await _hang_up(request)
    await asyncio.Event().wait()


async def deliver(
    request: web.BaseRequest,
    exchange: Exchange,
    outcome: Outcome,
    fault: Fault | None,
    sleep: Sleep,
) -> web.StreamResponse:
    """Send an outcome, and note in the exchange how far that went."""
    damage = fault if isinstance(fault, Damage) else None
    if damage is not None:
        outcome = _damaged(outcome, damage)
    if outcome.delay:
        await sleep(outcome.delay)
    broken = fault if isinstance(fault, StreamBreak) else None
    if outcome.events:
        return await _send_events(request, exchange, outcome, broken, damage, sleep)
    cut = damage is not None and damage.body == "cut"
    if broken is not None and outcome.status == 200:
        outcome, cut = _broken_body(outcome, broken)
    return await _send_body(request, exchange, outcome, cut=cut)


def _damaged(outcome: Outcome, damage: Damage) -> Outcome:
    outcome = replace(
        outcome,
        delay=outcome.delay + damage.first_byte,
        chunk_delay=outcome.chunk_delay + damage.per_chunk,
        content_type=damage.content_type or outcome.content_type,
    )
    if damage.body != "broken":
        return outcome
    whole = outcome.body or outcome.events[0].removeprefix(b"data: ")
    return replace(outcome, body=_half(whole), events=(), usage=None)


def _broken_body(outcome: Outcome, broken: StreamBreak) -> tuple[Outcome, bool]:
    """Return what a stream fault makes of a response that is no stream, and whether it is cut."""
    if broken.then == "error":
        return replace(outcome, status=500, body=broken.error, usage=None), False
    if broken.then == "disconnect":
        return outcome, True
    return replace(outcome, body=_half(outcome.body), usage=None), False


def _half(body: bytes) -> bytes:
    return body[: len(body) // 2]


async def _send_body(
    request: web.BaseRequest, exchange: Exchange, outcome: Outcome, *, cut: bool
) -> web.StreamResponse:
    headers = {"Content-Type": outcome.content_type or _JSON, **outcome.headers}
    exchange.status = outcome.status
    if cut:
        return await _send_half(request, outcome, headers)
    response = web.Response(status=outcome.status, body=outcome.body, headers=headers)
    await response.prepare(request)
    try:
        await response.write_eof()
    except ConnectionError:
        return response
    exchange.finished = True
    exchange.usage = outcome.usage
    return response


async def _send_half(
    request: web.BaseRequest, outcome: Outcome, headers: dict[str, str]
) -> web.StreamResponse:
    headers["Content-Length"] = str(len(outcome.body))
    response = web.StreamResponse(status=outcome.status, headers=headers)
    await response.prepare(request)
    await response.write(_half(outcome.body))
    await _hang_up(request)
    return response


async def _send_events(
    request: web.BaseRequest,
    exchange: Exchange,
    outcome: Outcome,
    broken: StreamBreak | None,
    damage: Damage | None,
    sleep: Sleep,
) -> web.StreamResponse:
    events, whole = _broken_events(outcome.events, broken)
    cut = damage is not None and damage.body == "cut"
    if cut:
        middle = len(events) // 2
        events = [*events[:middle], _half(events[middle])]
    headers = {
        "Content-Type": outcome.content_type or _EVENT_STREAM,
        "Cache-Control": "no-cache",
        **outcome.headers,
    }
    response = web.StreamResponse(status=outcome.status, headers=headers)
    exchange.status = outcome.status
    await response.prepare(request)
    try:
        await _write_events(response, events, outcome.chunk_delay, sleep)
        if cut or (broken is not None and broken.then == "disconnect"):
            await _hang_up(request)
        await response.write_eof()
    except ConnectionError:
        return response
    exchange.finished = True
    exchange.usage = outcome.usage if whole else None
    return response


def _broken_events(
    events: Sequence[bytes], broken: StreamBreak | None
) -> tuple[Sequence[bytes], bool]:
    """Return the events a stream fault lets through, and whether the last one is among them."""
    if broken is None:
        return events, True
    # The last three may be finish reason, usage and [DONE]; a break comes before them.
    place = min(broken.after_chunks, max(0, len(events) - 3))
    start = events[:place]
    if broken.then == "garbage":
        return [*start, _GARBAGE, *events[place:]], True
    return ([*start, event(broken.error)] if broken.then == "error" else start), False


async def _write_events(
    response: web.StreamResponse, events: Sequence[bytes], delay: float, sleep: Sleep
) -> None:
    if not delay:
        await response.write(b"".join(events))
        return
    for place, chunk in enumerate(events):
        if place:
            await sleep(delay)
        await response.write(chunk)


async def _hang_up(request: web.BaseRequest) -> None:
    """Close the connection and wait for the cancellation that follows from it."""
    if request.transport is not None:
        request.transport.close()
    await asyncio.Event().wait()
