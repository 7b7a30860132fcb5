"""The checkpointer: LangGraph's memory of conversations, on PostgreSQL where there is one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from agentinfra._mechanics.clock import SYSTEM_CLOCK, Clock
from agentinfra._mechanics.vendors import MissingPackageError, load
from agentinfra.checkpoint.cipher import NEEDED, KeyRing, Sealed, keys_of
from agentinfra.checkpoint.durable import Durable
from agentinfra.checkpoint.retention.policies import Policy, PruneResult
from agentinfra.errors import (
    AgentInfraError,
    CheckpointError,
    ClosedError,
    NotStartedError,
)
from agentinfra.observability.logging import get_logger
from agentinfra.observability.semconv import CHECKPOINTS_PRUNED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

    from langgraph.checkpoint.base import BaseCheckpointSaver
    from langgraph.checkpoint.serde.base import SerializerProtocol

    from agentinfra.checkpoint.cipher import Cipher
    from agentinfra.checkpoint.conversations import Conversation
    from agentinfra.checkpoint.link import Link
    from agentinfra.checkpoint.memory import MemorySaver
    from agentinfra.checkpoint.standby import Standby
    from agentinfra.observability.metrics import Metrics
    from agentinfra.protocols import Connections
    from agentinfra.settings import CheckpointerSettings

__all__ = ["Checkpointer", "said_by"]

_log = get_logger("agentinfra.checkpoint")

_DAY = 86_400.0


class Checkpointer(Durable):
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
            graphs and the setting name; other unknown ones come back as the data they were made
            of.
        cipher: What seals state in the database; None seals it under the settings' keys, if any.
        metrics: Where operations are counted; None counts nothing.
        clock: Where time comes from.

    Attributes:
        policies: What may go of conversations, for the prune in the background; as the settings
            say it where somebody has set them, else nothing.
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
        if not settings.enabled:
            self.vendors = ("langgraph.checkpoint.base",)
        elif settings.backend == "memory":
            self.vendors = ("langgraph.checkpoint.memory",)
        self._settings = settings
        named = (_named(path) for path in settings.allowed_types)
        self._allowed_types: tuple[type | tuple[str, str], ...] = (*allowed_types, *named)
        self._cipher = cipher
        self._keys = [key.get_secret_value() for key in settings.encryption_keys]
        if self._keys:
            keys_of(self._keys)  # a key that is none is told before anything is stored in the open
            self.vendors = (*self.vendors, "cryptography.hazmat.primitives.ciphers.aead")
        self._seal: Sealed | None = None
        self._saver: BaseCheckpointSaver[Any] | None = None
        self._standby: Standby[MemorySaver] | None = None
        said = said_by(settings)
        asked = any(value is not None for value in said.values())
        self.policies: Sequence[Policy] = (Policy(**said),) if asked else ()

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
        *policies: Policy,
        older_than: float | None = None,
        keep_last: int | None = None,
        dry_run: bool = False,
    ) -> PruneResult:
        """Drop conversations that have aged, and checkpoints that policies let go.

        Safe while graphs run. A conversation goes on from its newest checkpoint, an interrupt
        included, and from each other that is kept as before: what its run loads of subgraphs, and
        what its delta channels are rebuilt from, is kept with it. The last of a branch is kept for
        an hour beside them: a run may stand on it.

        Args:
            policies: What may go; whatever one of them lets go, goes. The arguments below are not
                asked then.
            older_than: Seconds without a checkpoint after which a conversation goes; None is the
                setting ``retention_days``, and where that is None too none goes.
            keep_last: Checkpoints the others keep, 1 at least; None is the setting ``keep_last``.
            dry_run: Count what would go with its bytes, and drop nothing.

        Raises:
            CheckpointError: The database failed; what was dropped before stays dropped.
            ConfigurationError: An argument makes no sense.
        """
        if not policies:
            said = said_by(self._settings)
            said["keep_last"] = self._settings.keep_last if keep_last is None else keep_last
            if older_than is not None:
                said["older_than"] = older_than
            policies = (Policy(**said),)
        with self._working():
            result = await self._prune(policies, dry_run=dry_run)
        if not dry_run:
            self._metrics.counter(CHECKPOINTS_PRUNED).inc(result.checkpoints)
            _log.info(
                "checkpoint.pruned",
                threads=result.threads,
                checkpoints=result.checkpoints,
                writes=result.writes,
                blobs=result.blobs,
                bytes=result.bytes,
            )
        return result

    async def threads(
        self,
        pattern: str = "*",
        *,
        metadata: Mapping[str, Any] | None = None,
        after: str = "",
        limit: int = 100,
    ) -> list[Conversation]:
        """Return conversations, in the order of their ids.

        Args:
            pattern: Of their ids, with ``*`` and ``?``.
            metadata: What the metadata of one of their checkpoints has to contain.
            after: The last id of the page before.
            limit: How many at most.

        Raises:
            CheckpointError: The database failed, or the metadata cannot be searched.
        """
        from agentinfra.checkpoint.conversations import listed, listed_in_memory

        with self._working():
            wanted = {"pattern": pattern, "metadata": metadata, "after": after, "limit": limit}
            if self.link is not None:
                if metadata and self._seal is not None:
                    self._seal.check(metadata)
                return await listed(self.link, **wanted)  # type: ignore[arg-type]
            memory = self._standby.memory if self._standby is not None else None
            return [] if memory is None else listed_in_memory(memory, **wanted)  # type: ignore[arg-type]

    async def export(self, thread: str) -> AsyncIterator[dict[str, Any]]:
        """Yield what is stored of a conversation: each checkpoint, the newest first.

        A dict a checkpoint, with ``values``, ``metadata``, ``writes``, its ids and its time; the
        values are those the graph sees.

        Args:
            thread: The conversation.

        Raises:
            CheckpointError: The database failed.
        """
        from agentinfra.checkpoint.conversations import export

        async for checkpoint in export(self.saver, thread):
            yield checkpoint

    async def erase(self, thread: str) -> PruneResult:
        """Take a conversation out of every table, look whether it is gone, and say what that was.

        A run of it that is under way stores nothing any more. What the long-term store knows is
        not touched: see `LongTerm.erase`.

        Args:
            thread: The conversation.

        Raises:
            CheckpointError: The database failed, or rows of it are there again.
        """
        from agentinfra.checkpoint.conversations import erase

        with self._working():
            if self.link is not None:
                return await erase(self.link, self.saver, thread)
            memory = self._standby.memory if self._standby is not None else None
            if memory is None:
                return PruneResult()
            from agentinfra.checkpoint.memory import erase as erase_in_memory

            return erase_in_memory(memory, thread)

    async def reseal(self) -> int:
        """Seal under the first key what another one has sealed, or none; return how many rows.

        Values, scalars, writes and metadata of all conversations, a page at a time; graphs may
        run meanwhile, in processes that have the key already. A key that was not used for
        anything any more can be taken away then. Cancelled, or failed, it goes on the next time.

        Raises:
            CheckpointError: There is no key, or no database; the database failed; or a row needs
                a key that is not here.
        """
        from agentinfra.checkpoint.resealing import reseal_conversations
        from agentinfra.checkpoint.serde import StrictSerializer

        with self._working():
            if self.link is None or self._seal is None:
                raise CheckpointError(
                    "there is nothing to seal: "
                    + (self.reason or "set AGENTINFRA_CHECKPOINTER__ENCRYPTION_KEYS")
                )
            rows = await reseal_conversations(self.link, self._seal, StrictSerializer())
        _log.info("checkpoint.resealed", rows=rows)
        return rows

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
            load("agentinfra.checkpoint.saver")
            link = self._connect()
            self._seal = self._sealed()
        except AgentInfraError as error:
            self._not_durable(str(error))
            return
        self._use_postgres(link, self._standby)
        await self._arrive(link)

    def _use_memory(self) -> Standby[MemorySaver]:
        from agentinfra.checkpoint.memory import MemorySaver
        from agentinfra.checkpoint.serde import StrictSerializer, derive_types
        from agentinfra.checkpoint.standby import Standby

        derive_types()
        serde = StrictSerializer(self._allowed_types)
        memory = MemorySaver(serde, metrics=self._metrics, clock=self._clock)
        self._saver, self._detail = memory, "in memory"
        return Standby(memory, patience=self._timeout)

    def _use_postgres(self, link: Link, standby: Standby[MemorySaver]) -> None:
        from langgraph.checkpoint.serde.encrypted import EncryptedSerializer

        from agentinfra.checkpoint.saver import PostgresSaver
        from agentinfra.checkpoint.serde import StrictSerializer

        serde: SerializerProtocol = StrictSerializer(self._allowed_types)
        if self._seal is not None:
            serde = EncryptedSerializer(self._seal.cipher, serde)
        self._saver = PostgresSaver(link, serde=serde, standby=standby, sealed=self._seal)

    def _sealed(self) -> Sealed | None:
        cipher = self._cipher or (KeyRing(self._keys) if self._keys else None)
        plain = NEEDED | frozenset(self._settings.plain_metadata)
        return None if cipher is None else Sealed(cipher=cipher, plain=plain)

    async def _move(self, link: Link) -> None:
        from agentinfra.checkpoint.memory import carry_over, not_carried
        from agentinfra.checkpoint.saver import PostgresSaver
        from agentinfra.checkpoint.schema import CHECKPOINTS, ensure_schema
        from agentinfra.checkpoint.standby import Standby

        await ensure_schema(link, CHECKPOINTS)
        standby, saver = self._standby, self._saver
        if standby is None or not isinstance(saver, PostgresSaver):
            return
        carried, tables = standby.carried, saver.beside(Standby(None))
        await standby.hand_over(
            lambda memory: not_carried(memory, carried),
            lambda memory, places: carry_over(memory, places, carried, tables),
        )
        if carried:
            _log.info("checkpoint.carried_over", checkpoints=len(carried))

    async def _prune(self, policies: Sequence[Policy], *, dry_run: bool) -> PruneResult:
        # The age of a checkpoint is in its id, which comes from the clock on the wall.
        now = time.time()
        if self.link is not None:
            from agentinfra.checkpoint.retention.pruner import Pruner

            return await Pruner(self.link, policies, now=now, dry_run=dry_run).run()
        if self._standby is None or self._standby.memory is None:
            return PruneResult()
        from agentinfra.checkpoint.memory import prune

        return prune(self._standby.memory, policies, now=now, dry_run=dry_run)


def said_by(settings: CheckpointerSettings) -> dict[str, Any]:
    """Return the arguments of a policy as far as somebody has set them, None for the others.

    A default is nobody's word: what a conversation loses cannot be brought back.
    """
    return {
        "older_than": _days(settings.retention_days),
        "keep_last": settings.keep_last if "keep_last" in settings.model_fields_set else None,
        "checkpoints_older_than": _days(settings.checkpoint_days),
        "keep_bytes": settings.keep_bytes,
    }


def _named(path: str) -> tuple[str, str]:
    """Return the module and the name of a type, as LangGraph lists them."""
    module, _, name = path.replace(":", ".").rpartition(".")
    return module, name


def _days(number: float | None) -> float | None:
    return None if number is None else number * _DAY
