"""One cache's part of the shared tier."""

from __future__ import annotations

import uuid
from hashlib import sha256
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from agentinfra.cache.shared.envelope import Envelope, open_envelope, seal
from agentinfra.cache.shared.lease import LEASE, Lease
from agentinfra.cache.shared.protocol import Claim, CoordinatedTier, SharedTier
from agentinfra.errors import CacheError
from agentinfra.observability.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from agentinfra._mechanics.clock import Clock
    from agentinfra.cache.codec import Codec
    from agentinfra.cache.tally import Tally

__all__ = ["Claimed", "Fetched", "Memory", "Sharing"]

_log = get_logger("agentinfra.cache")
V = TypeVar("V")
T = TypeVar("T")

_VECTORS = 3
_FIRST_LOOK = 0.01
_SLOWEST_LOOK = 0.2


class Fetched(NamedTuple, Generic[V]):
    """A value from the shared tier.

    Attributes:
        value: The value.
        fresh: Seconds it is fresh for; 0 or less where it is stale.
        tags: Its tags.
    """

    value: V
    fresh: float
    tags: tuple[str, ...] = ()


class Claimed(NamedTuple, Generic[V]):
    """What a load finds before it begins.

    Attributes:
        found: The value that is there, fresh or not.
        granted: True where the load may store what it loads, under the claim's lease.
        elsewhere: True where another process loads.
    """

    found: Fetched[V] | None = None
    granted: bool = False
    elsewhere: bool = False


class _Opened(NamedTuple, Generic[V]):
    value: V
    fresh: float
    tags: tuple[tuple[str, bytes], ...]


class Memory:
    """What the tier tells of other processes' changes goes to: a cache's memory.

    Attributes:
        forget: Drops a key.
        forget_tag: Drops what has a tag.
        forget_all: Drops everything.
    """

    __slots__ = ("forget", "forget_all", "forget_tag")

    def __init__(
        self,
        forget: Callable[[bytes], None],
        forget_tag: Callable[[str], object],
        forget_all: Callable[[], None],
    ) -> None:
        self.forget = forget
        self.forget_tag = forget_tag
        self.forget_all = forget_all


