"""Where the processes of one deployment meet: on Redis where there is one, else on the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from agentinfra.cache.shared.notices import RedisNotices
from agentinfra.db.notices import DatabaseNotices
from agentinfra.errors import AgentInfraError, CacheError

if TYPE_CHECKING:
    from agentinfra.cache.shared.connection import RedisConnection
    from agentinfra.db.database import Database
    from agentinfra.protocols import NoticeBoard
    from agentinfra.settings import Settings

__all__ = ["Meeting"]


class Meeting:
    """A notice board on the first of some places that answers; see ``NoticeBoard``.

    Args:
        settings: The runtime's.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._places: list[NoticeBoard] = []

    def at(self, redis: RedisConnection | None, database: Database) -> None:
        """Say which places there are; they need not be open."""
        if redis is not None:
            self._places.append(RedisNotices(redis, self._settings.cache.namespace))
        if self._settings.database.enabled:
            self._places.append(DatabaseNotices(database))

    async def exchange(
        self, notes: Mapping[str, str], *, member: str, lifetime: float
    ) -> Sequence[tuple[str, str]]:
        """Put notes up and read those of the others; see ``NoticeBoard``.

        Raises:
            AgentInfraError: No place answers.
        """
        refused: AgentInfraError = CacheError("there is neither a Redis nor a database to meet on")
        for place in self._places:
            try:
                return await place.exchange(notes, member=member, lifetime=lifetime)
            except AgentInfraError as error:
                refused = error
        raise refused

    async def leave(self, member: str) -> None:
        """Take every note of a member down, wherever it is; see ``NoticeBoard``.

        Raises:
            AgentInfraError: A place does not answer.
        """
        for place in self._places:
            await place.leave(member)
