"""Tells when the tasks of a loop have come to a stop, and what each of them waits for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

__all__ = ["QUIET_TURNS", "Place", "Stillness", "leads_to", "places", "settled", "waits_for"]

QUIET_TURNS: Final = 3
"""Turns of the loop without a task that is ready: callbacks, too, have run by then."""

_BUSY = 0.1
"""Share of a pause between two looks for which other threads have to run to be seen to work."""

_PAUSE = 0.002
_LONGEST = 5.0
"""Real seconds after which tasks that never stop running are left alone."""

Place: TypeAlias = "tuple[Any, int]"
"""Where a task waits: the innermost thing it awaits of its own, and the instruction."""


class Stillness:
    """Counts how long nothing has moved, in real seconds in which this process got to run.

    A server in another thread has not come to a stop because a busy machine does not let it run.
    So a look that comes late counts for what lies between two looks and no more, as whatever
    delayed it delayed the other threads too; and while those use the CPU, they move.

    Args:
        pause: Seconds between two looks.

    Attributes:
        looks: How many saw the same, one after the other, whatever other threads did.
    """

    def __init__(self, pause: float) -> None:
        self.looks = 0
        self._pause = pause
        self._seen: object = None
        self._last = self._others = self._still = 0.0

    def look(self, seen: object) -> float:
        """Return for how long nothing has moved.

        Args:
            seen: What there is; something else than at the look before is movement, and None is.
        """
        now, others = time.monotonic(), time.process_time() - time.thread_time()
        passed, worked = now - self._last, others - self._others
        same = seen is not None and seen == self._seen
        self.looks = self.looks + 1 if same else 1
        counted = min(passed, self._pause)
        moved = not same or worked > _BUSY * counted
        self._still = 0.0 if moved else self._still + counted
        self._seen, self._last, self._others = seen, now, others
        return self._still


def waits_for(task: asyncio.Task[Any]) -> asyncio.Future[Any] | None:
    """Return what a task waits for, None for one that is about to run."""
    # The one thing that tells a waiting task from a ready one; asyncio's own debugging uses it.
    future: asyncio.Future[Any] | None = getattr(task, "_fut_waiter", None)
    return None if future is None or future.done() else future


def places(tasks: Iterable[asyncio.Task[Any]]) -> dict[asyncio.Task[Any], Place]:
    """Return where each task stands in its code."""
    return {task: _place(task) for task in tasks}


def _place(task: asyncio.Task[Any]) -> Place:
    code, instruction = None, 0
    step: Any = task.get_coro()
    while step is not None:
        frame = getattr(step, "cr_frame", None) or getattr(step, "gi_frame", None)
        if frame is None:
            break
        code, instruction = frame.f_code, frame.f_lasti
        step = getattr(step, "cr_await", None) or getattr(step, "gi_yieldfrom", None)
    return code, instruction


async def settled(
    before: dict[asyncio.Task[Any], Place],
    known: Callable[[asyncio.Future[Any]], bool],
    *,
    quiet: float,
) -> None:
    """Wait until every task of the running loop waits again.

    A task that waits where it did before, or for something known, has come to a stop. One that
    waits for something else may be about to get it from a socket or a thread: it has stopped
    when nothing has moved for ``quiet`` real seconds.

    Args:
        before: Where the tasks stood.
        known: Whether a future is one that the caller decides about.
        quiet: Real seconds in which nothing moves.
    """
    end = time.monotonic() + _LONGEST
    stillness = Stillness(_PAUSE)
    while time.monotonic() < end:
        others = await _turn_until_all_wait(end)
        moved = {
            task: place
            for task, place in places(others).items()
            if before.get(task) != place and not leads_to(task, known)
        }
        if not moved:
            return
        waits = {task: waits_for(task) for task in moved}
        if stillness.look((moved, waits)) >= quiet:
            return
        await asyncio.sleep(_PAUSE)


async def _turn_until_all_wait(end: float) -> set[asyncio.Task[Any]]:
    """Let the tasks run, and return them when all of them wait."""
    while True:
        for _ in range(QUIET_TURNS):
            await asyncio.sleep(0)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if all(waits_for(task) for task in others) or time.monotonic() > end:
            return others


def leads_to(task: asyncio.Task[Any], known: Callable[[asyncio.Future[Any]], bool]) -> bool:
    """Return whether a task waits for something known, itself or through tasks it waits for."""
    seen: set[asyncio.Future[Any]] = set()
    open_: list[asyncio.Future[Any]] = [task]
    while open_:
        future = open_.pop()
        if future in seen:
            continue
        seen.add(future)
        if known(future):
            continue
        below = _below(future)
        if not below:
            return False
        open_.extend(below)
    return True


def _below(future: asyncio.Future[Any]) -> list[asyncio.Future[Any]]:
    """Return what a future waits for, nothing where that cannot be told."""
    if isinstance(future, asyncio.Task):
        waiter = waits_for(future)
        return [] if waiter is None else [waiter]
    return [child for child in getattr(future, "_children", ()) if not child.done()]
