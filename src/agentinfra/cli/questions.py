"""Where the demo's questions come from: arguments, a file, or whoever types them."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from agentinfra.errors import ConfigurationError

__all__ = ["listed", "typed"]

_CHUNK: Final = 65_536


def listed(asked: list[str], file: Path | None) -> list[str]:
    """Return the questions of the arguments and then those of a file.

    Raises:
        OSError: The file cannot be read.
        ConfigurationError: It holds no question, or one of the arguments is none.
    """
    questions = [question.strip() for question in asked]
    if not all(questions):
        raise ConfigurationError("a question of --ask is empty: write one between the quotes")
    if file is not None:
        lines = map(str.strip, file.read_text(encoding="utf-8-sig", errors="replace").splitlines())
        of_file = [line for line in lines if line]
        if not of_file:
            raise ConfigurationError(f"{file} holds no question: write one on each line")
        questions += of_file
    return questions


async def typed(*, prompt: Callable[[], None]) -> AsyncIterator[str]:
    """Yield the lines of standard input up to an empty one or its end.

    The event loop goes on meanwhile, and a cancellation is felt at once. The terminal itself
    edits the line.

    Args:
        prompt: Called before each line.
    """
    if sys.stdin is None:  # closed by whoever started the program
        return
    lines = _Lines(sys.stdin.fileno())
    while True:
        prompt()
        line = await lines.next()
        if line is None or not line.strip():
            return
        yield line.strip()


class _Lines:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._reading: asyncio.Future[bytes] | None = None
        self._held = b""
        self._ended = False

    async def next(self) -> str | None:
        """Return the next line, None at the end."""
        while b"\n" not in self._held and not self._ended:
            chunk = await self._chunk()
            self._held += chunk
            self._ended = not chunk
        if not self._held:
            return None
        line, _, self._held = self._held.partition(b"\n")
        return line.decode(errors="replace")

    async def _chunk(self) -> bytes:
        if self._reading is None:
            try:
                await _readable(self._descriptor)
            except NotImplementedError:  # Windows: its loop watches no terminal
                self._reading = _read_in_a_thread(self._descriptor)
            else:
                return os.read(self._descriptor, _CHUNK)
        # Shielded: the thread cannot be stopped, and what it reads after a cancellation here is
        # the line of the next who asks.
        chunk = await asyncio.shield(self._reading)
        self._reading = None
        return chunk


async def _readable(descriptor: int) -> None:
    """Wait until there is something to read.

    Raises:
        NotImplementedError: The loop cannot wait for that.
    """
    loop = asyncio.get_running_loop()
    waiter = loop.create_future()
    try:
        loop.add_reader(descriptor, _wake, waiter)
    except PermissionError:  # a file, which is always readable
        return
    try:
        await waiter
    finally:
        loop.remove_reader(descriptor)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _read_in_a_thread(descriptor: int) -> asyncio.Future[bytes]:
    """Return what will be read; by a thread that does not keep the program from ending."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[bytes] = loop.create_future()

    def read() -> None:
        try:
            chunk = os.read(descriptor, _CHUNK)
        except OSError:  # closed meanwhile: the end, too
            chunk = b""
        with suppress(RuntimeError):  # the loop has ended before the line
            loop.call_soon_threadsafe(set_result, chunk)

    def set_result(chunk: bytes) -> None:
        if not future.done():
            future.set_result(chunk)

    threading.Thread(target=read, name="agentinfra-stdin", daemon=True).start()
    return future
