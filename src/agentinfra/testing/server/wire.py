"""From an outcome to bytes and waits on the wire, with the damage that faults do to them."""

from __future__ import annotations

import asyncio
import http
import socket
import struct
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Literal, TypeAlias

from agentinfra.testing.faults.kinds import Damage, Fault, OnWire, Step, StreamBreak
from agentinfra.testing.outcome import Outcome

__all__ = ["Frame", "Operation", "ends", "lay_out", "play"]

Operation: TypeAlias = "bytes | Step"
_JSON = "application/json"
_EVENT_STREAM = "text/event-stream; charset=utf-8"
_LAST_CHUNK = b"0\r\n\r\n"
_TURNED = bytes(byte ^ 0xFF for byte in range(256))
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
End: TypeAlias = "Literal['stall', 'close', 'reset']"
_ENDS = frozenset({"stall", "close", "reset"})
_BODY_ENDS: dict[str, End] = {"cut": "reset", "closed": "close"}
_STREAM_ENDS: dict[str, End] = {"disconnect": "reset", "close": "close", "stall": "stall"}


class Frame:
    """How one request wants its response framed.

    Args:
        chunked: Whether its version of HTTP knows chunks; without, a stream ends with the
            connection.
        keep_alive: Whether the connection is to stay.
    """

    __slots__ = ("chunked", "keep_alive")

    def __init__(self, *, chunked: bool, keep_alive: bool) -> None:
        self.chunked = chunked
        self.keep_alive = keep_alive

    def head(self, outcome: Outcome, *, length: int | None) -> bytes:
        """Return the status line and the headers."""
        kind = outcome.content_type or (_EVENT_STREAM if outcome.events else _JSON)
        lines = [f"HTTP/1.1 {outcome.status} {_phrase(outcome.status)}\r\nContent-Type: {kind}"]
        lines += [f"{name}: {value}" for name, value in outcome.headers.items()]
        if length is not None:
            lines.append(f"Content-Length: {length}")
        elif self.chunked:
            lines.append("Cache-Control: no-cache\r\nTransfer-Encoding: chunked")
        if not self.keep_alive:
            lines.append("Connection: close")
        return "\r\n".join([*lines, "\r\n"]).encode("utf-8", "surrogateescape")

    def piece(self, data: bytes) -> bytes:
        """Return a piece of a stream as it goes out."""
        return b"%x\r\n%b\r\n" % (len(data), data) if self.chunked and data else data

    @property
    def end(self) -> bytes:
        """What ends a stream."""
        return _LAST_CHUNK if self.chunked else b""


def lay_out(outcome: Outcome, frame: Frame, faults: Sequence[Fault]) -> list[Operation]:
    """Return what happens on the wire for an outcome that meets faults."""
    operations = (
        _pieces(outcome, frame, faults) if outcome.events else _whole(outcome, frame, faults)
    )
    if outcome.delay:
        operations.insert(0, Step(act="wait", amount=outcome.delay))
    for fault in faults:
        if isinstance(fault, OnWire):
            operations = _stepped(operations, fault.steps)
    return operations


def ends(operations: Sequence[Operation]) -> bool:
    """Say whether the client gets all there is to get."""
    return not any(isinstance(step, Step) and step.act in _ENDS for step in operations)


def _whole(outcome: Outcome, frame: Frame, faults: Sequence[Fault]) -> list[Operation]:
    head = frame.head(outcome, length=len(outcome.body))
    for fault in faults:
        then = _cut(fault)
        if then is not None and (isinstance(fault, Damage) or outcome.status == 200):
            return [head + _half(outcome.body), Step(act=then)]
    return [head + outcome.body]


def _cut(fault: Fault) -> End | None:
    """Return what ends a body half-way, None where nothing does."""
    if isinstance(fault, Damage):
        return _BODY_ENDS.get(fault.body)
    return _STREAM_ENDS.get(fault.then) if isinstance(fault, StreamBreak) else None


