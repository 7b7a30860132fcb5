"""A PostgreSQL server that keeps its data in one folder, shared by all who use the folder.

Who uses it is known to the kernel alone, by two advisory locks. A user who was killed is gone at
once, and nothing has to be counted, in this process or in a file:

* the *gate*, on the folder itself, is held while the server is being started or stopped;
* the *lease*, on its file ``PG_VERSION``, is shared by all for as long as they use the server.

Whoever leaves tries to get the lease alone; who gets it was the last, and stops the server. For
a user who was killed, its watcher does that.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import struct
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

from agentinfra.db.embedded.data_folder import prepare
from agentinfra.db.embedded.ending import PATIENCE, alive, locked, stop, within
from agentinfra.db.embedded.places import Place, Watcher, sweep, temporary_folders
from agentinfra.db.embedded.programs import Programs, find_programs
from agentinfra.errors import ConfigurationError, DatabaseError
from agentinfra.settings.dsn import DSN

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Cluster"]

_WIND_DOWN = 5.0
"""Seconds the rest of a server that was killed gets to go away."""

_LEFTOVERS = ('"postmaster.pid" already exists', "pre-existing shared memory block")
"""What PostgreSQL says as long as processes of a killed server run, or wait to be reaped."""

_MOST_MEMORY = 640 * 1024
"""KB each process of the server may have for itself. PostgreSQL bounds what sorts take, and nothing
else: one statement could build an array of gigabytes. What asks for more fails alone (53200). An
index is built with up to 512 MB."""

_LAUNCH = f'ulimit -d {_MOST_MEMORY} 2>/dev/null; "$@" >>log 2>&1 </dev/null & echo $!'

_SOCKET = ".s.PGSQL.5432"
_LONGEST_SOCKET_PATH = 100
"""Below what every system takes (104 bytes on macOS, 108 on Linux)."""
_LONGEST_LOG = 4_000_000


class Cluster:
    """One user's hold on the server of a folder. Blocking: call it in a thread.

    Args:
        folder: Where the data is; made when it is missing. None is a temporary folder of this
            user alone, without syncing; it is removed at the end.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or Path()
        self._fleeting = folder is None
        self._gate = -1
        self._lease = -1
        self._server = 0
        self._link: Path | None = None
        self._places: list[Place] = []
        self._watcher: Watcher | None = None
        self._owner = os.getpid()
        _HELD.add(self)

    @property
    def dsn(self) -> DSN:
        """Where the server is, for as long as this hold lasts."""
        place = str(self._link or self.folder)
        return DSN(hosts=((place, None),), user="postgres", database="postgres")

    def enter(self) -> None:
        """Hold the server; start it unless it runs. May be called again after a crash.

        Raises:
            ConfigurationError: The folder cannot be used.
            DatabaseError: The server does not start.
        """
        try:
            if self._gate < 0:
                sweep()
                self._settle()
            with self._through_the_gate():
                self._take()
        except OSError as error:
            self._let_go()
            raise ConfigurationError(
                f"the embedded PostgreSQL cannot use {self.folder} "
                f"({error.strerror or error}): make it writable, or name another data_dir"
            ) from error
        except BaseException:
            self._let_go()
            raise

    def leave(self) -> None:
        """Let go of the server; stop it when nobody else holds it.

        Raises:
            DatabaseError: It does not stop.
        """
        if self._gate < 0 or self._owner != os.getpid():  # a forked child holds nothing
            return
        try:
            with self._through_the_gate():
                if locked(self._lease, fcntl.LOCK_EX):
                    self._stop()
        finally:
            self._let_go()

    def runs(self) -> bool:
        """Return whether somebody listens on the folder's socket."""
        return _listener(self._socket) != 0

    def forget(self) -> None:
        """Close what a forked child has copies of: they would outlive the owner."""
        for descriptor in (self._lease, self._gate):
            if descriptor >= 0:
                os.close(descriptor)
        self._lease = self._gate = -1
        for held in (*self._places, self._watcher):
            if held is not None:
                held.forget()
        self._places, self._watcher = [], None

    @property
    def _socket(self) -> Path:
        return (self._link or self.folder) / _SOCKET

    def _settle(self) -> None:
        """Make the folders, and have them watched before anything starts in them."""
        if self._fleeting:
            self._places.append(Place(temporary_folders()[0]))
            self.folder = self._places[0].path / "data"
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if len(os.fsencode(self._socket)) > _LONGEST_SOCKET_PATH:
            self._link = self._shorter()
        self._watcher = Watcher(self.folder, *(place.path for place in self._places))
        self._gate = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)

    def _shorter(self) -> Path:
        """Return a link to the folder by which its socket can be named."""
        for base in temporary_folders():
            with contextlib.suppress(OSError):
                place = Place(base)
                link = place.path / "pg"
                if len(os.fsencode(link / _SOCKET)) <= _LONGEST_SOCKET_PATH:
                    self._places.append(place)
                    link.symlink_to(self.folder)
                    return link
                place.release()
        raise ConfigurationError(
            f"the path of the embedded PostgreSQL's socket in {self.folder} is longer than "
            f"{_LONGEST_SOCKET_PATH} bytes, and no temporary folder is shorter: name a shorter "
            "data_dir, or set TMPDIR to a short folder"
        )

    @contextlib.contextmanager
    def _through_the_gate(self) -> Iterator[None]:
        if not within(PATIENCE, lambda: locked(self._gate, fcntl.LOCK_EX)):
            raise DatabaseError(
                f"the embedded PostgreSQL in {self.folder} has been starting or stopping for "
                f"{PATIENCE:g} s: end the process that does it, or name another data_dir"
            )
        try:
            yield
        finally:
            fcntl.flock(self._gate, fcntl.LOCK_UN)

    def _take(self) -> None:
        programs = find_programs(self.folder)
        prepare(self.folder, programs, fleeting=self._fleeting)
        os.fsync(self._gate)
        if self._lease < 0:
            self._lease = os.open(self.folder / "PG_VERSION", os.O_RDONLY)
            fcntl.flock(self._lease, fcntl.LOCK_SH)
        # A server whose owner was killed while it started or stopped gets to an end by itself.
        within(PATIENCE, lambda: self._status() in ("", "ready"))
        self._server = _listener(self._socket) or self._start(programs)

    def _let_go(self) -> None:
        lease, gate, self._lease, self._gate = self._lease, self._gate, -1, -1
        for descriptor in (lease, gate):
            if descriptor >= 0:
                # Closing is not enough: a child that is being forked has a copy for a moment.
                fcntl.flock(descriptor, fcntl.LOCK_UN)
                os.close(descriptor)
        self._link = None
        places, self._places = self._places, []
        for place in places:
            place.release()
        # Last: a kill in the middle of this is still noticed.
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.dismiss()

    def _status(self) -> str:
        """Return what a living server says of itself, "" when there is none."""
        try:
            lines = (self.folder / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return ""
        if not _listener(self._socket):
            return ""
        return lines[7].strip() if len(lines) > 7 else "starting"

    def _start(self, programs: Programs) -> int:
        log = self.folder / "log"
        with contextlib.suppress(FileNotFoundError):
            if log.stat().st_size > _LONGEST_LOG:
                os.truncate(log, 0)
        end = time.monotonic() + _WIND_DOWN
        while said := self._attempt(programs, log):
            if time.monotonic() > end or not any(sign in said for sign in _LEFTOVERS):
                raise DatabaseError(
                    f"the embedded PostgreSQL in {self.folder} does not start: {said}; "
                    f"see {log}, or move the folder away to begin with an empty database"
                )
        return self._server

    def _attempt(self, programs: Programs, log: Path) -> str:
        """Start a server; return what it said when it did not become ready."""
        before = log.stat().st_size if log.exists() else 0
        pid = self._server = self._spawn(programs)
        if not within(PATIENCE, lambda: self._status() == "ready" or not alive(pid)):
            os.kill(pid, signal.SIGQUIT)
        return "" if self._status() == "ready" else _last_words(log, before)

    def _spawn(self, programs: Programs) -> int:
        """Start a server that is nobody's child, and return its pid."""
        where = programs.name_of(self.folder)
        sockets = where if self._link is None else "."
        server = [str(programs.folder / "postgres"), "-D", where, "-k", sockets]
        # The last setting does nothing: it tells people who look at processes whose server it is.
        server += ["-c", "listen_addresses=", "-c", f"agentinfra.data_dir={self.folder}"]
        shell = ["/bin/sh", "-c", _LAUNCH, "sh"]
        done = programs.run([*shell, *server], folder=self.folder)
        if done.returncode:
            raise DatabaseError(f"PostgreSQL cannot be started: {done.stderr.strip()[:300]}")
        return int(done.stdout)

    def _stop(self) -> None:
        pid = _listener(self._socket) or (self._server if _is_postgres(self._server) else 0)
        if pid and not stop(pid):
            raise DatabaseError(
                f"the embedded PostgreSQL in {self.folder} (pid {pid}) does not stop"
            )


def _listener(path: Path) -> int:
    """Return the pid of the process that listens on a socket, 0 for nobody.

    Asking the socket is better than reading ``postmaster.pid``: after a crash, the pid in the
    file may by now be anybody's.
    """
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(PATIENCE)
        try:
            probe.connect(str(path))
        except OSError:
            return 0
        if not hasattr(socket, "SO_PEERCRED"):
            return int((path.parent / "postmaster.pid").read_text().split()[0])
        peer = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", peer)[0])


def _is_postgres(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == "postgres"
    except OSError:
        return False


def _last_words(log: Path, since: int) -> str:
    text = log.read_bytes()[since:].decode(errors="replace") if log.exists() else ""
    fatal = [line for line in text.splitlines() if "FATAL:" in line or "PANIC:" in line]
    lines = fatal or text.splitlines() or ["it says nothing"]
    return lines[-1].partition("FATAL:")[2].strip() or lines[-1].strip()


_HELD: weakref.WeakSet[Cluster] = weakref.WeakSet()


def _forget_in_child() -> None:
    for cluster in list(_HELD):
        cluster.forget()


os.register_at_fork(after_in_child=_forget_in_child)
