"""Dropping aged conversations and old checkpoints from the database, while graphs run."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from agentinfra.checkpoint.retention.listing import long_threads
from agentinfra.checkpoint.retention.policies import Policy, PruneResult
from agentinfra.checkpoint.retention.reachability import (
    LOST_AFTER,
    boundary_id,
    doomed,
    has_aged,
)
from agentinfra.checkpoint.retention.thread import Thread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from agentinfra.checkpoint.link import Link

__all__ = ["Pruner"]

_BATCH = 500
"""Checkpoints at most in one transaction, so that nobody waits long for what it locks."""

_PATIENCE = 120.0

# A write may be saved before its checkpoint, hence only those whose time is long over.
_ORPHANS = """
FROM checkpoint_writes w
WHERE w.checkpoint_id COLLATE "C" < $1 AND w.checkpoint_id ~ '^[0-9a-f]{8}-[0-9a-f]{4}-6'
AND NOT EXISTS (
    SELECT 1 FROM checkpoints c WHERE c.thread_id = w.thread_id
    AND c.checkpoint_ns = w.checkpoint_ns AND c.checkpoint_id = w.checkpoint_id
)
"""

_SWEPT = """
WITH dropped AS ({rows})
SELECT count(*) AS rows, coalesce(sum(bytes), 0) AS bytes FROM dropped
"""

_SWEEP = _SWEPT.format(rows=f"DELETE {_ORPHANS} RETURNING octet_length(w.blob) AS bytes")
_TRY_SWEEP = _SWEPT.format(rows=f"SELECT octet_length(w.blob) AS bytes {_ORPHANS}")

# A run does not go on for a week.
_FORGET_MARKS = "DELETE FROM agentinfra_forgotten WHERE at < now() - interval '7 days'"


class Pruner:
    """One prune of one database.

    Each batch of a conversation's checkpoints is a transaction of its own, and a run that goes on
    meanwhile keeps what it stands on. Two prunes at the same time never work on the same
    conversation.

    Args:
        link: The way to the database.
        policies: What may go.
        now: The time, in seconds since 1970.
        dry_run: Count, and take nothing.
    """

    def __init__(
        self, link: Link, policies: Sequence[Policy], *, now: float, dry_run: bool
    ) -> None:
        self._link = link
        self._policies = policies
        self._now = now
        self._lost_before = boundary_id(now - LOST_AFTER)
        self._dry_run = dry_run

    async def run(self) -> PruneResult:
        """Prune everything there is to prune.

        Raises:
            CheckpointError: The database failed; what was pruned before stays pruned.
        """
        total = PruneResult()
        seen: set[str] = set()  # several policies may list the same, a dry run twice
        for policy in self._policies:
            async for thread in long_threads(self._link, policy, now=self._now, limit=_PATIENCE):
                if thread not in seen:
                    seen.add(thread)
                    total += await self._prune(thread)
        return total + await self._step(self._sweep)

    async def _prune(self, thread: str) -> PruneResult:
        policies = [policy for policy in self._policies if policy.is_about(thread)]
        total, more = PruneResult(), True
        while more:
            done = await self._step(partial(self._batch, name=thread, policies=policies))
            # Aged conversations end with the batch that finds nothing but a rest.
            more = not self._dry_run and done.checkpoints >= _BATCH
            total += done
        return total.of_threads(min(total.threads, 1))

    async def _step(self, step: Callable[[Any], Awaitable[PruneResult]]) -> PruneResult:
        # One transaction for each, so that graphs get their turn in between.
        return await self._link.run("prune", step, transaction=not self._dry_run, timeout=_PATIENCE)

    async def _sweep(self, connection: Any) -> PruneResult:
        sql = _TRY_SWEEP if self._dry_run else _SWEEP
        swept = await connection.fetchrow(sql, self._lost_before)
        if not self._dry_run:
            await connection.execute(_FORGET_MARKS)
        return PruneResult(writes=swept["rows"], bytes=int(swept["bytes"]))

    async def _batch(self, connection: Any, name: str, policies: Sequence[Policy]) -> PruneResult:
        thread = Thread(connection, name, dry_run=self._dry_run)
        if not self._dry_run and not await thread.claim():
            return PruneResult()
        rows, delta = await thread.rows()
        # Looked at again: it may have gone on since it was listed.
        if has_aged(rows, policies, now=self._now):
            if self._dry_run or len(rows) <= _BATCH:
                return await thread.drop()
            oldest = sorted(rows, key=lambda row: row.id)[:_BATCH]
            return await thread.trim(_spaces((row.namespace, row.id) for row in oldest))
        if delta == "unknown":
            return PruneResult()  # another language's, whose values stand nobody knows where
        weigh = any(policy.keep_bytes is not None for policy in policies)
        dropped = doomed(
            rows,
            policies,
            now=self._now,
            lost_before=self._lost_before,
            weights=await thread.weights() if weigh else (),
        )
        return await thread.trim(dropped if self._dry_run else _some(dropped))


def _some(dropped: dict[str, set[str]]) -> dict[str, set[str]]:
    """Return as much as fits into a batch, the oldest first, of the graph itself last.

    A call of a subgraph is found by its checkpoint of the graph, which has to outlast it.
    """
    order = sorted(
        ((namespace, identifier) for namespace, ids in dropped.items() for identifier in ids),
        key=lambda place: (place[0] == "", place[1]),
    )
    return _spaces(order[:_BATCH])


def _spaces(places: Any) -> dict[str, set[str]]:
    spaces: dict[str, set[str]] = {}
    for namespace, identifier in places:
        spaces.setdefault(namespace, set()).add(identifier)
    return spaces
