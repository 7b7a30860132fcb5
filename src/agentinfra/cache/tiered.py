"""What the caches have in common: memory in front, a shared tier behind, one load for many."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypedDict, TypeVar

from agentinfra._mechanics.clock import SYSTEM_CLOCK, Clock
from agentinfra._mechanics.closing import cancel_and_wait
from agentinfra._mechanics.single_flight import SingleFlight
from agentinfra.cache.keys import KeyPart, cache_key, encode_parts
from agentinfra.cache.memory import MemoryTier
from agentinfra.cache.shared.sharing import Sharing
from agentinfra.cache.sizing import ENTRY_BYTES
from agentinfra.cache.tally import Tally
from agentinfra.errors import ConfigurationError
from agentinfra.observability.logging import get_logger
from agentinfra.results import CacheStats

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from agentinfra.cache.codec import Codec
    from agentinfra.cache.shared.protocol import SharedTier
    from agentinfra.observability.metrics import Metrics

__all__ = ["MISSING", "CacheOptions", "TieredCache"]

_log = get_logger("agentinfra.cache")
V = TypeVar("V")
D = TypeVar("D")

MISSING: Any = object()
"""What stands for no value; None is a value."""

_VERSION = "1"  # of what stands in the shared tier; another one makes all keys others


class CacheOptions(TypedDict, total=False):
    """What every cache can be told beside its time to live and its size.

    Attributes:
        max_bytes: Bytes held in memory at most, estimated; 64 MB where nothing is said.
        stale_seconds: Seconds after its time to live in which ``get_or_compute`` still returns a
            value, at once, while it is computed anew behind; when that fails the old value stays
            until the seconds are over. 0, the default, never does.
        namespace: The application, the first part of every key.
        tenant: Whose data it is, the second part; tenants never see each other's values.
        shared: A tier other processes use too; None keeps everything in memory.
        metrics: Where operations are counted.
        clock: Where time comes from.
    """

    max_bytes: int
    stale_seconds: float
    namespace: str
    tenant: str
    shared: SharedTier | None
    metrics: Metrics | None
    clock: Clock


class _Flight:
    """One load under way; a newer write takes it off the list, and then it is not kept."""

    __slots__ = ("key", "quiet")

    def __init__(self, key: str, *, quiet: bool) -> None:
        self.key = key
        self.quiet = quiet  # nobody waits for it: neither a hit nor a miss

    def __repr__(self) -> str:
        return self.key


class TieredCache(Generic[V]):
    """A cache of values by key. Subclasses say what a key is made of, and what a value is.

    Works as soon as it is made, for the tasks of one event loop. Entering it with ``async with``
    is only needed to have background work ended on leaving. The shared tier belongs to whoever
    entered it.
    """

    kind: ClassVar[str]

    def __init__(
        self,
        codec: Codec[V],
        ttl_seconds: float,
        max_size: int,
        *,
        max_bytes: int = 64_000_000,
        stale_seconds: float = 0.0,
        namespace: str = "agentinfra",
        tenant: str = "",
        shared: SharedTier | None = None,
        metrics: Metrics | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        _refuse_bounds(ttl_seconds, max_size, max_bytes, stale_seconds)
        self._codec = codec
        self._ttl = ttl_seconds
        self._stale = stale_seconds
        self._tally = Tally(self.kind)
        self._memory: MemoryTier[V] = MemoryTier(
            max_size=max_size, max_bytes=max_bytes, clock=clock, dropped=self._tally.count
        )
        owner = cache_key(namespace, tenant, self.kind, _VERSION)
        self._key_prefix = encode_parts(namespace, tenant, self.kind)
        self._sharing: Sharing[V] | None = None
        if shared is not None:
            prefix = f"{namespace}:{self.kind}:{owner[:16]}:"
            self._sharing = Sharing(shared, codec, self._tally, prefix=prefix)
        self._flights: SingleFlight[V] = SingleFlight()
        self._loading: dict[str, _Flight] = {}
        self._refreshing: dict[str, asyncio.Task[Any]] = {}
        if metrics is not None:
            self.bind(metrics)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the computations under way; what is held in memory stays."""
        await cancel_and_wait(*self._refreshing.values())
        await self._flights.aclose()

    def bind(self, metrics: Metrics) -> None:
        """Count into these metrics, which have been opened, from now on."""
        self._tally.bind(metrics)

    async def clear(self) -> None:
        """Drop everything this namespace and tenant have in this cache, in the shared tier too."""
        self._loading.clear()
        self._memory.clear()
        self._tally.entries(0)
        if self._sharing is not None:
            await self._sharing.clear()

    def stats(self) -> CacheStats:
        """Return what the cache did since it was made, and what it holds now."""
        counts = self._tally.counts
        return CacheStats(
            size=len(self._memory),
            bytes=self._memory.bytes,
            hits=counts["hit"],
            misses=counts["miss"],
            evictions=counts["eviction"],
            expirations=counts["expiration"],
            coalesced=counts["coalesced"],
            errors=counts["error"],
        )

    def _key(self, *parts: KeyPart) -> str:
        return sha256(self._key_prefix + encode_parts(*parts)).hexdigest()

    async def _get(self, key: str, default: D) -> V | D:
        value = self._memory.get(key, MISSING)
        if value is MISSING and self._sharing is not None:
            value = await self._fetch(key, self._sharing)
        if value is MISSING:
            self._tally.count("miss")
            return default
        self._tally.count("hit")
        return value

    async def _set(self, key: str, value: V) -> None:
        self._supersede(key)
        await self._store(key, value)

    async def _delete(self, key: str) -> bool:
        self._supersede(key)
        held = self._memory.delete(key)
        self._tally.entries(len(self._memory))
        if self._sharing is not None:
            held = await self._sharing.delete(key) or held
        return held

    async def _compute(self, key: str, loader: Callable[[], Awaitable[V]]) -> V:
        value: V = self._memory.get(key, MISSING)
        if value is MISSING and (value := self._memory.stale(key, MISSING)) is not MISSING:
            self._refresh(key, loader)
        if value is MISSING:
            return await self._load(key, loader)
        self._tally.count("hit")
        return value

    async def _load(
        self, key: str, loader: Callable[[], Awaitable[V]], *, quiet: bool = False
    ) -> V:
        flight = self._loading.setdefault(key, _Flight(key, quiet=quiet))
        if flight in self._flights:
            self._tally.count("coalesced")
        try:
            return await self._flights.run(flight, lambda: self._fill(flight, loader))
        finally:
            if flight not in self._flights and self._loading.get(key) is flight:
                del self._loading[key]

    async def _fill(self, flight: _Flight, loader: Callable[[], Awaitable[V]]) -> V:
        key = flight.key
        value: V = MISSING
        if self._sharing is not None:
            value = await self._fetch(key, self._sharing)
        if not flight.quiet:
            self._tally.count("miss" if value is MISSING else "hit")
        if value is not MISSING:
            return value
        try:
            value = await loader()
        except Exception as error:
            value = self._memory.stale(key, MISSING)
            if value is MISSING:
                raise
            _log.warning("cache.refresh_failed", cache=self.kind, error=type(error).__name__)
            return value
        # A set, delete or clear meanwhile is newer than what the loader saw.
        if self._loading.get(key) is flight:
            await self._store(key, value)
        return value

    def _refresh(self, key: str, loader: Callable[[], Awaitable[V]]) -> None:
        """Compute a value anew behind the callers, one task for each key."""
        if key in self._refreshing:
            return
        load = self._load(key, loader, quiet=True)
        task = asyncio.create_task(load, name=f"cache {self.kind} refresh")
        self._refreshing[key] = task
        task.add_done_callback(lambda done: self._refreshed(key, done))

    def _refreshed(self, key: str, task: asyncio.Task[V]) -> None:
        del self._refreshing[key]
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("cache.refresh_failed", cache=self.kind, error=type(error).__name__)

    async def _store(self, key: str, value: V) -> None:
        self._hold(key, value, self._ttl, self._stale)
        self._tally.count("set")
        if self._sharing is not None:
            await self._sharing.store(key, value, self._ttl + self._stale)

    async def _fetch(self, key: str, sharing: Sharing[V]) -> Any:
        """Return the fresh value of the shared tier, and hold it in memory."""
        found = await sharing.fetch(key)
        if found is None:
            return MISSING
        fresh = min(found.ttl - self._stale, self._ttl)
        if found.newest:
            self._hold(key, found.value, max(fresh, 0.0), self._stale + min(fresh, 0.0))
        return found.value if fresh > 0 else MISSING

    def _supersede(self, key: str) -> None:
        """Have what is being loaded or fetched for a key not kept: a newer write is coming."""
        self._loading.pop(key, None)
        if self._sharing is not None:
            self._sharing.supersede(key)

    def _hold(self, key: str, value: V, ttl: float, stale: float) -> None:
        size = self._codec.size(value) + ENTRY_BYTES
        self._memory.set(key, value, size=size, ttl=ttl, stale=stale)
        self._tally.entries(len(self._memory))


def _refuse_bounds(ttl: float, max_size: int, max_bytes: int, stale: float) -> None:
    if not ttl > 0:
        raise ConfigurationError(f"ttl_seconds is {ttl!r}: give seconds greater than 0")
    bounds = {"max_size": max_size, "max_bytes": max_bytes, "stale_seconds": stale}
    for name, value in bounds.items():
        if not value >= 0:
            raise ConfigurationError(f"{name} is {value!r}: give 0 or more")
