"""The runtime itself: what it is made of, who may use it when, and how it is left."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast, overload

from agentinfra._mechanics.clock import SYSTEM_CLOCK, Clock
from agentinfra._mechanics.resource import Resource
from agentinfra.cache.caches import Caches
from agentinfra.checkpoint.checkpointer import Checkpointer
from agentinfra.checkpoint.store.long_term import LongTerm
from agentinfra.db.database import Database
from agentinfra.llm.client import AsyncLLMClient
from agentinfra.llm.money.budgets import Budgets
from agentinfra.observability.logging import Logging, get_logger
from agentinfra.observability.metrics import Metrics
from agentinfra.observability.metrics.lag import LoopLag
from agentinfra.observability.nodes import Nodes
from agentinfra.observability.probes import Probes, ProbeServer
from agentinfra.observability.redaction import Redactor
from agentinfra.observability.tracing import Span, Tracing
from agentinfra.results import HealthReport
from agentinfra.runtime.health import Health
from agentinfra.runtime.life import Life
from agentinfra.runtime.meeting import Meeting
from agentinfra.runtime.owned import Owned, owned
from agentinfra.runtime.plan import Imports, Plan
from agentinfra.runtime.running import run_program
from agentinfra.runtime.stateful import stateful
from agentinfra.settings import Settings

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver
    from langgraph.store.base import BaseStore

    from agentinfra.checkpoint.cipher import Cipher

__all__ = ["InfraRuntime", "get_checkpointer", "get_llm_client"]

R = TypeVar("R", bound=Resource)
T = TypeVar("T")

log = get_logger("agentinfra.runtime")


class InfraRuntime:
    """Everything an async agent stands on, as one async context manager.

    Entering opens the resources in levels, those of one level side by side; one that fails is
    degraded (``health()`` says why) unless ``Settings.runtime.required`` names it. Leaving
    refuses new work, lets running work end, cancels what does not, and closes in reverse, all
    within ``Settings.runtime.stop_timeout`` and even when it is cancelled meanwhile. Whatever
    leaves the block comes out as it was; what could not be closed in order is a note on it. Enter
    it once in each event loop; its tasks share it. Where nobody handles SIGTERM, it ends the block
    in order, as if that had returned; see `run`.

    Args:
        settings: What to open; None reads the environment.
        allowed_types: Your own types in the state of graphs; others come back as their data.
        cipher: What seals the state of graphs; None seals it under the settings' keys, if any.
        clock: Where time comes from.

    Raises:
        ConfigurationError: A setting cannot be used; the message names it.
        LifecycleError: The loop already has a runtime, or is not asyncio's.

    Example:
        ```python
        async with InfraRuntime() as rt:
            reply = await rt.llm.chat_completion([{"role": "user", "content": "Hello"}])
        ```
    """

    settings: Settings
    """What it was made from."""

    llm: AsyncLLMClient
    """The client for every model call."""

    db: Database
    """The database, with its vectors."""

    caches: Caches
    """The caches: `routing`, `embedding`, `response`, and two of them by meaning."""

    checkpoints: Checkpointer
    """The resource behind `checkpointer`, for pruning."""

    long_term: LongTerm
    """The resource behind `store`, for sweeping."""
    budgets: Budgets
    """Accounts by tenant, user or any key, which all processes on the database share."""
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
        cipher: Cipher | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        s = self.settings = settings if settings is not None else Settings()
        named = "service_name" in s.tracing.model_fields_set
        self.metrics = Metrics(
            s.metrics,
            address=s.runtime.serve,
            service=s.tracing.service_name if named else None,
        )
        self.logging = Logging(s.logging, metrics=self.metrics)
        redactor = Redactor(s.logging.redact)
        self.tracing = Tracing(s.tracing, metrics=self.metrics, redactor=redactor)
        database = (lambda: self.db) if s.database.enabled else None
        self.caches = Caches(s.cache, metrics=self.metrics, clock=clock, database=database)
        self.llm = AsyncLLMClient(
            s.llm,
            metrics=self.metrics,
            vectors=self.caches.vectors,
            replies=self.caches.replies,
            capture_content=s.tracing.capture_content,
            observed=s.metrics.enabled or s.tracing.enabled or s.logging.enabled,
            clock=clock,
            board=Meeting(s, self.caches.redis, lambda: self.db),
        )
        self.caches.embed_with(self.llm)
        self.nodes = Nodes(self.metrics, clock=clock)
        made = self._stateful = stateful(
            s,
            metrics=self.metrics,
            embedder=self.llm,
            allowed_types=allowed_types,
            cipher=cipher,
            accounts=lambda: self._health.show(self.budgets),
            clock=clock,
        )
        self.db, self.checkpoints = made.db, made.checkpoints
        self.long_term, self.budgets = made.long_term, made.budgets
        self._probes, self._clock = self._probe_server(), clock
        self._required = set[str](s.runtime.required)
        self._health = Health(self.metrics, self._required, s.warnings)
        self._health.show(self.llm, self.db, self.caches, self.checkpoints, self.long_term)
        self._health.show(self.logging, self.metrics, self.tracing)
        self._health.show(*filter(None, [self.caches.redis]))
        self._plan = self._planned()
        self._life = Life(
            self,
            s.runtime,
            plan=self._plan,
            metrics=self.metrics,
            health=self._health,
            required=self._required,
        )

    @classmethod
    def run(
        cls,
        main: Callable[..., Awaitable[T]],
        settings: Settings | None = None,
        *,
        allowed_types: Iterable[type] = (),
    ) -> T:
        """Run a program: a new event loop, a runtime in it, and an orderly end of both.

        The first SIGINT or SIGTERM cancels the program and leaves the runtime; signals after it
        are ignored, for leaving is bounded by ``stop_timeout``. In another thread than the main
        one signals cannot be handled, and the program runs without.

        Args:
            main: The program, an async function; it is given the runtime where it takes an
                argument.
            settings: The runtime's settings; None reads the environment.
            allowed_types: As for the runtime.

        Returns:
            What the program returned.

        Raises:
            SystemExit: A signal ended it; the status is 128 and the signal's number, as a shell
                and an orchestrator expect: 130 for SIGINT, 143 for SIGTERM.
            ConfigurationError: ``main`` is no function, or a setting cannot be used.
            LifecycleError: A loop is running in this thread.

        Example:
            ```python
            async def main(rt: InfraRuntime) -> None:
                await serve(rt)

            if __name__ == "__main__":
                InfraRuntime.run(main)
            ```
        """
        return run_program(main, lambda: cls(settings, allowed_types=allowed_types))

    @classmethod
    def current(cls) -> InfraRuntime:
        """Return the runtime of the running loop.

        Raises:
            NotStartedError: This loop has none, or no loop is running.
            ClosedError: It is being left at this moment.
        """
        return cast("InfraRuntime", Life.of_this_loop().owner)

    @property
    def checkpointer(self) -> BaseCheckpointSaver[Any]:
        """The LangGraph saver, for ``builder.compile(checkpointer=...)``.

        Raises:
            NotStartedError: The runtime was not entered.
            ClosedError: It was left.
            CheckpointError: LangGraph is not installed.
        """
        return self.checkpoints.saver

    @property
    def store(self) -> BaseStore:
        """LangGraph's long-term store, for ``builder.compile(store=...)``; raises as `LongTerm`."""
        return self.long_term.store

    @property
    def startup(self) -> dict[str, float]:
        """Seconds each resource took to open, and ``imports`` the vendors' imports."""
        return self._life.took

    @property
    def serving_port(self) -> int | None:
        """The port of ``Settings.runtime.serve``, None while nothing listens there."""
        probes = self._probes
        if probes is None or not probes.is_open or probes.state != "ready":
            return None
        return probes.port

    def node(
        self, node: str, *, agent: str = "default", **attributes: Any
    ) -> AbstractContextManager[Span]:
        """Record what happens inside as one run of an agent's node."""
        return self.nodes.run(node, agent=agent, **attributes)

    @overload
    def own(  # type: ignore[overload-overlap]  # a Resource is such a manager too, and goes first
        self, resource: R, *, needs: Iterable[str] | None = None, required: bool = False
    ) -> R: ...

    @overload
    def own(
        self,
        resource: AbstractAsyncContextManager[T] | Callable[[], AbstractAsyncContextManager[T]],
        *,
        name: str | None = None,
        needs: Iterable[str] | None = None,
        required: bool = False,
        check: Callable[[T], Awaitable[object]] | None = None,
    ) -> Owned[T]: ...

    def own(
        self,
        resource: Any,
        *,
        name: str | None = None,
        needs: Iterable[str] | None = None,
        required: bool = False,
        check: Callable[[Any], Awaitable[object]] | None = None,
    ) -> Any:
        """Take a resource of yours into the runtime, to be opened, drained and closed with it.

        It is entered and left in a task of its own, has a row in ``health()`` and its state in
        the metrics. Before the runtime is entered it is opened in its level; after that at once,
        beside what runs: ``await it.opened()`` waits for that.

        Args:
            resource: A `Resource`, an async context manager, or a function that makes one,
                which has a broken one made anew.
            name: Its name, for what is no ``Resource`` and has none.
            needs: Names of what is opened before it and closed after it, as in health; None is
                all of the runtime's own resources.
            required: Whether entering fails without it, and ``/readyz`` does.
            check: For a context manager: given what it gave, raises where that is broken. Asked by
                ``health()``, and after an exception left `Owned.use`.

        Returns:
            The ``Resource`` itself; for others an `Owned`, whose ``use()`` lends what the
            context manager gave.

        Raises:
            ConfigurationError: The name is taken, or it needs what is not there.
            ClosedError: The runtime was left.
            WrongLoopError: It belongs to another loop.
        """
        entered = self._life.state != "new"
        if entered:
            self._life.guard()
        start = self.settings.runtime.start_timeout
        mine = owned(resource, name, check, start_timeout=start, clock=self._clock)
        self._plan.add(mine, needs=self._plan.builtin if needs is None else needs)
        self._health.show(mine)
        mine.expect()
        if required:
            self._required.add(mine.name)
        if entered:
            self._life.open_late(mine)
        return mine

    async def health(self) -> HealthReport:
        """Ask every resource how it is, side by side.

        Raises:
            NotStartedError: The runtime was not entered.
            ClosedError: It was left.
            WrongLoopError: It belongs to another loop.
        """
        self._life.guard()
        return await self._health.report()

    async def __aenter__(self) -> Self:
        await self._life.enter()
        for told in self.settings.warnings:
            log.warning("runtime.setting_ignored", resource=told.resource, reason=told.sentence)
        log.debug("runtime.started", took=self.startup)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        return await self._life.exit(exc)

    async def aclose(self) -> None:
        """Leave: drain, then close everything; a second call waits for the first.

        Raises:
            WrongLoopError: It belongs to another loop.
            Exception: What closing the first required resource that failed raised.
            CancelledError: The caller was cancelled meanwhile; everything was closed first.
        """
        await self._life.leave(None)

    def __repr__(self) -> str:
        return f"<InfraRuntime {self._life.state} at {id(self):#x}>"

    def _probe_server(self) -> ProbeServer | None:
        address = self.settings.runtime.serve
        if address is None:
            return None
        required = frozenset(self.settings.runtime.required)
        return ProbeServer(address, Probes(self.health, self.metrics.expose, required=required))

    def _planned(self) -> Plan:
        """Say who needs whom; observation first, so that whatever fails is logged and counted."""
        plan = Plan()
        plan.add(self.metrics)
        plan.add(self.logging, needs=["metrics"])
        plan.add(self.tracing, needs=["logging"])
        imports = Imports([self.llm, self.caches, self.db, self.checkpoints, self.long_term])
        plan.add(imports, needs=["tracing"])
        before = {imports.name}
        for resource in (self.llm, self.caches):
            plan.add(resource, needs=before)
        self._stateful.plan(plan, needs=before, embedder=self.llm.name)
        plan.close()
        plan.add(self._stateful.keeper, last=True)
        if self.settings.metrics.enabled:
            plan.add(LoopLag(self.metrics), last=True)
        if self._probes is not None:
            plan.add(self._probes, last=True)
            self._health.show(self._probes)
        return plan


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
