"""The runtime: every resource of an async agent, entered once in each event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from agentinfra._mechanics.clock import SYSTEM_CLOCK, Clock
from agentinfra._mechanics.lifecycle import Lifecycle
from agentinfra._mechanics.loop_local import LoopLocal
from agentinfra._mechanics.resource import Resource
from agentinfra._mechanics.vendors import preload
from agentinfra.cache.caches import Caches
from agentinfra.checkpoint.checkpointer import Checkpointer
from agentinfra.db.database import Database
from agentinfra.db.embedded import EmbeddedPostgres
from agentinfra.errors import ClosedError, LifecycleError, NotStartedError, WrongLoopError
from agentinfra.llm.client import AsyncLLMClient
from agentinfra.observability import semconv
from agentinfra.observability.logging import Logging, get_logger
from agentinfra.observability.metrics import Metrics
from agentinfra.observability.metrics.lag import LoopLag
from agentinfra.observability.nodes import Nodes
from agentinfra.observability.probes import Probes, ProbeServer
from agentinfra.observability.redaction import Redactor
from agentinfra.observability.tracing import Span, Tracing
from agentinfra.results import HealthReport, ResourceHealth
from agentinfra.settings import Settings

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver

__all__ = ["InfraRuntime", "get_checkpointer", "get_llm_client"]

log = get_logger("agentinfra.runtime")

_RUNNING: LoopLocal[InfraRuntime] = LoopLocal()

HEALTH_TIMEOUT = 5.0
"""Seconds one resource gets to say how it is."""


class InfraRuntime:
    """Everything an async agent stands on, as one async context manager.

    Entering opens the resources in levels, those of one level side by side; one that fails is
    degraded (``health()`` says why) unless ``Settings.runtime.required`` names it. Leaving
    refuses new work, lets running work end, cancels what does not, and closes in reverse, even
    when it is cancelled meanwhile.

    Enter it once in each event loop; its tasks share it. Whoever enters it owns it.

    Args:
        settings: What to open; None reads the environment.
        allowed_types: Your own types that the state of graphs may contain; others come back from
            the checkpointer as the data they were made of.
        clock: Where time comes from.

    Raises:
        ConfigurationError: A setting cannot be used; the message names it.
        LifecycleError: The loop already has a runtime.

    Example:
        .. code-block:: python

            async with InfraRuntime() as rt:
                reply = await rt.llm.chat_completion([{"role": "user", "content": "Hello"}])
    """

    settings: Settings
    """What it was made from."""

    llm: AsyncLLMClient
    """The client for every model call."""

    caches: Caches
    """The caches: `routing`, `embedding` and `response`."""

    metrics: Metrics
    """The series, and the page that shows them: `rt.metrics.expose()`."""

    tracing: Tracing
    """The traces of this loop."""

    logging: Logging
    """The log of this loop."""

    nodes: Nodes
    """Records runs of agents' nodes; see `node`."""

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        allowed_types: Iterable[type] = (),
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.settings = settings if settings is not None else Settings()
        s = self.settings
        self.metrics = Metrics(s.metrics)
        self.logging = Logging(s.logging, metrics=self.metrics)
        redactor = Redactor(s.logging.redact)
        self.tracing = Tracing(s.tracing, metrics=self.metrics, redactor=redactor)
        self.caches = Caches(s.cache, metrics=self.metrics, clock=clock)
        self.llm = AsyncLLMClient(
            s.llm,
            metrics=self.metrics,
            vectors=self.caches.embedding,
            capture_content=s.tracing.capture_content,
            observed=s.metrics.enabled or s.tracing.enabled or s.logging.enabled,
            clock=clock,
        )
        self.nodes = Nodes(self.metrics, clock=clock)
        self._server = self._embedded_server()
        self._db: Database | None = None
        self._checkpointer: Checkpointer | None = None
        self._probes: ProbeServer | None = None
        self._allowed_types = tuple(allowed_types)
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._lifecycle = Lifecycle(
            start_timeout=s.runtime.start_timeout,
            stop_timeout=s.runtime.stop_timeout,
            required=s.runtime.required,
            on_degraded=self._degraded,
        )

    @classmethod
    def current(cls) -> InfraRuntime:
        """Return the runtime of the running loop.

        Raises:
            NotStartedError: This loop has none, or no loop is running.
        """
        runtime = _RUNNING.get()
        if runtime is None:
            raise NotStartedError(
                "no InfraRuntime is entered in this event loop: "
                "use `async with InfraRuntime() as rt:` around the code"
            )
        return runtime

    @property
    def db(self) -> Database:
        """The database.

        Raises:
            NotStartedError: The runtime was not entered.
        """
        if self._db is None:
            raise NotStartedError("the runtime is not started: enter it with `async with`")
        return self._db

    @property
    def checkpointer(self) -> BaseCheckpointSaver[Any]:
        """The LangGraph saver, for ``builder.compile(checkpointer=...)``.

        Raises:
            NotStartedError: The runtime was not entered.
            CheckpointError: LangGraph is not installed.
        """
        return self.checkpoints.saver

    @property
    def checkpoints(self) -> Checkpointer:
        """The resource behind :attr:`checkpointer`, for pruning.

        Raises:
            NotStartedError: The runtime was not entered.
        """
        if self._checkpointer is None:
            raise NotStartedError("the runtime is not started: enter it with `async with`")
        return self._checkpointer

    @property
    def startup(self) -> dict[str, float]:
        """Seconds each resource took to open, and ``imports`` the vendors' imports."""
        return dict(self._lifecycle.took)

    @property
    def serving_port(self) -> int | None:
        """The port of ``Settings.runtime.serve``, None where nothing is served."""
        return (self._probes.port or None) if self._probes is not None else None

    def node(
        self, node: str, *, agent: str = "default", **attributes: Any
    ) -> AbstractContextManager[Span]:
        """Record what happens inside as one run of an agent's node."""
        return self.nodes.run(node, agent=agent, **attributes)

    async def health(self) -> HealthReport:
        """Ask every resource how it is, side by side.

        Raises:
            NotStartedError: The runtime was not entered.
            ClosedError: It was left.
            WrongLoopError: It belongs to another loop.
        """
        self._guard()
        rows = await asyncio.gather(*(self._ask(resource) for resource in self._reported()))
        for row in rows:
            bad = row.state in ("degraded", "failed")
            self.metrics.gauge(semconv.RESOURCE_STATE, row.name).set(1.0 if bad else 0.0)
        return HealthReport(resources=tuple(rows))

    async def __aenter__(self) -> Self:
        self._claim()
        try:
            await self._open()
        except BaseException:
            await self._shut()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Leave: drain, then close everything; a second call does nothing.

        Raises:
            WrongLoopError: It belongs to another loop.
            ExceptionGroup: What could not be closed in order; everything was tried.
        """
        if self._closed or self._loop is None:
            return
        self._guard()
        await self._shut()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "new" if self._loop is None else "entered"
        return f"<InfraRuntime {state} at {id(self):#x}>"

    def _claim(self) -> None:
        if self._closed:
            raise ClosedError(f"{self!r} was left and cannot be entered again: make a new one")
        if self._loop is not None:
            raise LifecycleError(f"{self!r} is already entered: enter it once and share it")
        other = _RUNNING.get()
        if other is not None:
            raise LifecycleError(
                f"{self!r} cannot be entered: this event loop already has {other!r}; "
                "use InfraRuntime.current()"
            )
        self._loop = asyncio.get_running_loop()
        _RUNNING.set(self)

    async def _open(self) -> None:
        # Observation first, so that whatever fails next is already logged and counted.
        await self._lifecycle.open(self.metrics)
        await self._lifecycle.open(self.logging, self.tracing)
        independent: list[Resource] = [self.llm, self.caches]
        if self._server is None:
            await self._import(independent)
            database, checkpointer = self._stateful(None)
            await self._lifecycle.open(*independent, database)
        else:
            # The server starts in a process of its own while the vendors are imported here.
            await preload(self._server.vendors)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._import([*independent, *self._stateful(None)]))
                group.create_task(self._lifecycle.open(self._server))
            database, checkpointer = self._stateful(self._server)
            await self._lifecycle.open(*independent, database)
        await self._lifecycle.open(checkpointer)  # its operations run on the database's connections
        await self._lifecycle.open(*self._surroundings())
        self._started()

    async def _import(self, resources: list[Resource]) -> None:
        took = await preload(name for resource in resources for name in resource.vendors)
        self._lifecycle.took["imports"] = sum(took.values())

    def _embedded_server(self) -> EmbeddedPostgres | None:
        database = self.settings.database
        if database.enabled and database.dsn is None and database.embedded:
            return EmbeddedPostgres(database.data_dir)
        return None

    def _stateful(self, server: EmbeddedPostgres | None) -> tuple[Database, Checkpointer]:
        s = self.settings
        url = server.url if server is not None and server.state == "ready" else None
        missing = server.reason if server is not None and server.state != "ready" else ""
        self._db = Database(
            s.database,
            url=url,
            unavailable=missing,
            metrics=self.metrics,
            embedder=self.llm,
            clock=self._clock,
        )
        self._checkpointer = Checkpointer(
            s.checkpointer,
            database=self._db if s.database.enabled else None,
            unavailable=missing,
            allowed_types=self._allowed_types,
            required="checkpointer" in s.runtime.required,
            metrics=self.metrics,
            clock=self._clock,
        )
        return self._db, self._checkpointer

    def _surroundings(self) -> list[Resource]:
        """Return what watches the runtime and shows it to the outside."""
        around: list[Resource] = [LoopLag(self.metrics)] if self.settings.metrics.enabled else []
        if self.settings.runtime.serve is not None:
            probes = Probes(
                self.health,
                self.metrics.expose,
                required=frozenset(self.settings.runtime.required),
            )
            self._probes = ProbeServer(self.settings.runtime.serve, probes)
            around.append(self._probes)
        return around

    def _started(self) -> None:
        for resource in self._reported():
            bad = resource.state in ("degraded", "failed")
            self.metrics.gauge(semconv.RESOURCE_STATE, resource.name).set(1.0 if bad else 0.0)
            if bad:
                self._warn(resource)
        for told in self.settings.warnings:
            log.warning("runtime.setting_ignored", resource=told.resource, reason=told.sentence)
        log.debug("runtime.started", took=self.startup)

    def _degraded(self, resource: Resource) -> None:
        if resource not in self._reported():
            self._warn(resource)

    def _warn(self, resource: Resource) -> None:
        log.warning("runtime.resource_degraded", resource=resource.name, reason=resource.reason)

    def _reported(self) -> tuple[Resource, ...]:
        return (
            self.llm,
            self.db,
            self.caches,
            self.checkpoints,
            self.logging,
            self.metrics,
            self.tracing,
            *([self.caches.redis] if self.caches.redis is not None else []),
            *([self._probes] if self._probes is not None else []),
        )

    async def _ask(self, resource: Resource) -> ResourceHealth:
        try:
            async with asyncio.timeout(HEALTH_TIMEOUT):
                return self._noted(await resource.probe())
        except TimeoutError:
            reason = f"did not answer within {HEALTH_TIMEOUT:g} s"
        except Exception as error:  # noqa: BLE001 - a health report reports, it does not fail
            reason = f"{type(error).__name__}: {error}"
        return ResourceHealth(name=resource.name, state="failed", reason=reason)

    def _noted(self, row: ResourceHealth) -> ResourceHealth:
        """Return a row that also says what of the settings could not be used."""
        told = [warned.sentence for warned in self.settings.warnings if warned.resource == row.name]
        if not told:
            return row
        if row.state == "ready":
            return replace(row, detail="; ".join(filter(None, (row.detail, *told))))
        return replace(row, reason="; ".join(filter(None, (row.reason, *told))))

    def _guard(self) -> None:
        if self._closed:
            raise ClosedError(f"{self!r} was left: use it inside its `async with` block")
        if self._loop is None:
            raise NotStartedError(f"{self!r} is not started: enter it with `async with`")
        running = asyncio.get_running_loop()
        if running is not self._loop:
            raise WrongLoopError(
                f"{self!r} belongs to loop {id(self._loop):#x} and was used from loop "
                f"{id(running):#x}: enter one InfraRuntime in each loop"
            )

    async def _shut(self) -> None:
        self._closed = True
        try:
            await self._lifecycle.close(leaving=asyncio.current_task())
        finally:
            _RUNNING.discard(self)


def get_llm_client() -> AsyncLLMClient:
    """Return the LLM client of the running loop's runtime.

    Raises:
        NotStartedError: This loop has no runtime.
    """
    return InfraRuntime.current().llm


def get_checkpointer() -> BaseCheckpointSaver[Any]:
    """Return the LangGraph saver of the running loop's runtime.

    Raises:
        NotStartedError: This loop has no runtime.
    """
    return InfraRuntime.current().checkpointer
