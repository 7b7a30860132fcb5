"""A server goes with its owner, however that one ends: no program, folder or socket stays.

The test ends a few owners at random moments. As a program (``python test_owners.py 40``) this
file ends that many with SIGTERM and as many with SIGKILL.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
import pytest

from agentinfra.db.database import Database
from agentinfra.db.embedded import EmbeddedPostgres
from agentinfra.db.embedded.data_folder import prepare
from agentinfra.db.embedded.programs import Programs, find_programs
from agentinfra.errors import ConfigurationError
from agentinfra.settings import DatabaseSettings

WRITE = """
import asyncio, sys
from agentinfra.db.database import Database
from agentinfra.settings import DatabaseSettings

async def main():
    async with Database(DatabaseSettings(data_dir=sys.argv[1], max_size=4)) as db:
        async with db.transaction() as connection:
            await connection.execute("CREATE TABLE IF NOT EXISTS written (n int)")

        async def write(first):
            for n in range(first, 1_000_000, 4):
                async with db.transaction() as connection:
                    await connection.execute("INSERT INTO written VALUES ($1)", n)
                print(n, flush=True)

        await asyncio.gather(*map(write, range(4)))

asyncio.run(main())
"""

HOLD = """
import asyncio, os, sys
from agentinfra.db.embedded import EmbeddedPostgres

async def main():
    async with EmbeddedPostgres(sys.argv[1]) as server:
        if sys.argv[2:] == ["fork"] and os.fork() == 0:
            sys.stdin.read()
            os._exit(0)
        print(server.data_dir, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


def start(code: str, *arguments: object, temporary: Path | None = None) -> subprocess.Popen[str]:
    import agentinfra

    environment = {**os.environ, "PYTHONPATH": str(Path(agentinfra.__path__[0]).parent)}
    environment |= {"TMPDIR": str(temporary)} if temporary else {}
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )


def programs_in(folder: Path) -> list[int]:
    """The database programs, and the watchers, that have to do with a folder."""
    found = []
    for process in psutil.process_iter(["name", "cmdline", "status"]):
        with contextlib.suppress(psutil.Error):
            if process.info["status"] == psutil.STATUS_ZOMBIE:
                continue
            words = " ".join(process.info["cmdline"] or [])
            ours = process.info["name"] in ("postgres", "initdb") or "ending.py" in words
            if ours and (str(folder) in words or process.cwd().startswith(str(folder))):
                found.append(process.pid)
    return found


def until(holds, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it does not come about"
        time.sleep(0.005)


def places(temporary: Path) -> list[str]:
    return sorted(path.name for path in temporary.glob("agentinfra-*"))


async def rows_of(folder: Path) -> set[int]:
    async with Database(DatabaseSettings(data_dir=folder)) as db:
        result = await db.query("SELECT to_regclass('public.written') IS NOT NULL AS made")
        if not result[0]["made"]:
            return set()
        rows = await db.query("SELECT n FROM written", limit=1_000_000)
        return {row["n"] for row in rows}


def end_one(kind: signal.Signals, where: Path, moment: float, *, kept: bool) -> str:
    """End an owner at a moment, let the next one come and go, and look at what is left."""
    folder, temporary = where / "data", where / "tmp"
    temporary.mkdir(exist_ok=True)
    owner = start(WRITE, folder if kept else "temporary", temporary=temporary)
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(owner.stdout))
    reader.start()
    time.sleep(moment)
    owner.send_signal(kind)
    owner.wait(20)
    reader.join()
    owner.stdin.close()
    owner.stdout.close()
    acknowledged = {int(line) for line in lines if line.endswith("\n") and line[0].isdigit()}
    before, tempfile.tempdir = tempfile.tempdir, str(temporary)
    try:
        rows = asyncio.run(rows_of(folder))
    finally:
        tempfile.tempdir = before
    if kept and not acknowledged <= rows:
        return f"{len(acknowledged - rows)} acknowledged rows are lost"
    until(lambda: not programs_in(where) and not places(temporary))
    return "a socket is left" if list(where.rglob(".s.PGSQL*")) else ""


def end_many(count: int, kind: signal.Signals, where: Path, seed: int) -> list[str]:
    """What was wrong with each of so many ends, half of them in temporary folders."""
    moments = random.Random(seed)
    return [end_one(kind, where, moments.uniform(0.2, 2.0), kept=n % 2 == 0) for n in range(count)]


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGKILL])
def test_an_owner_that_is_ended_at_any_moment_leaves_nothing(tmp_path, kind):
    """No program, folder or socket is left after the next start, and acknowledged rows are."""
    assert end_many(2, kind, tmp_path, seed=int(kind)) == ["", ""]


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGKILL])
def test_a_temporary_server_vanishes_by_itself(tmp_path, kind):
    """The folder, the server and the watcher of an ended owner go without a next start."""
    owner = start(HOLD, "temporary", temporary=tmp_path)
    folder = Path(owner.stdout.readline().strip())
    assert folder.is_relative_to(tmp_path)
    owner.send_signal(kind)
    owner.communicate()
    until(lambda: not folder.exists() and not programs_in(tmp_path) and not places(tmp_path))


