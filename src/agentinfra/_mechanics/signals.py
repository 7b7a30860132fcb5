"""SIGTERM and SIGINT as a cancellation of one task, once."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterable
from types import FrameType
from typing import Any
from weakref import ref

__all__ = ["Interruption"]


class Interruption:
    """Has the first signal cancel a task; made and ended in the task's loop.

    It uses ``signal.signal``: what an event loop was told of a signal could not be put back.

    Args:
        task: What a signal cancels.

    Attributes:
        received: The signal that came, None as long as none has.
        ends_program: Whether the task is the one that ``asyncio.run`` waits for.
    """

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self.received: int | None = None
        self.ends_program = _is_main(task)
        self._task = task
        self._cancelling = task.cancelling()
        self._loop = asyncio.get_running_loop()
        self._process = os.getpid()
        self._ours: dict[int, _Handler] = {}
        self._sent = False
        self._over = False

    def catch(self, numbers: Iterable[signal.Signals], *, only_unhandled: bool) -> None:
        """Handle signals from now on, where this thread may.

        Args:
            numbers: Which.
            only_unhandled: Leave those alone that somebody handles already.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        for number in numbers:
            before = signal.getsignal(number)
            # None is a handler that was not set from Python, and could not be put back.
            if before is None or (only_unhandled and before != signal.SIG_DFL):
                continue
            # Held weakly: the process keeps its handlers, and would keep a loop that is long gone.
            ours = self._ours[number] = _Handler(ref(self), before)
            signal.signal(number, ours)

    def give_back(self) -> None:
        """Put back what handled the signals before, where nobody has set anything else since."""
        for number, ours in self._ours.items():
            now: object = signal.getsignal(number)
            if now is ours:
                signal.signal(number, ours.before)
        self._ours.clear()
        self._over = True

    def take(self, number: int) -> bool:
        """Take a signal in, as its handler; return whether it is ours to take.

        A forked child has our handler, not our loop; and a task that only entered cannot be
        cancelled any more.
        """
        if os.getpid() != self._process or self._task.done():
            return False
        if self.received is None:
            self.received = number
            # Between two steps of the loop, which is woken up; here any line may be running.
            self._loop.call_soon_threadsafe(self._cancel)
        return True

    def ended(self, error: BaseException | None) -> bool:
        """Return whether an error is the cancellation that the signal brought; take it back.

        As asyncio.Timeout does it: one that somebody else asked for as well goes first.
        """
        if not self._sent:
            return False
        others = self._task.uncancel() > self._cancelling
        return isinstance(error, asyncio.CancelledError) and not others

    def _cancel(self) -> None:
        if not self._over:  # else it would reach what comes after the block
            self._sent = True
            self._task.cancel()


class _Handler:
    """What the process calls at a signal; without anybody to take it, all is as it was before."""

    __slots__ = ("_interruption", "before")

    def __init__(self, interruption: ref[Interruption], before: Any) -> None:
        self._interruption = interruption
        self.before = before

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        interruption = self._interruption()
        if interruption is None or not interruption.take(number):
            signal.signal(number, self.before)
            signal.raise_signal(number)


def _is_main(task: asyncio.Task[Any]) -> bool:
    """Say whether asyncio's own handler of Ctrl-C is there to cancel this task.

    Nothing public tells which task a program is. Where this does not, it is none.
    """
    handler = signal.getsignal(signal.SIGINT)
    return getattr(handler, "keywords", {}).get("main_task") is task
