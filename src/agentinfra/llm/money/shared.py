"""Accounts that all processes on a database share, as one of these processes sees them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

from agentinfra.errors import BudgetUnavailableError
from agentinfra.llm.money.accounts import ZERO, Hold, WhenSpent, refused

if TYPE_CHECKING:
    from agentinfra._mechanics.clock import Clock
    from agentinfra.llm.money.lease import Ask, Lease
    from agentinfra.llm.money.windows import Window

__all__ = ["Known", "Rounds", "SharedAccount"]

_SOON, _LATER = 0.1, 1.0
"""Seconds after which what calls cost is told to the ledger, together with what came meanwhile:
near the cap, where others wait for what was not needed, and far from it."""

_IDLE = 2.0
"""Seconds without a call after which the room of a lease is given back."""

_RECALL = 3.5
"""Seconds a call waits for room that other processes do not use, before it is refused."""

_FUTILE = 10.0
"""Seconds in which no other call waits for room that did not come back: its owner may be dead."""

_AGAIN, _PATIENT = 0.1, 0.5
"""Seconds between two questions for calls that are refused soon, and for those that wait."""

_STALE = 3600.0
"""Seconds after which a lease that nobody used is not taken up again: the ledger forgets it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the ledger said of an account last; other processes' part of it.

    Attributes:
        used: What all calls of the window cost, ours as far as reported.
        lent: What other processes hold.
        gone: What is held by those that are gone.
        idle: What of ``lent`` is not held for calls under way.
    """

    used: Decimal = ZERO
    lent: Decimal = ZERO
    gone: Decimal = ZERO
    idle: Decimal = ZERO


class Rounds(Protocol):
    """Carries leases to the ledger."""

    @property
    def away(self) -> str:
        """Why the ledger cannot be reached; empty where it can, or nobody has tried."""
        ...

    def lease(self, period: float) -> Lease:
        """Make a new lease."""
        ...

    def drop(self, lease: Lease) -> None:
        """Forget a settled one."""
        ...

    def schedule(self, account: SharedAccount, seconds: float) -> None:
        """Ask for an account within so many seconds."""
        ...


@dataclass(slots=True, eq=False)
class _Waiter:
    amount: Decimal
    since: float
    future: asyncio.Future[Hold | None]
    asked: bool = False


class SharedAccount:
    """An account of all processes on the database. Tasks of one loop share it.

    Far from the cap a call is held and settled in memory, out of a lease; near it every call is
    asked for. Money that was leased can be spent while the database is away.

    Args:
        name: Its key.
        limit: The cap in USD that this program names.
        window: What it counts in.
        when_spent: Whether a call that does not fit is refused, or waits until it does.
        rounds: Carries its leases to the ledger.
        clock: What waits are measured by.
        wall: Seconds since the epoch; what windows go by.
    """

    def __init__(
        self,
        name: str,
        limit: Decimal,
        *,
        window: Window,
        when_spent: WhenSpent,
        rounds: Rounds,
        clock: Clock,
        wall: Callable[[], float],
    ) -> None:
        self.name = name
        self.limit = self.named = limit
        self.window = window
        self.when_spent: WhenSpent = when_spent
        self.told: Callable[[], None] | None = None
        self.due = math.inf
        self._rounds = rounds
        self._clock = clock
        self._wall = wall
        self._known: Known | None = None
        self._lease: Lease | None = None
        self._ends = 0.0
        self._past: list[Lease] = []
        self._waiters: list[_Waiter] = []
        self._confirmed = -math.inf
        self._futile: tuple[Decimal, float] | None = None

    @property
    def idle(self) -> bool:
        """Whether the ledger knows all there is to know."""
        return not self._waiters and all(lease.settled for lease in self.leases)

    @property
    def spent(self) -> Decimal:
        """What calls of the window cost: ours now, those of others when we last asked."""
        self._turn()
        told_of = self._seen.used
        return told_of + sum((lease.spent - lease.reported for lease in self._counting), ZERO)

    @property
    def reserved(self) -> Decimal:
        """What our calls hold now, and what other processes held when we last asked."""
        return self._seen.lent + sum((lease.held for lease in self._counting), ZERO)

    @property
    def lost(self) -> Decimal:
        """What calls of processes that died may have cost: it counts until the window is over."""
        return self._seen.gone

    @property
    def remaining(self) -> Decimal:
        """What a new call may cost at worst, never below 0."""
        return max(ZERO, self.limit - self.spent - self.reserved - self.lost)

    @property
    def resets_at(self) -> datetime | None:
        """When spending begins to count no more; None where never."""
        return self.window.resets_at(self._wall())

    @property
    def leases(self) -> list[Lease]:
        """The leases there is something to say of: the last one is this period's, if there is."""
        self._turn()
        if self._waiters:
            self._current()
        past = [lease for lease in self._past if not lease.settled]
        return [*past, self._lease] if self._lease is not None else past

    def name_cap(self, limit: Decimal, when_spent: WhenSpent) -> None:
        """Take in what this program says now; the ledger hears of it with the next question."""
        self.when_spent = when_spent
        if limit != self.named:
            self.named = limit
            # The ledger decides what leases allow; until it has answered, the lower cap holds.
            self.limit = min(self.limit, limit) if self._known is not None else limit

    def take(self, amount: Decimal) -> Hold | None:
        """Hold an amount out of the lease; None where it has too little."""
        lease = self._current()
        if self._waiters and amount:
            return None  # who came before goes first
        return Hold(amount, lease) if lease.take(amount) else None

    async def more(self, amount: Decimal, until: float | None) -> Hold:
        """Have the ledger asked for an amount; see `Account`."""
        if amount > self.limit and self._known is not None:
            await self.refresh()  # it may have been raised
            if amount > self.limit:
                raise refused(self, amount)
        future: asyncio.Future[Hold | None] = asyncio.get_running_loop().create_future()
        waiter = _Waiter(amount, self._clock.now(), future)
        self._waiters.append(waiter)
        self._rounds.schedule(self, 0.0)
        try:
            async with self._clock.timeout_at(until):
                got = await future
        except TimeoutError:
            got = _given(future)
            if got is None:
                raise refused(self, amount) from None
        except asyncio.CancelledError:
            late = _given(future)
            if late is not None:  # it has just got what it waited for, and has no use for it
                self.give(late, ZERO)
            raise
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
        assert got is not None  # noqa: S101 - only `refresh` is answered without a hold
        return got

    def give(self, hold: Hold, cost: Decimal) -> None:
        """Give back what was held, and book what the call cost; the ledger is told soon."""
        lease: Lease = hold.place
        lease.give(hold.amount, cost)
        self._rounds.schedule(self, _LATER if lease.ample else _SOON)

    async def refresh(self) -> None:
        """Ask the ledger now; see `Account`."""
        future: asyncio.Future[Hold | None] = asyncio.get_running_loop().create_future()
        self._current()
        self._waiters.append(_Waiter(ZERO, self._clock.now(), future))
        self._rounds.schedule(self, 0.0)
        if (hold := await future) is not None:
            hold.place.give(ZERO, ZERO)

    def question(self, lease: Lease, *, parting: bool) -> tuple[Ask, tuple[Any, ...]]:
        """Return what a lease says to the ledger, and the arguments after the account's name.

        Args:
            lease: One of this account's.
            parting: Whether it is said for the last time.
        """
        now = self._wall()
        left = None
        if self._known is not None:
            left = self.limit - self.spent - self.reserved - self.lost
        # Only now: a period may have ended meanwhile, and this lease with it.
        current = lease is self._lease and not parting
        waiters = self._waiters if current else []
        for waiter in waiters:
            waiter.asked = True
        amounts = [waiter.amount for waiter in waiters]
        ask = lease.ask(sum(amounts, ZERO), max(amounts, default=ZERO), left if current else ZERO)
        place = (_moment(self.window.horizon(now)), lease.id, _moment(lease.period))
        told = (ask.spent, ask.busy, ask.kept, ask.queued, ask.spare, ask.least)
        return ask, (*place, *told)

    def answer(self, lease: Lease, ask: Ask, row: Any) -> None:
        """Take in what the ledger said, and give those who wait what there is."""
        lease.answered(ask, row["granted"])
        self._confirmed = self._clock.now()
        self.limit = row["cap"]
        if lease is self._lease:
            self._known = Known(
                used=row["used"], lent=row["lent"], gone=row["gone"], idle=row["idle"]
            )
            self._serve(lease)
        self._tidy()
        if self.told is not None:
            self.told()

    def unanswered(self, reason: str) -> None:
        """Take in that the ledger cannot be reached: refuse those who do not want to wait."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if self.when_spent == "wait" and waiter.amount:
                self._waiters.append(waiter)
            elif not waiter.future.done():
                waiter.future.set_exception(self._unavailable(waiter.amount, reason))

    def next_round(self, term: float) -> float:
        """Return in how many seconds the ledger has to be asked again; infinity for never."""
        if self._waiters:
            return _AGAIN if self.when_spent == "refuse" else _PATIENT
        leases = self.leases
        if untold := [lease for lease in leases if lease.spent != lease.reported]:
            return _LATER if all(lease.ample for lease in untold) else _SOON
        if any(lease.room > 0 for lease in leases):
            return min(_IDLE, term / 3)
        return term / 3 if any(lease.held for lease in leases) else math.inf

    def _unavailable(self, amount: Decimal, reason: str) -> BudgetUnavailableError:
        if not amount:
            return BudgetUnavailableError(f"nobody can say how {self.name!r} stands: {reason}")
        return BudgetUnavailableError(
            f"the budget {self.name!r} cannot be asked for {amount:.6f} USD, and what this process "
            f"had leased of it is used up: {reason}"
        )

    def _serve(self, lease: Lease) -> None:
        now, left = self._clock.now(), []
        for waiter in self._waiters:
            if waiter.future.done():
                continue
            if lease.take(waiter.amount):
                waiter.future.set_result(Hold(waiter.amount, lease))
            elif self._may_fit(waiter, now):
                left.append(waiter)
            else:
                waiter.future.set_exception(refused(self, waiter.amount))
        self._waiters = left

    def _may_fit(self, waiter: _Waiter, now: float) -> bool:
        """Say whether a call that does not fit now is to be kept waiting."""
        if not waiter.asked:
            return True  # it came meanwhile, and was no part of the question
        if self.when_spent == "wait" or waiter.amount > self.limit:
            return waiter.amount <= self.limit
        # Others may hold enough room that they do not use, and give back soon.
        idle = self._seen.idle
        if not idle or self.remaining + idle < waiter.amount:
            return False
        if self._futile is not None and self._futile[0] == idle and now < self._futile[1]:
            return False
        if now - waiter.since < _RECALL:
            return True
        self._futile = (idle, now + _FUTILE)
        return False

    @property
    def _counting(self) -> list[Lease]:
        """Our leases in periods that count."""
        mine = [] if self._lease is None else [self._lease]
        if not self._past:
            return mine
        horizon = self.window.horizon(self._wall())
        return mine + [lease for lease in self._past if lease.period >= horizon]

    @property
    def _seen(self) -> Known:
        return self._known if self._known is not None else Known()

    def _current(self) -> Lease:
        self._turn()
        if self._lease is None:
            self._lease = self._rounds.lease(self.window.period(self._wall()))
        return self._lease

    def _turn(self) -> None:
        """Put the lease aside when its period is over, or when the ledger may forget it."""
        lease = self._lease
        if lease is None:
            self._ends = self.window.ends(self.window.period(self._wall()))
            return
        over = self._ends != math.inf and self._wall() >= self._ends
        stale = lease.settled and self._clock.now() - self._confirmed > _STALE
        if not over and not (stale and lease.spent):
            return
        self._lease = None
        self._past.append(lease)
        self._ends = self.window.ends(self.window.period(self._wall()))
        if over and not self.window.rolling:
            self._known = None if self._known is None else Known()
        if not lease.settled:
            self._rounds.schedule(self, _SOON)
        self._tidy()

    def _tidy(self) -> None:
        for lease in [lease for lease in self._past if lease.settled]:
            self._past.remove(lease)
            self._rounds.drop(lease)


def _given(future: asyncio.Future[Hold | None]) -> Hold | None:
    if not future.done() or future.cancelled() or future.exception() is not None:
        return None
    return future.result()


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