def _pieces(outcome: Outcome, frame: Frame, faults: Sequence[Fault]) -> list[Operation]:
    head = frame.head(outcome, length=None)
    events: Sequence[bytes] = outcome.events
    then: End | None = None
    half = b""
    for fault in faults:
        if isinstance(fault, StreamBreak) and (then := _cut(fault)):
            events = events[: before_the_end(events, fault.after_chunks)]
        elif isinstance(fault, Damage) and (then := _cut(fault)):
            middle = len(events) // 2
            events, half = events[:middle], _half(frame.piece(events[middle]))
        if then is not None:
            break
    sent = [frame.piece(event) for event in events]
    if half:
        sent.append(half)
    if not outcome.chunk_delay:
        if then is None:
            return [b"".join([head, *sent, frame.end])]
        return [b"".join([head, *sent]), Step(act=then)]
    operations: list[Operation] = [head]
    for place, piece in enumerate(sent):
        if place:
            operations.append(Step(act="wait", amount=outcome.chunk_delay))
        operations.append(piece)
    return [*operations, frame.end if then is None else Step(act=then)]


def before_the_end(events: Sequence[bytes], after_chunks: int) -> int:
    """Return where a stream breaks: the last three may be finish reason, usage and [DONE]."""
    return min(after_chunks, max(0, len(events) - 3))


def _half(body: bytes) -> bytes:
    return body[: len(body) // 2]


def _stepped(operations: list[Operation], steps: Sequence[Step]) -> list[Operation]:
    left = list(operations)
    done: list[Operation] = []
    for step in steps:
        if step.act == "send":
            done += _taken(left, step.amount)
        elif step.act == "garble":
            taken = _taken(left, step.amount)
            done += [
                piece.translate(_TURNED) if isinstance(piece, bytes) else piece for piece in taken
            ]
        else:
            done.append(step)
            if step.act in _ENDS:
                return done
    return done + left


def _taken(left: list[Operation], size: float | None) -> list[Operation]:
    """Take so many bytes from the front, with the waits between them."""
    taken: list[Operation] = []
    room = float("inf") if size is None else size
    while left and room > 0:
        piece = left.pop(0)
        if isinstance(piece, bytes) and len(piece) > room:
            left.insert(0, piece[int(room) :])
            piece = piece[: int(room)]
        if isinstance(piece, bytes):
            room -= len(piece)
        taken.append(piece)
    return taken


async def play(
    operations: Sequence[Operation],
    transport: asyncio.Transport | None,
    sleep: Callable[[float], Awaitable[object]],
    settle: Callable[[], None],
) -> bool:
    """Do what was laid out; the client's leaving cancels it.

    Args:
        operations: What to do.
        transport: The connection, None where the client has left already.
        sleep: Waits.
        settle: Called before the last bytes go out: a client that has read them may look at the
            ledger at once, from another thread.

    Returns:
        Whether the client was there to the end.
    """
    last = len(operations) - 1
    for place, operation in enumerate(operations):
        if transport is None or transport.is_closing():
            return False
        if isinstance(operation, bytes):
            if place == last:
                settle()
            transport.write(operation)
        elif operation.act == "wait":
            await sleep(operation.amount or 0.0)
        else:
            await end_badly(transport, operation.act)
    return True


async def end_badly(transport: asyncio.Transport | None, act: str) -> None:
    """Close or reset a connection, or do nothing on it, until this is cancelled."""
    if transport is not None and act == "close":
        transport.close()
    elif transport is not None and act == "reset":
        raw = transport.get_extra_info("socket")
        if raw is not None:
            # Closing a socket that lingers for no time sends an RST in place of an end.
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        transport.abort()
    await asyncio.Event().wait()


def _phrase(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def with_pace(outcome: Outcome, faults: Sequence[Fault]) -> Outcome:
    """Return an outcome with the delays and labels that faults give it, and its body broken."""
    for fault in faults:
        if isinstance(fault, Damage):
            outcome = replace(
                outcome,
                delay=outcome.delay + fault.first_byte,
                chunk_delay=outcome.chunk_delay + fault.per_chunk,
                content_type=fault.content_type or outcome.content_type,
            )
            if fault.body == "broken":
                whole = outcome.body or outcome.events[0].partition(b"data: ")[2]
                outcome = replace(outcome, body=_half(whole), events=(), usage=None)
    return outcome
