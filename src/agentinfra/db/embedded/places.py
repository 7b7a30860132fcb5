"""Temporary folders that go with their owner, however it ends.

The owner holds a lock on its folder, which the kernel lets go with the process. A watcher, a
shell that waits for the end of a pipe, notices an owner that went without leaving, and has its
server ended and its folders removed. What even the watcher missed (it was killed too), the next
start sweeps.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from agentinfra.db.embedded import ending

__all__ = ["Place", "Watcher", "sweep", "temporary_folders"]

_PREFIX = "agentinfra-pg-"

_WATCH = 'trap "" HUP INT TERM; read -r _ || exec "$@"'
"""Signals for the whole of a group or a service are the owner's business; its end is ours."""


class Place:
    """A folder of one process among the temporary files.

    Args:
        base: Where to make it.

    Raises:
        OSError: It cannot be made there.
    """

    def __init__(self, base: Path) -> None:
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))
            self._claim = _claimed(self.path)
            if self._claim >= 0:
                break
            # A sweep came between making and claiming, and has removed it.
        self.path.chmod(0o711)  # a server of another account walks through to its data

    def release(self) -> None:
        """Remove the folder and all in it."""
        if self._claim >= 0:
            ending.remove(self.path)
            self.forget()

    def forget(self) -> None:
        """Let go of the claim alone: a forked child's copy would outlive the owner."""
        claim, self._claim = self._claim, -1
        if claim >= 0:
            os.close(claim)


class Watcher:
    """A small process that waits for the end of this one.

    Args:
        folder: The data of the server to be ended with this process.
        places: The folders to be removed with it.
    """

    def __init__(self, folder: Path, *places: Path) -> None:
        program = map(str, (_interpreter(), "-I", "-S", ending.__file__, folder, *places))
        self._shell = subprocess.Popen(  # noqa: S603 - the command is ours
            ["/bin/sh", "-c", _WATCH, "agentinfra-watcher", *program],
            cwd="/",
            env={"PATH": os.defpath},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def dismiss(self) -> None:
        """End it: there is nothing to be done when this process ends."""
        self._shell.communicate(b"left\n")

    def forget(self) -> None:
        """Close this copy of the pipe: a forked child is not the owner."""
        if self._shell.stdin is not None:
            self._shell.stdin.close()
        self._shell.returncode = 0  # not a child of the child: nothing to wait for


def temporary_folders() -> list[Path]:
    """Return where temporary folders can be, the user's own choice first."""
    names = (tempfile.gettempdir(), os.environ.get("XDG_RUNTIME_DIR"), "/tmp")  # noqa: S108
    return list(dict.fromkeys(Path(name) for name in names if name))


def sweep() -> None:
    """End and remove what owners left behind who died together with their watchers."""
    for base in temporary_folders():
        for path in base.glob(f"{_PREFIX}*"):
            try:
                claim = _claimed(path) if path.lstat().st_uid == os.geteuid() else -1
            except OSError:  # it goes just now, or is no folder of ours
                continue
            if claim >= 0:
                ending.end(path / "data")
                ending.remove_all(path, path / "data")
                os.close(claim)


def _claimed(path: Path) -> int:
    """Lock a folder; return the descriptor that holds the lock, -1 when another one has it."""
    try:
        claim = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return -1
    if ending.locked(claim, fcntl.LOCK_EX) and path.exists():
        return claim
    os.close(claim)
    return -1


def _interpreter() -> Path:
    """Return a Python; the running program may be another one that embeds it."""
    running = Path(sys.executable or "/")
    if running.name.startswith(("python", "pypy")):
        return running
    return Path(sys.base_exec_prefix) / "bin" / "python3"
