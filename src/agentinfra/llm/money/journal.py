"""What a process has used of its leases, in a file that outlives it.

A process that is killed can tell the ledger nothing any more. What it had spent and what its calls
under way held is in mapped memory, which is the kernel's: whoever finds the lease expired on the
same machine reads it there. That its process is gone is known by a lock on the file, which the
kernel takes away with the process, however that ended.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

__all__ = ["Entry", "Journal", "Page", "default_folder", "read_entries"]

_COPY: Final = 120
_PAGE: Final = 2 * _COPY
_HEAD: Final = struct.Struct("<QIH")
_SUFFIX: Final = ".leases"
_WEEK: Final = 7 * 86_400.0


class Entry(NamedTuple):
    """What is written down of a lease.

    Attributes:
        lease: Its name in the ledger.
        spent: All that its calls cost.
        held: What is held for calls under way.
    """

    lease: str
    spent: Decimal
    held: Decimal


class Page:
    """Where one lease at a time is written down; writing is a copy into memory.

    It has two copies, written in turn and each with a check sum: a process that is killed while it
    writes one leaves the other.
    """

    __slots__ = ("_at", "_memory", "_number")

    def __init__(self, memory: mmap.mmap, at: int) -> None:
        self._memory = memory
        self._at = at
        self._number = 0

    def write(self, lease: str, spent: Decimal, held: Decimal) -> None:
        """Write down how a lease stands now."""
        text = f"{lease} {spent} {held}".encode()
        self._number += 1
        head = _HEAD.pack(self._number, zlib.crc32(text, self._number & 0xFFFF), len(text))
        at = self._at + _COPY * (self._number & 1)
        self._memory[at : at + _HEAD.size + len(text)] = head + text


class Journal:
    """The file of one process's ledger.

    Args:
        folder: Where the files of all processes of this machine are; it is made.
        name: The file's name, before its suffix.

    Raises:
        OSError: The folder cannot be made or written, is another user's, or this system has no
            such locks.
    """

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if hasattr(os, "getuid") and folder.lstat().st_uid != os.getuid():
            # Where everybody may write, somebody else may have made it: to tell us what we spent.
            raise PermissionError(f"{folder} belongs to another user")
        _sweep(folder)
        self._path = folder / f"{name}{_SUFFIX}"
        self._file: BinaryIO = self._path.open("x+b")
        try:
            _lock(self._file)
        except OSError:
            self._path.unlink()
            self._file.close()
            raise
        self._pages = 0
        self._free: list[Page] = []

    def page(self) -> Page:
        """Return a page that nobody uses."""
        if not self._free:
            self._grow()
        return self._free.pop()

    def free(self, page: Page) -> None:
        """Take back a page whose lease is settled."""
        self._free.append(page)

    def close(self, *, keep: bool) -> None:
        """Let go of the file.

        Args:
            keep: Whether there is something in it that the ledger does not know.
        """
        with contextlib.suppress(OSError):
            if not keep:
                self._path.unlink()
            # Mapped memory holds the file open, and with it the lock, for as long as it lives.
            _unlock(self._file)
        self._file.close()

    def _grow(self) -> None:
        # A new mapping each time: pages in use stay where they are.
        size = mmap.ALLOCATIONGRANULARITY
        start = self._pages * size
        self._pages += 1
        self._file.truncate(start + size)
        memory = mmap.mmap(self._file.fileno(), size, offset=start)
        self._free += [Page(memory, at) for at in range(0, size - _PAGE + 1, _PAGE)]


@contextmanager
def read_entries(folder: Path, name: str) -> Iterator[dict[str, Entry]]:
    """Give what a process that is gone has left, empty where it lives or was never here.

    Meanwhile nobody else can read it; where the block ends well, the file is taken away.
    """
    path = folder / f"{name}{_SUFFIX}"
    try:
        file = path.open("rb")
    except OSError:
        yield {}
        return
    with file:
        try:
            _lock(file)
        except OSError:  # it lives, or another is reading
            yield {}
            return
        yield {entry.lease: entry for entry in _entries(file.read())}
        with contextlib.suppress(OSError):
            path.unlink()


def _sweep(folder: Path) -> None:
    """Take away what nobody came for in a week."""
    for path in folder.glob(f"*{_SUFFIX}"):
        with contextlib.suppress(OSError), path.open("rb") as file:
            if time.time() - path.stat().st_mtime > _WEEK:
                _lock(file)
                path.unlink()


def _lock(file: Any) -> None:
    try:
        import fcntl
    except ImportError as error:
        raise OSError("this system has no locks that end with their process") from error
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _unlock(file: Any) -> None:
    import fcntl

    fcntl.flock(file, fcntl.LOCK_UN)


def _entries(data: bytes) -> Iterator[Entry]:
    size = mmap.ALLOCATIONGRANULARITY
    for start in range(0, len(data) - size + 1, size):
        for at in range(start, start + size - _PAGE + 1, _PAGE):
            copies = [_copy(data, at), _copy(data, at + _COPY)]
            found = max(copies, key=lambda copy: copy[0])[1]
            if found is not None:
                yield found


def _copy(data: bytes, at: int) -> tuple[int, Entry | None]:
    """Return the number of a copy and what it says; 0 and None where it is not whole."""
    number, check, size = _HEAD.unpack_from(data, at)
    text = data[at + _HEAD.size : at + _HEAD.size + size]
    if not number or size > _COPY - _HEAD.size or zlib.crc32(text, number & 0xFFFF) != check:
        return 0, None
    try:
        lease, spent, held = text.decode().split(" ")
        return number, Entry(lease, Decimal(spent), Decimal(held))
    except (ValueError, InvalidOperation):
        return 0, None


def default_folder() -> Path:
    """Return the folder of this user's processes on this machine."""
    import tempfile

    user = os.getuid() if hasattr(os, "getuid") else "user"
    return Path(tempfile.gettempdir()) / f"agentinfra-budgets-{user}"