def test_the_server_of_a_kept_folder_stops_with_its_owner(data_dir):
    """A kept folder stays, and its server ends when its only user was killed."""
    owner = start(HOLD, data_dir)
    owner.stdout.readline()
    assert programs_in(data_dir)
    owner.kill()
    owner.communicate()
    until(lambda: not programs_in(data_dir))
    assert (data_dir / "PG_VERSION").exists()


async def test_a_server_that_others_use_stays(data_dir):
    """A killed user does not take the server from the others."""
    owner = start(HOLD, data_dir)
    owner.stdout.readline()
    async with EmbeddedPostgres(data_dir) as server:
        (watcher,) = psutil.Process(owner.pid).children()
        owner.kill()
        owner.communicate()
        await asyncio.to_thread(until, lambda: not psutil.pid_exists(watcher.pid))
        assert (await server.probe()).state == "ready"


def test_what_the_watcher_missed_is_swept(tmp_path, monkeypatch):
    """An owner that was killed together with its watcher is cleaned up by the next start."""
    owner = start(HOLD, "temporary", temporary=tmp_path)
    folder = Path(owner.stdout.readline().strip())
    (watcher,) = psutil.Process(owner.pid).children()
    watcher.kill()
    owner.kill()
    owner.communicate()
    assert folder.exists()
    assert programs_in(folder)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    async def next_start() -> None:
        async with EmbeddedPostgres(tmp_path / "data"):
            assert not await asyncio.to_thread(folder.exists)
            assert not programs_in(folder)

    asyncio.run(next_start())
    assert places(tmp_path) == []


def test_a_sweep_leaves_the_living_alone(tmp_path, monkeypatch):
    """The folder of a running owner, and a folder of somebody else's name, stay."""
    owner = start(HOLD, "temporary", temporary=tmp_path)
    folder = Path(owner.stdout.readline().strip())
    (tmp_path / "agentinfra-notes").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    async def next_start() -> None:
        async with EmbeddedPostgres("temporary"):
            pass

    asyncio.run(next_start())
    assert programs_in(folder)
    assert (tmp_path / "agentinfra-notes").exists()
    owner.kill()
    owner.communicate()
    until(lambda: not folder.exists())


def test_a_forked_child_is_no_owner(tmp_path):
    """The server goes with its owner though a forked child of the owner lives on."""
    owner = start(HOLD, "temporary", "fork", temporary=tmp_path)
    folder = Path(owner.stdout.readline().strip())
    (child,) = [
        process
        for process in psutil.Process(owner.pid).children()
        if process.name().startswith("python")
    ]
    owner.kill()
    owner.wait(20)
    until(lambda: not folder.exists() and not programs_in(tmp_path))
    assert psutil.pid_exists(child.pid)
    owner.communicate()


async def test_a_long_temporary_folder(tmp_path, monkeypatch):
    """A temporary server below a long TMPDIR is reached by a shorter path."""
    base = tmp_path / ("long" * 30)
    base.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(base))
    async with EmbeddedPostgres("temporary") as server:
        assert server.data_dir.is_relative_to(base)
        assert (await server.probe()).state == "ready"
        link = Path(server.dsn.hosts[0][0])
    assert len(str(link)) < 60
    assert not await asyncio.to_thread(link.parent.exists)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user without an entry")
def test_a_user_without_an_entry_is_told_what_to_do(tmp_path):
    """Data for a uid that is not in /etc/passwd is refused in one sentence."""
    programs = find_programs(tmp_path)
    own = Programs(folder=programs.folder, version=programs.version, account=None)
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, 12345, 12345)
        os.seteuid(12345)
        try:
            with pytest.raises(ConfigurationError, match="12345.*DATABASE_URL"):
                prepare(Path(folder), own, fleeting=True)
        finally:
            os.seteuid(0)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch).chmod(0o755)
        for ending in (signal.SIGTERM, signal.SIGKILL):
            said = end_many(int(sys.argv[1]), ending, Path(scratch), seed=int(ending))
            wrong = [text for text in said if text]
            sys.stdout.write(f"{len(said)} times {ending.name}, wrong: {wrong}\n")
