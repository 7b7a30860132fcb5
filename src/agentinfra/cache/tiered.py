"""What the caches have in common: memory in front, a shared tier behind, one load for many."""

from __future__ import annotations

from contextlib import ExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar, Unpack

from agentinfra._mechanics.clock import SYSTEM_CLOCK
from agentinfra.cache.copying import hand_out, protected, refuse_read_once
from agentinfra.cache.entry import Records
from agentinfra.cache.given import as_seconds, as_tags, no_text
from agentinfra.cache.keys import cache_key, encode_parts, normalizer, text_digest
from agentinfra.cache.memory import MemoryTier
from agentinfra.cache.options import CacheOptions, refuse_bounds
from agentinfra.cache.ordering import WriteOrder
from agentinfra.cache.shared.sharing import Memory, Sharing
from agentinfra.cache.sizing import ENTRY_BYTES, estimate_bytes
from agentinfra.cache.tally import Tally
from agentinfra.results import CacheStats

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence
    from types import TracebackType

    from agentinfra.cache.codec import Codec
    from agentinfra.cache.keys import KeyPart
    from agentinfra.cache.memory import Drop
    from agentinfra.observability.metrics import Metrics

__all__ = ["MISSING", "TieredCache"]

V = TypeVar("V")
D = TypeVar("D")

MISSING: Any = object()
"""What stands for no value; None is a value."""

_VERSION = "2"  # of what stands in the shared tier; another one makes all keys others


