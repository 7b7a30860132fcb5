"""Budgets: what calls may cost, reserved before a request leaves and settled when it is over."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self, TypeAlias

from agentinfra._mechanics.clock import SYSTEM_CLOCK
from agentinfra.errors import BudgetExceededError, ConfigurationError
from agentinfra.llm.money.accounts import ZERO, Account, Hold, LocalAccount
from agentinfra.llm.money.entering import Entries, around
from agentinfra.llm.money.windows import Window

if TYPE_CHECKING:
    from datetime import datetime

    from agentinfra.observability.metrics import Counter, Gauge

__all__ = [
    "Budget",
    "Reservation",
    "UnknownPrices",
    "Warnings",
    "active_budgets",
    "cap_of",
    "reserve",
]

UnknownPrices: TypeAlias = Literal["refuse", "allow"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Warnings:
    """What is said when a share of a budget is spent: once for each share and window.

    Attributes:
        shares: The shares, from 0 to 1.
        tell: Called with the budget and the share.
    """

    shares: Sequence[Decimal] = ()
    tell: Callable[[Budget, Decimal], None] | None = None


class Budget:
    """An account in USD, put around every model call made inside its ``async with`` block.

    It holds in child tasks too, and nests: an inner budget's calls count against the outer ones.
    Any number of tasks may be inside at once, also of the same object, and a block may be left in
    another task than the one that entered it. Before a request leaves, the most it can cost is
    reserved; when it is over the real cost is booked and the rest given back, on failure and
    cancellation as well.

    Made by itself, or by ``rt.llm.budget``, it is this process's and ends with the object;
    ``rt.budgets.of`` gives those with windows, which all processes on the database share.

    Args:
        usd: The cap; 0 lets nothing priced through.
        name: Its name in errors and metrics.
        unknown_prices: ``refuse`` raises for a model without a known price; ``allow`` lets it
            through unbooked.
        account: What is counted in, in place of ``usd``.

    Attributes:
        account: What is counted in.
        warnings: What is said when shares of it are spent.
    """

    def __init__(
        self,
        usd: Decimal | float | str,
        *,
        name: str = "budget",
        unknown_prices: UnknownPrices = "refuse",
        account: Account | None = None,
    ) -> None:
        self.name = name
        self.unknown_prices = unknown_prices
        self.account = account or LocalAccount(
            name,
            cap_of(usd, name),
            window=Window.of("run"),
            when_spent="refuse",
            clock=SYSTEM_CLOCK,
            wall=time.time,
        )
        self.warnings = Warnings()
        self._entries = Entries()
        self._warned: set[Decimal] = set()
        self._spending: Counter | None = None
        self._left: Gauge | None = None

    @property
    def limit(self) -> Decimal:
        """The cap in USD."""
        return self.account.limit

    @property
    def spent(self) -> Decimal:
        """What finished calls of the window cost in USD."""
        return self.account.spent

    @property
    def reserved(self) -> Decimal:
        """What running calls may cost at worst in USD, and what other processes have leased."""
        return self.account.reserved

    @property
    def lost(self) -> Decimal:
        """What calls of processes that died may have cost in USD: it counts in its window."""
        return self.account.lost

    @property
    def remaining(self) -> Decimal:
        """What a new call may cost at worst in USD, never below 0."""
        return self.account.remaining

    @property
    def resets_at(self) -> datetime | None:
        """When spending begins to count no more, in UTC; None where never."""
        return self.account.resets_at

    async def refresh(self) -> Self:
        """Learn what other processes have spent; without it they were last asked a while ago.

        Raises:
            BudgetUnavailableError: The ledger cannot be reached.
        """
        await self.account.refresh()
        return self

    async def __aenter__(self) -> Self:
        self._entries.enter(self)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._entries.leave()

    def __repr__(self) -> str:
        return (
            f"Budget({self.name!r}, limit={self.limit}, spent={self.spent}, "
            f"reserved={self.reserved})"
        )

    def _refuse_unknown(self, model: str) -> None:
        if self.unknown_prices == "refuse":
            raise BudgetExceededError(
                f"the model {model!r} has no known price and the budget {self.name!r} refuses "
                f"such: set Settings.llm.prices, or unknown_prices='allow'",
                limit=self.limit,
                spent=self.spent,
                reserved=self.reserved,
            )

    def show(self, spending: Counter, left: Gauge | None) -> None:
        """Have spending counted, and what is left shown, in series of the metrics."""
        self._spending, self._left = spending, left
        self.account.told = self._look

    def _settle(self, hold: Hold, cost: Decimal) -> None:
        self.account.give(hold, cost)
        if cost and self._spending is not None:
            self._spending.inc(cost)

    def _look(self) -> None:
        """Tell of shares that are spent: again only where spending was below them meanwhile."""
        account, warnings = self.account, self.warnings
        spent, limit = account.spent, account.limit
        if self._left is not None:
            self._left.set(float(account.remaining))
        for share in warnings.shares:
            if spent < limit * share:
                self._warned.discard(share)
            elif share not in self._warned:
                self._warned.add(share)
                if warnings.tell is not None:
                    warnings.tell(self, share)


class Reservation:
    """Money held for one call in every budget around it; settled exactly once."""

    __slots__ = ("_held",)

    def __init__(self, held: Sequence[tuple[Budget, Hold]]) -> None:
        self._held = held

    def settle(self, cost: Decimal | None) -> None:
        """Book what the call cost and give the rest back; None or a second time books nothing."""
        held, self._held = self._held, ()
        for budget, hold in held:
            budget._settle(hold, cost or ZERO)  # noqa: SLF001


NO_RESERVATION = Reservation(())


def active_budgets() -> tuple[Budget, ...]:
    """Return the budgets around the running code, outermost first."""
    return around()


async def reserve(
    budgets: Sequence[Budget], model: str, at_most: Decimal | None, *, until: float | None = None
) -> Reservation:
    """Hold the most a call can cost in every budget around it, or in none.

    Where all of them can say at once, nothing is waited for.

    Args:
        budgets: Those around the call, outermost first.
        model: The model, for the error.
        at_most: The call's worst case in USD, None when its price is unknown.
        until: How long budgets that wait may do so, on the client's clock; None has no end.

    Raises:
        BudgetExceededError: One of them has too little left, or refuses unknown prices.
        BudgetUnavailableError: One of them cannot say what is left.
    """
    if not budgets:
        return NO_RESERVATION
    if at_most is None:
        for budget in budgets:
            budget._refuse_unknown(model)  # noqa: SLF001
        at_most = ZERO
    held: list[tuple[Budget, Hold]] = []
    for budget in budgets:
        hold = budget.account.take(at_most)
        if hold is None:
            break
        held.append((budget, hold))
    else:
        return Reservation(held)
    Reservation(held).settle(None)
    return await _waited_for(budgets, at_most, until)


async def _waited_for(
    budgets: Sequence[Budget], at_most: Decimal, until: float | None
) -> Reservation:
    """Hold in each budget, waiting where one has to be asked."""
    held: list[tuple[Budget, Hold]] = []
    try:
        # In one order whoever asks: a call that holds in one and waits for another must not meet
        # one that does it the other way round.
        for budget in sorted(budgets, key=lambda budget: (budget.name, id(budget))):
            account = budget.account
            hold = account.take(at_most)
            if hold is None:
                hold = await account.more(at_most, until)
            held.append((budget, hold))
    except BaseException:
        Reservation(held).settle(None)
        raise
    return Reservation(held)


def cap_of(usd: Decimal | float | str, name: str) -> Decimal:
    """Return an amount of USD that people gave, exactly as they wrote it.

    Raises:
        ConfigurationError: It is no number from 0 up.
    """
    try:
        cap = Decimal(str(usd))
    except InvalidOperation:
        cap = Decimal("NaN")
    if not cap.is_finite() or cap < 0:
        raise ConfigurationError(f"the budget {name!r} is {usd} USD: give a number from 0 up")
    return cap
