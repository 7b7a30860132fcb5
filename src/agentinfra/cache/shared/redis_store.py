"""Commands on a Redis server: bounded in time, with errors that say whose fault it is."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

from agentinfra._mechanics.closing import finish
from agentinfra._mechanics.vendors import load
from agentinfra.cache.shared.client import connect, is_cluster
from agentinfra.errors import CacheError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from agentinfra._mechanics.clock import Clock
    from agentinfra.cache.shared.scripts import Script

__all__ = ["RedisStore", "StoreBusyError", "StoreRefusedError"]

_CLOSE_GRACE = 2.0
_BATCH = 500


class StoreBusyError(CacheError):
    """Every connection was at work for too long; the server itself may be well."""


_NO_LOGIN = ("HELLO must be called with", "NOAUTH", "Authentication required")


class StoreRefusedError(CacheError):
    """The server answered that it does not do this; it does other things."""


class RedisStore:
    """The few commands a cache needs. Every method raises ``CacheError`` when Redis fails.

    A command waits in line for a connection, and then for its answer; each takes the timeout at
    most. Only the second is the server's failure.

    Made on the event loop it is used on; whoever makes it closes it.

    Args:
        url: See `connect`.
        timeout: Seconds each command may wait for its turn, and again for its answer.
        max_connections: Connections at most, beside the one that listens.
        clock: Where time comes from.

    Raises:
        ConfigurationError: The URL cannot be used.
    """

    vendors = ("redis.asyncio",)

    def __init__(self, url: str, *, timeout: float, max_connections: int, clock: Clock) -> None:
        from redis.exceptions import (
            ClusterError,
            ReadOnlyError,
            RedisError,
            ResponseError,
        )

        self.client: Any = connect(url, max_connections=max_connections + 1, timeout=timeout)
        self.cluster = is_cluster(url)
        self.failures = (RedisError, OSError, TimeoutError)
        self.refusals: tuple[type[Exception], ...] = (ResponseError,)
        self._outages: tuple[type[Exception], ...] = (ClusterError,)
        self._demoted: tuple[type[Exception], ...] = (ReadOnlyError,)
        self._slots = asyncio.Semaphore(max_connections)
        self._timeout = timeout
        self._clock = clock

    @staticmethod
    def load_vendors() -> None:
        """Import what the store is made of.

        Raises:
            MissingPackageError: A package is not installed.
        """
        load("redis.asyncio", extra="redis")

    @property
    def database(self) -> int:
        """The number of the database."""
        pool = getattr(self.client, "connection_pool", None)
        return int(pool.connection_kwargs.get("db") or 0) if pool is not None else 0

    async def ping(self) -> None:
        """Ask whether the server is there."""
        async with self._command():
            await self.client.ping()

    async def reconnect(self) -> None:
        """Drop idle connections, which are dead when the server was away, and ask again."""
        async with self._command():
            await self._disconnect()
        await self.ping()

    async def get(self, key: str) -> bytes | None:
        """Return what is stored under a key."""
        async with self._command():
            found: bytes | None = await self.client.get(key)
        return found

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return what is stored under each key, None where it is of another type."""
        found: list[bytes | None] = []
        for batch in _batches(keys):
            async with self._command():
                read = self.client.mget_nonatomic if self.cluster else self.client.mget
                found += await read(batch)
        return found

    async def run(
        self,
        script: Script,
        keys: Sequence[str],
        *arguments: Any,
        each: Sequence[Any] = (),
    ) -> list[Any]:
        """Run a script on keys, a few hundred at a time, in a cluster one by one.

        Args:
            script: The script.
            keys: The keys; their leases are added where the script takes them.
            arguments: What it gets for all keys.
            each: What it gets for each key, where it does.

        Returns:
            What it gave for every batch.
        """
        answers = []
        size = 1 if self.cluster else _BATCH
        for start in range(0, len(keys), size):
            names = list(keys[start : start + size])
            count = len(names)
            if script.leases:
                names += [f"{name}:lease" for name in names]
            own = each[start : start + count]
            answers.append(await self._evaluate(script, names, (*arguments, *own)))
        return answers

    async def execute(self, *words: Any) -> Any:
        """Send one command and return its answer."""
        async with self._command():
            return await self.client.execute_command(*words)

    async def call(self, method: str, *args: Any, **more: Any) -> Any:
        """Call a method of the client's."""
        async with self._command():
            return await getattr(self.client, method)(*args, **more)

    async def delete_matching(self, prefix: str, suffix: str = "") -> None:
        """Drop every key that begins and ends so, a few hundred at a time."""
        # KEYS would stop the server while it looks.
        pattern = "".join(f"\\{c}" if c in "*?[]^\\" else c for c in prefix) + "*" + suffix
        if self.cluster:
            await self._delete_everywhere(pattern)
            return
        cursor: int | None = None
        while cursor != 0:
            async with self._command():
                cursor, keys = await self.client.scan(cursor or 0, match=pattern, count=_BATCH)
                if keys:
                    await self.client.unlink(*keys)

    async def aclose(self) -> None:
        """Close every connection."""
        # A client does not close a pool it was given.
        pool = {} if self.cluster else {"close_connection_pool": True}
        await finish(self.client.aclose(**pool), grace=_CLOSE_GRACE, name="close redis")

    async def _delete_everywhere(self, pattern: str) -> None:
        async with self._command(patience=20):
            keys = [key async for key in self.client.scan_iter(match=pattern, count=_BATCH)]
            for key in keys:
                await self.client.unlink(key)

    async def _evaluate(self, script: Script, keys: list[str], arguments: tuple[Any, ...]) -> Any:
        from redis.exceptions import NoScriptError

        async with self._command():
            try:
                return await self.client.evalsha(script.digest, len(keys), *keys, *arguments)
            except NoScriptError:  # the server was started anew, or is another one
                return await self.client.eval(script.text, len(keys), *keys, *arguments)

    @asynccontextmanager
    async def _command(self, *, patience: float = 1) -> AsyncIterator[None]:
        await self._turn()
        try:
            async with self._clock.timeout_at(self._clock.now() + patience * self._timeout):
                yield
        except self.failures as error:
            if isinstance(error, self._demoted) or "READONLY" in str(error):
                # A master that was demoted answers still: the next command looks for the new one.
                await self._disconnect()
            what = " ".join(str(error).split()) or f"no answer within {self._timeout:g} s"
            if what.startswith(_NO_LOGIN):
                what = "it wants a password: put it into the URL, redis://user:password@host"
            refused = isinstance(error, self.refusals) and not isinstance(error, self._outages)
            kind = StoreRefusedError if refused else CacheError
            verb = "refused a command" if refused else "failed"
            raise kind(f"Redis {verb} ({type(error).__name__}): {what}") from error
        finally:
            self._slots.release()

    async def _disconnect(self) -> None:
        if self.cluster:
            await self.client.aclose()
        else:
            await self.client.connection_pool.disconnect(inuse_connections=False)

    async def _turn(self) -> None:
        if not self._slots.locked():
            await self._slots.acquire()
            return
        try:
            async with self._clock.timeout_at(self._clock.now() + self._timeout):
                await self._slots.acquire()
        except TimeoutError:
            raise StoreBusyError(
                f"all connections to Redis were at work for {self._timeout:g} s"
            ) from None


def _batches(keys: Iterable[str]) -> Iterable[list[str]]:
    rest = iter(keys)
    while batch := list(islice(rest, _BATCH)):
        yield batch
