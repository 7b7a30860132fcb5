"""What one call owes: money held before each of its requests, settled when it is over.

A call may need several requests: one is sent again after nobody answered, another beside it because
it is slow. Each of them may be paid for, so each is held for before it is sent.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from agentinfra.errors import LLMConnectionError, LLMError, LLMResponseError
from agentinfra.llm.money.budget import Reservation, active_budgets, reserve

if TYPE_CHECKING:
    from agentinfra.llm.wire.endpoint import Target

__all__ = ["Bill"]

T = TypeVar("T")

_ZERO = Decimal(0)


class Bill(Generic[T]):
    """What one call owes. Its requests may run side by side; it is settled once.

    Args:
        model: The model, for errors.
        asked: What is asked.
        worst: The most one request of it to a target costs in USD, None where nobody knows.
        likely: What one that nobody answered costs, about: its prompt, which was read.
        until: How long budgets that wait may do so, on the client's clock; None has no end.

    Attributes:
        budgets: Those around the call when it began.
        lost: USD that requests cost whose answers nobody has, by our estimate.
        answers: What requests gave that were sent side by side: one of them is the call's answer.
    """

    __slots__ = (
        "_asked",
        "_held",
        "_likely",
        "_model",
        "_open",
        "_parts",
        "_until",
        "_worst",
        "answers",
        "budgets",
        "lost",
    )

    def __init__(
        self,
        model: str,
        asked: T,
        worst: Callable[[T, Target], Decimal | None],
        likely: Callable[[T, Target], Decimal],
        *,
        until: float | None = None,
    ) -> None:
        self.budgets = active_budgets()
        # Tuples, of which an empty one costs nothing: most calls are one request.
        self.lost = _ZERO
        self.answers: tuple[tuple[Target, Any], ...] = ()
        self._model = model
        self._until = until
        self._asked = asked
        self._worst = worst
        self._likely = likely
        self._held: tuple[tuple[Reservation, Decimal], ...] = ()
        self._parts: tuple[Bill[T], ...] = ()
        self._open = 0

    async def hold(self, amount: Decimal | None) -> None:
        """Hold money for a request.

        Args:
            amount: The most it costs in USD; None where nobody knows.

        Raises:
            BudgetExceededError: A budget around the call has too little left.
        """
        held = await reserve(self.budgets, self._model, amount, until=self._until)
        # Only now: another request of the call may have been held for meanwhile.
        self._held = (*self._held, (held, amount or _ZERO))

    def part(self, asked: T) -> Bill[T]:
        """Return the bill of a part of the call, whose first request is held for already."""
        part = Bill(self._model, asked, self._worst, self._likely, until=self._until)
        part._open = -1
        self._parts = (*self._parts, part)
        return part

    def answered(self, target: Target, answer: Any) -> None:
        """Take in an answer beside which another may come."""
        self.answers = (*self.answers, (target, answer))

    async def begin(self, target: Target) -> None:
        """Hold for a request that is about to be sent, where what is held is not for it.

        Raises:
            BudgetExceededError: A budget around the call has too little left.
        """
        if self.budgets and self._open >= len(self._held):
            await self.hold(self._worst(self._asked, target))
        self._open += 1

    def failed(self, target: Target, error: BaseException) -> None:
        """Take in that a request failed: one that may have been served is owed for."""
        if _is_free(error):
            self._open -= 1
        else:
            self.lost += self._likely(self._asked, target)

    def settle(self, cost: Decimal | None) -> None:
        """Book what the call cost and give the rest back; a second time does nothing.

        Args:
            cost: What it cost in USD, what was lost included; None where there is no answer.
        """
        held = self._held
        for part in self._parts:
            held = held + part._held  # noqa: SLF001 - our own
        if not held:
            return
        left = self.owed if cost is None else cost
        self._held, self._parts = (), ()
        for reservation, amount in held[1:]:
            share = min(left, amount)
            left -= share
            reservation.settle(share)
        held[0][0].settle(left)

    @property
    def owed(self) -> Decimal:
        """What was lost, in its parts too."""
        return sum((part.lost for part in self._parts), self.lost)


def _is_free(error: BaseException) -> bool:
    """Whether a request that failed so was not served: refused, or never sent.

    One that was answered with what nobody can read was served, and one that was cut off or left
    may have been.
    """
    if isinstance(error, LLMConnectionError):
        return not error.sent
    return isinstance(error, LLMError) and not isinstance(error, LLMResponseError)
