"""Server-sent events, split from bytes as they come.

https://html.spec.whatwg.org/multipage/server-sent-events.html: lines end in LF, CR or both, a mark
of byte order may come first, comments and events without data say nothing. Ids, names and the
retry time are skipped: what endpoints say is in the data.
"""

from __future__ import annotations

from agentinfra.errors import LLMResponseError

__all__ = ["EventSplitter"]

MAX_EVENT = 16_000_000
"""Bytes one event may have; a stream that never ends a line must not fill the memory."""

_BOM = b"\xef\xbb\xbf"


class EventSplitter:
    """Gives the data of each complete event of a byte stream."""

    __slots__ = ("_after_cr", "_begun", "_buffer", "_data")

    def __init__(self) -> None:
        self._buffer = b""
        self._data: list[bytes] = []
        self._begun = False
        self._after_cr = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the events that are complete with this chunk.

        Raises:
            LLMResponseError: An event is longer than :data:`MAX_EVENT`.
        """
        buffer = self._buffer + chunk if self._buffer else chunk
        if not self._begun:
            if _BOM.startswith(buffer[:3]) and len(buffer) < len(_BOM):
                self._buffer = buffer
                return []
            self._begun = True
            buffer = buffer.removeprefix(_BOM)
        if self._after_cr and buffer:
            # The LF of a line's end whose CR came with the chunk before.
            buffer = buffer[1:] if buffer[:1] == b"\n" else buffer
            self._after_cr = False
        if b"\r" in buffer:
            self._after_cr = buffer.endswith(b"\r")
            buffer = buffer.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = buffer.split(b"\n")
        self._buffer = lines.pop()
        events = self._events(lines)
        if len(self._buffer) + sum(map(len, self._data)) > MAX_EVENT:
            raise LLMResponseError(f"a stream's event is longer than {MAX_EVENT} bytes")
        return events

    def flush(self) -> list[bytes]:
        """Return the last event of a stream that ended without an empty line."""
        lines, self._buffer = [self._buffer, b""], b""
        return self._events(lines)

    def _events(self, lines: list[bytes]) -> list[bytes]:
        events: list[bytes] = []
        data = self._data
        for line in lines:
            if line.startswith(b"data:"):
                data.append(line[6:] if line[5:6] == b" " else line[5:])
            elif line == b"data":
                data.append(b"")
            elif not line and data:
                event = data[0] if len(data) == 1 else b"\n".join(data)
                if event.strip():  # an event without data is a sign of life, and dropped
                    events.append(event)
                data.clear()
        return events
