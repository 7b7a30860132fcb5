"""Accounts: what is spent and held of a cap in a window; here those that one process keeps."""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias

from agentinfra.errors import BudgetExceededError
from agentinfra.llm.money.windows import Window

if TYPE_CHECKING:
    from agentinfra._mechanics.clock import Clock

__all__ = ["ZERO", "Account", "Hold", "LocalAccount", "WhenSpent", "refused"]

ZERO = Decimal(0)

WhenSpent: TypeAlias = Literal["refuse", "wait"]


class Hold(NamedTuple):
    """Money held for a call that is under way.

    Attributes:
        amount: How much, in USD.
        place: Where the account that gave it finds it again.
    """

    amount: Decimal
    place: Any


class Account(Protocol):
    """A cap on what calls cost in a window. Amounts are USD, and exact."""

    name: str
    limit: Decimal
    when_spent: WhenSpent
    told: Callable[[], None] | None
    """Called soon after there was spending: ours, or others' as far as we hear of it."""

    @property
    def idle(self) -> bool:
        """Whether nothing would be lost with it."""
        ...

    @property
    def spent(self) -> Decimal:
        """What finished calls of the window cost."""
        ...

    @property
    def reserved(self) -> Decimal:
        """What is held for calls under way, and lent to processes for theirs."""
        ...

    @property
    def lost(self) -> Decimal:
        """What processes that ended in the middle of calls had held for them."""
        ...

    @property
    def remaining(self) -> Decimal:
        """What a new call may cost at worst, never below 0."""
        ...

    @property
    def resets_at(self) -> datetime | None:
        """When spending begins to count no more; None where never."""
        ...

    def name_cap(self, limit: Decimal, when_spent: WhenSpent) -> None:
        """Take in what a program says now."""
        ...

    def take(self, amount: Decimal) -> Hold | None:
        """Hold an amount at once; None where that cannot be decided for, or there is too little."""
        ...

    async def more(self, amount: Decimal, until: float | None) -> Hold:
        """Hold an amount that could not be held at once.

        Raises:
            BudgetExceededError: There is too little; of an account that waits, until then.
            BudgetUnavailableError: Nobody can say what is left.
        """
        ...

    def give(self, hold: Hold, cost: Decimal) -> None:
        """Give back what was held, and book what the call cost."""
        ...

    async def refresh(self) -> None:
        """Learn what other processes have spent.

        Raises:
            BudgetUnavailableError: Nobody can say.
        """
        ...


def refused(account: Account, amount: Decimal) -> BudgetExceededError:
    """Return the error for an amount that does not fit."""
    resets = account.resets_at
    again = f"; from {resets:%Y-%m-%d %H:%M:%S} UTC on there is more" if resets else ""
    lost = f" ({account.lost:.6f} of it may have been spent by processes that died)"
    return BudgetExceededError(
        f"the budget {account.name!r} has {account.remaining:.6f} of {account.limit} USD left"
        f"{lost if account.lost else ''} and the call may cost {amount:.6f}: "
        f"raise the budget or lower max_tokens{again}",
        limit=account.limit,
        spent=account.spent,
        reserved=account.reserved,
    )


class LocalAccount:
    """An account of this process. Tasks of one loop share it.

    Args:
        name: Its name in errors.
        limit: The cap in USD.
        window: What it counts in.
        when_spent: Whether a call that does not fit is refused, or waits until it does.
        clock: What waits are measured by.
        wall: Seconds since the epoch; what windows go by.
    """

    lost = ZERO

    def __init__(
        self,
        name: str,
        limit: Decimal,
        *,
        window: Window,
        when_spent: WhenSpent,
        clock: Clock,
        wall: Callable[[], float],
    ) -> None:
        self.name = name
        self.limit = limit
        self.when_spent: WhenSpent = when_spent
        self.told: Callable[[], None] | None = None
        self._window = window
        self._clock = clock
        self._wall = wall
        # By period: what was held in one is booked in that one, however late its call ends.
        self._spent_in: defaultdict[float, Decimal] = defaultdict(Decimal)
        self._held_in: defaultdict[float, Decimal] = defaultdict(Decimal)
        self._spent = ZERO
        self._held = ZERO
        self._period = 0.0
        self._ends = math.inf if window.name == "run" else 0.0
        self._waiting: dict[asyncio.Future[None], None] = {}

    @property
    def idle(self) -> bool:
        """Whether nothing would be lost with it."""
        self._turn()
        return not (self._spent or self._held or self._waiting)

    @property
    def spent(self) -> Decimal:
        """What finished calls of the window cost."""
        self._turn()
        return self._spent

    @property
    def reserved(self) -> Decimal:
        """What calls under way may cost at worst."""
        self._turn()
        return self._held

    @property
    def remaining(self) -> Decimal:
        """What a new call may cost at worst, never below 0."""
        self._turn()
        return max(ZERO, self.limit - self._spent - self._held)

    @property
    def resets_at(self) -> datetime | None:
        """When spending begins to count no more; None where never."""
        return self._window.resets_at(self._wall())

    def name_cap(self, limit: Decimal, when_spent: WhenSpent) -> None:
        """Take in what a program says now."""
        self.limit, self.when_spent = limit, when_spent
        self._wake()

    def take(self, amount: Decimal) -> Hold | None:
        """Hold an amount; None where there is too little."""
        if self._ends != math.inf:
            self._turn()
        if self._spent + self._held + amount > self.limit:
            return None
        self._held += amount
        self._held_in[self._period] += amount
        return Hold(amount, self._period)

    async def more(self, amount: Decimal, until: float | None) -> Hold:
        """Refuse an amount, or wait until it can be held; see `Account`."""
        while (hold := self.take(amount)) is None:
            if self.when_spent == "refuse" or amount > self.limit:
                raise refused(self, amount)
            await self._change(amount, until)
        return hold

    def give(self, hold: Hold, cost: Decimal) -> None:
        """Give back what was held, and book what the call cost."""
        period = hold.place
        if period == self._period or period in self._held_in:
            self._held_in[period] -= hold.amount
            self._held -= hold.amount
            self._spent_in[period] += cost
            self._spent += cost
        if self._waiting:
            self._wake()
        if self.told is not None:
            self.told()

    async def refresh(self) -> None:
        """Do nothing: this process knows all there is."""

    def _turn(self) -> None:
        """Forget what counts no more."""
        if self._ends == math.inf or (now := self._wall()) < self._ends:
            return
        self._period = self._window.period(now)
        self._ends = self._window.ends(self._period)
        horizon = self._window.horizon(now)
        for amounts in (self._spent_in, self._held_in):
            for period in [period for period in amounts if period < horizon]:
                del amounts[period]
        self._spent = sum(self._spent_in.values(), ZERO)
        self._held = sum(self._held_in.values(), ZERO)

    async def _change(self, amount: Decimal, until: float | None) -> None:
        """Wait until something was given back, or a period is over."""
        changed = asyncio.get_running_loop().create_future()
        self._waiting[changed] = None
        alarm = None
        if self._ends != math.inf:
            alarm = self._clock.call_at(self._clock.now() + self._ends - self._wall(), self._wake)
        try:
            async with self._clock.timeout_at(until):
                await changed
        except TimeoutError:
            raise refused(self, amount) from None
        finally:
            self._waiting.pop(changed, None)
            if alarm is not None:
                alarm.cancel()

    def _wake(self) -> None:
        """Let all who wait look again, in the order in which they came."""
        waiting, self._waiting = self._waiting, {}
        for changed in waiting:
            if not changed.done():
                changed.set_result(None)