class Sharing(Generic[V]):
    """Reads and writes one cache's values; a failure is counted and never raised.

    On a tier that only stores bytes there are no leases: processes may load the same at the same
    time, changes reach the memory of others when its time is over, and values with tags stay in
    their process.

    Args:
        tier: The store.
        codec: How values become bytes.
        tally: The cache's counts.
        prefix: What the keys of this cache start with.
        memory: The memory in front.
        clock: Where time comes from.
    """

    def __init__(
        self,
        tier: SharedTier,
        codec: Codec[V],
        tally: Tally,
        *,
        prefix: str,
        memory: Memory,
        clock: Clock,
    ) -> None:
        self._tier = tier
        self._coordinated = tier if isinstance(tier, CoordinatedTier) else None
        self._codec = codec
        self._tally = tally
        self._prefix = prefix
        self._memory = memory
        self._clock = clock
        self._origin = uuid.uuid4().hex
        self._refused: set[str] = set()
        if self._coordinated is not None:
            self._coordinated.listen(prefix, self._origin, self)

    @property
    def coordinated(self) -> bool:
        """Whether loads need a lease to be stored."""
        return self._coordinated is not None

    async def fetch(self, keys: Sequence[bytes]) -> list[Fetched[V] | None]:
        """Return the value of each key, None where there is none that can be read."""
        names = [self._name(key) for key in keys]
        if len(names) == 1 or self._coordinated is None:
            shared = [await self._safely(self._tier.get(name), None) for name in names]
            opened = [None if one is None else self._open(one.data, one.ttl) for one in shared]
        else:
            unknown: list[bytes | None] = [None] * len(names)
            found = await self._safely(self._coordinated.get_many(names), unknown)
            opened = [self._open(data, float("inf")) for data in found]
        return await self._still_tagged(opened)

    async def claim(
        self, keys: Sequence[bytes], *, fresh_for: float = 0.0
    ) -> tuple[list[Claimed[V]], Lease | None]:
        """Return each key's value, or the right to load it; and the lease on all such keys.

        Args:
            keys: The keys.
            fresh_for: Seconds a value has to be fresh for to be enough.
        """
        tier = self._coordinated
        if tier is None:
            return [Claimed(found) for found in await self.fetch(keys)], None
        token = uuid.uuid4().hex
        names = [self._name(key) for key in keys]
        claims, opened = await self._claim_once(tier, names, token, fresh_for)
        # The tier judges by time alone. What it holds to be fresh and we cannot use, because of
        # a dropped tag or another codec, stands in the way of a lease.
        useless = [
            name
            for name, claim, one in zip(names, claims, opened, strict=True)
            if claim.data is not None and one is None and not (claim.granted or claim.taken)
        ]
        if useless:
            await self._drop(useless)
            claims, opened = await self._claim_once(tier, names, token, fresh_for)
        granted = [name for name, claim in zip(names, claims, strict=True) if claim.granted]
        lease = Lease(tier, granted, token, self._clock) if granted else None
        return [
            Claimed(found, claim.granted, claim.taken)
            for claim, found in zip(claims, opened, strict=True)
        ], lease

    async def _claim_once(
        self, tier: CoordinatedTier, names: list[str], token: str, fresh_for: float
    ) -> tuple[list[Claim], list[Fetched[V] | None]]:
        nothing = [Claim()] * len(names)
        claims = await self._safely(tier.claim(names, token, LEASE, fresh_for), nothing)
        opened = [self._open(claim.data, float("inf")) for claim in claims]
        return claims, await self._still_tagged(opened)

    async def claim_in_turn(self, key: bytes) -> tuple[Claimed[V], Lease | None]:
        """Return a key's fresh value or the right to load it, waiting for others who load it.

        Waits as long as another process holds the lease: it renews it while it loads, and one
        that has died loses it after some seconds.
        """
        pause = _FIRST_LOOK
        while True:
            (claimed,), lease = await self.claim([key])
            if not claimed.elsewhere or (claimed.found and claimed.found.fresh > 0):
                return claimed, lease
            await self._clock.sleep(pause)
            pause = min(1.5 * pause, _SLOWEST_LOOK)

    async def stamps(self, tags: tuple[str, ...], ttl: float) -> list[bytes] | None:
        """Return the tags' stamps for `put` and `settle`, None where there are none.

        Taken before a load begins: a tag dropped meanwhile makes what was loaded count no more.
        """
        if not tags:
            return []
        if self._coordinated is None:
            return None
        names = [self._tag_name(tag) for tag in tags]
        return await self._safely(self._coordinated.stamps(names, ttl), None)

    def seal(
        self, value: V, ttl: float, tags: tuple[str, ...], stamps: list[bytes] | None
    ) -> bytes | None:
        """Return a value's envelope; None for one that would not come back as it is."""
        data = self._codec.encode(value)
        if data is None:
            kind = type(value).__name__
            if kind not in self._refused:
                self._refused.add(kind)
                _log.warning("cache.value_not_shared", type=kind)
            return None
        if stamps is None:
            return None
        marks = tuple(zip(tags, stamps, strict=True))
        size = getattr(value, "size", 0) if self._codec.number == _VECTORS else 0
        return seal(Envelope(data, self._codec.number, ttl, size, marks))

    async def put(self, pairs: Sequence[tuple[bytes, bytes | None]], ttl: float) -> None:
        """Write sealed values for ``ttl`` seconds; None drops what is there."""
        kept = [(self._name(key), data) for key, data in pairs if data is not None]
        gone = [self._name(key) for key, data in pairs if data is None]
        if self._coordinated is None:
            for name, data in kept:
                await self._safely(self._tier.set(name, data, ttl), None)
        elif kept:
            await self._safely(self._coordinated.put(kept, ttl, self._origin), None)
        if gone:
            await self._drop(gone)

    async def settle(
        self, pairs: Sequence[tuple[bytes, bytes | None]], lease: Lease, ttl: float
    ) -> list[bool | None]:
        """Write what was loaded under a lease, None for nothing; the lease ends.

        Returns:
            For each whether the lease still held; None where the tier could not say.
        """
        unknown: list[bool | None] = [None] * len(pairs)
        if self._coordinated is None or not pairs:
            return unknown
        named = [(self._name(key), data) for key, data in pairs]
        settled = await self._safely(self._coordinated.settle(named, lease.token, ttl), [])
        return [*settled] if settled else unknown

    async def delete(self, keys: Sequence[bytes]) -> bool:
        """Drop keys; return whether one is known to have been there."""
        return bool(await self._drop([self._name(key) for key in keys]))

    async def delete_tagged(self, tag: str) -> None:
        """Have no value count any more that was stored under a tag."""
        if self._coordinated is not None:
            dropped = self._coordinated.drop_tag(
                self._prefix, tag, self._tag_name(tag), self._origin
            )
            await self._safely(dropped, None)

    async def clear(self) -> None:
        """Drop every key of this cache."""
        if self._coordinated is None:
            await self._safely(self._tier.clear(self._prefix), None)
        else:
            await self._safely(self._coordinated.wipe(self._prefix, self._origin), None)

    def outdated(self, keys: Iterable[bytes]) -> None:
        """Say that what the tier has under keys may be old: a write did not come about."""
        if self._coordinated is not None:
            self._coordinated.outdated([self._name(key) for key in keys])

    def changed(self, keys: Iterable[str]) -> None:
        """Hear that others wrote or dropped keys."""
        start = len(self._prefix) + 1
        for key in keys:
            try:
                self._memory.forget(bytes.fromhex(key[start:-1]))
            except ValueError:  # somebody else's idea of a key
                continue

    def cleared(self) -> None:
        """Hear that others dropped everything, or that something was not heard."""
        self._memory.forget_all()

    def untagged(self, tag: str) -> None:
        """Hear that others dropped what has a tag."""
        self._memory.forget_tag(tag)

    async def _drop(self, names: Sequence[str]) -> int:
        if self._coordinated is not None:
            return await self._safely(self._coordinated.drop(names, self._origin), 0)
        return sum([await self._safely(self._tier.delete(name), False) for name in names])  # noqa: FBT003

    def _open(self, data: bytes | None, ttl: float) -> _Opened[V] | None:
        if data is None:
            return None
        try:
            envelope = open_envelope(data, codec=self._codec.number)
            value = self._codec.decode(envelope.data)
        except CacheError:
            self._tally.count("error")
            return None
        return _Opened(value, min(envelope.fresh, ttl), envelope.tags)

    async def _still_tagged(self, opened: Sequence[_Opened[V] | None]) -> list[Fetched[V] | None]:
        """Leave out the values whose tags were dropped since they were stored."""
        tags = {tag for one in opened if one is not None for tag, _ in one.tags}
        now: dict[str, bytes | None] = {}
        if tags and self._coordinated is not None:
            names = [self._tag_name(tag) for tag in tags]
            unknown: list[bytes | None] = [None] * len(names)
            found = await self._safely(self._coordinated.get_many(names), unknown)
            now = dict(zip(tags, found, strict=True))
        return [
            Fetched(one.value, one.fresh, tuple(tag for tag, _ in one.tags))
            if one is not None and all(now.get(tag) == stamp for tag, stamp in one.tags)
            else None
            for one in opened
        ]

    async def _safely(self, operation: Awaitable[T], instead: T) -> T:
        try:
            return await operation
        except CacheError:
            self._tally.count("error")
            return instead

    def _name(self, key: bytes) -> str:
        # The braces make a cluster keep the key beside its lease.
        return f"{self._prefix}{{{key.hex()}}}"

    def _tag_name(self, tag: str) -> str:
        return f"{self._prefix}tag:{sha256(tag.encode('utf-8', 'surrogatepass')).hexdigest()}"
