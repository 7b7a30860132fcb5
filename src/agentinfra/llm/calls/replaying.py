"""Streams that are written down, and given again."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentinfra.llm.dialects.answer import Answer, Assembly, StreamChunk
    from agentinfra.results import ToolCall, Usage

__all__ = ["Replay", "WrittenDown"]


class WrittenDown:
    """An assembly that keeps the events it is given.

    Args:
        api: The dialect they are in.
        assembly: Puts them together.
    """

    def __init__(self, api: str, assembly: Assembly) -> None:
        self.api = api
        self.events: list[bytes] = []
        self._assembly = assembly

    @property
    def whole(self) -> bool:
        """As the assembly behind has it; and so the others."""
        return self._assembly.whole

    @property
    def text(self) -> str:
        """The text so far."""
        return self._assembly.text

    @property
    def reasoning(self) -> str:
        """The thoughts so far."""
        return self._assembly.reasoning

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls so far."""
        return self._assembly.tool_calls

    @property
    def usage(self) -> Usage | None:
        """The usage, once the server has reported it."""
        return self._assembly.usage

    @property
    def place(self) -> int | None:
        """The number of the last event."""
        return self._assembly.place

    def add(self, data: bytes) -> list[StreamChunk]:
        """Take in one event, and write it down once it could be read."""
        chunks = self._assembly.add(data)
        self.events.append(bytes(data))
        return chunks

    def take_whole(self, data: bytes) -> list[StreamChunk]:
        """Take in a whole answer; it is not written down, as it is no event."""
        return self._assembly.take_whole(data)

    def answer(self) -> Answer:
        """Return what came, as far as it came."""
        return self._assembly.answer()


class Replay:
    """A stream that was kept, in place of one on the wire."""

    def __init__(self, assembly: Assembly, events: Sequence[bytes]) -> None:
        self.assembly = assembly
        self.headers: Mapping[str, str] = {}
        self.complete = True
        self._events = list(reversed(events))
        self._ready: deque[StreamChunk] = deque()

    def take(self) -> StreamChunk | None:
        """Return a piece that was read already."""
        return self._ready.popleft() if self._ready else None

    async def next(self) -> StreamChunk | None:
        """Return the next piece, None when the stream is over."""
        while not self._ready and self._events:
            self._ready += self.assembly.add(self._events.pop())
        return self.take()

    async def aclose(self) -> None:
        """Nothing is open."""
