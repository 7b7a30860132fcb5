"""What two resources have in common: in memory until the database is there, and then in it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

from agentinfra._mechanics.clock import SYSTEM_CLOCK, Clock
from agentinfra._mechanics.closing import cancel_and_wait
from agentinfra._mechanics.resource import Resource
from agentinfra.errors import AgentInfraError, CheckpointError
from agentinfra.observability.logging import get_logger
from agentinfra.observability.metrics import Metrics
from agentinfra.observability.semconv import RESOURCE_STATE
from agentinfra.results import ResourceHealth

if TYPE_CHECKING:
    from agentinfra._mechanics.inflight import Work
    from agentinfra._types import ResourceState
    from agentinfra.checkpoint.link import Link
    from agentinfra.checkpoint.standalone import Database
    from agentinfra.protocols import Connections

__all__ = ["Durable"]

_log = get_logger("agentinfra.checkpoint")

_FIRST_LOOK = 3.0
"""Seconds the start waits for the database before it goes on without."""

_PAUSES = (0.25, 0.5, 1.0, 2.0, 5.0)
"""Seconds between two looks for a database that is not there."""


class Durable(Resource):
    """Serves from memory, and says so, until the database is there; from then on from it alone.

    A subclass calls `_connect` while it opens, and gives `_move`.

    Args:
        database: Who lends connections; it is entered before this and left after it.
        url: The address of a database of its own, where there is none to share.
        connect_timeout: Seconds a new connection to a database of its own may take.
        size: Operations at most at the same time.
        timeout: Seconds an operation may take.
        metrics: Where operations are counted; None counts nothing.
        clock: Where time comes from.
    """

    kept: ClassVar[str] = "state"
    """What it keeps, in a word of its reasons."""

    event: ClassVar[str] = "checkpoint"
    """The first part of its log events, and the name of its operations."""

    def __init__(
        self,
        *,
        database: Connections | None,
        url: str | None,
        connect_timeout: float,
        size: int,
        timeout: float,
        metrics: Metrics | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        super().__init__()
        self._database = database
        self._url = url
        self._connect_timeout = connect_timeout
        self._size = size
        self._timeout = timeout
        self._metrics = metrics if metrics is not None else Metrics.off()
        self._clock = clock
        self._link: Link | None = None
        self._own: Database | None = None
        self._looking: asyncio.Task[None] | None = None
        self._in_database = False
        self._detail = ""

    @property
    def link(self) -> Link | None:
        """The way to the database, None where what is kept is in memory now."""
        return self._link if self._in_database else None

    async def is_due(self, duty: str, every: float) -> bool:
        """Return whether a duty is due, and take it on: then no other process has to.

        Args:
            duty: Its name.
            every: Seconds after which it is due again.

        Raises:
            CheckpointError: The database failed.
        """
        if (link := self.link) is None:
            return True  # of what is in memory nobody else can take care
        from agentinfra.checkpoint.sql import TAKE_ON

        return bool(await link.run("take_on", lambda c: c.fetchval(TAKE_ON, duty, every)))

    async def probe(self) -> ResourceHealth:
        """Return the state now; the database is asked where one is used."""
        latency = None
        if (link := self.link) is not None:
            begun = self._clock.now()
            try:
                # Sooner than health's own limit, so that the row says what it is.
                limit = min(self._timeout, _FIRST_LOOK)
                await link.run("check", lambda c: c.fetchval("SELECT 1"), timeout=limit)
                latency = self._clock.now() - begun
            except AgentInfraError as error:
                self._heard(f"the database cannot be reached: {error}")
        return ResourceHealth(
            name=self.name,
            state=self.state,
            reason=self.reason,
            latency=latency,
            detail=self._detail,
        )

    def saving(self) -> Work:
        """Return a context manager around what runs do; while leaving waits for them, they save."""
        return self._working(late=True)

    def degrade(self, reason: str, *, state: ResourceState = "degraded") -> None:
        """Go on with less; a database that is not there is looked for until it is."""
        super().degrade(reason, state=state)
        if self._link is not None and not self._in_database and not self._closed:
            self._look()

    def _connect(self) -> Link:
        """Make the way to the database, which may lead nowhere yet.

        Raises:
            CheckpointError: There is no database to go to.
        """
        from agentinfra.checkpoint.link import Link

        self._link = Link(
            self._database or self._of_its_own(),
            size=self._size,
            timeout=self._timeout,
            working=self.saving,
            told=self._heard,
            metrics=self._metrics,
            clock=self._clock,
            kind=self.event,
        )
        return self._link

    async def _arrive(self, link: Link) -> None:
        """Go over to the database, if it is there already; else it is looked for."""
        try:
            if self._own is not None:
                await self._enter_own(self._own)
            async with asyncio.timeout(_FIRST_LOOK):
                await self._go_over(link)
        except (AgentInfraError, TimeoutError) as error:
            self._not_durable(str(error) or "the database did not answer in time")
        except BaseException:
            await self._close()  # whoever could not enter will not leave
            raise

    async def _move(self, link: Link) -> None:
        """Make the tables, and take what is in memory over to them; all or nothing."""
        raise NotImplementedError

    async def _go_over(self, link: Link) -> None:
        await self._move(link)
        self._in_database = True
        self._detail = "PostgreSQL"
        self._state = "failed"
        self._heard("")

    def _of_its_own(self) -> Connections:
        if self._url is None:
            raise CheckpointError("there is no database: set DATABASE_URL")
        from agentinfra.checkpoint.standalone import own_database

        self._own = own_database(
            self._url,
            size=self._size,
            connect_timeout=self._connect_timeout,
            metrics=self._metrics,
        )
        return self._own

    async def _enter_own(self, database: Database) -> None:
        try:
            await database.__aenter__()
        except AgentInfraError as error:
            database.degrade(str(error))  # it looks for its server again when it is asked
            raise

    def _look(self) -> None:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(
                self._until_there(), name=f"agentinfra looks for the {self.name}'s database"
            )

    async def _until_there(self) -> None:
        attempt = 0
        while self._link is not None:
            await self._clock.sleep(_PAUSES[min(attempt, len(_PAUSES) - 1)])
            attempt += 1
            try:
                await self._go_over(self._link)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is looked at again
                self._state, self._reason = "degraded", f"{self._lacking}: {error}"
            else:
                return

    async def _close(self) -> None:
        looking, self._looking = self._looking, None
        link, self._link = self._link, None
        if link is not None:
            link.close()
        own, self._own = self._own, None
        if looking is not None:
            await cancel_and_wait(looking)
        if own is not None:
            await own.aclose()

    @property
    def _lacking(self) -> str:
        return f"{self.kept} is not durable"

    def _not_durable(self, reason: str) -> None:
        self.degrade(f"{self._lacking}: {reason}")
        _log.warning(f"{self.event}.not_durable", reason=reason)
        self._gauge()

    def _heard(self, reason: str) -> None:
        """Take in what the last operation says of the database: nothing, or why it is away."""
        if not self._in_database:
            return
        if reason:
            if self.state != "failed":
                _log.warning(f"{self.event}.database_lost", reason=" ".join(reason.split()))
            self.degrade(reason, state="failed")
            self._gauge()
        elif self.state != "ready":
            self.restore()
            _log.info(f"{self.event}.database_ready")
            self._gauge()

    def _gauge(self) -> None:
        bad = self.state in ("degraded", "failed")
        self._metrics.gauge(RESOURCE_STATE, self.name).set(1.0 if bad else 0.0)
