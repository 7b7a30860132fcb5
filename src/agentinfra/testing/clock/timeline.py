"""What waits for which moment, and the moment it is."""

from __future__ import annotations

import asyncio
import bisect
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from typing import Any

__all__ = ["Entry", "Expiry", "Ring", "Sleep", "Timeline"]


class Entry:
    """Something that happens at a time, in the loop that was running when it was wanted."""

    def __init__(self, when: float) -> None:
        self.when = when
        self.order = 0
        self.loop = asyncio.get_running_loop()

    def end(self) -> None:
        """Let it happen in its own loop: at once in the running one, soon in another thread's."""
        if _running() is self.loop:
            self.happen()
        else:
            with suppress(RuntimeError):  # raised by a loop that has been closed since
                self.loop.call_soon_threadsafe(self.happen)

    def happen(self) -> None:
        """Do what was wanted."""
        raise NotImplementedError


class Sleep(Entry):
    """A task that sleeps."""

    def __init__(self, when: float) -> None:
        super().__init__(when)
        self.future: asyncio.Future[None] = self.loop.create_future()

    def happen(self) -> None:
        """End the sleep."""
        if not self.future.done():
            self.future.set_result(None)


class Expiry(Entry):
    """A block that is cancelled, if it has not ended by then."""

    def __init__(
        self, when: float, timeout: asyncio.Timeout, drop: Callable[[Entry], None]
    ) -> None:
        super().__init__(when)
        # The block holds its timeout: when it is over, there is nothing left to end.
        self._timeout = weakref.ref(timeout, lambda _: drop(self))

    def happen(self) -> None:
        """Let the timeout expire."""
        timeout = self._timeout()
        with suppress(RuntimeError):  # raised where the block it guarded is over
            if timeout is not None:
                timeout.reschedule(self.loop.time())


class Ring(Entry):
    """A function to be called."""

    def __init__(
        self,
        when: float,
        callback: Callable[[], None],
        drop: Callable[[Entry], None],
    ) -> None:
        super().__init__(when)
        self._callback: Callable[[], None] | None = callback
        self._drop = drop

    def cancel(self) -> None:
        """Do not call it."""
        self._callback = None
        self._drop(self)

    def happen(self) -> None:
        """Call the function."""
        if self._callback is not None:
            self._callback()


class Timeline:
    """Entries in the order of their moments; loops of several threads may add theirs."""

    def __init__(self, start: float) -> None:
        self.now = start
        self._entries: list[Entry] = []
        self._sleeping: dict[asyncio.Future[Any], Sleep] = {}
        self._order = count()
        # The list is changed by one thread at a time. The lock can be entered again: a timeout
        # may be collected, and its entry dropped, while its thread changes the list.
        self._lock = threading.RLock()

    @property
    def waiting(self) -> Sequence[Entry]:
        """The entries, the next one first."""
        return self._entries

    @property
    def sleeps(self) -> list[Sleep]:
        """The sleeps among the entries, the next one first."""
        return sorted(self._sleeping.values(), key=_key)

    @property
    def sleeping(self) -> int:
        """How many sleeps there are."""
        return len(self._sleeping)

    def add(self, entry: Entry) -> None:
        """Keep an entry until its moment."""
        with self._lock:
            entry.order = next(self._order)
            bisect.insort(self._entries, entry, key=_key)
            if isinstance(entry, Sleep):
                self._sleeping[entry.future] = entry

    def drop(self, entry: Entry) -> None:
        """Forget an entry, where it is still there."""
        with self._lock:
            self._forget(entry)
            place = bisect.bisect_left(self._entries, _key(entry), key=_key)
            if self._entries[place : place + 1] == [entry]:
                del self._entries[place]

    def _forget(self, entry: Entry) -> None:
        if isinstance(entry, Sleep):
            self._sleeping.pop(entry.future, None)

    def pass_to(self, when: float) -> None:
        """Move to a moment, and let everything up to it happen."""
        with self._lock:
            self.now = max(self.now, when)
            place = bisect.bisect_right(self._entries, (self.now, float("inf")), key=_key)
            due, self._entries = self._entries[:place], self._entries[place:]
            for entry in due:
                self._forget(entry)
        for entry in due:
            entry.end()

    def ends(self, future: asyncio.Future[Any]) -> bool:
        """Return whether a future is that of a sleep."""
        return future in self._sleeping


def _running() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _key(entry: Entry) -> tuple[float, float]:
    return entry.when, entry.order
