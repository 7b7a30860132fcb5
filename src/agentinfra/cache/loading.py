"""One load for many callers, in this process and in the others."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from agentinfra.cache.copying import hand_out, refuse_read_once
from agentinfra.cache.entry import Flight, Load
from agentinfra.cache.given import as_tags, begin
from agentinfra.cache.shared.sharing import Claimed
from agentinfra.cache.tiered import MISSING, TieredCache
from agentinfra.errors import CacheError
from agentinfra.observability.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from agentinfra.cache.entry import Record
    from agentinfra.cache.shared.lease import Lease
    from agentinfra.cache.shared.sharing import Sharing

__all__ = ["ComputingCache"]

_log = get_logger("agentinfra.cache")
V = TypeVar("V")

_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0


class ComputingCache(TieredCache[V]):
    """A cache that computes what it does not have, once for all who ask at the same time."""

    async def _compute(
        self,
        key: bytes,
        loader: Callable[[], Awaitable[V]],
        ttl: float | None = None,
        tags: Iterable[str] = (),
    ) -> V:
        held = self._memory.get(key, MISSING)
        if held is not MISSING:
            self._tally.hit()
            if self._early and self._memory.fresh_for(key) <= self._early:
                self._refresh(key, loader, ttl, tags)
            return hand_out(held)  # type: ignore[no-any-return]
        if self._stale and (held := self._memory.stale(key, MISSING)) is not MISSING:
            self._tally.count("stale")
            self._refresh(key, loader, ttl, tags)
            return hand_out(held)  # type: ignore[no-any-return]
        record = self._records.hold(key)
        try:
            flight = record.flight
            if flight is None or flight.abandoned:
                flight = self._flight(key, record, ttl, tags)
                self._take_off([flight], partial(self._fill, flight, loader))
            else:
                self._tally.count("coalesced")
            # What is held in place of the value: each caller gets one of its own.
            return hand_out(await flight.wait())  # type: ignore[no-any-return]
        finally:
            self._records.release(key, record)

    async def _compute_many(
        self,
        keys: Sequence[bytes],
        loader: Callable[[list[int]], Awaitable[Sequence[V]]],
        ttl: float | None = None,
    ) -> list[V]:
        """Return the value of each key; the loader is called once, with the places it is to fill.

        A key another caller is loading is waited for, and not loaded again.
        """
        found = [self._held(key) for key in keys]
        missing = [at for at, value in enumerate(found) if value is MISSING]
        if not missing:
            return found
        places: dict[bytes, int] = {}
        for at in missing:
            places.setdefault(keys[at], at)
        flights = self._join_many(places, loader, ttl)
        try:
            for at in missing:
                found[at] = hand_out(await flights[keys[at]].landed())
        finally:
            for flight in flights.values():
                flight.leave()
        return found

    def _join_many(
        self,
        places: dict[bytes, int],
        loader: Callable[[list[int]], Awaitable[Sequence[V]]],
        ttl: float | None,
    ) -> dict[bytes, Flight[Any]]:
        flights: dict[bytes, Flight[Any]] = {}
        new: list[Flight[Any]] = []
        with ExitStack() as stack:
            for key in places:
                record = stack.enter_context(self._records.of(key))
                flight = record.flight
                if flight is None or flight.abandoned:
                    flight = self._flight(key, record, ttl)
                    new.append(flight)
                else:
                    self._tally.count("coalesced")
                flights[key] = flight
            if new:
                self._take_off(new, partial(self._fill_many, new, places, loader))
        joined: list[Flight[Any]] = []
        try:
            # All are joined before the first is waited for: no other caller's leaving ends them.
            for flight in flights.values():
                flight.join()
                joined.append(flight)
        except CacheError:
            for flight in joined:
                flight.leave()
            raise
        return flights

    def _flight(
        self,
        key: bytes,
        record: Record[Any],
        ttl: float | None,
        tags: Iterable[str] = (),
        *,
        quiet: bool = False,
    ) -> Flight[Any]:
        return Flight(key, record, kind=self.kind, ttl=ttl, tags=as_tags(tags), quiet=quiet)

    def _take_off(
        self, flights: list[Flight[Any]], work: Callable[[], Awaitable[dict[bytes, Any]]]
    ) -> None:
        """Start one load for keys nobody loads; callers join its flights from now on."""
        load = Load(work, flights, self.kind)
        for flight in flights:
            self._records.take_off(flight, load)

    async def _fill(
        self, flight: Flight[Any], loader: Callable[[], Awaitable[V]]
    ) -> dict[bytes, Any]:
        """Return what is held in place of the value: from the shared tier, or the loader."""
        if self._sharing is None:
            self._tally.count("miss")
            # Nothing older is held: the caller would have been given it.
            return {flight.key: self._keep_one(flight, await begin(loader))}
        claimed, lease = await self._sharing.claim_in_turn(flight.key)
        held = self._take(flight, claimed)
        if held is not MISSING:
            self._tally.hit()
            return {flight.key: held}
        self._tally.count("miss")
        return {flight.key: await self._load_or_stale(flight, loader, lease)}

    async def _fill_quietly(
        self, flight: Flight[Any], loader: Callable[[], Awaitable[V]]
    ) -> dict[bytes, Any]:
        """Refresh a value; another process that does so is left to it."""
        lease = None
        if self._sharing is not None:
            (claimed,), lease = await self._sharing.claim([flight.key], fresh_for=self._early)
            held = self._take(flight, claimed, fresh_for=self._early)
            if held is MISSING and claimed.elsewhere:
                held = self._memory.stale(flight.key, MISSING)
            if held is not MISSING:
                return {flight.key: held}
            flight.granted = claimed.granted
        return {flight.key: await self._load_or_stale(flight, loader, lease)}

    async def _load_or_stale(
        self, flight: Flight[Any], loader: Callable[[], Awaitable[V]], lease: Lease | None
    ) -> Any:
        """Return what the loader gives, and where it fails the old value while it is stale."""
        flight.granted = lease is not None
        try:
            if self._sharing is None:
                held = self._keep_one(flight, await begin(loader))
            else:

                async def load(_: list[Flight[Any]]) -> Sequence[V]:
                    return (await begin(loader),)

                held = (await self._load([flight], load, lease, self._sharing))[flight.key]
        except Exception as error:
            held = self._memory.stale(flight.key, MISSING)
            if held is MISSING:
                raise
            self._refresh_failed(flight.record, error)
        else:
            flight.record.failures = 0
        return held

    async def _fill_many(
        self,
        flights: list[Flight[Any]],
        places: dict[bytes, int],
        loader: Callable[[list[int]], Awaitable[Sequence[V]]],
    ) -> dict[bytes, Any]:
        """Return what is held in place of each value.

        What another process loads at this moment is loaded here too, and left to it to store.
        """
        got: dict[bytes, Any] = {}
        lease = None
        if self._sharing is not None:
            claims, lease = await self._sharing.claim([flight.key for flight in flights])
            for flight, claimed in zip(flights, claims, strict=True):
                flight.granted = claimed.granted
                held = self._take(flight, claimed)
                if held is not MISSING:
                    self._tally.hit()
                    got[flight.key] = held
        left = [flight for flight in flights if flight.key not in got]
        self._tally.count("miss", len(left))

        async def load(wanted: list[Flight[Any]]) -> Sequence[V]:
            return await loader([places[flight.key] for flight in wanted])

        if not left:
            return got
        if self._sharing is None:
            return got | self._keep(left, await load(left))
        return got | await self._load(left, load, lease, self._sharing)

    async def _load(
        self,
        flights: list[Flight[Any]],
        loader: Callable[[list[Flight[Any]]], Awaitable[Sequence[V]]],
        lease: Lease | None,
        sharing: Sharing[V],
    ) -> dict[bytes, Any]:
        """Call the loader, hold what it gives, and store it where a lease or the tier allows."""
        life = self._life(max(flights[0].ttl or 0.0, self._ttl))
        tags = flights[0].tags
        if lease is None:
            stamps = await sharing.stamps(tags, life)
            values = await loader(flights)
            held = self._keep(flights, values)
            if not sharing.coordinated:
                await self._store(flights, values, stamps, sharing)
            return held
        sealed: list[tuple[bytes, bytes | None]] = [
            (flight.key, None) for flight in flights if flight.granted
        ]
        try:
            stamps = await sharing.stamps(tags, life)
            async with lease:
                values = await loader(flights)
            held = self._keep(flights, values)
            life = self._life(max(self._seconds(value, flights[0].ttl) for value in values))
            sealed = [
                (flight.key, self._seal(flight, value, stamps, sharing))
                for flight, value in zip(flights, values, strict=True)
                if flight.granted
            ]
        finally:
            # Whatever has happened the lease goes: other processes wait for it.
            await self._settle(flights, sealed, lease, life, sharing)
        return held

    def _keep(self, flights: list[Flight[Any]], values: Sequence[V]) -> dict[bytes, Any]:
        """Hold loaded values, unless something newer was written; return what is held of each."""
        if len(values) != len(flights):
            raise CacheError(f"the loader gave {len(values)} values for {len(flights)}")
        return {
            flight.key: self._keep_one(flight, value)
            for flight, value in zip(flights, values, strict=True)
        }

    def _keep_one(self, flight: Flight[Any], value: V) -> Any:
        refuse_read_once(value)
        seconds = self._seconds(value, flight.ttl)
        return self._hold(flight.key, value, seconds, flight.tags, keep=flight.newest)

    def _seal(
        self, flight: Flight[Any], value: V, stamps: list[bytes] | None, sharing: Sharing[V]
    ) -> bytes | None:
        return sharing.seal(value, self._seconds(value, flight.ttl), flight.tags, stamps)

    async def _settle(
        self,
        flights: list[Flight[Any]],
        sealed: list[tuple[bytes, bytes | None]],
        lease: Lease,
        life: float,
        sharing: Sharing[V],
    ) -> None:
        by_key = {flight.key: flight for flight in flights}
        async with self._order.writing([key for key, _ in sealed]):
            # Only now: a set or delete of this process that came before our turn is newer.
            kept = [(key, data if by_key[key].newest else None) for key, data in sealed]
            settled = await sharing.settle(kept, lease, life)
        for (key, data), held in zip(kept, settled, strict=True):
            # Another process has written meanwhile, or the lease ran out: what we hold may be old.
            if data is not None and held is False and by_key[key].newest:
                self._memory.delete(key)

    async def _store(
        self,
        flights: list[Flight[Any]],
        values: Sequence[V],
        stamps: list[bytes] | None,
        sharing: Sharing[V],
    ) -> None:
        async with self._order.writing([flight.key for flight in flights]):
            for flight, value in zip(flights, values, strict=True):
                if flight.newest:
                    data = self._seal(flight, value, stamps, sharing)
                    await sharing.put(
                        [(flight.key, data)], self._life(self._seconds(value, flight.ttl))
                    )

    def _take(self, flight: Flight[Any], claimed: Claimed[V], fresh_for: float = 0.0) -> Any:
        """Hold what the shared tier had; return what is held of it where it is fresh enough."""
        found = claimed.found
        if found is None:
            return MISSING
        held = self._hold(flight.key, found.value, found.fresh, found.tags, keep=flight.newest)
        return held if found.fresh > fresh_for else MISSING

    def _refresh(
        self,
        key: bytes,
        loader: Callable[[], Awaitable[V]],
        ttl: float | None,
        tags: Iterable[str],
    ) -> None:
        """Compute a value anew behind the callers, once at a time, after failures less often."""
        with self._records.of(key) as record:
            if record.flight is not None or self._clock.now() < record.retry_at:
                return
            flight = self._flight(key, record, ttl, tags, quiet=True)
            self._take_off([flight], partial(self._fill_quietly, flight, loader))

    def _refresh_failed(self, record: Record[Any], error: Exception) -> None:
        record.failures += 1
        pause = min(_FIRST_PAUSE * 2 ** min(record.failures - 1, 16), _LONGEST_PAUSE)
        record.retry_at = self._clock.now() + pause
        self._tally.count("refresh_failed")
        _log.warning(
            "cache.refresh_failed",
            cache=self.kind,
            error=type(error).__name__,
            failures=record.failures,
            retry_in=pause,
        )
