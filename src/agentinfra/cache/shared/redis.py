"""The shared tier on Redis: what happens while the server is away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from agentinfra._mechanics.clock import SYSTEM_CLOCK, Clock
from agentinfra._mechanics.closing import cancel_and_wait
from agentinfra._mechanics.resource import Resource
from agentinfra._mechanics.vendors import MissingPackageError
from agentinfra.cache.shared.catching_up import CatchingUp
from agentinfra.cache.shared.redis_store import RedisStore, StoreBusyError
from agentinfra.errors import CacheError
from agentinfra.observability.logging import get_logger
from agentinfra.results import ResourceHealth

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agentinfra.cache.shared.protocol import SharedValue

__all__ = ["RedisTier"]

_log = get_logger("agentinfra.cache")
T = TypeVar("T")

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0


class RedisTier(Resource):
    """A :class:`~agentinfra.cache.shared.protocol.SharedTier` on a Redis server.

    Entering never fails because of Redis: without the package, or while the server is away, the
    tier is degraded, finds nothing and stores nothing. A server that was away is tried again, in
    the background, by the first use after a pause, which doubles from 0.5 s to 30 s with every
    failure. Before it is used again, what this process changed meanwhile is deleted there. A tier
    that is not entered, or was left, finds and stores nothing either.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``, with user, password and database.
        timeout: Seconds one command may wait for its turn, and again for its answer.
        max_connections: Connections at most.
        clock: Where time comes from.
        changed: Called when the server is lost and when it is back.
    """

    name = "redis"
    vendors = RedisStore.vendors

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 0.5,
        max_connections: int = 16,
        clock: Clock = SYSTEM_CLOCK,
        changed: Callable[[], None] | None = None,
    ) -> None:
        super().__init__()
        self._url = url
        self._timeout = timeout
        self._max_connections = max_connections
        self._clock = clock
        self._changed = changed
        self._store: RedisStore | None = None
        self._missed = CatchingUp()
        self._returning: asyncio.Task[None] | None = None
        self._up = False
        self._retry_at = 0.0
        self._pause = _FIRST_PAUSE

    async def get(self, key: str) -> SharedValue | None:
        """Return what is stored under a key, with the time it has left.

        Raises:
            CacheError: Redis failed just now.
        """
        store = self._usable()
        return None if store is None else await self._watched(store.get(key))

    async def set(self, key: str, data: bytes, ttl: float) -> None:
        """Store bytes for a while; while Redis is away, what it has under the key is outdated.

        Raises:
            CacheError: Redis failed just now.
        """
        await self._change(lambda store: store.set(key, data, ttl), key=key)

    async def delete(self, key: str) -> bool:
        """Drop a key; one dropped while Redis is away is dropped there when it returns.

        Raises:
            CacheError: Redis failed just now.
        """
        return bool(await self._change(lambda store: store.delete(key), key=key))

    async def clear(self, prefix: str) -> None:
        """Drop every key that starts with a prefix, when it returns if Redis is away.

        Raises:
            CacheError: Redis failed just now.
        """
        await self._change(lambda store: store.delete_prefix(prefix), prefix=prefix)

    async def probe(self) -> ResourceHealth:
        """Ask Redis now, whatever pause there is."""
        begun, latency = self._clock.now(), None
        try:
            if self._store is not None:
                ping = self._watched(self._store.ping()) if self._up else self._returned()
                await ping
            if self._up:
                latency = self._clock.now() - begun
        except CacheError:
            pass  # the state says it
        return ResourceHealth(
            name=self.name, state=self.state, reason=self.reason, latency=latency, detail="Redis"
        )

    async def _open(self) -> None:
        try:
            RedisStore.load_vendors()
        except MissingPackageError as error:
            self._say(f"the shared tier is off: {error}")
            return
        self._store = RedisStore(
            self._url,
            timeout=self._timeout,
            max_connections=self._max_connections,
            clock=self._clock,
        )
        try:
            await self._return(self._store)
        except BaseException:
            await self._close()
            raise

    async def _close(self) -> None:
        store, self._store = self._store, None
        if self._returning is not None:
            await cancel_and_wait(self._returning)
        if store is not None:
            await store.aclose()

    def _usable(self) -> RedisStore | None:
        """Return the store unless it is away; have it tried again when that is due."""
        if self._store is None:
            return None
        due = bool(self._missed) if self._up else self._clock.now() >= self._retry_at
        if due:
            self._start_return(self._store)
        return self._store if self._up else None

    async def _change(
        self,
        command: Callable[[RedisStore], Awaitable[T]],
        *,
        key: str | None = None,
        prefix: str | None = None,
    ) -> T | None:
        store = self._usable()
        if store is None:
            self._missed.add(key, prefix)
            return None
        try:
            return await self._watched(command(store))
        except BaseException:
            self._missed.add(key, prefix)  # it may or may not have been done
            raise

    async def _watched(self, command: Awaitable[T]) -> T:
        try:
            return await command
        except StoreBusyError:
            raise
        except CacheError as error:
            if self._up:
                self._pause = _FIRST_PAUSE
                self._fall(error)
            raise

    async def _returned(self) -> None:
        """Try to reach the server now, or wait for the try that is under way."""
        if self._store is not None:
            await asyncio.wait({self._start_return(self._store)})

    def _start_return(self, store: RedisStore) -> asyncio.Task[None]:
        if self._returning is None:
            self._returning = asyncio.create_task(self._return(store), name="cache.redis return")
        return self._returning

    async def _return(self, store: RedisStore) -> None:
        """Reach the server, and bring it up to date before it is used."""
        try:
            if not self._up:
                await store.reconnect()
            for keys, prefix in self._missed.batches():
                await (store.delete(*keys) if prefix is None else store.delete_prefix(prefix))
        except CacheError as error:
            if self._up and isinstance(error, StoreBusyError):
                return  # the next use tries again
            self._pause = min(2 * self._pause, _LONGEST_PAUSE) if self.reason else _FIRST_PAUSE
            self._fall(error)
        else:
            self._rise()
        finally:
            self._returning = None

    def _fall(self, error: CacheError) -> None:
        if self.state == "ready":
            _log.warning("cache.redis_lost", error=str(error))
        self._up = False
        self._retry_at = self._clock.now() + self._pause
        self._say(f"serving from memory: {error}")

    def _rise(self) -> None:
        self._up = True
        if self.state != "ready":
            _log.info("cache.redis_restored")
            self.restore()
            if self._changed is not None:
                self._changed()

    def _say(self, reason: str) -> None:
        self.degrade(reason)
        if self._changed is not None:
            self._changed()
