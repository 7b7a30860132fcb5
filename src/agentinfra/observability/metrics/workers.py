"""The numbers of several workers that are scraped as one, in files they share.

Workers of uvicorn and gunicorn each keep a folder of their own in a shared one:

    <shared>/<pid>-<moment>/keys      a line of JSON a series: what it is, where it is kept
    <shared>/<pid>-<moment>/values-N  8,192 doubles, mapped into memory
    <shared>/past                     the sums of workers that are gone

Counting writes into mapped memory and nothing else, so it costs the same, and a worker that is
killed has lost nothing: the pages are the kernel's. Who lives is known by a lock on the folder's
``keys``, which the kernel takes away with the process.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import shutil
import time
from collections.abc import Iterator, MutableSequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO, Final, cast

from agentinfra.observability.metrics.cells import Key, Place

__all__ = ["SharedCells", "read_workers"]

_SLOTS: Final = 8_192
_BYTES: Final = 8 * _SLOTS
_KEYS: Final = "keys"
_PAST: Final = "past"


class SharedCells:
    """Keeps numbers in the files of one worker.

    Args:
        shared: The folder all workers share; it is made where it is not there.

    Raises:
        OSError: The folder cannot be made or written.
    """

    def __init__(self, shared: Path) -> None:
        shared.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder = shared / f"{os.getpid()}-{time.time_ns():x}"
        self._lock = Lock()
        with _only_one(shared):
            if not any(_lives(folder) for folder in _workers(shared)):
                _clear(shared)  # counters begin at 0 with the first worker, as after any restart
            self.folder.mkdir(mode=0o700)
            self._keys: BinaryIO = (self.folder / _KEYS).open("ab")
            fcntl.flock(self._keys, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._segment: memoryview[Any] | None = None
        self._segments = 0
        self._used = _SLOTS

    def place(self, key: Key) -> Place:
        """Return mapped memory, and tell the siblings of it."""
        with self._lock:
            if self._segment is None or self._used + key.size > _SLOTS:
                self._grow()
            assert self._segment is not None  # noqa: S101 - it was made just now
            at, self._used = self._used, self._used + key.size
            line = json.dumps([self._segments - 1, at, asdict(key)])
            self._keys.write(line.encode() + b"\n")
            self._keys.flush()
            return cast("MutableSequence[float]", self._segment), at

    def close(self) -> None:
        """Give back the lock: the siblings then add what was counted here to what is past."""
        self._keys.close()

    def _grow(self) -> None:
        path = self.folder / f"values-{self._segments}"
        with path.open("w+b") as file:
            file.truncate(_BYTES)
            self._segment = memoryview(mmap.mmap(file.fileno(), _BYTES)).cast("d")
        self._segments += 1
        self._used = 0


def read_workers(shared: Path, but: Path | None = None) -> Iterator[tuple[Key, list[float]]]:
    """Give every series of the other workers, and of those that are gone, with its numbers.

    Gauges of workers that are gone are left out: what they showed is no more.

    Args:
        shared: The folder all workers share.
        but: The folder of the worker that asks.
    """
    with _only_one(shared):
        for folder in _workers(shared):
            if folder == but:
                continue
            if _lives(folder):
                yield from _read(folder)
            else:
                _fold(shared, folder)
        yield from _past(shared)[1]


def _workers(shared: Path) -> list[Path]:
    return sorted(path for path in shared.iterdir() if path.is_dir())


def _lives(folder: Path) -> bool:
    try:
        with (folder / _KEYS).open("rb") as keys:
            fcntl.flock(keys, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _read(folder: Path) -> Iterator[tuple[Key, list[float]]]:
    """Read a worker's series; a line that is being written is passed over."""
    segments: dict[int, memoryview[Any]] = {}
    try:
        lines = (folder / _KEYS).read_bytes().splitlines()
    except OSError:
        return
    for line in lines:
        try:
            number, at, described = json.loads(line)
            key = _key(described)
            if number not in segments:
                data = (folder / f"values-{number}").read_bytes()
                segments[number] = memoryview(data).cast("d")
            yield key, list(segments[number][at : at + key.size])
        except (ValueError, TypeError, KeyError, OSError):
            continue


def _past(shared: Path) -> tuple[set[str], list[tuple[Key, list[float]]]]:
    """Return which workers that are gone have been added up, and their sums."""
    try:
        told = json.loads((shared / _PAST).read_bytes())
        return set(told["workers"]), [(_key(key), values) for key, values in told["series"]]
    except (OSError, ValueError, TypeError, KeyError):
        return set(), []


def _fold(shared: Path, gone: Path) -> None:
    """Add what a worker that is gone has counted to what those before it had.

    The sum and the worker's name in it appear at once, by one renaming: whenever this process is
    killed, the worker is counted once.
    """
    folded, series = _past(shared)
    if gone.name not in folded:
        totals = {(key.name, key.labels): (key, values) for key, values in series}
        for key, values in _read(gone):
            if key.kind == "gauge":
                continue
            known = totals.get((key.name, key.labels))
            if known is not None and known[0].size == key.size:
                values = [a + b for a, b in zip(known[1], values, strict=True)]
            totals[key.name, key.labels] = (key, values)
        told = {
            "workers": [*(name for name in folded if (shared / name).exists()), gone.name],
            "series": [[asdict(key), values] for key, values in totals.values()],
        }
        fresh = shared / f"{_PAST}.new"
        fresh.write_text(json.dumps(told))
        fresh.replace(shared / _PAST)
    shutil.rmtree(gone, ignore_errors=True)


def _clear(shared: Path) -> None:
    for folder in _workers(shared):
        shutil.rmtree(folder, ignore_errors=True)
    (shared / _PAST).unlink(missing_ok=True)


def _key(described: Any) -> Key:
    return Key(**{**described, "buckets": tuple(described["buckets"])})


@contextmanager
def _only_one(shared: Path) -> Iterator[None]:
    """Hold the lock of the shared folder, so that nobody folds what another reads."""
    with (shared / "lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
