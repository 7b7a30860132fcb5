"""Budgets: what a run may cost, reserved before a request leaves and settled when it is over."""

from __future__ import annotations

from contextvars import ContextVar, Token
from decimal import Decimal
from types import TracebackType
from typing import Literal, Self

from agentinfra.errors import BudgetExceededError, ConfigurationError, LifecycleError

__all__ = ["Budget", "Reservation", "active_budgets", "reserve"]

_ZERO = Decimal(0)
_ACTIVE: ContextVar[tuple[Budget, ...]] = ContextVar("agentinfra_budgets", default=())


class Budget:
    """A cap in USD on every model call made inside its ``async with`` block.

    It holds in child tasks too, and nests: an inner budget's calls count against the outer ones.
    Before a request leaves, the most it can cost is reserved; when it is over the real cost is
    booked and the rest given back, on failure and cancellation as well. Tasks may share it.

    Args:
        usd: The cap; 0 lets nothing priced through.
        name: Its name in errors and metrics.
        unknown_prices: ``refuse`` raises for a model without a known price; ``allow`` lets it
            through unbooked.
    """

    def __init__(
        self,
        usd: Decimal | float | str,
        *,
        name: str = "budget",
        unknown_prices: Literal["refuse", "allow"] = "refuse",
    ) -> None:
        limit = Decimal(str(usd))
        if not limit.is_finite() or limit < 0:
            raise ConfigurationError(f"the budget {name!r} is {usd} USD: give a number from 0 up")
        self.name = name
        self.unknown_prices = unknown_prices
        self._limit = limit
        self._spent = _ZERO
        self._reserved = _ZERO
        self._token: Token[tuple[Budget, ...]] | None = None

    @property
    def limit(self) -> Decimal:
        """The cap in USD."""
        return self._limit

    @property
    def spent(self) -> Decimal:
        """What finished calls cost in USD."""
        return self._spent

    @property
    def reserved(self) -> Decimal:
        """What running calls may cost at worst in USD."""
        return self._reserved

    @property
    def remaining(self) -> Decimal:
        """What a new call may cost at worst in USD, never below 0."""
        return max(_ZERO, self._limit - self._spent - self._reserved)

    async def __aenter__(self) -> Self:
        if self._token is not None:
            raise LifecycleError(f"the budget {self.name!r} is already entered")
        self._token = _ACTIVE.set((*_ACTIVE.get(), self))
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        token, self._token = self._token, None
        if token is not None:
            _ACTIVE.reset(token)

    def __repr__(self) -> str:
        return (
            f"Budget({self.name!r}, limit={self._limit}, spent={self._spent}, "
            f"reserved={self._reserved})"
        )

    def _hold(self, amount: Decimal) -> None:
        if self._spent + self._reserved + amount > self._limit:
            raise BudgetExceededError(
                f"the budget {self.name!r} has {self.remaining:.6f} of {self._limit} USD left and "
                f"the call may cost {amount:.6f}: raise the budget or lower max_tokens",
                limit=self._limit,
                spent=self._spent,
                reserved=self._reserved,
            )
        self._reserved += amount

    def _refuse_unknown(self, model: str) -> None:
        if self.unknown_prices == "refuse":
            raise BudgetExceededError(
                f"the model {model!r} has no known price and the budget {self.name!r} refuses "
                f"such: set Settings.llm.prices, or unknown_prices='allow'",
                limit=self._limit,
                spent=self._spent,
                reserved=self._reserved,
            )

    def _release(self, amount: Decimal, spent: Decimal) -> None:
        self._reserved -= amount
        self._spent += spent


class Reservation:
    """Money held for one call in every budget around it; settled exactly once."""

    __slots__ = ("_amount", "_budgets")

    def __init__(self, budgets: tuple[Budget, ...], amount: Decimal) -> None:
        self._budgets = budgets
        self._amount = amount

    def settle(self, cost: Decimal | None) -> None:
        """Book what the call cost and give the rest back; None or a second time books nothing."""
        budgets, self._budgets = self._budgets, ()
        for budget in budgets:
            budget._release(self._amount, cost or _ZERO)  # noqa: SLF001


NO_RESERVATION = Reservation((), _ZERO)


def active_budgets() -> tuple[Budget, ...]:
    """Return the budgets around the running code, outermost first."""
    return _ACTIVE.get()


def reserve(model: str, at_most: Decimal | None) -> Reservation:
    """Hold the most a call can cost in every budget around it, or in none.

    Args:
        model: The model, for the error.
        at_most: The call's worst case in USD, None when its price is unknown.

    Raises:
        BudgetExceededError: One of them has too little left, or refuses unknown prices.
    """
    budgets = _ACTIVE.get()
    if not budgets:
        return NO_RESERVATION
    if at_most is None:
        for budget in budgets:
            budget._refuse_unknown(model)  # noqa: SLF001
        at_most = _ZERO
    held: list[Budget] = []
    try:
        for budget in budgets:
            budget._hold(at_most)  # noqa: SLF001
            held.append(budget)
    except BudgetExceededError:
        for budget in held:
            budget._release(at_most, _ZERO)  # noqa: SLF001
        raise
    return Reservation(budgets, at_most)
