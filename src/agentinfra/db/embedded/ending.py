"""Ending a server that nobody uses, with all that belongs to it.

Also a program of its own (``python ending.py FOLDER [PLACE ...]``), which the watcher of a dead
owner runs: it imports the standard library alone, and needs no package to be found.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["PATIENCE", "alive", "end", "locked", "remove", "remove_all", "stop", "within"]

PATIENCE = 30.0
"""Seconds the longest wait may take: for another process at the gate, for a crash recovery."""

_TICK = 0.003

_LINGERING = 0.5
"""Seconds a lock may outlive its owner: a child that is being forked has a copy for a moment."""

_OURS = {"postgres", "initdb"}
"""Programs that may be ended: a person's shell may stand in the folder too."""


def end(folder: Path, *places: Path) -> None:
    """End the server of a folder that nobody uses any more, and remove temporary folders.

    Programs that are only about to start are found too: the owner may have been killed at any
    moment. Whoever comes to the folder meanwhile waits at its gate.

    Args:
        folder: The data; nothing is ended while somebody uses it.
        places: Folders of the dead owner, to be removed unless others hold them too.
    """
    with contextlib.suppress(FileNotFoundError):
        gate = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            if within(PATIENCE, lambda: locked(gate, fcntl.LOCK_EX)) and not _in_use(folder):
                _end_programs(folder)
        finally:
            os.close(gate)
    for place in places:
        with contextlib.suppress(FileNotFoundError):
            claim = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if within(_LINGERING, lambda: locked(claim, fcntl.LOCK_EX)):  # noqa: B023
                    remove_all(place, folder)
            finally:
                os.close(claim)


def stop(pid: int) -> bool:
    """Stop a server; return whether it has ended. It is asked first, and forced in the end."""
    for kind in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):  # fast, immediate, by force
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, kind)
        if within(PATIENCE / 3, lambda: not alive(pid)):
            return True
    return False


def remove(folder: Path) -> bool:
    """Remove a folder; return whether it is gone."""
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


def remove_all(place: Path, folder: Path) -> None:
    """Remove a folder that the caller has claimed, with the data in ``folder`` in it."""
    # A program that was forked in the owner's last moment may still be writing.
    until = time.monotonic() + PATIENCE / 3
    while not remove(place) and time.monotonic() < until:
        _end_programs(folder)


def locked(descriptor: int, kind: int) -> bool:
    """Try to lock a file at once; return whether it is locked now."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def within(seconds: float, holds: Callable[[], bool]) -> bool:
    """Wait until something holds, up to a number of seconds; return whether it does."""
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(_TICK)
    return True


def alive(pid: int) -> bool:
    """Return whether a process runs; one that has ended and waits to be reaped does not."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)  # as process 1 of a container we inherit the server
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        pass
    if Path("/proc/self").exists():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _in_use(folder: Path) -> bool:
    try:
        lease = os.open(folder / "PG_VERSION", os.O_RDONLY)
    except FileNotFoundError:  # killed while the data was made
        return False
    try:
        return not within(_LINGERING, lambda: locked(lease, fcntl.LOCK_EX))
    finally:
        os.close(lease)


def _end_programs(folder: Path) -> None:
    while found := _at_work(folder):
        for pid in found:
            if not stop(pid):
                return


def _at_work(folder: Path) -> list[int]:
    """Return the first processes (a server, not its sessions) that work in a folder."""
    if not Path("/proc/self/cwd").exists():
        return _noted(folder)
    inside = f"{folder.resolve()}/"  # as the kernel names it
    found: dict[int, int] = {}
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):  # it ends just now, or is not ours
            pid = int(process.name)
            where = str((process / "cwd").readlink()).removesuffix(" (deleted)")
            name, _, rest = (process / "stat").read_text().partition("(")[2].rpartition(")")
            state, parent = rest.split()[:2]
            if name in _OURS and state not in "ZX" and f"{where}/".startswith(inside):
                found[pid] = int(parent)
    return [pid for pid, parent in found.items() if parent not in found]


def _noted(folder: Path) -> list[int]:
    """Return the server that a folder's own note names, where processes cannot be listed."""
    try:
        pid = int((folder / "postmaster.pid").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return []
    return [pid] if alive(pid) else []


if __name__ == "__main__":
    end(*(Path(name) for name in sys.argv[1:]))
