"""Which budgets are around the running code: entered by many tasks, left from anywhere."""

from __future__ import annotations

import asyncio
import weakref
from contextvars import ContextVar
from typing import Any

__all__ = ["Entries", "around"]


class Entry:
    """One block that somebody entered. Held by its context: it goes where the context goes."""

    __slots__ = ("__weakref__", "budget", "open", "task")

    def __init__(self, budget: object) -> None:
        self.budget = budget
        self.open = True
        task = _running_task()
        self.task = None if task is None else weakref.ref(task)

    @property
    def entered_by(self) -> asyncio.Task[object] | None:
        """The task that entered it, None where that has ended."""
        task = None if self.task is None else self.task()
        return None if task is None or task.done() else task


_AROUND: ContextVar[tuple[Entry, ...]] = ContextVar("agentinfra_budgets", default=())


def around() -> tuple[Any, ...]:
    """Return the budgets around the running code, outermost first, each of them once."""
    entries = _AROUND.get()
    if not entries:
        return ()
    if len(entries) == 1:
        return (entries[0].budget,) if entries[0].open else ()
    # One that was entered again inside of itself still counts each call once.
    return tuple(dict.fromkeys(entry.budget for entry in entries if entry.open))


class Entries:
    """The blocks of one budget that are open.

    A block need not be left where it was entered: frameworks set up in one task and tear down in
    another, and generators run in whatever context their reader has. Leaving closes the block of
    this context, else of this task, else one whose task has ended, else the only one. Where that
    says nothing, which of several blocks was meant cannot be known: all go on counting, which
    keeps the cap, until as many were left as were entered.
    """

    __slots__ = ("__weakref__", "_open", "_owed")

    def __init__(self) -> None:
        self._open: list[weakref.ref[Entry]] = []
        self._owed = 0

    def enter(self, budget: object) -> None:
        """Put a budget around what this context does from now on, child tasks included."""
        entry = Entry(budget)
        self._open.append(weakref.ref(entry, self._dropped))
        _AROUND.set((*(other for other in _AROUND.get() if other.open), entry))

    def leave(self) -> None:
        """Take it away again; where nobody has entered it, do nothing."""
        blocks = [entry for ref in self._open if (entry := ref()) is not None]
        here = [entry for entry in _AROUND.get() if entry in blocks]
        task = _running_task()
        mine = [entry for entry in blocks if task is not None and entry.entered_by is task]
        ended = [entry for entry in blocks if entry.entered_by is None]
        meant = here[-1:] or mine[-1:] or ended[:1] or (blocks if len(blocks) == 1 else [])
        self._owed += not meant
        if len(blocks) - len(meant) <= self._owed:
            meant, self._owed = blocks, 0
        for entry in meant:
            entry.open = False
        self._open = [ref for ref in self._open if (entry := ref()) is None or entry.open]
        if here:
            _AROUND.set(tuple(entry for entry in _AROUND.get() if entry.open))

    def _dropped(self, ref: weakref.ref[Entry]) -> None:
        """Take in that a context is gone with a block that nobody left: there is no more to leave.

        Without this, leaving it later would close a block that is still in use.
        """
        if ref in self._open:
            self._open.remove(ref)
            self._owed = max(0, self._owed - 1)


def _running_task() -> asyncio.Task[object] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
