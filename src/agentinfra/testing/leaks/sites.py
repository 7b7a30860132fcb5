"""Where things are made: the line of a program that asked for a task, a thread, a file."""

from __future__ import annotations

import asyncio
import functools
import os
import sys
import sysconfig
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from agentinfra.testing.leaks.process import command_of

__all__ = ["Sites", "is_made_by_finalizer", "site_of_coroutine"]

_LIBRARIES = tuple(
    str(Path(sysconfig.get_path(name))) for name in ("stdlib", "platstdlib", "purelib", "platlib")
)
_DEPTH = 12
"""Callers of a coroutine that Python remembers."""


class Sites:
    """Remembers, while it is switched on, who made sockets, files, threads and processes."""

    def __init__(self) -> None:
        self.paths: dict[str, str] = {}
        self.programs: dict[str, str] = {}
        self._objects: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()
        self._depth = 0

    def start(self) -> None:
        """Remember from now on."""
        _listen()
        self._depth = sys.get_coroutine_origin_tracking_depth()
        sys.set_coroutine_origin_tracking_depth(max(self._depth, _DEPTH))
        _ACTIVE.add(self)
        threading.Thread.start = _noting  # type: ignore[assignment, method-assign]

    def stop(self) -> None:
        """Remember no more."""
        if self in _ACTIVE:
            _ACTIVE.discard(self)
            if not _ACTIVE:
                threading.Thread.start = _START  # type: ignore[method-assign]
            sys.set_coroutine_origin_tracking_depth(self._depth)

    def of(self, made: Any) -> str:
        """Return where an object was made, empty where nobody knows."""
        return self._objects.get(made, "")

    def heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Note one of the interpreter's audit events."""
        if event == "socket.__new__":
            self._objects[arguments[0]] = _caller()
        elif event == "open" and isinstance(arguments[0], str):
            self.paths[os.path.realpath(arguments[0])] = _caller()  # noqa: PTH116, RUF100
        elif event == "threading.Thread.start":
            self._objects[arguments[0]] = _caller()
        elif event in ("os.fork", "subprocess.Popen"):
            # A child goes by this process's name until it runs another program, and for a moment
            # after that.
            self.programs[command_of(os.getpid())] = _caller()
            if event == "subprocess.Popen":
                self.programs[Path(os.fsdecode(arguments[0])).name] = _caller()


_EVENTS = frozenset(("socket.__new__", "open", "os.fork", "subprocess.Popen"))
_ACTIVE: weakref.WeakSet[Sites] = weakref.WeakSet()
_HOOKED: list[bool] = []


def _listen() -> None:
    """Install the interpreter's hook, which cannot be taken out: it is quick while none listens."""
    if not _HOOKED:
        _HOOKED.append(True)
        sys.addaudithook(_hook)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _ACTIVE and event in _EVENTS:
        for sites in tuple(_ACTIVE):
            sites.heard(event, arguments)


_START = threading.Thread.start


@functools.wraps(_START)
def _noting(thread: threading.Thread) -> None:
    """Start a thread and note who does: Python 3.11 tells it by no audit event."""
    for sites in tuple(_ACTIVE):
        sites.heard("threading.Thread.start", (thread,))
    _START(thread)


def is_made_by_finalizer(coroutine: Any) -> bool:
    """Return whether a coroutine cleans up after an object that nobody holds any more."""
    origin = getattr(coroutine, "cr_origin", None) or ()
    return any(function == "__del__" for _, _, function in origin)


def site_of_coroutine(coroutine: Any) -> str:
    """Return where a coroutine was made, empty where it was made outside of a check."""
    origin: Sequence[tuple[str, int, str]] = getattr(coroutine, "cr_origin", None) or ()
    for file, line, function in origin:
        if not _is_library(file):
            return _shown(file, line, function)
    return _shown(*origin[0]) if origin else ""


def _caller() -> str:
    """Return the innermost line that belongs to no library, else the innermost of all."""
    frame: FrameType | None = sys._getframe(3)  # noqa: SLF001 - the one way to look at callers
    first = frame
    while frame is not None:
        if not _is_library(frame.f_code.co_filename):
            return _shown(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
        frame = frame.f_back
    return "" if first is None else _shown(first.f_code.co_filename, first.f_lineno, "")


def _is_library(file: str) -> bool:
    return file.startswith((*_LIBRARIES, "<frozen")) or file == asyncio.__file__


def _shown(file: str, line: int, function: str) -> str:
    return f"{file}:{line}" + (f" in {function}" if function else "")
