"""Getting to a server, and back to it when it was away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from agentinfra._mechanics.closing import finish
from agentinfra._mechanics.in_thread import in_thread
from agentinfra.db.access import Access, open_access
from agentinfra.db.outage import Outage
from agentinfra.db.route import Route, missing_packages
from agentinfra.observability.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentinfra._mechanics.clock import Clock
    from agentinfra._types import ResourceState
    from agentinfra.observability.metrics import Metrics
    from agentinfra.protocols import Address
    from agentinfra.settings import DatabaseSettings

__all__ = ["Owner", "Reaching"]

_log = get_logger("agentinfra.database")

_CLOSING = 60.0
"""Seconds closing may take in all: pools bound themselves, and so does the embedded server."""

_ATTEMPT = 2.0
"""Seconds an attempt may take to get the server back."""


class Owner(Protocol):
    """Whoever is ready while the server can be used."""

    def degrade(self, reason: str, *, state: ResourceState = "degraded") -> None:
        """Go on with less."""
        ...

    def restore(self) -> None:
        """Be whole again."""
        ...


class Reaching:
    """Holds what there is while a server can be used, and asks for it while it cannot.

    Args:
        owner: Told of what becomes of the server.
        settings: The address, the sizes and the limits.
        url: An address that goes before the settings', or what says it at each attempt.
        metrics: Where pools are counted.
        clock: Where time comes from.
        wanted: Raises where nobody needs the server any more.

    Attributes:
        access: The way in; None until the server was reached, and after leaving.
        outage: What keeps callers from a server that is away.
    """

    def __init__(
        self,
        owner: Owner,
        settings: DatabaseSettings,
        url: str | Address | None,
        *,
        metrics: Metrics,
        clock: Clock,
        wanted: Callable[[], None],
    ) -> None:
        self._wanted = wanted
        self._owner = owner
        self._settings = settings
        self._metrics = metrics
        self._route = Route(settings, url)
        self._lacking = ""
        self.access: Access | None = None
        self.outage = Outage(
            clock,
            began=self._lost,
            ended=self._back,
            ask=self._ask,
            connected=lambda: self.access is not None and self.access.connected,
        )

    async def reach(self) -> None:
        """Find the server, and open what leads to it.

        Raises:
            AgentInfraError: It cannot be reached or used.
        """
        try:
            dsn = await self._route.find()
            self._lacking = await in_thread(missing_packages)
            self.access = await open_access(
                dsn, self._settings, outage=self.outage, metrics=self._metrics
            )
            self._wanted()  # it may have been left meanwhile
        except BaseException:
            await self._close()
            raise
        self.answered()
        _log.info("database.opened", detail=self.access.server.detail)

    def answered(self) -> None:
        """Note that the server answers."""
        self.outage.over()
        self._be_ready()

    async def close(self) -> None:
        """Ask no more, and close what is open."""
        await self.outage.close()
        await self._close()

    async def _close(self) -> None:
        await finish(self._shut(), grace=_CLOSING, name="close the database")

    async def _shut(self) -> None:
        access, self.access = self.access, None
        try:
            if access is not None:
                await access.close()
        finally:
            await self._route.close()

    async def _ask(self) -> None:
        """Try to get the server back; raise one of our errors where that fails."""
        if self.access is None:
            await self.reach()
            return
        await self._route.revive(self.access.server.embedded)
        await self.access.greet(min(self._settings.connect_timeout, _ATTEMPT))

    def _lost(self, reason: str) -> None:
        if self.access is not None:
            self._owner.degrade(reason, state="failed")
        _log.warning("database.unreachable", reason=reason)

    def _be_ready(self) -> None:
        lacking = self._lacking or (self.access.stuck if self.access is not None else "")
        if lacking:
            self._owner.degrade(lacking)
        else:
            self._owner.restore()

    def _back(self) -> None:
        self._be_ready()
        _log.info("database.back")
