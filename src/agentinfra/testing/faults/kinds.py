"""The kinds of faults, as values, and the steps a fault can take on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

__all__ = [
    "Answer",
    "Change",
    "Damage",
    "Fault",
    "OnWire",
    "Silence",
    "Step",
    "StreamBreak",
    "Together",
    "error_body",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step on the wire.

    Attributes:
        act: ``wait`` so many seconds; ``send`` so many bytes of the answer, its head included;
            ``garble`` so many bytes of it; ``stall``: send nothing more and keep the connection;
            ``close`` it; ``reset`` it.
        amount: The seconds or the bytes; None: all that is left.
    """

    act: Literal["wait", "send", "garble", "stall", "close", "reset"]
    amount: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A way to fail.

    Attributes:
        name: What the ledger shows.
        part: What it decides: the ``answer``, its ``pace`` or its ``label``. A request meets one
            fault of each part.
    """

    name: str
    part: Literal["answer", "pace", "label"] = "answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Fault):
    """Answers in place of the real answer."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence(Fault):
    """Never answers; the connection is closed or reset at once where that is said."""

    then: Literal["stall", "close", "reset"] = "stall"


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage(Fault):
    """Sends the real answer badly.

    Attributes:
        first_byte: Seconds before anything is sent.
        per_chunk: Seconds before each further chunk of a stream.
        body: ``cut``: the connection is reset half-way, ``closed``: closed half-way. ``broken``:
            half the JSON, sent as a whole.
        content_type: Sent in place of the right one.
    """

    first_byte: float = 0.0
    per_chunk: float = 0.0
    body: Literal["whole", "cut", "closed", "broken"] = "whole"
    content_type: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change(Fault):
    """Sends the real answer with something missing."""

    usage: bool = True
    choices: bool = True
    finish_reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamBreak(Fault):
    """Breaks a stream after so many chunks (the first one holds the role).

    Attributes:
        after_chunks: Chunks sent whole before it breaks.
        then: ``end``: the stream ends properly for HTTP, without finish reason and ``[DONE]``.
            ``disconnect``: the connection is reset, ``close``: it is closed. ``stall``: nothing
            more comes, and the connection stays. ``garbage``: a chunk of broken JSON, then the
            rest. ``error``: an error event, then the end.
        error: The body of the error event.
    """

    after_chunks: int
    then: Literal["end", "disconnect", "close", "stall", "garbage", "error"]
    error: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnWire(Fault):
    """Sends the real answer's bytes in steps; what they leave over is sent after the last one."""

    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Together(Fault):
    """Several faults that one request meets."""

    faults: tuple[Fault, ...]


def error_body(message: str, kind: str, *, param: str | None = None, code: Any = None) -> bytes:
    """Return an error as OpenAI writes it."""
    error = {"message": message, "type": kind, "param": param, "code": code}
    return orjson.dumps({"error": error})
