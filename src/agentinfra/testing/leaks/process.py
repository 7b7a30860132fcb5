"""What the operating system knows of this process: descriptors and child processes."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.resource_tracker
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["command_of", "descriptors", "inode_of", "processes"]

_PROC = Path("/proc/self")


def descriptors() -> Iterator[tuple[str, int, str]]:
    """Yield key, number and name of the open descriptors; nothing where the system tells none."""
    folder = _PROC / "fd"
    if not folder.is_dir():
        return
    kept = _kept_by_multiprocessing()
    for name in os.listdir(folder):  # noqa: PTH208 - the listing's own descriptor must be closed
        with contextlib.suppress(OSError):
            target = os.readlink(folder / name)  # noqa: PTH115 - a link to no real path
            if int(name) not in kept:
                yield f"{name} {target}", int(name), _described(int(name), target)


def inode_of(opened: Any) -> str:
    """Return what a descriptor's name would be, empty for a socket that is closed."""
    with contextlib.suppress(Exception):  # a closed connection of a vendor's raises its own
        number = opened.fileno()
        return f"{number} socket:[{os.fstat(number).st_ino}]" if number >= 0 else ""
    return ""


def _described(number: int, target: str) -> str:
    if not target.startswith("socket:"):
        return target
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(number)) as copy:
        return f"socket {addresses(copy)}"
    return target


def addresses(found: socket.socket) -> str:
    """Return a socket's family and its two ends."""
    local, remote = found.getsockname(), ""
    with contextlib.suppress(OSError):
        remote = f" -> {found.getpeername()}"
    return f"{found.family.name} {local}{remote}"


def processes() -> Iterator[tuple[int, str]]:
    """Yield the child processes, unreaped ones too; elsewhere than on Linux multiprocessing's."""
    lists = list(_PROC.glob("task/*/children"))
    if not lists:
        for child in multiprocessing.active_children():
            yield child.pid or 0, child.name
        return
    tracker: Any = multiprocessing.resource_tracker
    kept = {getattr(tracker._resource_tracker, "_pid", None)}  # noqa: SLF001 - it lives on
    for path in lists:
        with contextlib.suppress(OSError):
            for pid in map(int, path.read_text().split()):
                if pid not in kept:
                    yield pid, command_of(pid)


def _kept_by_multiprocessing() -> set[int | None]:
    tracker: Any = multiprocessing.resource_tracker
    return {getattr(tracker._resource_tracker, "_fd", None)}  # noqa: SLF001 - it lives on


def command_of(pid: int) -> str:
    """Return the name a process goes by, where the system tells it."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return "(gone)"
