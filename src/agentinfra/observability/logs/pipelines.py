"""Where events go: the pipeline of each loop, the default one, and the stream at the end."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from threading import Lock
from typing import Any, TextIO, TypeAlias

from agentinfra._mechanics.loop_local import LoopLocal
from agentinfra.observability.logs import lines
from agentinfra.observability.logs.writer import Out, out_of

__all__ = ["Pipeline", "Pipelines", "Sink", "Write"]

Write: TypeAlias = Callable[[str, str, object, dict[str, Any]], None]
"""Takes the level's name, the logger's name, the event and its fields; never raises."""


class Sink:
    """Writes lines, and counts those that could not be written."""

    __slots__ = ("__weakref__", "_last", "_lock", "_out", "_stream", "count", "dropped")

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._out: Out | None = None
        # What stderr was at the last line, which it nearly always still is.
        self._last: tuple[TextIO, Out] | None = None
        self._lock = Lock()
        self.count: Callable[[float], None] | None = None
        self.dropped = 0

    @property
    def stream(self) -> TextIO | None:
        """Where lines go now; None in a program without stderr."""
        return sys.stderr if self._stream is None else self._stream

    def open(self) -> None:
        """Hold on to the stream, so that writing to a pipe can never wait."""
        if self.stream is not None:
            self._out = out_of(self.stream)
            self._out.acquire()

    def close(self, timeout: float) -> None:
        """Write what waits, for ``timeout`` seconds at most, and let go of the stream."""
        out, self._out = self._out, None
        if out is not None:
            out.release(timeout)

    def write(self, line: str) -> None:
        """Write a line in one piece, so that those of other threads do not come in between."""
        stream = sys.stderr if self._stream is None else self._stream
        if stream is None:
            self.drop()
            return
        if not (line.isascii() or lines.takes_unicode(stream)):
            line = lines.to_ascii(line)
        last = self._last
        if last is None or last[0] is not stream:
            last = self._last = (stream, out_of(stream))
        last[1].write(line + "\n", self.drop)

    def drop(self, events: int = 1) -> None:
        """Count lines that could not be written; in any thread."""
        with self._lock:
            self.dropped += events
        if self.count is not None:
            self.count(events)


class Pipeline:
    """What becomes of events: dropped below a level, else written by ``log``."""

    __slots__ = ("__weakref__", "level", "log")

    def __init__(self, level: int, log: Write) -> None:
        self.level = level
        self.log = log


class Pipelines:
    """The pipelines of the loops, and the one for code outside of them, built when first needed.

    Attributes:
        floor: The lowest level any of them writes: an event below it is dropped without looking
            for its loop.
    """

    __slots__ = ("_build", "_default", "_local", "_open", "floor")

    def __init__(self, build: Callable[[], Pipeline]) -> None:
        self._build = build
        self._local: LoopLocal[Pipeline] = LoopLocal()
        self._open: tuple[Pipeline, ...] = ()
        self._default: Pipeline | None = None
        self.floor = 0

    def current(self) -> Pipeline:
        """Return the pipeline of the running loop, or the one for code outside of any."""
        return self._local.get() or self._outside()

    def add(self, pipeline: Pipeline) -> None:
        """Give the running loop its pipeline."""
        if self._default is None:  # without it the floor is not known
            self._build_default()
        self._local.set(pipeline)
        self._open = (*self._open, pipeline)
        self._refloor()

    def discard(self, pipeline: Pipeline) -> None:
        """Take a pipeline away from its loop."""
        self._local.discard(pipeline)
        self._open = tuple(other for other in self._open if other is not pipeline)
        self._refloor()

    def _outside(self) -> Pipeline:
        # A thread without a loop works for somebody: where one runtime is open, for that one.
        if len(self._open) == 1 and not _in_a_loop():
            return self._open[0]
        return self._default or self._build_default()

    def _build_default(self) -> Pipeline:
        self._default = self._build()
        self._refloor()
        return self._default

    def _refloor(self) -> None:
        default = 0 if self._default is None else self._default.level
        self.floor = min([default, *(pipeline.level for pipeline in self._open)])


def _in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
