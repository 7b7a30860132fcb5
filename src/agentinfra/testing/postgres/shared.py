"""One server for all processes of a test run, gone with the last of them however that one ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from agentinfra.testing.postgres.kept import copy_kept_data
from agentinfra.testing.postgres.server import PostgresServer, in_a_loop

__all__ = ["ending_in_order", "shared_server"]


@contextlib.contextmanager
def shared_server(run: str) -> Iterator[PostgresServer]:
    """Give a server that all processes of a test run share; it is gone with the last of them.

    Args:
        run: Names the run; processes that name the same one share a server.

    Raises:
        MissingPackageError: The extra ``embedded`` is not installed.
        DatabaseError: The server does not start.
    """
    from agentinfra.db.embedded import EmbeddedPostgres
    from agentinfra.db.embedded.places import Watcher

    # By its name the next start of any embedded server knows it for one that may be swept, should
    # all processes of the run be killed: none of them holds the folder then.
    folder = Path(tempfile.gettempdir()) / f"agentinfra-pg-{run}"
    with ending_in_order(), _held(folder) as gate:
        # pytest-xdist ends its workers by force when their controller is gone: then the last
        # one's watcher removes the folder, after the server's own has ended the server.
        watcher = Watcher(folder / "data", folder)
        try:
            with _alone(gate):
                copy_kept_data(folder / "data")
            server = EmbeddedPostgres(folder / "data")
            in_a_loop(server.__aenter__())
            try:
                yield PostgresServer(server.dsn)
            finally:
                in_a_loop(server.aclose())
        finally:
            watcher.dismiss()


@contextlib.contextmanager
def ending_in_order() -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl-C does, with everything that is to be undone.

    Where somebody handles SIGTERM already, or outside of the main thread, it is left alone.
    """
    mine = threading.current_thread() is threading.main_thread()
    if not mine or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def end(*_: Any) -> NoReturn:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[Path]:
    """Hold a folder together with the other processes of the run; the last one removes it.

    Gives the file that decides who may fill the folder.
    """
    hold = _hold(folder)
    try:
        yield folder / "gate"
    finally:
        # Let go first and only then try to have it alone: were it the other way round, two that
        # leave at once would each see the other, and both would leave the folder behind.
        fcntl.flock(hold, fcntl.LOCK_UN)
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(hold, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        os.close(hold)


def _hold(folder: Path) -> int:
    while True:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o711)
        with contextlib.suppress(FileNotFoundError):
            hold = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            # A server of another account walks through to its data, whatever the umask.
            os.fchmod(hold, 0o711)
            fcntl.flock(hold, fcntl.LOCK_SH)
            if folder.exists() and os.path.samestat(os.fstat(hold), folder.stat()):
                return hold
            os.close(hold)  # the last process of the run removed it while this one came


@contextlib.contextmanager
def _alone(gate: Path) -> Iterator[None]:
    """Do the block while no other process of the run does."""
    descriptor = os.open(gate, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
