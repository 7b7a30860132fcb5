"""The shared tier on Redis: leases, and news of what other processes change."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any

from agentinfra.cache.shared.connection import RedisConnection
from agentinfra.cache.shared.envelope import FRESH_AT, MAGIC
from agentinfra.cache.shared.hearing import say
from agentinfra.cache.shared.protocol import Claim, SharedValue
from agentinfra.cache.shared.redis_store import StoreRefusedError
from agentinfra.cache.shared.scripts import CLAIM, DROP, DROP_TAG, PUT, RENEW, SETTLE, STAMPS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from agentinfra.cache.shared.protocol import Listener
    from agentinfra.cache.shared.redis_store import RedisStore

__all__ = ["RedisTier"]

_FOREVER = float("inf")


class RedisTier(RedisConnection):
    """A `CoordinatedTier` on a Redis server.

    Whoever enters it owns its lifetime; the caches of its event loop share it. While the server is
    away or refuses, see `RedisConnection`.

    Args:
        url: ``redis://``, ``rediss://``, ``valkey://``, ``unix://``, ``redis+sentinel://`` or
            ``redis+cluster://``, with user, password and database.
        timeout: Seconds one command may wait for its turn, and again for its answer.
        max_connections: Connections at most, beside the one that listens.
        clock: Where time comes from.
        changed: Called when the state changes.
    """

    async def get(self, key: str) -> SharedValue | None:
        """Return what is stored under a key; our values say themselves how long they live.

        Raises:
            CacheError: Redis failed just now.
        """
        if self._missed and self._missed.covers(key):
            self._usable()
            return None
        data = await self.read(lambda store: store.get(key), None)
        return None if data is None else SharedValue(data, _FOREVER)

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return what is stored under each key.

        Raises:
            CacheError: Redis failed just now.
        """
        wanted = [key for key in keys if not (self._missed and self._missed.covers(key))]
        nothing: list[bytes | None] = []
        found = await self.read(lambda store: store.get_many(wanted), nothing)
        known = dict(zip(wanted, found, strict=False))
        return [known.get(key) for key in keys]

    async def claim(
        self, keys: Sequence[str], token: str, lease: float, fresh_for: float = 0.0
    ) -> list[Claim]:
        """Return each key's value, and where it is not fresh for so long try for its lease.

        While the server is away there are neither.

        Raises:
            CacheError: Redis failed just now.
        """
        wanted = [key for key in keys if not (self._missed and self._missed.covers(key))]
        least = time.time() + fresh_for
        nothing: list[Any] = []
        answers = await self.read(
            lambda store: store.run(
                CLAIM, wanted, token, _milliseconds(lease), repr(least), MAGIC, FRESH_AT
            ),
            nothing,
            kind="leases",
        )
        flat = _flat(answers)
        found = {
            key: Claim(data, state == 1, state == 2)
            for key, data, state in zip(wanted, flat[::2], flat[1::2], strict=False)
        }
        return [found.get(key, Claim()) for key in keys]

    async def renew(self, keys: Sequence[str], token: str, lease: float) -> int:
        """Hold leases for longer; return how many still hold.

        Raises:
            CacheError: Redis failed just now.
        """
        nothing: list[Any] = []
        arguments = (token, _milliseconds(lease))
        held = await self.read(
            lambda store: store.run(RENEW, keys, *arguments), nothing, kind="leases"
        )
        return sum(held)

    async def settle(
        self, pairs: Sequence[tuple[str, bytes | None]], token: str, ttl: float
    ) -> list[bool]:
        """Store what was loaded, None for nothing, where the lease holds, and end the lease.

        Returns:
            For each whether its lease held; nothing while the server is away.

        Raises:
            CacheError: Redis failed just now.
        """
        nothing: list[Any] = []
        keys = [key for key, _ in pairs]
        data = [b"" if data is None else data for _, data in pairs]
        answers = await self.change(
            lambda store: store.run(SETTLE, keys, token, _milliseconds(ttl), each=data), nothing
        )
        return [held == 1 for held in _flat(answers)]

    async def set(self, key: str, data: bytes, ttl: float) -> None:
        """Store bytes for a while; while Redis is away, what it has under the key is outdated.

        Raises:
            CacheError: Redis failed just now.
        """
        await self.put([(key, data)], ttl, "")

    async def put(self, pairs: Sequence[tuple[str, bytes]], ttl: float, origin: str) -> None:
        """Store bytes, end the leases on them and tell all listeners but ``origin``.

        Raises:
            CacheError: Redis failed just now.
        """
        keys, data = [key for key, _ in pairs], [data for _, data in pairs]
        arguments = (_milliseconds(ttl), self._channel, _news(keys, origin))
        nothing: list[Any] = []
        await self.change(
            lambda store: store.run(PUT, keys, *arguments, each=data), nothing, keys=keys
        )

    async def delete(self, key: str) -> bool:
        """Drop a key; one dropped while Redis is away is dropped there when it returns.

        Raises:
            CacheError: Redis failed just now.
        """
        return await self.drop([key], "") > 0

    async def drop(self, keys: Sequence[str], origin: str) -> int:
        """Drop keys and the leases on them, tell the others; return how many there were.

        Raises:
            CacheError: Redis failed just now.
        """
        nothing: list[Any] = []
        arguments = (self._channel, _news(keys, origin))
        gone = await self.change(
            lambda store: store.run(DROP, keys, *arguments), nothing, keys=keys, kind="deletions"
        )
        return sum(gone)

    async def clear(self, prefix: str) -> None:
        """Drop every key that starts with a prefix, when it returns if Redis is away.

        Raises:
            CacheError: Redis failed just now.
        """
        await self.wipe(prefix, "")

    async def wipe(self, prefix: str, origin: str) -> None:
        """Drop every key that starts with ``prefix``, leases too, and tell the others.

        Raises:
            CacheError: Redis failed just now.
        """
        await self.change(
            lambda store: self._wipe(store, prefix, origin), None, prefix=prefix, kind="deletions"
        )

    async def stamps(self, keys: Sequence[str], ttl: float) -> list[bytes] | None:
        """Return the stamp of each tag, made where there is none, kept for ``ttl`` seconds more.

        None while the server is away.

        Raises:
            CacheError: Redis failed just now.
        """
        nothing: list[Any] = []
        fresh = [uuid.uuid4().bytes for _ in keys]
        answers = await self.change(
            lambda store: store.run(STAMPS, keys, _milliseconds(ttl), each=fresh), nothing
        )
        return _flat(answers) or None

    async def drop_tag(self, prefix: str, tag: str, key: str, origin: str) -> None:
        """Drop a tag's stamp, so that no value stored under it counts, and tell the others.

        Raises:
            CacheError: Redis failed just now.
        """
        arguments = (self._channel, say(origin, prefix=prefix, tag=tag))
        nothing: list[Any] = []
        await self.change(
            lambda store: store.run(DROP_TAG, [key], *arguments),
            nothing,
            keys=[key],
            kind="deletions",
        )

    def outdated(self, keys: Iterable[str]) -> None:
        """Find nothing under keys until they were dropped: a write of theirs was given up."""
        self._miss(keys)

    def listen(self, prefix: str, origin: str, listener: Listener) -> None:
        """Tell a listener of changes under a prefix that did not come from itself."""
        self._hearing.add(prefix, origin, listener)

    async def _wipe(self, store: RedisStore, prefix: str, origin: str) -> None:
        # The leases first: what is loaded under one could be stored behind the scan's back.
        await store.delete_matching(prefix, ":lease")
        await store.delete_matching(prefix)
        try:
            await store.execute("PUBLISH", self._channel, say(origin, prefix=prefix))
        except StoreRefusedError as error:  # the keys are gone all the same
            self._say("hearing", f"changes are not told to other processes: {error}")

    async def _catch_up(self, store: RedisStore, keys: tuple[str, ...], prefix: str | None) -> None:
        if prefix is not None:
            await self._wipe(store, prefix, "")
        else:
            by_prefix: dict[str, list[str]] = {}
            for key in keys:
                by_prefix.setdefault(_prefix(key), []).append(key)
            for some in by_prefix.values():
                await store.run(DROP, some, self._channel, _news(some, ""))


def _news(keys: Sequence[str], origin: str) -> bytes:
    return say(origin, prefix=_prefix(keys[0]) if keys else "", keys=keys)


def _prefix(key: str) -> str:
    return key[: key.rfind(":") + 1]


def _milliseconds(seconds: float) -> int:
    """Return a time as Redis takes it: 0 for ever, and less than a millisecond as one."""
    return 0 if seconds == _FOREVER else max(1, min(int(seconds * 1000), 2**53))


def _flat(answers: list[Any]) -> list[Any]:
    return [item for answer in answers for item in answer]
