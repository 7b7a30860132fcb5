"""The command line as people run it: in processes of their own, in a home of their own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from agentinfra.demo.standin import stand_in
from agentinfra.testing import OpenAIServer

OURS = ("OPENAI_", "AGENTINFRA_", "OTEL_", "DATABASE_URL", "REDIS_URL", "LOG_LEVEL", "STRUCTLOG_")
AGENTINFRA = [sys.executable, "-m", "agentinfra"]


class Home:
    """A home folder without any settings, and the commands run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        self.env = {**kept, "HOME": str(folder), "XDG_DATA_HOME": str(folder)}

    def run(self, *args: str, timeout: float = 100, **env: str) -> subprocess.CompletedProcess:
        """Run a command to its end."""
        return subprocess.run(
            [*AGENTINFRA, *args],
            env={**self.env, **env},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    @contextmanager
    def start(self, *args: str, **streams) -> Iterator[subprocess.Popen]:
        """Start a command; it is killed with the block, should it still run."""
        env = {**self.env, **streams.pop("env", {})}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
        process = subprocess.Popen(
            [*AGENTINFRA, *args], env=env, cwd=self.folder, text=True, **{**pipes, **streams}
        )
        with process:
            try:
                yield process
            finally:
                process.kill()

    def servers(self) -> list[str]:
        """Return the PostgreSQL processes whose data is in this home."""
        found = []
        for process in psutil.process_iter(["cmdline", "status"]):
            with suppress(psutil.Error):
                line = " ".join(process.info["cmdline"] or ())
                if str(self.folder) in line and "postgres" in line:
                    found.append(line)
        return found


@pytest.fixture
def home(tmp_path_factory) -> Home:
    """Give a home that the database's own user may enter, too."""
    folder = tmp_path_factory.mktemp("home")
    for parent in (folder, *folder.parents):
        if parent.owner() == folder.owner() and parent.stat().st_mode & 0o005 != 0o005:
            parent.chmod(0o755)
    return Home(folder)


@pytest.fixture
def plain(monkeypatch, tmp_path) -> Path:
    """Take every setting out of this process's environment, and go to an empty folder."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith(OURS):
            monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """Give the address of an OpenAI-compatible server that wants a key."""
    with OpenAIServer(default=stand_in, api_key="sesame") as server:
        yield server.base_url
