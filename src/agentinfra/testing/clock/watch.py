"""Notices that every task of a loop waits."""

from __future__ import annotations

import asyncio
from typing import Final

from agentinfra.testing.clock.stillness import QUIET_TURNS, Stillness, leads_to, waits_for
from agentinfra.testing.clock.timeline import Timeline

__all__ = ["Watch"]

_LOOK: Final = 0.05
_LOOK_SOON: Final = 0.002
_PATIENCE: Final = 30.0
"""Real seconds in which nothing moves and a sleep waits, before its task is told so."""


class Watch:
    """Looks at one loop while something waits for a moment: has everything come to a stop?

    Args:
        timeline: Who waits for what.
        auto: Whether to move on then; otherwise whoever sleeps is told that nobody does.
        quiet: Real seconds without movement after which tasks that wait for something else (a
            socket, a thread) are taken to wait for time as well.
    """

    def __init__(self, timeline: Timeline, *, auto: bool, quiet: float) -> None:
        self._timeline = timeline
        self._auto = auto
        self._quiet = quiet
        self._pause = _LOOK_SOON if auto else _LOOK
        self._looking = False
        self._begin()

    def go_on(self) -> None:
        """Look from now on, until nothing of the running loop waits."""
        if not self._looking:
            self._looking = True
            self._begin()
            asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        timeline = self._timeline
        if not any(entry.loop is loop for entry in timeline.waiting):
            self._looking = False
            self._begin()  # what it saw holds tasks
            return
        tasks = asyncio.all_tasks(loop)
        waits = {task: waits_for(task) for task in tasks}
        still = self._stillness.look(None if None in waits.values() else waits)
        certain = self._stillness.looks > QUIET_TURNS and bool(tasks)
        certain = certain and all(leads_to(task, timeline.ends) for task in tasks)
        if not self._auto:
            if timeline.sleeping and still >= (self._quiet if certain else _PATIENCE):
                self._complain()
            loop.call_later(self._pause, self._look)
            return
        if certain or still >= self._quiet:
            self._begin()
            timeline.pass_to(timeline.waiting[0].when)
        if certain or self._stillness.looks <= QUIET_TURNS:
            loop.call_soon(self._look)
        else:
            loop.call_later(self._pause, self._look)

    def _begin(self) -> None:
        self._stillness = Stillness(self._pause)

    def _complain(self) -> None:
        """End the sleeps that nobody is going to end."""
        waiting = self._timeline.sleeps
        left = waiting[0].when - self._timeline.now
        message = (
            f"every task waits, and nobody moves the clock ({len(waiting)} asleep, the next for "
            f"{left:g} s more): await clock.advance({left:g}) while they sleep, or make the clock "
            "with auto_advance=True"
        )
        for entry in waiting:
            if not entry.future.done() and entry.loop is asyncio.get_running_loop():
                entry.future.set_exception(AssertionError(message))
