"""Server-sent events, split from bytes as they come.

https://html.spec.whatwg.org/multipage/server-sent-events.html, the part of it that OpenAI-
compatible endpoints use: ``data`` lines; comments, event names and ids are skipped.
"""

from __future__ import annotations

from agentinfra.errors import LLMResponseError

__all__ = ["EventSplitter"]

MAX_EVENT = 16_000_000
"""Bytes one event may have; a stream that never ends a line must not fill the memory."""


class EventSplitter:
    """Gives the data of each complete event of a byte stream."""

    __slots__ = ("_buffer", "_data")

    def __init__(self) -> None:
        self._buffer = b""
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the events that are complete with this chunk.

        Raises:
            LLMResponseError: An event is longer than :data:`MAX_EVENT`.
        """
        buffer = self._buffer + chunk if self._buffer else chunk
        lines = buffer.split(b"\n")
        self._buffer = lines.pop()
        if len(self._buffer) > MAX_EVENT:
            raise LLMResponseError(f"a stream's event is longer than {MAX_EVENT} bytes")
        return self._events(lines)

    def flush(self) -> list[bytes]:
        """Return the last event of a stream that ended without an empty line."""
        lines, self._buffer = [self._buffer, b""], b""
        return self._events(lines)

    def _events(self, lines: list[bytes]) -> list[bytes]:
        events: list[bytes] = []
        data = self._data
        for raw in lines:
            line = raw[:-1] if raw.endswith(b"\r") else raw
            if line.startswith(b"data:"):
                data.append(line[6:] if line[5:6] == b" " else line[5:])
            elif not line and data:
                events.append(data[0] if len(data) == 1 else b"\n".join(data))
                data.clear()
        return events
