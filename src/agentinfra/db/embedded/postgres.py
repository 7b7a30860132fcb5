"""PostgreSQL with pgvector without installing one: a server for this machine, from a wheel."""

from __future__ import annotations

import atexit
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from agentinfra._mechanics.in_thread import in_thread
from agentinfra._mechanics.resource import Resource
from agentinfra.errors import ConfigurationError, NotStartedError
from agentinfra.results import ResourceHealth

if TYPE_CHECKING:
    from agentinfra.db.embedded.cluster import Cluster
    from agentinfra.settings.dsn import DSN

__all__ = ["TEMPORARY", "EmbeddedPostgres"]

TEMPORARY = "temporary"


class EmbeddedPostgres(Resource):
    """A PostgreSQL server of this machine's own, reached through a Unix socket.

    All that use one folder share one server, whichever loop, thread or process they are in: the
    first starts it, the last stops it, at exit too. It goes with its last user however that one
    ends: a small process watches, and ends the server of a user who was killed (SIGTERM,
    SIGKILL, a crash); what was killed together with its watcher, the next start removes.
    Whoever enters owns it; tasks may share it. Entering and leaving work in a thread, which ends
    with them; a cancelled entering waits for it and undoes it.

    Args:
        data_dir: The folder of the data; None is the platform's folder for user data,
            ``"temporary"`` one that is removed at the end.
    """

    name = "embedded PostgreSQL"
    vendors = ("agentinfra.db.embedded.cluster", "platformdirs")

    def __init__(self, data_dir: Path | str | None = None) -> None:
        super().__init__()
        self._data_dir = data_dir
        self._cluster: Cluster | None = None

    @property
    def dsn(self) -> DSN:
        """Where the server is."""
        return self._started().dsn

    @property
    def url(self) -> str:
        """Where the server is, as a URL; there is no password in it."""
        return str(self.dsn)

    @property
    def data_dir(self) -> Path:
        """The folder of the data."""
        return self._started().folder

    async def revive(self) -> None:
        """Start the server again when it has died; do nothing when it runs.

        Raises:
            DatabaseError: It does not start.
        """
        self._guard()
        await in_thread(self._started().enter)

    async def probe(self) -> ResourceHealth:
        """Return whether the server listens."""
        self._guard()
        began = time.perf_counter()
        if await in_thread(self._started().runs):
            self.restore()
        else:
            self.degrade(f"the server in {self.data_dir} has died", state="failed")
        return ResourceHealth(
            name=self.name,
            state=self.state,
            reason=self.reason,
            latency=time.perf_counter() - began,
            detail=str(self.data_dir),
        )

    async def _open(self) -> None:
        cluster = self._cluster = self._new_cluster()
        atexit.register(cluster.leave)
        try:
            await in_thread(cluster.enter)
        except BaseException:
            await self._close()
            raise

    async def _close(self) -> None:
        cluster, self._cluster = self._cluster, None
        if cluster is not None:
            try:
                await in_thread(cluster.leave)
            finally:
                atexit.unregister(cluster.leave)

    def _new_cluster(self) -> Cluster:
        if os.name != "posix":
            raise ConfigurationError(
                "the embedded PostgreSQL needs Linux or macOS: set DATABASE_URL"
            )
        from agentinfra.db.embedded.cluster import Cluster

        if str(self._data_dir) == TEMPORARY:
            return Cluster()
        return Cluster(Path(self._data_dir or _default_folder()).expanduser().absolute())

    def _started(self) -> Cluster:
        if self._cluster is None:
            raise NotStartedError(f"{self.name} is not started: enter it with `async with`")
        return self._cluster


def _default_folder() -> Path:
    import platformdirs

    return Path(platformdirs.user_data_dir("agentinfra")) / "postgres"
