"""Where the processes of one deployment meet: on Redis where there is one, else on the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from agentinfra.errors import AgentInfraError, CacheError

if TYPE_CHECKING:
    from agentinfra.protocols import NoticeBoard

__all__ = ["Meeting"]


class Meeting:
    """A notice board on the first of some places that answers; see ``NoticeBoard``."""

    def __init__(self) -> None:
        self._places: list[NoticeBoard] = []

    def add(self, place: NoticeBoard) -> None:
        """Add a place, after those that are there."""
        self._places.append(place)

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
