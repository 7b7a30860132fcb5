"""Which conversations a policy may have something to take from, page by page."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from agentinfra.checkpoint.retention.policies import liked
from agentinfra.checkpoint.retention.reachability import boundary_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agentinfra.checkpoint.link import Link
    from agentinfra.checkpoint.retention.policies import Policy

__all__ = ["long_threads"]

_PAGE = 500

# The pattern is that of UUIDs of version 6: other ids do not say how old they are.
_AGED = """
SELECT thread_id FROM checkpoints WHERE thread_id > $1 AND thread_id LIKE $2
GROUP BY thread_id
HAVING max(checkpoint_id COLLATE "C") < $4
    AND bool_and(checkpoint_id ~ '^[0-9a-f]{8}-[0-9a-f]{4}-6')
ORDER BY thread_id LIMIT $3
"""

_SPACES = """
SELECT DISTINCT thread_id FROM (
    SELECT thread_id FROM checkpoints
    WHERE thread_id > $1 AND thread_id LIKE $2 AND checkpoint_ns NOT LIKE '%:%'
    GROUP BY thread_id, checkpoint_ns HAVING {having}
) AS long ORDER BY thread_id LIMIT $3
"""

_LONG = _SPACES.format(having="count(*) > $4")
_OLD = _SPACES.format(having='count(*) > 1 AND min(checkpoint_id COLLATE "C") < $4')

_HEAVY = """
SELECT thread_id FROM (
    SELECT thread_id, octet_length(blob) AS bytes FROM checkpoint_blobs
    WHERE thread_id > $1 AND thread_id LIKE $2
    UNION ALL
    SELECT thread_id, octet_length(blob) FROM checkpoint_writes
    WHERE thread_id > $1 AND thread_id LIKE $2
    UNION ALL
    SELECT thread_id, pg_column_size(checkpoint) + pg_column_size(metadata) FROM checkpoints
    WHERE thread_id > $1 AND thread_id LIKE $2
) AS rows GROUP BY thread_id HAVING sum(bytes) > $4 ORDER BY thread_id LIMIT $3
"""


async def long_threads(
    link: Link, policy: Policy, *, now: float, limit: float
) -> AsyncIterator[str]:
    """Yield the conversations, some of them more than once.

    What is pruned meanwhile does not move the pages.

    Args:
        link: The way to the database.
        policy: What may go.
        now: The time, in seconds since 1970.
        limit: Seconds one page may take.

    Raises:
        CheckpointError: The database failed.
    """
    for sql, bound in _questions(policy, now):
        last = ""
        while True:
            args = (last, liked(policy.threads), _PAGE, bound)
            page = await link.run("prune", partial(_fetch, sql=sql, args=args), timeout=limit)
            for row in page:
                yield row["thread_id"]
            if len(page) < _PAGE:
                break
            last = page[-1]["thread_id"]


def _questions(policy: Policy, now: float) -> list[tuple[str, object]]:
    questions: list[tuple[str, object]] = []
    if policy.older_than is not None:
        questions.append((_AGED, boundary_id(now - policy.older_than)))
    if policy.keep_last is not None:
        questions.append((_LONG, policy.keep_last))
    if policy.checkpoints_older_than is not None:
        questions.append((_OLD, boundary_id(now - policy.checkpoints_older_than)))
    if policy.keep_bytes is not None:
        questions.append((_HEAVY, policy.keep_bytes))
    return questions


async def _fetch(connection: Any, *, sql: str, args: tuple[object, ...]) -> list[Any]:
    found: list[Any] = await connection.fetch(sql, *args)
    return found
