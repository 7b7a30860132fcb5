"""A server's data with the template in it, made once a machine and copied for each test run.

Making it takes a second, nearly all of it ``initdb``; copying it takes a twentieth of that.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import agentinfra
from agentinfra.errors import DatabaseError
from agentinfra.testing.postgres.server import PostgresServer, in_a_loop

__all__ = ["copy_kept_data"]

_PREFIX = "testing-postgres-"
_UNUSED = 30 * 86_400.0
"""Seconds after which data that nobody copied goes: that of versions no longer installed."""


def copy_kept_data(target: Path) -> None:
    """Put data with a template in it into a folder, unless it has some already.

    The caller is alone with the folder.

    Raises:
        MissingPackageError: The extra ``embedded`` is not installed.
        DatabaseError: The data cannot be made, or not copied.
    """
    if target.exists():
        return
    scratch = target.with_name("copying")  # a kill in the middle leaves no half of a data folder
    shutil.rmtree(scratch, ignore_errors=True)
    kept = _kept()
    _make_unless_there(kept)
    # By `cp`, which keeps owners (the data of a server that root runs is another account's), and
    # shares the blocks where the file system can.
    done = subprocess.run(  # noqa: S603 - the command is ours
        ["/bin/cp", "-a", str(kept / "data"), str(scratch)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise DatabaseError(
            f"the template database in {kept} cannot be copied to {scratch}: "
            f"{done.stderr.strip():.300}"
        )
    scratch.rename(target)


def _kept() -> Path:
    """Return the folder of the kept data, of this code and these programs alone."""
    import platformdirs

    from agentinfra.db.embedded.programs import find_programs

    programs = find_programs(Path())
    stamp = hashlib.blake2b(digest_size=8)
    stamp.update(f"{programs.version} {(programs.folder / 'postgres').stat().st_mtime_ns}".encode())
    # What the template is set up with is said by the code of these two rooms.
    rooms = [Path(agentinfra.__file__).parent / "db", Path(__file__).parent]
    for path in sorted(path for room in rooms for path in room.rglob("*.py")):
        stamp.update(f"{path} {path.stat().st_mtime_ns}".encode())
    return Path(platformdirs.user_cache_dir("agentinfra")) / f"{_PREFIX}{stamp.hexdigest()}"


def _make_unless_there(kept: Path) -> None:
    if kept.exists():
        os.utime(kept)
        return
    kept.parent.mkdir(parents=True, exist_ok=True)
    _sweep(kept.parent)
    scratch = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=kept.parent))
    try:
        in_a_loop(_make(scratch / "data"))
        with contextlib.suppress(OSError):  # another process has made the same, and was faster
            scratch.rename(kept)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


async def _make(data: Path) -> None:
    from agentinfra.db.embedded import EmbeddedPostgres

    async with EmbeddedPostgres(data) as server:
        await PostgresServer(server.dsn).make_template()


def _sweep(folder: Path) -> None:
    for path in folder.glob(f"{_PREFIX}*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > _UNUSED:
                shutil.rmtree(path, ignore_errors=True)
