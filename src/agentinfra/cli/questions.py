"""Where the demo's questions come from: arguments, a file, or whoever types them."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from agentinfra.errors import ConfigurationError

__all__ = ["listed", "typed"]


def listed(asked: list[str], file: Path | None) -> list[str]:
    """Return the questions of the arguments and then those of a file.

    Raises:
        OSError: The file cannot be read.
        ConfigurationError: It holds no question.
    """
    questions = [question for question in map(str.strip, asked) if question]
    if file is not None:
        lines = map(str.strip, file.read_text(encoding="utf-8", errors="replace").splitlines())
        of_file = [line for line in lines if line]
        if not of_file:
            raise ConfigurationError(f"{file} holds no question: write one on each line")
        questions += of_file
    return questions


async def typed(*, prompt: Callable[[], None]) -> AsyncIterator[str]:
    """Yield the lines of standard input up to an empty one or its end.

    The event loop goes on meanwhile, and a cancellation is felt at once: nothing waits in a
    thread. The terminal itself edits the line.

    Args:
        prompt: Called before each line.
    """
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
        self._held = b""
        self._ended = False

    async def next(self) -> str | None:
        """Return the next line, None at the end."""
        while b"\n" not in self._held and not self._ended:
            await _readable(self._descriptor)
            chunk = os.read(self._descriptor, 65_536)
            self._held += chunk
            self._ended = not chunk
        if not self._held:
            return None
        line, _, self._held = self._held.partition(b"\n")
        return line.decode(errors="replace")


async def _readable(descriptor: int) -> None:
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
