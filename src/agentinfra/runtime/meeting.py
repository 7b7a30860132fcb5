"""Where the processes of one deployment meet: on Redis where there is one, else on the database."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
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
        redis: Its Redis, where it has one.
        database: Gives its database, which is made after those who meet there.
    """

    def __init__(
        self,
        settings: Settings,
        redis: RedisConnection | None,
        database: Callable[[], Database],
    ) -> None:
        self._settings = settings
        self._redis = None
        if redis is not None:
            self._redis = RedisNotices(redis, settings.cache.namespace)
        self._database = database

    async def exchange(
        self, notes: Mapping[str, str], *, member: str, lifetime: float
    ) -> Sequence[tuple[str, str]]:
        """Put notes up and read those of the others; see ``NoticeBoard``.

        Raises:
            AgentInfraError: No place answers.
        """
        refused: AgentInfraError = CacheError("there is neither a Redis nor a database to meet on")
        for place in self._places():
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
        for place in self._places():
            await place.leave(member)

    def _places(self) -> Iterator[NoticeBoard]:
        if self._redis is not None:
            yield self._redis
        if self._settings.database.enabled:
            yield DatabaseNotices(self._database())
