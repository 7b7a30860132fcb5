"""Writing lines without waiting: at once where the stream has room, else by a thread.

A stream that is stuck (a pipe nobody reads) holds up that thread and nobody else: what its queue
cannot hold is dropped and counted. Where nothing is stuck there is no thread, lines are in order
with what the program writes itself, and nothing is lost when the process is ended from outside.
"""

from __future__ import annotations

import atexit
import os
import select
import stat
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, MutableMapping
from typing import Final, TextIO, TypeAlias

__all__ = ["Out", "out_of"]

Dropped: TypeAlias = Callable[[int], None]
"""Called with how many lines could not be written, in any thread."""

_LINES: Final = 10_000
"""Lines that wait for a stream at most, some 3 MB."""
_LOOK: Final = 0.25  # seconds between two looks at whether writing is still wanted
_PAUSE: Final = 0.001  # seconds a stream that refused a line is left alone: asking costs a line
_AT_EXIT: Final = 2.0  # seconds what waits gets when the process ends
_PIECE: Final = getattr(select, "PIPE_BUF", 512)
"""Bytes that a pipe which has room for any takes in one piece."""


class Out:
    """The way to one stream; all logs of the process that write to it share it. Thread-safe.

    A line of up to ``PIPE_BUF`` bytes (4 KB) is written in one piece, longer ones may be torn by
    other processes.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = weakref.ref(stream)
        self._open: int | None = None
        self._waits = True
        self._refused = 0.0
        self._users = 0
        self._waiting: deque[tuple[bytes, Dropped]] = deque()
        # Reentrant: a signal handler or a finalizer that logs may interrupt who holds it.
        self._lock = threading.RLock()
        self._idle = threading.Event()
        self._idle.set()

    def acquire(self) -> None:
        """Hold the stream open in a way of our own, for as long as a log writes to it.

        A pipe is opened anew, not to wait: the flag of the one we were given is shared with
        every process that has it, and between asking whether there is room and writing, one of
        those may have taken it.
        """
        with self._lock:
            self._users += 1
            stream = self._stream()
            descriptor = None if stream is None else _descriptor(stream)
            if self._users == 1 and descriptor is not None:
                self._open = _opened_anew(descriptor)
                self._waits = _may_wait(descriptor)

    def release(self, timeout: float) -> None:
        """Write what waits; what is not written in ``timeout`` seconds is dropped and counted."""
        self.flush(timeout)
        with self._lock:
            self._users -= 1
            if not self._users:
                self._waits = True
                if self._open is not None:
                    os.close(self._open)
                    self._open = None

    def write(self, text: str, dropped: Dropped) -> None:
        """Write text that ends in a newline.

        Raises:
            OSError: The stream cannot be written.
            ValueError: It is closed.
        """
        stream = self._stream()
        if stream is None:
            raise ValueError("the stream is gone")
        descriptor = _descriptor(stream)
        if descriptor is None:
            stream.write(text)
            stream.flush()
            return
        data = text.encode(getattr(stream, "encoding", None) or "utf-8", "backslashreplace")
        # The lock is held for as long as it takes to write what goes without waiting.
        with self._lock:
            if not self._waiting:
                if self._refused and time.monotonic() - self._refused < _PAUSE:
                    dropped(1)
                    return
                try:
                    data = self._now(descriptor if self._open is None else self._open, data)
                except OSError:  # a full disk, for one: told here, where it costs least
                    self._refused = time.monotonic()
                    dropped(1)
                    return
                self._refused = 0.0
                if not data:
                    return
            if len(self._waiting) < _LINES:
                self._waiting.append((data, dropped))
                self._start(stream)
                return
        dropped(1)

    def settle(self, timeout: float) -> bool:
        """Wait until nothing waits, ``timeout`` seconds at most; return whether nothing does."""
        return self._idle.wait(timeout)

    def flush(self, timeout: float) -> None:
        """Wait until nothing waits; what still does after ``timeout`` seconds is dropped."""
        if not self.settle(timeout):
            with self._lock:
                lost, self._waiting = self._waiting, deque()
            for _, dropped in lost:
                dropped(1)
            self._idle.wait(2 * _LOOK)

    def forked(self) -> None:
        """Begin anew in a child: the thread is not there, and what waited is the parent's."""
        self._waiting = deque()
        self._lock = threading.RLock()
        self._idle = threading.Event()
        self._idle.set()

    def _now(self, target: int, data: bytes) -> bytes:
        """Write what goes without waiting; return the rest."""
        asks = self._waits and self._open is None
        rest = data if len(data) <= _PIECE else memoryview(data)
        try:
            while rest and not (asks and not select.select((), (target,), (), 0)[1]):
                rest = rest[os.write(target, rest[:_PIECE]) :]
        except BlockingIOError:
            pass
        return bytes(rest)

    def _start(self, stream: TextIO) -> None:
        if not self._idle.is_set():
            return
        self._idle.clear()
        # A descriptor of its own: once the stream is closed, a file opened after it may have its
        # number. A daemon: a stuck stream may not keep the process from ending.
        target = os.dup(stream.fileno() if self._open is None else self._open)
        threading.Thread(
            target=self._catch_up, args=(target,), name="agentinfra-log", daemon=True
        ).start()

    def _catch_up(self, target: int) -> None:
        try:
            while self._one_more(target):
                pass
        finally:
            os.close(target)

    def _one_more(self, target: int) -> bool:
        """Write the line that has waited longest; return whether there may be another."""
        room = _has_room(target)
        with self._lock:
            if not self._waiting:
                # Under the lock: who appends now either was seen or finds the thread gone.
                self._idle.set()
                return False
            if not room:
                return True
            data, dropped = self._waiting[0]
            try:
                rest = self._now(target, data)
            except (OSError, ValueError):
                self._waiting.popleft()
            else:
                if rest:
                    self._waiting[0] = (rest, dropped)
                else:
                    self._waiting.popleft()
                return True
        dropped(1)
        return True


