"""The checkpointer: LangGraph's memory of conversations, on PostgreSQL where there is one."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from agentinfra._mechanics.clock import SYSTEM_CLOCK, Clock
from agentinfra._mechanics.closing import cancel_and_wait
from agentinfra._mechanics.resource import Resource
from agentinfra._mechanics.vendors import MissingPackageError, load
from agentinfra.checkpoint.retention.policies import PruneResult, boundary_id
from agentinfra.errors import (
    AgentInfraError,
    CheckpointError,
    ClosedError,
    ConfigurationError,
    NotStartedError,
)
from agentinfra.observability.logging import get_logger
from agentinfra.observability.metrics import Metrics
from agentinfra.observability.semconv import CHECKPOINTS_PRUNED, RESOURCE_STATE
from agentinfra.results import ResourceHealth

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langgraph.checkpoint.base import BaseCheckpointSaver

    from agentinfra._mechanics.inflight import Work
    from agentinfra._types import ResourceState
    from agentinfra.checkpoint.link import Link
    from agentinfra.checkpoint.memory import Standby
    from agentinfra.checkpoint.standalone import Database
    from agentinfra.protocols import Connections
    from agentinfra.settings import CheckpointerSettings

__all__ = ["Checkpointer", "PruneResult"]

_log = get_logger("agentinfra.checkpoint")

_DAY = 86_400.0
_LOST_AFTER = 3600.0
_FIRST_LOOK = 3.0
"""Seconds the start waits for the database before it goes on without."""

_PAUSES = (0.25, 0.5, 1.0, 2.0, 5.0)
"""Seconds between two looks for a database that is not there."""


class Checkpointer(Resource):
    """Gives graphs a saver, and keeps the saver's database small.

    Whoever enters it owns its lifetime; the tasks of its event loop share it. Until the database
    is there, state is in memory, and state, log and metric say so; then the same saver goes on
    with PostgreSQL, and what was in memory is stored there. From then on a database that is away
    is an error: nothing is kept in memory in its place.

    Args:
        settings: The settings' checkpointer group.
        database: Who lends connections; it is entered before this and left after it.
        url: The address of a database of its own, where there is none to share.
        connect_timeout: Seconds a new connection to a database of its own may take.
        allowed_types: Your own types that state may contain, beside those that the schemas of
            graphs name; other unknown ones come back as the data they were made of.
        metrics: Where operations are counted; None counts nothing.
        clock: Where time comes from.
    """

    name = "checkpointer"
    vendors: tuple[str, ...] = ("agentinfra.checkpoint.saver", "langgraph.checkpoint.memory")

    def __init__(
        self,
        settings: CheckpointerSettings,
        *,
        database: Connections | None = None,
        url: str | None = None,
        connect_timeout: float = 5.0,
        allowed_types: Iterable[type] = (),
        metrics: Metrics | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        super().__init__()
        if not settings.enabled:
            self.vendors = ("langgraph.checkpoint.base",)
        elif settings.backend == "memory":
            self.vendors = ("langgraph.checkpoint.memory",)
        self._settings = settings
        self._database = database
        self._url = url
        self._connect_timeout = connect_timeout
        self._allowed_types = tuple(allowed_types)
        self._metrics = metrics if metrics is not None else Metrics.off()
        self._clock = clock
        self._saver: BaseCheckpointSaver[Any] | None = None
        self._standby: Standby | None = None
        self._link: Link | None = None
        self._own: Database | None = None
        self._looking: asyncio.Task[None] | None = None
        self._detail = ""

    @property
    def saver(self) -> BaseCheckpointSaver[Any]:
        """What graphs are compiled with: ``builder.compile(checkpointer=...)``.

        Raises:
            NotStartedError: The checkpointer was not entered.
            ClosedError: It was left.
            CheckpointError: LangGraph is not installed.
        """
        if self._closed:
            raise ClosedError("checkpointer is closed: use it inside its `async with` block")
        if self._saver is None and self._loop is None:
            raise NotStartedError("checkpointer is not started: enter it with `async with`")
        if self._saver is None:
            raise CheckpointError(f"there is no checkpointer: {self.reason}")
        return self._saver

    async def prune(
        self,
        older_than: float | None = None,
        keep_last: int | None = None,
        *,
        dry_run: bool = False,
    ) -> PruneResult:
        """Drop conversations that have aged, and all but the newest checkpoints of the others.

        Safe while graphs run. A conversation goes on from its newest checkpoint, an interrupt
        included, and from each other that is kept as before: what its run loads of subgraphs is
        kept with it. Conversations with delta channels are dropped when they have aged, but not
        shortened.

        Args:
            older_than: Seconds without a checkpoint after which a conversation goes; None is the
                setting ``retention_days``, and where that is None too none goes.
            keep_last: Checkpoints the others keep, 1 at least; None is the setting ``keep_last``.
                The last of a branch is kept beside them for an hour: a run may stand on it.
            dry_run: Count what would go, and drop nothing.

        Raises:
            CheckpointError: The database failed; what was dropped before stays dropped.
            ConfigurationError: An argument makes no sense.
        """
        keep = self._settings.keep_last if keep_last is None else keep_last
        age = older_than
        if age is None and self._settings.retention_days is not None:
            age = self._settings.retention_days * _DAY
        if keep < 1 or (age is not None and not age >= 0):
            raise ConfigurationError(
                f"prune(older_than={older_than!r}, keep_last={keep_last!r}): give seconds of 0 "
                "or more, and 1 checkpoint or more"
            )
        with self._working():
            result = await self._prune(age, keep, dry_run=dry_run)
        if not dry_run:
            self._metrics.counter(CHECKPOINTS_PRUNED).inc(result.checkpoints)
            _log.info(
                "checkpoint.pruned",
                threads=result.threads,
                checkpoints=result.checkpoints,
                writes=result.writes,
                blobs=result.blobs,
            )
        return result

    async def probe(self) -> ResourceHealth:
        """Return the state now; the database is asked where one is used."""
        latency = None
        if self._link is not None and self._in_database:
            begun = self._clock.now()
            try:
                # Sooner than health's own limit, so that the row says what it is.
                limit = min(self._settings.timeout, _FIRST_LOOK)
                await self._link.run("check", lambda c: c.fetchval("SELECT 1"), timeout=limit)
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

    @property
    def _in_database(self) -> bool:
        return self._standby is not None and self._standby.memory is None

    async def _open(self) -> None:
        try:
            load("langgraph.checkpoint.base")
        except MissingPackageError as error:
            self.degrade(str(error))
            self._gauge()
            return
        if not self._settings.enabled:
            from agentinfra.checkpoint.noop import NoopSaver

            self._saver, self._detail = NoopSaver(), "keeps nothing"
            self.degrade(
                "switched off: AGENTINFRA_CHECKPOINTER__ENABLED is false", state="disabled"
            )
            return
        self._standby = self._use_memory()
        if self._settings.backend == "memory":
            self._detail = "in memory by choice: nothing outlives the process"
            return
        try:
            await self._use_postgres(self._standby)
        except (AgentInfraError, TimeoutError) as error:
            self._not_durable(str(error) or "the database did not answer in time")

    def _use_memory(self) -> Standby:
        from agentinfra.checkpoint.memory import MemorySaver, Standby
        from agentinfra.checkpoint.serde import StrictSerializer, derive_types

        derive_types()
        serde = StrictSerializer(self._allowed_types)
        memory = MemorySaver(serde, metrics=self._metrics, clock=self._clock)
        self._saver, self._detail = memory, "in memory"
        return Standby(memory)

    async def _use_postgres(self, standby: Standby) -> None:
        load("agentinfra.checkpoint.saver")
        database = self._database or self._of_its_own()

        from agentinfra.checkpoint.link import Link
        from agentinfra.checkpoint.saver import PostgresSaver
        from agentinfra.checkpoint.serde import StrictSerializer

        self._link = Link(
            database,
            size=self._settings.max_size,
            timeout=self._settings.timeout,
            working=self.saving,
            told=self._heard,
            metrics=self._metrics,
            clock=self._clock,
        )
        self._saver = PostgresSaver(
            self._link, serde=StrictSerializer(self._allowed_types), standby=standby
        )
        try:
            if self._own is not None:
                await self._enter_own(self._own)
            async with asyncio.timeout(_FIRST_LOOK):
                await self._set_up(self._link, standby)
        except BaseException as error:
            if not isinstance(error, AgentInfraError | TimeoutError):
                await self._close()  # whoever could not enter will not leave
            raise

    def _of_its_own(self) -> Connections:
        if self._url is None:
            raise CheckpointError("there is no database: set DATABASE_URL")
        from agentinfra.checkpoint.standalone import own_database

        self._own = own_database(
            self._url,
            size=self._settings.max_size,
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

    async def _set_up(self, link: Link, standby: Standby) -> None:
        """Make the tables, and go over from memory to them."""
        from agentinfra.checkpoint.memory import carry_over
        from agentinfra.checkpoint.schema import ensure_schema

        await ensure_schema(link)
        memory, standby.memory = standby.memory, None  # what comes from here on goes to the tables
        if memory is not None and memory.storage and self._saver is not None:
            try:
                carried = await carry_over(memory, self._saver)
            except BaseException:
                standby.memory = memory
                raise
            _log.info("checkpoint.carried_over", checkpoints=carried)
        self._detail = "PostgreSQL"
        self._state = "failed"
        self._heard("")

    def _look(self) -> None:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(
                self._until_there(), name="agentinfra looks for the checkpoints' database"
            )

    async def _until_there(self) -> None:
        attempt = 0
        while self._link is not None and self._standby is not None:
            await self._clock.sleep(_PAUSES[min(attempt, len(_PAUSES) - 1)])
            attempt += 1
            try:
                await self._set_up(self._link, self._standby)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is looked at again
                self._state, self._reason = "degraded", f"state is not durable: {error}"
            else:
                return

    async def _close(self) -> None:
        looking, self._looking = self._looking, None
        self._link = None
        own, self._own = self._own, None
        if looking is not None:
            await cancel_and_wait(looking)
        if own is not None:
            await own.aclose()

    async def _prune(self, age: float | None, keep: int, *, dry_run: bool) -> PruneResult:
        # The age of a checkpoint is in its id, which comes from the clock on the wall.
        now = time.time()
        if self._link is not None and self._in_database:
            from agentinfra.checkpoint.retention.pruner import Pruner

            pruner = Pruner(self._link, now=now, keep_last=keep, older_than=age, dry_run=dry_run)
            return await pruner.run()
        if self._standby is None or self._standby.memory is None:
            return PruneResult()
        from agentinfra.checkpoint.memory import prune

        return prune(
            self._standby.memory,
            keep_last=keep,
            aged_before=None if age is None else boundary_id(now - age),
            lost_before=boundary_id(now - _LOST_AFTER),
            dry_run=dry_run,
        )

    def _not_durable(self, reason: str) -> None:
        self.degrade(f"state is not durable: {reason}")
        _log.warning("checkpoint.not_durable", reason=reason)
        self._gauge()

    def _heard(self, reason: str) -> None:
        """Take in what the last operation says of the database: nothing, or why it is away."""
        if not self._in_database:
            return
        if reason:
            if self.state != "failed":
                _log.warning("checkpoint.database_lost", reason=" ".join(reason.split()))
            self.degrade(reason, state="failed")
            self._gauge()
        elif self.state != "ready":
            self.restore()
            _log.info("checkpoint.database_ready")
            self._gauge()

    def _gauge(self) -> None:
        bad = self.state in ("degraded", "failed")
        self._metrics.gauge(RESOURCE_STATE, self.name).set(1.0 if bad else 0.0)
