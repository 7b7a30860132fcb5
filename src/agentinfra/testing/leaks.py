"""Finds what a block of code leaves behind: tasks, sockets, files, threads, child processes."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import multiprocessing
import os
import re
import socket
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["LeakCheck", "Resources", "assert_no_leaks"]

_PROC = Path("/proc/self")
_ROUNDS = 20
_PAUSE = 0.005
# Threads of a loop's default executor live until the loop closes; whoever runs the loop owns them.
_EXECUTOR_THREAD = re.compile(r"asyncio_\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What a process holds at a moment, each by a key that tells it apart and a name to show."""

    tasks: dict[int, str]
    files: dict[str, str]
    threads: dict[int, str]
    processes: dict[int, str]

    @classmethod
    def now(cls) -> Resources:
        """Look at the running process; tasks are those of the running loop, if there is one."""
        return cls(
            tasks=dict(_tasks()),
            files=dict(_files()),
            threads=dict(_threads()),
            processes=dict(_processes()),
        )

    def beyond(self, before: Resources, ignore: Collection[str] = ()) -> list[str]:
        """Return what is here and was not before, without what has an ignored text in its name."""
        found = [
            f"{kind} {name}"
            for kind, mine, theirs in (
                ("task", self.tasks, before.tasks),
                ("descriptor", self.files, before.files),
                ("thread", self.threads, before.threads),
                ("process", self.processes, before.processes),
            )
            for name in sorted(name for key, name in mine.items() if key not in theirs)
        ]
        return [name for name in found if not any(part in name for part in ignore)]


class LeakCheck:
    """Compares the process before and after a block.

    An async context manager, which gives things on their way out a little time to go. Where there
    is no block to put around: :meth:`start`, later :meth:`check`.
    """

    def __init__(self, *, grace: float = 0.5, ignore: Collection[str] = ()) -> None:
        self._grace = grace
        self._ignore = tuple(ignore)
        self._before: Resources | None = None

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            await self.settle()
            self.check()

    def start(self) -> None:
        """Remember what there is."""
        self._before = Resources.now()

    def leaks(self) -> list[str]:
        """Return what is there now and was not at the start, by name."""
        before = self._before
        if before is None:
            raise RuntimeError("the leak check has not started; call start() or enter it")
        return Resources.now().beyond(before, self._ignore)

    async def settle(self) -> None:
        """Give what is ending some turns of the loop, and at most ``grace`` seconds."""
        for _ in range(_ROUNDS):
            await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        end = loop.time() + self._grace
        while self.leaks() and loop.time() < end:  # noqa: ASYNC110 - nothing tells when they end
            await asyncio.sleep(_PAUSE)

    def check(self) -> None:
        """Compare.

        Raises:
            AssertionError: Something is left; the message names all of it.
        """
        if found := self.leaks():
            raise AssertionError(f"{len(found)} leaked: " + "; ".join(found))


def assert_no_leaks(*, grace: float = 0.5, ignore: Collection[str] = ()) -> LeakCheck:
    """Return a check that a block leaves no task, descriptor, thread or child process behind.

    Threads of the loop's default executor (``asyncio_0``) do not count: they belong to the loop.

    Args:
        grace: Seconds to wait at most for things that are ending; 0 waits a few turns of the loop.
        ignore: Parts of names that may stay.

    Example:
        async with assert_no_leaks():
            async with InfraRuntime() as rt:
                ...
    """
    return LeakCheck(grace=grace, ignore=ignore)


def _tasks() -> Iterator[tuple[int, str]]:
    try:
        running = asyncio.current_task()
        tasks = asyncio.all_tasks()
    except RuntimeError:
        return
    for task in tasks:
        if task is not running:
            coroutine = getattr(task.get_coro(), "__qualname__", task.get_coro())
            yield id(task), f"{task.get_name()} ({coroutine})"


def _files() -> Iterator[tuple[str, str]]:
    """Yield the open descriptors; where the system has no list of them, the sockets."""
    folder = _PROC / "fd"
    if not folder.is_dir():
        yield from _sockets()
        return
    for name in os.listdir(folder):  # noqa: PTH208 - the listing's own descriptor must be closed
        with contextlib.suppress(OSError):
            target = os.readlink(folder / name)  # noqa: PTH115 - a link to no real path
            yield f"{name} {target}", f"{name} {_described(int(name), target)}"


def _described(number: int, target: str) -> str:
    if not target.startswith("socket:"):
        return target
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(number)) as copy:
        return f"socket {_addresses(copy)}"
    return target


def _addresses(found: socket.socket) -> str:
    local, remote = found.getsockname(), ""
    with contextlib.suppress(OSError):
        remote = f" -> {found.getpeername()}"
    return f"{found.family.name} {local}{remote}"


def _sockets() -> Iterator[tuple[str, str]]:
    for item in gc.get_objects():
        if isinstance(item, socket.socket) and item.fileno() >= 0:
            yield f"{item.fileno()} {id(item)}", f"{item.fileno()} socket {_addresses(item)}"


def _threads() -> Iterator[tuple[int, str]]:
    for thread in threading.enumerate():
        if not _EXECUTOR_THREAD.fullmatch(thread.name):
            yield id(thread), thread.name


def _processes() -> Iterator[tuple[int, str]]:
    """Yield the child processes, unreaped ones too; elsewhere than on Linux multiprocessing's."""
    lists = list(_PROC.glob("task/*/children"))
    if not lists:
        for child in multiprocessing.active_children():
            yield child.pid or 0, f"{child.pid} {child.name}"
        return
    for path in lists:
        with contextlib.suppress(OSError):
            for pid in path.read_text().split():
                yield int(pid), f"{pid} {_command(pid)}"


def _command(pid: str) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return "(gone)"
