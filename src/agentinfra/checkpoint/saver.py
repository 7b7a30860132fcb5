"""LangGraph's PostgreSQL saver, observed: typed errors, durations, bytes.

Importing this module imports langgraph and psycopg.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

from agentinfra.checkpoint.pool import one_line
from agentinfra.checkpoint.serde import WRITTEN, Written
from agentinfra.errors import CheckpointError
from agentinfra.observability.semconv import CHECKPOINT_BYTES, CHECKPOINT_OPERATIONS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import (
        ChannelVersions,
        Checkpoint,
        CheckpointMetadata,
        CheckpointTuple,
    )
    from langgraph.checkpoint.serde.base import SerializerProtocol

    from agentinfra._mechanics.clock import Clock
    from agentinfra._mechanics.inflight import InFlight
    from agentinfra.checkpoint.pool import CheckpointPool
    from agentinfra.observability.metrics import Metrics

__all__ = ["PostgresSaver", "checkpoint_errors"]

_OPERATIONS = ("get", "list", "put", "put_writes", "delete")


class PostgresSaver(AsyncPostgresSaver):
    """The saver graphs are compiled with.

    Where psycopg fails, ``CheckpointError`` is raised with its error as the cause.

    Args:
        pool: Where connections come from.
        serde: How state becomes bytes.
        metrics: Where durations and bytes go.
        inflight: Where operations under way are listed, for closing to wait for.
        clock: Where time comes from.
        worked: Called after each operation that succeeded.
    """

    def __init__(
        self,
        pool: CheckpointPool,
        *,
        serde: SerializerProtocol,
        metrics: Metrics,
        inflight: InFlight,
        clock: Clock,
        worked: Callable[[], None],
    ) -> None:
        super().__init__(pool, serde=serde)
        # Its lock is for a single connection: around a pool all conversations would queue for it.
        self.lock = pool.slots  # type: ignore[assignment]
        self._durations = {
            name: metrics.histogram(CHECKPOINT_OPERATIONS, name) for name in _OPERATIONS
        }
        self._bytes = metrics.counter(CHECKPOINT_BYTES)
        self._inflight = inflight
        self._clock = clock
        self._worked = worked

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return a checkpoint, the newest where the configuration names none."""
        with self._operation("get"):
            return await super().aget_tuple(config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - LangGraph's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Yield checkpoints, the newest first."""
        with self._operation("list"):
            # Read to the end first: the vendor's holds a connection while its reader thinks.
            found = [
                item
                async for item in super().alist(config, filter=filter, before=before, limit=limit)
            ]
        for item in found:
            yield item

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a checkpoint."""
        with self._operation("put"):
            return await super().aput(config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Store what a task wrote, before the checkpoint that will contain it."""
        with self._operation("put_writes"):
            await super().aput_writes(config, writes, task_id, task_path)

    async def adelete_thread(self, thread_id: str) -> None:
        """Drop a conversation."""
        with self._operation("delete"):
            await super().adelete_thread(thread_id)

    @contextmanager
    def _operation(self, name: str) -> Iterator[None]:
        begun = self._clock.now()
        written = Written()
        mark = WRITTEN.set(written)
        try:
            with self._inflight.begin(), checkpoint_errors(name):
                yield
            self._worked()
            self._bytes.inc(written.bytes)
        finally:
            WRITTEN.reset(mark)
            self._durations[name].observe(self._clock.now() - begun)


@contextmanager
def checkpoint_errors(operation: str) -> Iterator[None]:
    """Turn psycopg's errors into ours.

    Raises:
        CheckpointError: psycopg failed inside of the block.
    """
    try:
        yield
    except psycopg.Error as error:
        raise CheckpointError(f"checkpoint {operation} failed: {one_line(error)}") from error
