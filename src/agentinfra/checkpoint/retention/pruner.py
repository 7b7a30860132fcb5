"""Dropping aged conversations and old checkpoints from the database, while graphs run."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from agentinfra.checkpoint.retention.policies import PruneResult, boundary_id, doomed
from agentinfra.checkpoint.retention.thread import Thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from agentinfra.checkpoint.link import Link

__all__ = ["Pruner"]

_PAGE = 500
_LOST_AFTER = 3600.0
_PATIENCE = 120.0

# The pattern is that of UUIDs of version 6: other ids do not say how old they are.
_AGED = """
SELECT thread_id FROM checkpoints WHERE thread_id > $1
GROUP BY thread_id
HAVING max(checkpoint_id COLLATE "C") < $2
    AND bool_and(checkpoint_id ~ '^[0-9a-f]{8}-[0-9a-f]{4}-6')
ORDER BY thread_id LIMIT $3
"""

_LONG = """
SELECT DISTINCT thread_id FROM (
    SELECT thread_id FROM checkpoints
    WHERE thread_id > $1 AND checkpoint_ns NOT LIKE '%:%'
    GROUP BY thread_id, checkpoint_ns HAVING count(*) > $2
) AS long ORDER BY thread_id LIMIT $3
"""

# A write may be saved before its checkpoint, hence only those whose time is long over.
_SWEEP = """
WITH dropped AS (
    DELETE FROM checkpoint_writes w
    WHERE w.checkpoint_id COLLATE "C" < $1 AND w.checkpoint_id ~ '^[0-9a-f]{8}-[0-9a-f]{4}-6'
    AND NOT EXISTS (
        SELECT 1 FROM checkpoints c WHERE c.thread_id = w.thread_id
        AND c.checkpoint_ns = w.checkpoint_ns AND c.checkpoint_id = w.checkpoint_id
    )
    RETURNING octet_length(blob) AS bytes
)
SELECT count(*) AS rows, coalesce(sum(bytes), 0) AS bytes FROM dropped
"""

# A run does not go on for a week.
_FORGET_MARKS = "DELETE FROM agentinfra_forgotten WHERE at < now() - interval '7 days'"


class Pruner:
    """One prune of one database.

    Each conversation is a transaction of its own, and a run that goes on meanwhile keeps what it
    stands on. Two prunes at the same time never work on the same conversation.

    Args:
        link: The way to the database.
        now: The time, in seconds since 1970.
        keep_last: Checkpoints a conversation keeps.
        older_than: Seconds without a checkpoint after which a conversation goes; None for never.
        dry_run: Count, and take everything back.
    """

    def __init__(
        self,
        link: Link,
        *,
        now: float,
        keep_last: int,
        older_than: float | None,
        dry_run: bool,
    ) -> None:
        self._link = link
        self._keep_last = keep_last
        self._aged_before = None if older_than is None else boundary_id(now - older_than)
        self._lost_before = boundary_id(now - _LOST_AFTER)
        self._dry_run = dry_run

    async def run(self) -> PruneResult:
        """Prune everything there is to prune.

        Raises:
            CheckpointError: The database failed; what was pruned before stays pruned.
        """
        total = PruneResult()
        aged: set[str] = set()  # a dry run finds them a second time
        if self._aged_before is not None:
            async for thread in self._threads(_AGED, self._aged_before):
                total += await self._step(partial(self._prune, name=thread))
                aged.add(thread)
        async for thread in self._threads(_LONG, self._keep_last):
            if thread not in aged:
                total += await self._step(partial(self._prune, name=thread))
        return total + await self._step(self._sweep)

    async def _threads(self, sql: str, bound: object) -> AsyncIterator[str]:
        """Yield conversations page by page; what is pruned meanwhile does not move the pages."""
        last = ""
        while True:
            page = await self._link.run(
                "prune",
                partial(_page, sql=sql, args=(last, bound, _PAGE)),
                timeout=_PATIENCE,
            )
            for row in page:
                yield row["thread_id"]
            if len(page) < _PAGE:
                return
            last = page[-1]["thread_id"]

    async def _step(self, step: Callable[[Any], Awaitable[PruneResult]]) -> PruneResult:
        # One transaction for each, so that graphs get their turn in between.
        async def work(connection: Any) -> PruneResult:
            if not self._dry_run:
                return await step(connection)
            tried = connection.transaction()
            await tried.start()
            try:
                return await step(connection)
            finally:
                await tried.rollback()

        return await self._link.run("prune", work, transaction=True, timeout=_PATIENCE)

    async def _sweep(self, connection: Any) -> PruneResult:
        swept = await connection.fetchrow(_SWEEP, self._lost_before)
        await connection.execute(_FORGET_MARKS)
        return PruneResult(writes=swept["rows"], bytes=int(swept["bytes"]))

    async def _prune(self, connection: Any, name: str) -> PruneResult:
        thread = Thread(connection, name)
        if not await thread.claim():
            return PruneResult()
        rows, delta = await thread.rows()
        # Looked at again: it may have gone on since it was listed.
        newest = max((row.id for row in rows), default="")
        if self._aged_before is not None and "" < newest < self._aged_before:
            return await thread.drop()
        if delta:
            # A delta channel's value is spread over all checkpoints since its last snapshot.
            return PruneResult()
        dropped = doomed(rows, keep_last=self._keep_last, lost_before=self._lost_before)
        return await thread.trim(dropped)


async def _page(connection: Any, *, sql: str, args: tuple[object, ...]) -> list[Any]:
    found: list[Any] = await connection.fetch(sql, *args)
    return found
