"""Where processes on one database tell one another something, topic by topic."""

# ruff: noqa: S608 - names are quoted

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from agentinfra.db.layout import NOTICES

if TYPE_CHECKING:
    from agentinfra.db.database import Database

__all__ = ["DatabaseNotices"]

_EXCHANGE = """
WITH put AS (
    INSERT INTO {table} (topic, member, note, until)
    SELECT topic, $3, note, now() + make_interval(secs => $4)
    FROM unnest($1::text[], $2::text[]) AS mine (topic, note)
    ON CONFLICT (topic, member) DO UPDATE SET note = EXCLUDED.note, until = EXCLUDED.until
), gone AS (
    -- Whoever comes first: two that delete the same rows would wait for each other.
    DELETE FROM {table} WHERE (topic, member) IN (
        SELECT topic, member FROM {table} WHERE until < now() - interval '1 minute'
        LIMIT 100 FOR UPDATE SKIP LOCKED
    )
)
SELECT topic, note FROM {table} WHERE topic = ANY ($1) AND member <> $3 AND until > now()
"""
"""One statement, by the server's clock alone."""


class DatabaseNotices:
    """A notice board in a table of our own; see ``NoticeBoard``.

    Args:
        database: Where the table is; it is made by whoever needs it first.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def exchange(
        self, notes: Mapping[str, str], *, member: str, lifetime: float
    ) -> Sequence[tuple[str, str]]:
        """Put notes up and read those of the others; see ``NoticeBoard``.

        Raises:
            DatabaseError: The database is away, or lets us make no table.
        """
        if not self._database.server.layout.newest:
            await self._database.migrate()
        sql = _EXCHANGE.format(table=self._table)
        async with self._database.connection(readonly=False, reset=False) as connection:
            rows = await connection.fetch(
                sql, list(notes), list(notes.values()), member, float(lifetime)
            )
        return [(row[0], row[1]) for row in rows]

    async def leave(self, member: str) -> None:
        """Take every note of a member down; see ``NoticeBoard``.

        Raises:
            DatabaseError: The database is away.
        """
        async with self._database.connection(readonly=False, reset=False) as connection:
            await connection.execute(f"DELETE FROM {self._table} WHERE member = $1", member)

    @property
    def _table(self) -> str:
        return f"{self._database.server.schema}.{NOTICES}"
