"""LangGraph's PostgreSQL saver on the runtime's connections.

Importing this module imports langgraph and psycopg.
"""

from __future__ import annotations

import asyncio
import copy
import time
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from langgraph.checkpoint.base import get_checkpoint_id
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

from agentinfra.checkpoint import sql
from agentinfra.checkpoint.retention.reachability import boundary_id
from agentinfra.checkpoint.retention.thread import delete_for_runs, keep_latest
from agentinfra.checkpoint.rows import (
    Put,
    Writes,
    conditions,
    is_large,
    large_of,
    read,
    row_size,
    with_pieces,
)
from agentinfra.checkpoint.serde import WRITTEN, Written
from agentinfra.errors import CheckpointError
from agentinfra.observability.logging import get_logger
from agentinfra.observability.semconv import CHECKPOINT_BYTES, CHECKPOINTS_REFUSED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence

    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import (
        ChannelVersions,
        Checkpoint,
        CheckpointMetadata,
        CheckpointTuple,
        DeltaChannelHistory,
    )
    from langgraph.checkpoint.serde.base import SerializerProtocol

    from agentinfra.checkpoint.cipher import Sealed
    from agentinfra.checkpoint.link import Link
    from agentinfra.checkpoint.memory import MemorySaver
    from agentinfra.checkpoint.standby import Standby

__all__ = ["PostgresSaver"]

_log = get_logger("agentinfra.checkpoint")

T = TypeVar("T")

_LARGE = 16_384
_PAGES = (2, 8, 32)
_TRIES = 4
_SETTLING = 20
_MOMENT = 0.005


