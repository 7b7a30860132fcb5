"""What is going on for one key: the load, the writes, and which of them is the newest."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from agentinfra.errors import CacheError, ClosedError, WrongLoopError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

__all__ = ["Flight", "Load", "Record", "Records"]

V = TypeVar("V")

_WITHIN: ContextVar[Sequence[Flight[Any]]] = ContextVar("agentinfra_cache_flights", default=())
"""The flights whose loader is running, in its task and in those it starts."""


class Load:
    """A task that loads one key or many, until the last of them is given up.

    Args:
        work: What it does.
        flights: The flights it serves.
        kind: The cache's name, for people who look at a hanging program.
    """

    __slots__ = ("_flights", "closing", "task")

    def __init__(
        self, work: Callable[[], Awaitable[Any]], flights: Sequence[Flight[Any]], kind: str
    ) -> None:
        self._flights = len(flights)
        self.closing = False
        self.task = asyncio.create_task(self._run(work, flights), name=f"cache load {kind}")

    def leave(self) -> None:
        """One flight is given up; the last one ends the load."""
        self._flights -= 1
        if not self._flights:
            self.task.cancel()

    async def _run(self, work: Callable[[], Awaitable[Any]], flights: Sequence[Flight[Any]]) -> Any:
        _WITHIN.set(flights)
        return await work()


class Flight(Generic[V]):
    """The load of one key, which no caller owns.

    A cancelled caller never cancels the others; when the last caller has gone, the load is
    cancelled, unless it runs behind the callers.

    Args:
        key: The key it loads.
        record: The key's record.
        kind: The cache's name, for people.
        ttl: Seconds what it loads is fresh; None for the cache's own.
        tags: The tags of what it loads.
        quiet: Whether it runs behind the callers: nobody has to wait for it.
    """

    __slots__ = (
        "_begun",
        "_callers",
        "_kind",
        "_load",
        "_value",
        "_waiters",
        "abandoned",
        "awaiting",
        "error",
        "granted",
        "key",
        "quiet",
        "record",
        "tags",
        "ttl",
    )

    def __init__(
        self,
        key: bytes,
        record: Record[V],
        *,
        kind: str,
        ttl: float | None = None,
        tags: tuple[str, ...] = (),
        quiet: bool = False,
    ) -> None:
        self.key = key
        self.record = record
        self.ttl = ttl
        self.tags = tags
        self.quiet = quiet
        self.granted = False
        self._kind = kind
        self._begun = record.generation
        self.abandoned = False
        self.error: BaseException | None = None
        self._load: Load | None = None
        self._value: V
        self._callers = 0
        # A future for each caller: what wakes one of them cannot cancel the load or another one.
        self._waiters: set[asyncio.Future[None]] = set()
        self.awaiting: list[Flight[Any]] = []

    @property
    def name(self) -> str:
        """What it loads, for people."""
        return f"{self._kind} {self.key.hex()[:8]}"

    @property
    def newest(self) -> bool:
        """Whether nothing was written since the flight began: else its value is the older one."""
        return self.record.generation == self._begun

    def board(self, load: Load, ended: Callable[[Flight[V]], None]) -> None:
        """Be served by a load, whose result has the value under the key."""
        self._load = load
        load.task.add_done_callback(partial(self._land, ended))

    async def wait(self) -> V:
        """Return what the load gives.

        Raises:
            CacheError: The loader waits for itself, or ended in a cancellation of its own.
            ClosedError: The cache was closed.
            Exception: What the loader raised.
        """
        self.join()
        try:
            return await self.landed()
        finally:
            self.leave()

    def join(self) -> None:
        """Be one of the callers until `leave`.

        Raises:
            CacheError: The caller is within a loader this flight waits for.
        """
        if loading := _WITHIN.get():
            for within in loading:
                self._refuse_circle(within)
            for within in loading:
                within.awaiting.append(self)
        self._callers += 1

    def leave(self) -> None:
        """Go; the last caller to go ends the load."""
        for within in _WITHIN.get():
            within.awaiting.remove(self)
        self._callers -= 1
        load = self._load
        if self._callers or self.quiet or self.abandoned or load is None or load.task.done():
            return
        # A caller that comes while the cancelled load winds down starts a new one.
        self.abandoned = True
        load.leave()

    async def landed(self) -> V:
        """Return what the load gives to a caller that has joined; see `wait`."""
        if self._load is not None:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)
        if self.error is not None:
            raise self.error
        return self._value

    def close(self) -> asyncio.Task[Any] | None:
        """Cancel the load because the cache closes; return its task to be waited for."""
        if self._load is None:
            return None
        self._load.closing = True
        self._load.task.cancel()
        return self._load.task

    def _land(self, ended: Callable[[Flight[V]], None], task: asyncio.Task[dict[bytes, V]]) -> None:
        if task.cancelled():
            # Nobody has cancelled the callers: to them it is an error like any other.
            closing = self._load is not None and self._load.closing
            self.error = (
                ClosedError(f"the cache was closed while {self.name} was loaded")
                if closing
                else CacheError(f"the loader of {self.name} ended in a cancellation of its own")
            )
        elif (error := task.exception()) is not None:
            self.error = error
        else:
            self._value = task.result()[self.key]
        # The task's context holds the flight: without this each load would be a circle, which only
        # the garbage collector ends.
        self._load = None
        ended(self)
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _refuse_circle(self, within: Flight[Any]) -> None:
        """Refuse to wait for a load that waits, however indirectly, for the one we are in."""
        seen: set[int] = set()
        behind: list[Flight[Any]] = [self]
        while behind:
            flight = behind.pop()
            if flight is within:
                raise CacheError(
                    f"the loader of {within.name} asks for {self.name}, which waits for it: "
                    "neither would ever end"
                )
            if id(flight) not in seen:
                seen.add(id(flight))
                behind.extend(flight.awaiting)


class Record(Generic[V]):
    """The state of one key while something goes on for it, or went wrong.

    Attributes:
        generation: Grows with each write. What began before is older than the write, and is not
            kept when it ends.
        flight: The load callers join; None where there is none, or where a newer write has made
            it old.
        failures: Refreshes that failed one after the other.
        retry_at: When the next refresh is tried at the earliest.
        users: Operations that need the record now.
    """

    __slots__ = ("_turn", "failures", "flight", "generation", "retry_at", "users")

    def __init__(self) -> None:
        self.generation = 0
        self.flight: Flight[V] | None = None
        self.failures = 0
        self.retry_at = 0.0
        self._turn: asyncio.Lock | None = None
        self.users = 0

    @property
    def turn(self) -> asyncio.Lock:
        """Held by a write to the shared tier: the writes of one key arrive in order."""
        if self._turn is None:
            self._turn = asyncio.Lock()
        return self._turn


class Records(Generic[V]):
    """The records of one cache, for one event loop at a time.

    A record lives as long as an operation needs it, and after failed refreshes as long as its
    value. A loop that has ended gives its place to the next one.
    """

    __slots__ = ("_flights", "_loop", "_records")

    def __init__(self) -> None:
        self._records: dict[bytes, Record[V]] = {}
        self._flights: set[Flight[V]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    def __len__(self) -> int:
        return len(self._records)

    def get(self, key: bytes) -> Record[V] | None:
        """Return the record of a key where there is one."""
        return self._records.get(key)

    @contextmanager
    def of(self, key: bytes) -> Iterator[Record[V]]:
        """Give the record of a key for a block; see `hold`."""
        record = self.hold(key)
        try:
            yield record
        finally:
            self.release(key, record)

    def hold(self, key: bytes) -> Record[V]:
        """Return the record of a key, for an operation that gives it back.

        Raises:
            WrongLoopError: Another event loop uses the cache.
        """
        self.check_loop()
        record = self._records.get(key)
        if record is None:
            record = self._records[key] = Record()
        record.users += 1
        return record

    def release(self, key: bytes, record: Record[V]) -> None:
        """Give a record back; one that nothing needs any more is dropped."""
        record.users -= 1
        self._tidy(key, record)

    def check_loop(self) -> None:
        """Refuse a second event loop while the first one lives.

        Raises:
            WrongLoopError: It does.
        """
        running = asyncio.get_running_loop()
        if running is self._loop:
            return
        if self._loop is not None and not self._loop.is_closed():
            raise WrongLoopError(
                f"the cache belongs to loop {id(self._loop):#x} and was used from loop "
                f"{id(running):#x}: make one cache for each loop"
            )
        # What the ended loop left behind can neither go on nor be waited for.
        self._records.clear()
        self._flights.clear()
        self._loop = running

    def take_off(self, flight: Flight[V], load: Load) -> None:
        """Have the callers of a key join a flight from now on."""
        record = flight.record
        record.flight = flight
        record.users += 1
        self._flights.add(flight)
        flight.board(load, self._landed)

    def _landed(self, flight: Flight[V]) -> None:
        """Have a flight that ended joined no more."""
        record = flight.record
        self._flights.discard(flight)
        if record.flight is flight:
            record.flight = None
        self.release(flight.key, record)

    def supersede(self, key: bytes) -> None:
        """Have what is being loaded or fetched for a key not kept: a newer write is coming."""
        record = self._records.get(key)
        if record is not None:
            record.generation += 1
            record.flight = None
            record.failures = 0
            self._tidy(key, record)

    def supersede_all(self, tag: str | None = None) -> list[bytes]:
        """Do so for all keys, or for those whose load has a tag; return them."""
        keys = [
            key
            for key, record in self._records.items()
            if tag is None or (record.flight is not None and tag in record.flight.tags)
        ]
        for key in keys:
            self.supersede(key)
        return keys

    def settled(self, key: bytes) -> None:
        """Forget the failures of a key's refreshes: its value is new, or gone."""
        record = self._records.get(key)
        if record is not None:
            record.failures = 0
            self._tidy(key, record)

    async def aclose(self) -> None:
        """Cancel the loads under way and wait for them; their callers get ``ClosedError``."""
        tasks = {task for flight in self._flights if (task := flight.close()) is not None}
        await asyncio.gather(*tasks, return_exceptions=True)

    def _tidy(self, key: bytes, record: Record[V]) -> None:
        if not record.users and not record.failures and self._records.get(key) is record:
            del self._records[key]
