"""Server-sent events, split from bytes as they come.

https://html.spec.whatwg.org/multipage/server-sent-events.html: lines end in LF, CR or both, a mark
of byte order may come first, comments and events without data say nothing. Ids, names and the
retry time are skipped: what endpoints say is in the data.
"""

from __future__ import annotations

import re

from agentinfra.errors import LLMResponseError

__all__ = ["EventSplitter"]

MAX_EVENT = 16_000_000
"""Bytes one event may have; a stream that never ends a line must not fill the memory."""

_BOM = b"\xef\xbb\xbf"

# Nearly all events are one line of data, after their name or number: those in front of a chunk are
# taken out of it in one go. Possessive, so that nothing is ever looked at twice.
_USUAL = rb"(?:(?:event|id): [^\n]*+\n)*+data: (\{[^\n]*+)\n\n"
_USUAL_EVENT = re.compile(_USUAL)
_USUAL_EVENTS = re.compile(rb"(?:" + _USUAL + rb")*+")


class EventSplitter:
    """Gives the data of each complete event of a byte stream."""

    __slots__ = ("_after_cr", "_begun", "_buffer")

    def __init__(self) -> None:
        self._buffer = b""
        self._begun = False
        self._after_cr = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the events that are complete with this chunk.

        Raises:
            LLMResponseError: An event is longer than `MAX_EVENT`.
        """
        if self._after_cr and chunk:
            # The LF of a line's end whose CR came with the chunk before.
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        if b"\r" in chunk:
            self._after_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        buffer = self._buffer + chunk if self._buffer else chunk
        if not self._begun:
            if len(buffer) < len(_BOM) and _BOM.startswith(buffer):
                self._buffer = buffer
                return []
            self._begun = True
            buffer = buffer.removeprefix(_BOM)
        usual = _USUAL_EVENTS.match(buffer)
        end = 0 if usual is None else usual.end()
        events: list[bytes] = _USUAL_EVENT.findall(buffer, 0, end)
        self._buffer = buffer[end:]
        if b"\n\n" in self._buffer:
            pieces = self._buffer.split(b"\n\n")
            self._buffer = pieces.pop()
            events += [event for piece in pieces if (event := _data_of(piece))]
        if len(self._buffer) > MAX_EVENT:
            raise LLMResponseError(f"a stream's event is longer than {MAX_EVENT} bytes")
        return events

    def flush(self) -> list[bytes]:
        """Return the last event of a stream that ended without an empty line."""
        event, self._buffer = _data_of(self._buffer), b""
        return [event] if event else []


def _data_of(piece: bytes) -> bytes:
    """Return the data of one event; empty where it has none (a sign of life, which is dropped)."""
    data = []
    for line in piece.split(b"\n"):
        if line.startswith(b"data:"):
            data.append(line[6:] if line[5:6] == b" " else line[5:])
        elif line == b"data":
            data.append(b"")
    found = data[0] if len(data) == 1 else b"\n".join(data)
    return b"" if found.isspace() else found