_OUTS: Final[MutableMapping[TextIO, Out]] = weakref.WeakKeyDictionary()
"""Process-wide on purpose, as streams are: logs that share a stream must not tear their lines."""


def out_of(stream: TextIO) -> Out:
    """Return the way to a stream."""
    try:
        known = _OUTS.get(stream)
        if known is None:
            known = _OUTS[stream] = Out(stream)
    except TypeError:  # a stream of somebody's that cannot be a key
        return Out(stream)
    return known


def _descriptor(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except (AttributeError, OSError, ValueError):
        return None  # in memory, or closed: writing says which


def _opened_anew(descriptor: int) -> int | None:
    """Open a pipe once more, not to wait; None for what is no pipe or cannot be."""
    try:
        if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            return os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        pass
    return None


def _may_wait(descriptor: int) -> bool:
    """Say whether writing may have to wait for a reader: to all but files, and devices like null.

    Asking for room costs as much as writing does, on every line.
    """
    try:
        mode = os.fstat(descriptor).st_mode
        return not (stat.S_ISREG(mode) or (stat.S_ISCHR(mode) and not os.isatty(descriptor)))
    except OSError:
        return True


def _has_room(descriptor: int) -> bool:
    try:
        return bool(select.select((), (descriptor,), (), _LOOK)[1])
    except (OSError, ValueError):
        return True  # writing says what is wrong


def _at_exit() -> None:
    until = time.monotonic() + _AT_EXIT
    for out in list(_OUTS.values()):
        out.flush(max(0.0, until - time.monotonic()))


def _before_fork() -> None:
    # What was logged before should stand before what the child logs. Where the stream is stuck it
    # may not: it stays the parent's, whose thread goes on.
    for out in list(_OUTS.values()):
        out.settle(_LOOK)


def _in_child() -> None:
    for out in list(_OUTS.values()):
        out.forked()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_in_child)
