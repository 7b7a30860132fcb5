"""Running a command on an event loop that Ctrl-C ends in order.

asyncio ends a program at the second Ctrl-C, in the middle of whatever it is closing. Here every
signal after the first is ignored: closing is bounded by itself, and leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from agentinfra.cli.failing import interrupted

__all__ = ["Interrupts", "run_async"]


def run_async(command: Callable[[Interrupts], Awaitable[int]]) -> int:
    """Run a command to its end and return its exit status.

    SIGINT and SIGTERM cancel it; it is given the time to close what it has opened.

    Args:
        command: Is given what decides over interruptions.
    """
    return asyncio.run(_run(command))


async def _run(command: Callable[[Interrupts], Awaitable[int]]) -> int:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - asyncio.run made one
    interrupts = Interrupts(task)
    with interrupts.handled():
        try:
            return await command(interrupts)
        except asyncio.CancelledError:
            if interrupts.received is None:
                raise
            task.uncancel()
    interrupted()
    return 128 + interrupts.received


class Interrupts:
    """Decides what a signal ends: a part of the program first, where there is one, then all.

    Args:
        program: The task that is the program.

    Attributes:
        received: The signal that ends the program, None as long as none has.
    """

    def __init__(self, program: asyncio.Task[Any]) -> None:
        self.received: int | None = None
        self._program = program
        self._part: asyncio.Task[Any] | None = None

    @contextmanager
    def cancelling(self, part: asyncio.Task[Any]) -> Iterator[None]:
        """Let Ctrl-C cancel a task, and not the program, as long as the block runs."""
        self._part = part
        try:
            yield
        finally:
            self._part = None

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Receive SIGINT and SIGTERM, where the loop can."""
        loop = asyncio.get_running_loop()
        handled = []
        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, self._receive, int(number))
                handled.append(number)
        try:
            yield
        finally:
            for number in handled:
                loop.remove_signal_handler(number)

    def _receive(self, number: int) -> None:
        part, self._part = self._part, None
        if part is not None and number == signal.SIGINT:
            part.cancel()
        elif self.received is None:
            self.received = number
            self._program.cancel()
