"""The checkpointer: LangGraph's memory of conversations, on PostgreSQL where there is one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from agentinfra._mechanics.clock import SYSTEM_CLOCK, Clock
from agentinfra._mechanics.resource import Resource
from agentinfra._mechanics.vendors import MissingPackageError, load
from agentinfra.checkpoint.retention.policies import PruneResult
from agentinfra.errors import (
    CheckpointError,
    ClosedError,
    ConfigurationError,
    DatabaseError,
    NotStartedError,
)
from agentinfra.observability.logging import get_logger
from agentinfra.observability.metrics import Metrics
from agentinfra.observability.semconv import CHECKPOINTS_PRUNED, RESOURCE_STATE
from agentinfra.results import ResourceHealth

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langgraph.checkpoint.base import BaseCheckpointSaver
    from psycopg import OperationalError

    from agentinfra.checkpoint.pool import CheckpointPool
    from agentinfra.protocols import Address
    from agentinfra.settings import CheckpointerSettings

__all__ = ["Checkpointer", "PruneResult"]

_log = get_logger("agentinfra.checkpoint")

_DAY = 86_400.0
_CLOSE_GRACE = 5.0


class Checkpointer(Resource):
    """Gives graphs a saver, and keeps the saver's database small.

    Whoever enters it owns its lifetime; the tasks of its event loop share it. Checkpoints are
    never dropped in silence: without a database the saver is LangGraph's in-memory one, and
    state, log and metric say that nothing outlives the process.

    Args:
        settings: The settings' checkpointer group.
        url: The database, as psycopg takes it, or what says where it is; None where there is none.
        pgbouncer: Whether a pgbouncer in transaction mode is in between.
        connect_timeout: Seconds a new connection may take.
        allowed_types: Your own types that state may contain; other unknown ones come back as the
            data they were made of.
        metrics: Where operations are counted; None counts nothing.
        clock: Where time comes from.
    """

    name = "checkpointer"
    vendors: tuple[str, ...] = ("agentinfra.checkpoint.saver", "langgraph.checkpoint.memory")

    def __init__(
        self,
        settings: CheckpointerSettings,
        *,
        url: str | Address | None,
        pgbouncer: bool = False,
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
        self._url = url
        self._pgbouncer = pgbouncer
        self._connect_timeout = connect_timeout
        self._allowed_types = tuple(allowed_types)
        self._metrics = metrics if metrics is not None else Metrics.off()
        self._clock = clock
        self._saver: BaseCheckpointSaver[Any] | None = None
        self._pool: CheckpointPool | None = None
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
        included; what lies further back can no longer be returned to. Conversations with delta
        channels are dropped when they have aged, but not shortened.

        Args:
            older_than: Seconds without a checkpoint after which a conversation goes; None is the
                setting ``retention_days``, and where that is None too none goes.
            keep_last: Checkpoints the others keep, 1 at least; None is the setting ``keep_last``.
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
            if self._pool is None:
                return PruneResult()
            return await self._prune(self._pool, age, keep, dry_run=dry_run)

    async def probe(self) -> ResourceHealth:
        """Return the state now; the database is asked where one is used."""
        latency = None
        if self._pool is not None:
            begun = self._clock.now()
            if await self._answers(self._pool):
                latency = self._clock.now() - begun
        return ResourceHealth(
            name=self.name,
            state=self.state,
            reason=self.reason,
            latency=latency,
            detail=self._detail,
        )

    async def _open(self) -> None:
        try:
            load("langgraph.checkpoint.base")
            await self._choose()
        except MissingPackageError as error:
            self.degrade(str(error))
            self._gauge()

    async def _choose(self) -> None:
        if not self._settings.enabled:
            from agentinfra.checkpoint.noop import NoopSaver

            self._saver, self._detail = NoopSaver(), "keeps nothing"
            self.degrade(
                "switched off: AGENTINFRA_CHECKPOINTER__ENABLED is false", state="disabled"
            )
            return
        # In place before anything is waited for: a start that takes too long leaves it.
        self._use_memory()
        if self._settings.backend == "memory":
            self._detail = "in memory by choice: nothing outlives the process"
        elif self._url is None:
            self._not_durable("there is no database: set DATABASE_URL")
        else:
            await self._use_postgres(self._url)

    def _use_memory(self) -> None:
        from langgraph.checkpoint.memory import InMemorySaver

        from agentinfra.checkpoint.serde import StrictSerializer

        self._saver = InMemorySaver(serde=StrictSerializer(self._allowed_types))
        self._detail = "in memory"

    async def _use_postgres(self, url: str | Address) -> None:
        try:
            load("psycopg_pool")
            load("agentinfra.checkpoint.saver")
            await self._connect(url if isinstance(url, str) else await url())
        except (MissingPackageError, CheckpointError, DatabaseError) as error:
            self._not_durable(str(error))

    async def _connect(self, url: str) -> None:
        from agentinfra.checkpoint.pool import CheckpointPool, connection_options
        from agentinfra.checkpoint.saver import PostgresSaver, checkpoint_errors
        from agentinfra.checkpoint.schema import ensure_schema
        from agentinfra.checkpoint.serde import StrictSerializer

        options = connection_options(
            url, pgbouncer=self._pgbouncer, connect_timeout=self._connect_timeout
        )
        pool = CheckpointPool(
            url,
            options,
            max_size=self._settings.max_size,
            timeout=self._connect_timeout,
            reached=self._reached,
        )
        try:
            with checkpoint_errors("set-up"):
                await ensure_schema(url, options, clock=self._clock)
                await pool.open(wait=True, timeout=self._connect_timeout)
        except BaseException:
            await pool.close(timeout=_CLOSE_GRACE)
            raise
        self._pool, self._detail = pool, "PostgreSQL"
        self._saver = PostgresSaver(
            pool,
            serde=StrictSerializer(self._allowed_types),
            metrics=self._metrics,
            inflight=self._inflight,
            clock=self._clock,
            worked=self._worked,
        )

    async def _close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close(timeout=_CLOSE_GRACE)

    async def _answers(self, pool: CheckpointPool) -> bool:
        from agentinfra.checkpoint.saver import checkpoint_errors

        if pool.slots.locked():
            return False  # all connections are at work, whose outcome is known soon enough
        try:
            with checkpoint_errors("check"):
                async with pool.slot() as connection:
                    await connection.execute("SELECT 1")
        except CheckpointError as error:
            self._fail(f"the database cannot be reached: {error}")
            return False
        self._worked()
        return True

    async def _prune(
        self, pool: CheckpointPool, age: float | None, keep: int, *, dry_run: bool
    ) -> PruneResult:
        from agentinfra.checkpoint.retention.pruner import Pruner
        from agentinfra.checkpoint.saver import checkpoint_errors

        # The age of a checkpoint is in its id, which comes from the clock on the wall.
        pruner = Pruner(pool, now=time.time(), keep_last=keep, older_than=age, dry_run=dry_run)
        with checkpoint_errors("prune"):
            result = await pruner.run()
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

    def _not_durable(self, reason: str) -> None:
        self.degrade(f"state is not durable: {reason}")
        _log.warning("checkpoint.not_durable", reason=reason)
        self._gauge()

    def _reached(self, error: OperationalError | None) -> None:
        if error is not None and self._pool is not None:
            self._fail(f"the database cannot be reached: {error}")

    def _fail(self, reason: str) -> None:
        if self.state != "failed":
            _log.warning("checkpoint.database_lost", reason=" ".join(reason.split()))
        self.degrade(reason, state="failed")
        self._gauge()

    def _worked(self) -> None:
        if self.state == "failed":
            self.restore()
            _log.info("checkpoint.database_restored")
            self._gauge()

    def _gauge(self) -> None:
        bad = self.state in ("degraded", "failed")
        self._metrics.gauge(RESOURCE_STATE, self.name).set(1.0 if bad else 0.0)
