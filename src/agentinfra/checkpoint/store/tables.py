"""The tables of LangGraph's store, and what their vectors are.

Importing this module imports langgraph and psycopg.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langgraph.store.postgres.aio import AsyncPostgresStore

from agentinfra.checkpoint.schema import DUTIES, Tables
from agentinfra.errors import CheckpointError

if TYPE_CHECKING:
    from agentinfra.checkpoint.link import Link

__all__ = ["STORE", "check_vectors", "vectors_of"]

_DIMENSIONS = """
SELECT atttypmod FROM pg_attribute
WHERE attrelid = to_regclass('store_vectors') AND attname = 'embedding'
"""

STORE = Tables(
    log="store_migrations",
    names=("store",),
    steps=tuple(AsyncPostgresStore.MIGRATIONS),
    ours=(DUTIES,),
)


def vectors_of(store: AsyncPostgresStore) -> Tables:
    """Return the table of a store's vectors."""
    steps = []
    for migration in AsyncPostgresStore.VECTOR_MIGRATIONS:
        if migration.condition is not None and not migration.condition(store):
            steps.append("")
            continue
        params = {
            name: value(store) if callable(value) else value
            for name, value in (migration.params or {}).items()
        }
        steps.append(migration.sql % params if params else migration.sql)
    return Tables(log="vector_migrations", names=("store_vectors",), steps=tuple(steps))


async def check_vectors(link: Link, dimensions: int) -> None:
    """Refuse vectors of another length than the table has.

    Raises:
        CheckpointError: They differ; the sentence says what to do.
    """

    async def ask(connection: Any) -> Any:
        return await connection.fetchval(_DIMENSIONS)

    there = await link.run("set_up", ask)
    if there not in (None, -1, dimensions):
        raise CheckpointError(
            f"the table store_vectors holds vectors of {there} numbers, and "
            f"AGENTINFRA_STORE__DIMENSIONS says {dimensions}: set it to {there}, or drop "
            "store_vectors and vector_migrations and store the items again"
        )
