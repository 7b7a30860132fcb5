"""The long-term store as a resource: on PostgreSQL where there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentinfra._mechanics.clock import SYSTEM_CLOCK, Clock
from agentinfra._mechanics.vendors import MissingPackageError, load
from agentinfra.checkpoint.cipher import KeyRing, Sealed, keys_of
from agentinfra.checkpoint.durable import Durable
from agentinfra.errors import (
    AgentInfraError,
    CheckpointError,
    ClosedError,
    ConfigurationError,
    NotStartedError,
)
from agentinfra.observability.logging import get_logger
from agentinfra.observability.semconv import STORE_SWEPT

if TYPE_CHECKING:
    from langgraph.store.base import BaseStore, TTLConfig

    from agentinfra.checkpoint.cipher import Cipher
    from agentinfra.checkpoint.link import Link
    from agentinfra.checkpoint.standby import Standby
    from agentinfra.checkpoint.store.memory import MemoryStore
    from agentinfra.checkpoint.store.postgres import PostgresStore
    from agentinfra.observability.metrics import Metrics
    from agentinfra.protocols import Connections, Embedder
    from agentinfra.settings import StoreSettings

__all__ = ["LongTerm"]

_log = get_logger("agentinfra.store")

_MINUTE = 60.0


class LongTerm(Durable):
    """Gives graphs a store, and sweeps what has aged out of it.

    Whoever enters it owns its lifetime; the tasks of its event loop share it. Until the database
    is there, items are in memory, and state, log and metric say so; then the same store goes on
    with PostgreSQL, and what was in memory is stored there.

    Args:
        settings: The settings' store group.
        database: Who lends connections; it is entered before this and left after it.
        url: The address of a database of its own, where there is none to share.
        connect_timeout: Seconds a new connection to a database of its own may take.
        embedder: What turns texts into vectors, where the settings name ``dimensions``.
        cipher: What seals items in the database; None seals them under the settings' keys, if any.
        metrics: Where operations are counted; None counts nothing.
        clock: Where time comes from.
    """

    name = "store"
    kept = "what the store is given"
    event = "store"
    vendors: tuple[str, ...] = (
        "agentinfra.checkpoint.store.postgres",
        "langgraph.store.memory",
    )

    def __init__(
        self,
        settings: StoreSettings,
        *,
        database: Connections | None = None,
        url: str | None = None,
        connect_timeout: float = 5.0,
        embedder: Embedder | None = None,
        cipher: Cipher | None = None,
        metrics: Metrics | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        super().__init__(
            database=database,
            url=url,
            connect_timeout=connect_timeout,
            size=settings.max_size,
            timeout=settings.timeout,
            metrics=metrics,
            clock=clock,
        )
        if settings.enabled is False:
            self.vendors = ()
        elif settings.backend == "memory":
            self.vendors = ("langgraph.store.memory",)
        self._settings = settings
        self._embedder = embedder
        self._cipher = cipher
        self._keys = [key.get_secret_value() for key in settings.encryption_keys or ()]
        if self._keys:
            keys_of(self._keys)  # a key that is none is told before anything is stored in the open
            self.vendors = (*self.vendors, "cryptography.hazmat.primitives.ciphers.aead")
        self._seal: Sealed | None = None
        self._standby: Standby[MemoryStore] | None = None
        self._store: BaseStore | None = None
        self._postgres: PostgresStore | None = None

    @property
    def store(self) -> BaseStore:
        """What graphs are compiled with: ``builder.compile(store=...)``.

        Raises:
            NotStartedError: The store was not entered.
            ClosedError: It was left.
            CheckpointError: It is switched off, or LangGraph is not installed.
        """
        if self._closed:
            raise ClosedError("store is closed: use it inside its `async with` block")
        if self._store is None and self._loop is None:
            raise NotStartedError("store is not started: enter it with `async with`")
        if self._store is None:
            raise CheckpointError(f"there is no store: {self.reason}")
        return self._store

    @property
    def seals(self) -> bool:
        """Whether items are sealed in the database."""
        return self._seal is not None

    async def sweep(self) -> int:
        """Drop the items that have aged; return how many it was.

        Raises:
            CheckpointError: The database failed; what was dropped before stays dropped.
        """
        with self._working():
            if self._postgres is not None:
                swept = await self._postgres.sweep_ttl()
            else:
                memory = self._standby.memory if self._standby is not None else None
                swept = memory.sweep() if memory is not None else 0
        self._metrics.counter(STORE_SWEPT).inc(swept)
        if swept:
            _log.info("store.swept", items=swept)
        return swept

    async def erase(self, namespace: tuple[str, ...]) -> int:
        """Drop every item of a namespace and of those in it, with its vectors.

        Args:
            namespace: As ``("users", "1")``; never empty.

        Returns:
            How many items it was.

        Raises:
            CheckpointError: The database failed.
            ConfigurationError: The namespace is empty, which would be everything.
        """
        if not namespace:
            raise ConfigurationError("erase(()) would drop every item: give a namespace")
        with self._working():
            if self._postgres is not None:
                return await self._postgres.erase(namespace)
            memory = self._standby.memory if self._standby is not None else None
            return memory.erase(namespace) if memory is not None else 0

    async def reseal(self) -> int:
        """Seal under the first key the items that another one has sealed, or none; return how many.

        Some at a time; programs may go on meanwhile. Vectors stay as they are.

        Raises:
            CheckpointError: There is no key, or no database; the database failed; or an item needs
                a key that is not here.
        """
        from agentinfra.checkpoint.resealing import reseal_items

        with self._working():
            if self.link is None or self._seal is None:
                raise CheckpointError(
                    "there is nothing to seal: "
                    + (self.reason or "set AGENTINFRA_STORE__ENCRYPTION_KEYS or the checkpointer's")
                )
            items = await reseal_items(self.link, self._seal)
        _log.info("store.resealed", items=items)
        return items

    async def _open(self) -> None:
        if self._settings.enabled is False:
            self.degrade("switched off: AGENTINFRA_STORE__ENABLED is false", state="disabled")
            return
        try:
            load("langgraph.store.memory")
            self._standby = self._use_memory()
        except (MissingPackageError, CheckpointError) as error:
            self.degrade(str(error))
            self._gauge()
            return
        if self._settings.backend == "memory":
            self._detail = "in memory by choice: nothing outlives the process"
            return
        try:
            load("agentinfra.checkpoint.store.postgres")
            link = self._connect()
            self._seal = self._sealed()
        except AgentInfraError as error:
            self._not_durable(str(error))
            return
        self._use_postgres(link, self._standby)
        await self._arrive(link)

    def _use_memory(self) -> Standby[MemoryStore]:
        from agentinfra.checkpoint.standby import Standby
        from agentinfra.checkpoint.store.memory import MemoryStore

        memory = MemoryStore(
            index=self._index(), ttl=self._ttl(), metrics=self._metrics, clock=self._clock
        )
        self._store, self._detail = memory, "in memory"
        return Standby(memory, patience=self._timeout)

    def _use_postgres(self, link: Link, standby: Standby[MemoryStore]) -> None:
        from agentinfra.checkpoint.store.postgres import PostgresStore

        self._postgres = PostgresStore(
            link, standby=standby, index=self._index(), ttl=self._ttl(), sealed=self._seal
        )
        self._store = self._postgres

    async def _move(self, link: Link) -> None:
        from agentinfra.checkpoint.schema import ensure_schema
        from agentinfra.checkpoint.store.tables import STORE, check_vectors, vectors_of

        if (store := self._postgres) is None:
            return
        vectors = (vectors_of(store),) if store.index_config else ()
        await ensure_schema(link, STORE, *vectors)
        if self._settings.dimensions is not None:
            await check_vectors(link, self._settings.dimensions)
        if carried := await store.take_over():
            _log.info("store.carried_over", items=carried)

    def _sealed(self) -> Sealed | None:
        cipher = self._cipher or (KeyRing(self._keys) if self._keys else None)
        if cipher is None:
            return None
        return Sealed(
            cipher=cipher,
            plain=frozenset(self._settings.plain_fields),
            what="the item's",
            setting="AGENTINFRA_STORE__PLAIN_FIELDS",
        )

    def _index(self) -> Any:
        dimensions = self._settings.dimensions
        if dimensions is None:
            return None
        if self._embedder is None:
            raise CheckpointError("there is nothing to embed with: give the store an embedder")
        from agentinfra.checkpoint.store.embedding import RuntimeEmbeddings

        embed = RuntimeEmbeddings(
            self._embedder, model=self._settings.embedding_model, dimensions=dimensions
        )
        return {"dims": dimensions, "embed": embed, "fields": list(self._settings.fields)}

    def _ttl(self) -> TTLConfig:
        seconds = self._settings.ttl
        return {
            "refresh_on_read": self._settings.refresh_on_read,
            "default_ttl": None if seconds is None else seconds / _MINUTE,
            "omit_expired": True,
        }
