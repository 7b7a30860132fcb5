"""Where processes on one Redis tell one another something, topic by topic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from agentinfra.errors import CacheError

if TYPE_CHECKING:
    from agentinfra.cache.shared.connection import RedisConnection
    from agentinfra.cache.shared.redis_store import RedisStore

__all__ = ["RedisNotices"]

_EXCHANGE = """
local member, note, ms = ARGV[1], ARGV[2], tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], member, string.format('%.0f', now + ms) .. ' ' .. note)
redis.call('PEXPIRE', KEYS[1], ms * 10)
local all, others = redis.call('HGETALL', KEYS[1]), {}
for i = 1, #all, 2 do
  local till, text = string.match(all[i + 1], '^(%d+) (.*)$')
  if not till or tonumber(till) < now then
    redis.call('HDEL', KEYS[1], all[i])
  elseif all[i] ~= member then
    table.insert(others, text)
  end
end
return others
"""
"""A topic is a hash of members; each note begins with when it ends, by Redis' own clock."""


class RedisNotices:
    """A notice board on Redis; see ``NoticeBoard``.

    Args:
        connection: The runtime's.
        namespace: Put in front of every key.
    """

    def __init__(self, connection: RedisConnection, namespace: str) -> None:
        self._connection = connection
        self._namespace = namespace
        self._topics: set[str] = set()

    async def exchange(
        self, notes: Mapping[str, str], *, member: str, lifetime: float
    ) -> Sequence[tuple[str, str]]:
        """Put notes up and read those of the others; see ``NoticeBoard``.

        Raises:
            CacheError: Redis is away, or refuses.
        """

        async def run(store: RedisStore) -> list[tuple[str, str]]:
            found = []
            for topic, note in notes.items():
                answer = await store.execute(
                    "EVAL", _EXCHANGE, 1, self._key(topic), member, note, round(lifetime * 1000)
                )
                found += [(topic, _text(other)) for other in answer]
            return found

        self._topics |= set(notes)
        others = await self._connection.read(run, None)
        if others is None:
            raise CacheError("Redis is away")
        return others

    async def leave(self, member: str) -> None:
        """Take every note of a member down; see ``NoticeBoard``.

        Raises:
            CacheError: Redis refuses.
        """

        async def run(store: RedisStore) -> None:
            for topic in self._topics:
                await store.execute("HDEL", self._key(topic), member)

        await self._connection.read(run, None)

    def _key(self, topic: str) -> str:
        return f"{self._namespace}:notices:{topic}"


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