class PostgresSaver(AsyncPostgresSaver):
    """The saver graphs are compiled with.

    Tables and bytes are LangGraph's own: its saver goes on with what this one began, and the other
    way round. One statement an operation, on a connection lent for it; where the database fails,
    ``CheckpointError`` is raised.

    Args:
        link: The way to the database.
        serde: How state becomes bytes.
        standby: What answers until the database is there.
        sealed: What seals metadata; None leaves it plain.
    """

    def __init__(
        self,
        link: Link,
        *,
        serde: SerializerProtocol,
        standby: Standby[MemorySaver],
        sealed: Sealed | None = None,
    ) -> None:
        super().__init__(None, serde=serde)  # type: ignore[arg-type]
        self._link = link
        self._sealed = sealed
        self._standby = standby
        self._bytes = link.metrics.counter(CHECKPOINT_BYTES)
        self._refused = link.metrics.counter(CHECKPOINTS_REFUSED)

    def beside(self, standby: Standby[MemorySaver]) -> PostgresSaver:
        """Return a copy that has another standby, or none any more."""
        other = copy.copy(self)
        other._standby = standby  # noqa: SLF001 - a copy of this one
        return other

    async def _memory(self) -> MemorySaver | None:
        memory = await self._standby.answering()
        if memory is None or memory.serde is self.serde:
            return memory
        ours = copy.copy(memory)  # the same storage, with this copy's types
        ours.serde = self.serde
        return ours

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return a checkpoint, the newest where the configuration names none."""
        if (memory := await self._memory()) is not None:
            return await memory.aget_tuple(config)
        place = config["configurable"]
        args = [str(place["thread_id"]), place.get("checkpoint_ns", "")]
        where = "WHERE c.thread_id = $1 AND c.checkpoint_ns = $2 "
        if checkpoint_id := get_checkpoint_id(config):
            where += "AND c.checkpoint_id = $3"
            args.append(checkpoint_id)
        else:
            where += "ORDER BY c.checkpoint_id DESC LIMIT 1"
        statement = sql.SELECT + where
        for _ in range(_TRIES):
            row = await self._link.run(
                "get", lambda c: c.fetchrow(statement, *args), thread=args[0]
            )
            if row is None or (found := await self._read(row)) is not None:
                return None if row is None else found
        raise CheckpointError("checkpoint get failed: its values are taken away again and again")

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - LangGraph's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Yield checkpoints, the newest first; those nobody asks for are not read."""
        if (memory := await self._memory()) is not None:
            async for found in memory.alist(config, filter=filter, before=before, limit=limit):
                yield found
            return
        if filter and self._sealed is not None:
            self._sealed.check(filter)
        wheres, args = conditions(config, filter, before)
        thread = args[0] if config else None
        left, page = limit, 0
        after: list[Any] = []
        while left is None or left > 0:
            size = _PAGES[min(page, len(_PAGES) - 1)]
            size = size if left is None else min(size, left)
            rows = await self._page(wheres, args, after, size, thread)
            for row in rows:
                if (one := await self._read(row)) is not None:
                    yield one
            if len(rows) < size:
                return
            last = rows[-1]
            after = [last["checkpoint_id"], last["thread_id"], last["checkpoint_ns"]]
            left, page = (None if left is None else left - size), page + 1

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a checkpoint, with values it names that are no longer there.

        Nothing is stored of a conversation that was deleted while its run was under way.
        """
        if (memory := await self._memory()) is not None:
            return await memory.aput(config, checkpoint, metadata, new_versions)
        put = Put(config=config, checkpoint=checkpoint, metadata=metadata, sealed=self._sealed)
        put.sort(new_versions)
        for _ in range(_TRIES):
            columns = await self._encoded(
                put.blobs.values(), lambda: put.columns(self.serde, new_versions)
            )
            row = await self._link.run(
                "put", partial(_fetchrow, sql.PUT, columns), thread=columns[0]
            )
            if row["refused"]:
                await self._deleted_meanwhile(columns[0])
                break
            if not row["lacking"]:
                break
            put.restore(row["lacking"])
        else:
            raise CheckpointError(
                "checkpoint put failed: its values are taken away again and again"
            )
        return {
            "configurable": {
                "thread_id": config["configurable"]["thread_id"],
                "checkpoint_ns": columns[1],
                "checkpoint_id": checkpoint["id"],
            }
        }

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Store what a task wrote, before the checkpoint that will contain it."""
        if (memory := await self._memory()) is not None:
            await memory.aput_writes(config, writes, task_id, task_path)
            return
        if not writes:
            return
        wrote = Writes(config=config, writes=writes, task_id=task_id, task_path=task_path)
        columns = await self._encoded(
            (value for _, value in writes), lambda: wrote.columns(self.serde)
        )
        statement = sql.REPLACE_WRITES if wrote.replace else sql.PUT_WRITES
        await self._link.run(
            "put_writes", lambda c: c.execute(statement, *columns), thread=columns[0]
        )

    async def adelete_thread(self, thread_id: str) -> None:
        """Drop a conversation; a run of it that is under way stores nothing any more."""
        if (memory := await self._memory()) is not None:
            await memory.adelete_thread(thread_id)
            return
        await self._delete([str(thread_id)])

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Drop the checkpoints of runs, with what only they need."""
        if (memory := await self._memory()) is not None:
            await memory.adelete_for_runs(run_ids)
            return
        if run_ids:
            await self._link.run(
                "delete_for_runs",
                lambda c: delete_for_runs(c, [str(run) for run in run_ids]),
                transaction=True,
            )

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy a conversation: checkpoints, values and writes, as they are at one moment."""
        if (memory := await self._memory()) is not None:
            await memory.acopy_thread(source_thread_id, target_thread_id)
            return
        await self._link.run(
            "copy",
            lambda c: c.execute(sql.COPY, str(source_thread_id), str(target_thread_id)),
            thread=source_thread_id,
        )

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Shorten conversations to their newest checkpoints, or drop them.

        Args:
            thread_ids: The conversations.
            strategy: ``keep_latest`` or ``delete``.

        Raises:
            TypeError: ``thread_ids`` is a single string.
            ValueError: There is no such strategy.
            NotImplementedError: A conversation has a delta channel, and cannot be shortened.
        """
        if isinstance(thread_ids, str):
            raise TypeError("thread_ids must be a sequence of thread IDs, not a str")
        if strategy not in ("keep_latest", "delete"):
            raise ValueError(f"Unknown prune strategy: {strategy!r}")
        if (memory := await self._memory()) is not None:
            await memory.aprune(thread_ids, strategy=strategy)
            return
        threads = [str(thread) for thread in thread_ids]
        if strategy == "delete":
            await self._delete(threads)
            return
        for thread in threads:
            await self._link.run(
                "prune",
                partial(keep_latest, thread=thread),
                thread=thread,
                transaction=True,
            )

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Return what delta channels were built from, the oldest first."""
        if (memory := await self._memory()) is not None:
            return await memory.aget_delta_channel_history(config=config, channels=channels)
        # Not the vendor's of PostgreSQL, which wants psycopg: the one every saver has.
        return await super(AsyncPostgresSaver, self).aget_delta_channel_history(
            config=config, channels=channels
        )

    async def setup(self) -> None:
        """Do nothing: the checkpointer has made the tables."""

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """As the asynchronous one, from another thread."""
        self._from_thread(self.adelete_for_runs(run_ids))

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """As the asynchronous one, from another thread."""
        self._from_thread(self.acopy_thread(source_thread_id, target_thread_id))

    def _from_thread(self, work: Any) -> None:
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        if here is self.loop:
            work.close()
            raise asyncio.InvalidStateError(
                "synchronous methods wait for this event loop: call the asynchronous ones here"
            )
        asyncio.run_coroutine_threadsafe(work, self.loop).result()

    async def _page(
        self, wheres: Collection[str], args: list[Any], after: list[Any], size: int, thread: Any
    ) -> list[Any]:
        wheres = list(wheres)
        if after:
            n = len(args)
            wheres.append(
                f"(c.checkpoint_id, c.thread_id, c.checkpoint_ns) < (${n + 1}, ${n + 2}, ${n + 3})"
            )
        statement = (
            f"{sql.SELECT} {'WHERE ' + ' AND '.join(wheres) if wheres else ''} "
            f"ORDER BY c.checkpoint_id DESC, c.thread_id DESC, c.checkpoint_ns DESC LIMIT {size}"
        )
        found: list[Any] = await self._link.run(
            "list", lambda c: c.fetch(statement, *args, *after), thread=thread
        )
        return found

    async def _read(self, row: Mapping[str, Any]) -> CheckpointTuple | None:
        """Return what a row holds, None where a prune has taken its values away meanwhile."""
        if large := large_of(row):
            place = (row["thread_id"], row["checkpoint_ns"])
            args = (*place, list(large), list(large.values()))
            pieces = await self._link.run(
                "get", lambda c: c.fetch(sql.PIECES, *args), thread=place[0]
            )
            if len({piece["channel"] for piece in pieces}) < len(large):
                return None
            row = with_pieces(row, pieces)
        decode = partial(read, self.serde, self.get_next_version, self._sealed, row)
        return decode() if row_size(row) < _LARGE else await asyncio.to_thread(decode)

    async def _encoded(
        self, values: Iterable[Any], encode: Callable[[], tuple[Any, ...]]
    ) -> tuple[Any, ...]:
        written = Written()
        mark = WRITTEN.set(written)
        try:
            if not is_large(values):
                return encode()
            with self._link.working():
                return await asyncio.to_thread(encode)
        finally:
            WRITTEN.reset(mark)
            self._bytes.inc(written.bytes)

    async def _delete(self, threads: list[str]) -> None:
        # The mark first, in a transaction of its own: whoever looks from then on stores nothing.
        boundary = boundary_id(time.time())
        mark = await self._link.run(
            "delete", lambda c: c.fetchval(sql.FORGOTTEN, threads, boundary)
        )
        await self._link.run("delete", lambda c: c.execute(sql.DELETE, threads))
        # Statements that began before the mark may end after the deletion: wait for them, a while.
        for _ in range(_SETTLING):
            if await self._link.run("delete", lambda c: c.fetchval(sql.SETTLED, mark)):
                break
            await asyncio.sleep(_MOMENT)
        await self._link.run("delete", lambda c: c.execute(sql.DELETE_LATE, threads, boundary))

    async def _deleted_meanwhile(self, thread: str) -> None:
        self._refused.inc()
        _log.warning("checkpoint.refused", thread_id=thread, reason="the conversation was deleted")
        await self._link.run("put", lambda c: c.execute(sql.CLEAN_REFUSED, thread), thread=thread)


async def _fetchrow(statement: str, args: tuple[Any, ...], connection: Any) -> Any:
    return await connection.fetchrow(statement, *args)
