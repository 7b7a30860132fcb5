"""Many timeouts on one timer, for steps that nearly always end in time."""

from __future__ import annotations

import asyncio
import math
from types import TracebackType
from typing import Any

from agentinfra._mechanics.clock import SYSTEM_CLOCK, Alarm, Clock

__all__ = ["Step", "Timeouts"]


class Timeouts:
    """Bounds steps in time, as ``asyncio.timeout`` does, for a fraction of what that costs.

    ``asyncio.timeout`` puts a timer on the loop's heap for each step and takes it off again. Here
    a step is an entry in a dict; one timer rings when the first of them could be due, looks at
    all, and is set again for the first of the rest.

    Synchronous; one event loop.

    Args:
        clock: Where time comes from.
    """

    __slots__ = ("_alarm", "_clock", "_rings", "_running")

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._running: dict[Step, None] = {}
        self._rings = math.inf
        self._alarm: Alarm | None = None

    def __len__(self) -> int:
        return len(self._running)

    def until(self, when: float | None) -> Step:
        """Return a context manager that cancels its block at ``clock.now() == when``.

        The block's cancellation leaves it as ``TimeoutError``, one from elsewhere stays what it
        is. None never cancels.
        """
        return Step(self, math.inf if when is None else when)

    def close(self) -> None:
        """Take the timer off the loop; running steps are not bounded any more."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm, self._rings = None, math.inf

    def _enter(self, step: Step) -> None:
        self._running[step] = None
        if step.when < self._rings:
            self._set(step.when)

    def _exit(self, step: Step) -> None:
        del self._running[step]

    def _set(self, when: float) -> None:
        self.close()
        if when < math.inf:
            self._rings, self._alarm = when, self._clock.call_at(when, self._ring)

    def _ring(self) -> None:
        self._alarm, self._rings = None, math.inf
        now = self._clock.now()
        following = math.inf
        for step in self._running:
            if step.when <= now:
                step.expire()
            else:
                following = min(following, step.when)
        self._set(following)


class Step:
    """One bounded block; entered once, left in the task that entered it."""

    __slots__ = ("_cancelling", "_expired", "_owner", "_task", "when")

    _task: asyncio.Task[Any]

    def __init__(self, owner: Timeouts, when: float) -> None:
        self._owner = owner
        self._expired = False
        self.when = when

    def expire(self) -> None:
        """Cancel the block; a second time does nothing."""
        if not self._expired:
            self._expired = True
            self._task.cancel()

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a timeout is used inside of a task")
        self._task = task
        self._cancelling = task.cancelling()
        self._owner._enter(self)  # noqa: SLF001 - the two are one mechanism

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._owner._exit(self)  # noqa: SLF001
        # As asyncio.Timeout does it: another cancellation that came meanwhile goes first.
        if (
            self._expired
            and self._task.uncancel() <= self._cancelling
            and exc_type is asyncio.CancelledError
        ):
            raise TimeoutError from exc