class TieredCache(Generic[V]):
    """A cache of values by key. Subclasses say what a key is made of, and what a value is.

    Works as soon as it is made, for the tasks of one event loop; another loop may use it when the
    first one has ended. Entering it with ``async with`` is only needed to have background work
    ended on leaving. The shared tier belongs to whoever entered it.
    """

    kind: ClassVar[str]

    def __init__(
        self, codec: Codec[V], ttl_seconds: float, max_size: int, **options: Unpack[CacheOptions]
    ) -> None:
        refuse_bounds(ttl_seconds, max_size, options)
        self._ttl = ttl_seconds
        self._negative = options.get("negative_ttl")
        self._stale = options.get("stale_seconds", 0.0)
        self._early = options.get("refresh_seconds", 0.0)
        self._copy = options.get("copy", True)
        self._clock = options.get("clock", SYSTEM_CLOCK)
        self._tally = Tally(self.kind)
        self._memory: MemoryTier[bytes, Any] = MemoryTier(
            max_size=max_size,
            max_bytes=options.get("max_bytes", 64_000_000),
            eviction=options.get("eviction", "lru"),
            clock=self._clock,
            dropped=self._dropped,
        )
        self._records: Records[Any] = Records()
        self._order = WriteOrder(self._records)
        self._normalize = self._use_keys(options)
        self._sharing = self._share(codec, options)
        if (metrics := options.get("metrics")) is not None:
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
        """End the computations under way; what is held in memory stays.

        Their callers get ``ClosedError``.
        """
        await self._records.aclose()

    def bind(self, metrics: Metrics) -> None:
        """Count into these metrics, which have been opened, from now on."""
        self._tally.bind(metrics)

    @property
    def identity(self) -> bytes:
        """What all its keys begin with: namespace, tenant, kind, and how texts are compared."""
        return self._key_prefix

    async def clear(self) -> None:
        """Drop everything this namespace and tenant have in this cache, in the shared tier too."""
        self._records.check_loop()
        self._forget_all()
        if self._sharing is not None:
            async with self._order.clearing():
                await self._sharing.clear()

    async def delete_tagged(self, tag: str) -> int:
        """Drop every value with a tag, in the shared tier and in other processes too.

        Returns:
            How many were dropped from this memory.
        """
        self._records.check_loop()
        under_way = self._records.supersede_all(tag)
        dropped = self._forget_tag(tag)
        if self._sharing is not None:
            await self._sharing.delete_tagged(tag)
            if under_way:
                # Their leases go: who asks from now on does not wait for a load that is old.
                await self._sharing.delete(under_way)
        return dropped

    def stats(self) -> CacheStats:
        """Return what the cache did since it was made, and what it holds now."""
        self._memory.sweep()
        counts = self._tally.counts
        return CacheStats(
            size=len(self._memory),
            bytes=self._memory.bytes,
            hits=self._tally.hits + counts["stale"],
            misses=counts["miss"],
            evictions=counts["eviction"],
            expirations=counts["expiration"],
            coalesced=counts["coalesced"],
            errors=counts["error"],
            refused=counts["refused"],
            refresh_failures=counts["refresh_failed"],
        )

    def _key(self, text: str, *parts: KeyPart) -> bytes:
        """Return the key of a text and of what else tells values apart."""
        about = self._key_prefix + encode_parts(*parts) if parts else self._key_prefix
        try:
            return text_digest(about, self._normalize(text))
        except (AttributeError, TypeError):
            if isinstance(text, str):
                raise
            raise no_text(text) from None

    def _held(self, key: bytes) -> Any:
        """Return the fresh value in memory and count the hit, else MISSING."""
        held = self._memory.get(key, MISSING)
        if held is MISSING:
            return MISSING
        self._tally.hit()
        return hand_out(held)

    async def _get(self, key: bytes, default: D) -> V | D:
        found = self._held(key)
        if found is MISSING:
            (found,) = await self._get_behind([key], default)
        return found  # type: ignore[no-any-return]

    async def _get_many(self, keys: Sequence[bytes], default: D) -> list[V | D]:
        found = [self._held(key) for key in keys]
        missing = [at for at, value in enumerate(found) if value is MISSING]
        if missing:
            behind = await self._get_behind([keys[at] for at in missing], default)
            for at, value in zip(missing, behind, strict=True):
                found[at] = value
        return found

    async def _get_behind(self, keys: Sequence[bytes], default: D) -> list[Any]:
        """Return what memory does not have: from the shared tier, or the default."""
        self._records.check_loop()
        found = [MISSING] * len(keys)
        if self._sharing is not None:
            found = await self._fetch(keys, self._sharing)
        for value in found:
            if value is MISSING:
                self._tally.count("miss")
            else:
                self._tally.hit()
        return [default if value is MISSING else value for value in found]

    async def _set(
        self,
        pairs: Iterable[tuple[bytes, V]],
        ttl: float | None = None,
        tags: Iterable[str] = (),
    ) -> None:
        """Hold values, and write them to the shared tier in the order of the calls."""
        self._records.check_loop()
        values = dict(pairs)
        marks = as_tags(tags)
        for value in values.values():
            refuse_read_once(value)
        for key, value in values.items():
            self._records.supersede(key)
            self._hold(key, value, self._seconds(value, ttl), marks)
        self._tally.count("set", len(values))
        if self._sharing is not None and values:
            await self._write(values, ttl, marks, self._sharing)

    async def _delete(self, keys: Sequence[bytes]) -> bool:
        self._records.check_loop()
        held = False
        for key in keys:
            self._records.supersede(key)
            held = self._memory.delete(key) or held
        self._tally.entries(len(self._memory))
        if self._sharing is not None:
            async with self._writing(keys, self._sharing):
                held = await self._sharing.delete(keys) or held
        return held

    async def _write(
        self,
        values: dict[bytes, V],
        ttl: float | None,
        tags: tuple[str, ...],
        sharing: Sharing[V],
    ) -> None:
        by_ttl: dict[float, list[tuple[bytes, bytes | None]]] = {}
        async with self._writing(list(values), sharing):
            stamps = await sharing.stamps(tags, self._life(max(ttl or 0.0, self._ttl)))
            for key, value in values.items():
                seconds = self._seconds(value, ttl)
                sealed = sharing.seal(value, seconds, tags, stamps)
                by_ttl.setdefault(seconds, []).append((key, sealed))
            for seconds, pairs in by_ttl.items():
                await sharing.put(pairs, self._life(seconds))

    @asynccontextmanager
    async def _writing(self, keys: Sequence[bytes], sharing: Sharing[V]) -> AsyncIterator[None]:
        """Wait for the turn of a write; one that is given up leaves the tier out of date."""
        try:
            async with self._order.writing(keys):
                yield
        except BaseException:
            # Here too: the older value may still be on its way to the tier, and who has read the
            # newer one would read the older one next.
            for key in keys:
                self._memory.delete(key)
            sharing.outdated(keys)
            raise

    async def _fetch(self, keys: Sequence[bytes], sharing: Sharing[V]) -> list[Any]:
        """Return the fresh values of the shared tier, and hold them in memory."""
        with ExitStack() as stack:
            records = [stack.enter_context(self._records.of(key)) for key in keys]
            begun = [record.generation for record in records]
            found = await sharing.fetch(keys)
            # A write here or elsewhere meanwhile is newer than what was on its way.
            newest = [
                record.generation == before for record, before in zip(records, begun, strict=True)
            ]
        for key, one, new in zip(keys, found, newest, strict=True):
            if one is not None and new:
                self._hold(key, one.value, one.fresh, one.tags)
        return [one.value if one is not None and one.fresh > 0 else MISSING for one in found]

    def _hold(
        self,
        key: bytes,
        value: V,
        fresh: float,
        tags: tuple[str, ...] = (),
        *,
        keep: bool = True,
    ) -> Any:
        """Hold a value for as long as it is fresh, and stale; return what is handed out of it."""
        size = self._size(value)
        held = protected(value, size) if self._copy else value
        stale = self._stale + min(fresh, 0.0)
        if keep and stale >= 0:
            ttl = max(fresh, 0.0)
            self._memory.set(key, held, size=size + ENTRY_BYTES, ttl=ttl, stale=stale, tags=tags)
            self._tally.entries(len(self._memory))
        return held

    def _size(self, value: V) -> int:
        return estimate_bytes(value)

    def _seconds(self, value: V, ttl: float | None) -> float:
        """Return how long a value is fresh.

        Raises:
            CacheError: The seconds asked for make no sense.
        """
        if ttl is not None:
            return as_seconds(ttl)
        return self._negative if value is None and self._negative is not None else self._ttl

    def _life(self, fresh: float) -> float:
        return fresh + self._stale

    def _forget(self, key: bytes) -> None:
        """Drop what others changed, and keep nothing that is on its way."""
        self._records.supersede(key)
        self._memory.delete(key)
        self._tally.entries(len(self._memory))

    def _forget_tag(self, tag: str) -> int:
        self._records.supersede_all(tag)
        dropped = len(self._memory.delete_tagged(tag))
        self._tally.entries(len(self._memory))
        return dropped

    def _forget_all(self) -> None:
        self._records.supersede_all()
        self._memory.clear()
        self._tally.entries(0)

    def _dropped(self, why: Drop, key: bytes) -> None:
        self._tally.count(why)
        if len(self._records):
            self._records.settled(key)

    def _use_keys(self, options: CacheOptions) -> Any:
        """Encode what is the same in every key, and return what makes texts comparable."""
        name, normalize = normalizer(options.get("normalize", "folded"))
        self._owner = (options.get("namespace", "agentinfra"), options.get("tenant", ""))
        self._key_prefix = encode_parts(*self._owner, self.kind, name)
        return normalize

    def _share(self, codec: Codec[V], options: CacheOptions) -> Sharing[V] | None:
        shared = options.get("shared")
        if shared is None:
            return None
        namespace, tenant = self._owner
        owner = cache_key(namespace, tenant, self.kind, _VERSION)
        return Sharing(
            shared,
            codec,
            self._tally,
            prefix=f"{namespace}:{self.kind}:{owner[:16]}:",
            memory=Memory(self._forget, self._forget_tag, self._forget_all),
            clock=self._clock,
        )
