"""The shared tier on Redis: what happens while the server is away, or refuses."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

from agentinfra._mechanics.clock import SYSTEM_CLOCK, Clock
from agentinfra._mechanics.closing import cancel_and_wait
from agentinfra._mechanics.resource import Resource
from agentinfra._mechanics.vendors import MissingPackageError
from agentinfra.cache.shared.catching_up import CatchingUp
from agentinfra.cache.shared.hearing import Hearing
from agentinfra.cache.shared.redis_store import RedisStore, StoreBusyError, StoreRefusedError
from agentinfra.errors import CacheError
from agentinfra.observability.logging import get_logger
from agentinfra.results import ResourceHealth

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

__all__ = ["RedisConnection"]

_log = get_logger("agentinfra.cache")
T = TypeVar("T")

Kind: TypeAlias = Literal["reads", "leases", "writes", "deletions"]
"""What a server may refuse: it is well again when it has done one of the same kind."""

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0


class RedisConnection(Resource):
    """A Redis server that may be away, or refuse some commands and not others.

    Entering never fails because of Redis: without the package, or while the server is away, it is
    degraded, finds nothing and stores nothing. A server that was away is tried again, in the
    background, by the first use after a pause, which doubles from 0.5 s to 30 s with every
    failure. Before it is used again, what this process changed meanwhile is deleted there. A
    server that refuses a command (it is full, a replica, of other rights) stays in use: what it
    answers is taken, and each refusal is counted. One that is not entered, or was left, finds and
    stores nothing either.

    Args:
        url: See `connect`.
        timeout: Seconds one command may wait for its turn, and again for its answer.
        max_connections: Connections at most, beside the one that listens.
        clock: Where time comes from.
        changed: Called when the state changes.
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
        self._hearing = Hearing(clock, lambda reason: self._say("hearing", reason))
        self._returning: asyncio.Task[None] | None = None
        self._up = False
        self._retry_at = 0.0
        self._pause = _FIRST_PAUSE
        self._wrong: dict[str, str] = {}
        self._channel = ""

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
            self._say("package", f"the shared tier is off: {error}")
            return
        store = self._store = RedisStore(
            self._url,
            timeout=self._timeout,
            max_connections=self._max_connections,
            clock=self._clock,
        )
        self._channel = f"agentinfra:changes:{store.database}"
        try:
            await self._return(store)
        except BaseException:
            await self._close()
            raise

    async def _close(self) -> None:
        store, self._store = self._store, None
        await self._hearing.stop()
        if self._returning is not None:
            await cancel_and_wait(self._returning)
        if store is not None:
            await store.aclose()

    def _usable(self) -> RedisStore | None:
        """Return the store unless it is away; have it tried again when that is due."""
        if self._store is None:
            return None
        due = self._clock.now() >= self._retry_at and (self._missed or not self._up)
        if due:
            self._start_return(self._store)
        return self._store if self._up else None

    async def read(
        self,
        command: Callable[[RedisStore], Awaitable[T]],
        instead: T,
        *,
        kind: Kind = "reads",
    ) -> T:
        """Run a command that changes nothing; give ``instead`` while the server is away.

        Raises:
            CacheError: Redis failed or refused just now.
        """
        store = self._usable()
        return instead if store is None else await self._watched(command(store), kind)

    async def change(
        self,
        command: Callable[[RedisStore], Awaitable[T]],
        instead: T,
        *,
        keys: Iterable[str] = (),
        prefix: str | None = None,
        kind: Kind = "writes",
    ) -> T:
        """Run a command that changes keys; while the server is away remember them as outdated.

        Raises:
            CacheError: Redis failed or refused just now.
        """
        store = self._usable()
        if store is None:
            self._miss(keys, prefix)
            return instead
        try:
            return await self._watched(command(store), kind)
        except BaseException:
            self._miss(keys, prefix)  # it may or may not have been done
            raise

    def _miss(self, keys: Iterable[str], prefix: str | None = None) -> None:
        for key in keys:
            self._missed.add(key)
        if prefix is not None:
            self._missed.add(prefix=prefix)

    async def _watched(self, command: Awaitable[T], kind: Kind = "reads") -> T:
        try:
            answer = await command
        except StoreBusyError:
            raise
        except StoreRefusedError as error:
            self._say(kind, f"{kind} fail, the rest goes on: {error}")
            raise
        except CacheError as error:
            if self._up:
                self._pause = _FIRST_PAUSE
                self._fall(error)
            raise
        if self._wrong:
            self._say(kind, "")
        return answer

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
                # Heard first, used then: a change between the two would be missed.
                await self._hearing.start(store, self._channel, timeout=self._timeout)
            for keys, prefix in self._missed.batches():
                await self._catch_up(store, keys, prefix)
        except StoreRefusedError as error:
            # It answers: what is outdated there is not read, and dropped when it can be.
            self._retry_at = self._clock.now() + self._next_pause()
            self._rise()
            self._say("deletions", f"deletions fail, the rest goes on: {error}")
        except CacheError as error:
            if self._up and isinstance(error, StoreBusyError):
                return  # the next use tries again
            self._next_pause()
            self._fall(error)
        else:
            self._retry_at = 0.0
            self._rise()
            self._say("deletions", "")
        finally:
            self._returning = None

    async def _catch_up(self, store: RedisStore, keys: tuple[str, ...], prefix: str | None) -> None:
        """Drop what this process changed while the server did not take it."""
        if prefix is not None:
            await store.delete_matching(prefix)
        else:
            await store.execute("UNLINK", *keys)

    def _next_pause(self) -> float:
        self._pause = min(2 * self._pause, _LONGEST_PAUSE) if self.reason else _FIRST_PAUSE
        return self._pause

    def _fall(self, error: CacheError) -> None:
        if "away" not in self._wrong:
            _log.warning("cache.redis_lost", error=str(error))
        self._up = False
        self._retry_at = self._clock.now() + self._pause
        self._say("away", f"serving from memory: {error}")

    def _rise(self) -> None:
        self._up = True
        if "away" in self._wrong:
            _log.info("cache.redis_restored")
            self._say("away", "")

    def _say(self, what: str, reason: str) -> None:
        """Remember what is wrong, or with an empty text that it is right again."""
        if self._wrong.get(what, "") == reason:
            return
        if not reason:
            del self._wrong[what]
        else:
            if what not in self._wrong and what != "away":
                _log.warning("cache.redis_degraded", what=what, reason=reason)
            self._wrong[what] = reason
        if self._wrong:
            first = self._wrong.get("away") or "; ".join(self._wrong.values())
            self.degrade(first)
        else:
            self.restore()
        if self._changed is not None:
            self._changed()
