"""A lease: the part of a shared account that this process may spend without asking anybody.

Nothing here waits or sends: what is decided is decided at once, and the ledger carries it.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from agentinfra.llm.money.accounts import ZERO

if TYPE_CHECKING:
    from agentinfra.llm.money.journal import Page

__all__ = ["Ask", "Lease"]

_AHEAD = 2
"""How many times of what the last turn used is leased for the next one."""

_PART = 4
"""What part of what is left is leased at most: a fourth, so that others find something too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a lease says to the ledger, and asks of it. Amounts are totals: twice is once.

    Attributes:
        spent: All that calls under this lease have cost.
        busy: What is held for calls under way.
        kept: What it goes on holding in any case: for calls under way, and for the next ones.
        basis: The same as this process counts it: less where calls cost more than their worst case.
        queued: What waiting calls need.
        spare: What it would like to have beside that.
        least: The least of it that is of any use.
    """

    spent: Decimal
    busy: Decimal
    kept: Decimal
    basis: Decimal
    queued: Decimal
    spare: Decimal
    least: Decimal


class Lease:
    """What this process holds of an account in one period.

    The ledger's row holds at least ``held + room`` for it at any moment, also while a question is
    under way or its answer was lost: room is given up before the ledger is told, and used only
    after the ledger has granted it.

    Args:
        id: Its name in the ledger.
        period: The period it belongs to.
        page: Where it is written down for those who come after a sudden end.
    """

    __slots__ = (
        "_page",
        "_used",
        "ample",
        "held",
        "id",
        "last",
        "period",
        "reported",
        "room",
        "spent",
    )

    def __init__(self, id: str, period: float, page: Page | None) -> None:  # noqa: A002
        self.id = id
        self.period = period
        self.ample = False
        self.held = ZERO
        self.room = ZERO
        self.spent = ZERO
        self.reported = ZERO
        self.last = ZERO
        self._used = ZERO
        self._page = page
        if page is not None:
            page.write(id, ZERO, ZERO)

    @property
    def settled(self) -> bool:
        """Whether the ledger knows all there is to know, and holds nothing for it."""
        return not self.held and not self.room and self.spent == self.reported

    def take(self, amount: Decimal) -> bool:
        """Hold an amount out of the room there is; say whether there is enough."""
        if not amount:
            return True  # what costs nothing, or nobody knows what, needs no room
        if amount > self.room:
            return False
        self.room -= amount
        self.held += amount
        self._used += amount
        self.last = amount
        if self._page is not None:  # before the request leaves: it may be the last thing we do
            self._page.write(self.id, self.spent, self.held)
        return True

    def give(self, amount: Decimal, cost: Decimal) -> None:
        """Give back what was held, and book what the call cost."""
        self.held -= amount
        self.spent += cost
        # Below zero where a call cost more than its worst case: the ledger then gets it back.
        self.room += amount - cost
        if self._page is not None:
            self._page.write(self.id, self.spent, self.held)

    def ask(self, queued: Decimal, largest: Decimal, left: Decimal | None) -> Ask:
        """Give up the room that is not needed, and return what to say to the ledger.

        Args:
            queued: What waiting calls need.
            largest: The largest of these.
            left: What is left of the account as far as is known, this lease's room included.
        """
        least = max(self.last, largest)
        target = _AHEAD * (self._used + queued)
        self._used = ZERO
        if left is not None:
            target = min(target, max(left - queued, ZERO) / _PART)
        if target < least:
            target = ZERO  # near the cap there is no room: every reservation is asked for
        self.ample = target > 0
        self.room = min(self.room, target)
        spare = target - max(self.room, ZERO)
        return Ask(
            spent=self.spent,
            busy=self.held,
            kept=self.held + max(self.room, ZERO),
            basis=self.held + self.room,
            queued=queued,
            spare=spare,
            least=least,
        )

    def answered(self, ask: Ask, granted: Decimal) -> None:
        """Take in what the ledger has granted: the room that was asked for, or a part of it."""
        self.room += granted - ask.basis
        self.reported = ask.spent
