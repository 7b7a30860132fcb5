"""Accounts by tenant, user or any other key: shared by all processes on the database."""

from __future__ import annotations

import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

from agentinfra._mechanics.clock import SYSTEM_CLOCK, Clock
from agentinfra._mechanics.resource import Resource
from agentinfra.errors import ConfigurationError, DatabaseError
from agentinfra.llm.money.accounts import Account, LocalAccount, WhenSpent
from agentinfra.llm.money.budget import Budget, UnknownPrices, Warnings, cap_of
from agentinfra.llm.money.journal import default_folder
from agentinfra.llm.money.ledger import Ledger
from agentinfra.llm.money.series import AccountSeries
from agentinfra.llm.money.shared import SharedAccount
from agentinfra.llm.money.windows import Per, Window
from agentinfra.observability.logging import get_logger
from agentinfra.observability.metrics import Metrics
from agentinfra.results import ResourceHealth

if TYPE_CHECKING:
    from agentinfra.protocols import Tables
    from agentinfra.settings.groups import BudgetsSettings

__all__ = ["Budgets"]

_log = get_logger("agentinfra.budgets")

_ALONE = "accounts are kept in memory, and hold for this process alone"
_LONGEST = 200
_KEPT = 10_000
"""Accounts that are kept though nobody holds them: their leases are worth keeping."""


class Budgets(Resource):
    """Gives budgets by key, in windows of time.

    A runtime has one as ``rt.budgets``. Where there is a database, all processes on it share the
    accounts; else they are kept in memory, and hold for this process alone: health says so. Tasks
    of its loop share it. Leaving settles what calls have cost, and gives back what was leased.

    Args:
        settings: The settings' budgets group.
        database: Where the ledger is; it is entered before this and left after it. None is none.
        configured: Whether somebody has said where the database is: accounts then wait for it,
            and are never kept in memory in its place.
        metrics: Where spending is counted.
        asked: Called before the first account is made.
        clock: What waits are measured by.
        wall: Seconds since the epoch; what windows go by.
    """

    name = "budgets"

    def __init__(
        self,
        settings: BudgetsSettings,
        *,
        database: Tables | None = None,
        configured: bool = False,
        metrics: Metrics | None = None,
        asked: Callable[[], None] | None = None,
        clock: Clock = SYSTEM_CLOCK,
        wall: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self._settings = settings
        self._database = None if settings.backend == "memory" else database
        if settings.backend == "postgres" and database is None:
            raise ConfigurationError(
                "budgets.backend is 'postgres' and there is no database: set "
                "AGENTINFRA_DATABASE__ENABLED=true, or take another backend"
            )
        self._configured = configured or settings.backend == "postgres"
        self._series = AccountSeries(metrics or Metrics.off(), settings.named_series)
        self._metrics = metrics or Metrics.off()
        self._asked = asked
        self._clock = clock
        self._wall = wall
        self._ledger: Ledger | None = None
        self._local = False
        self._known: weakref.WeakValueDictionary[tuple[str, str], Budget] = (
            weakref.WeakValueDictionary()
        )
        self._recent: OrderedDict[tuple[str, str], Budget] = OrderedDict()

    def of(
        self,
        key: str,
        *,
        usd: Decimal | float | str,
        per: Per = "day",
        when_spent: WhenSpent = "refuse",
        unknown_prices: UnknownPrices = "refuse",
        warn_at: Sequence[float] | None = None,
        on_warning: Callable[[Budget, Decimal], None] | None = None,
    ) -> Budget:
        """Return the account of a tenant, a user, or whatever a key names.

        A key may have an account for each window, and asking again gives the same ones; what is
        said last holds. Enter it around calls, as any budget: ``async with rt.budgets.of(...)``.

        Args:
            key: Whose account; a run has one of its own under a key that nobody else uses.
            usd: The cap. What an operator has set with ``agentinfra budgets`` goes before it.
            per: The window: ``hour``, ``day`` and ``month`` as UTC has them, the seconds of one
                that rolls along, or ``run`` for one without end.
            when_spent: ``refuse`` raises where a call does not fit; ``wait`` holds the call back
                until it does, as long as its deadline lets it.
            unknown_prices: As for `Budget`.
            warn_at: Shares at which a warning is logged and counted; None is the settings'.
            on_warning: Called then too, with the budget and the share.

        Raises:
            ConfigurationError: An argument makes no sense.
            NotStartedError: The runtime was not entered.
        """
        self._guard()
        if not key or len(key) > _LONGEST or not key.isprintable():
            raise ConfigurationError(
                f"a budget's key is {key[:_LONGEST]!r}: give 1 to {_LONGEST} printable characters"
            )
        if when_spent not in ("refuse", "wait"):
            raise ConfigurationError(f"when_spent={when_spent!r}: give 'refuse' or 'wait'")
        cap, window = cap_of(usd, key), Window.of(per)
        budget = self._known.get((key, window.name))
        if budget is None:
            account = self._account(key, cap, window, when_spent)
            budget = Budget(cap, name=key, unknown_prices=unknown_prices, account=account)
            self._series.show(budget, window.name)
            self._known[key, window.name] = budget
        self._keep((key, window.name), budget)
        shares = self._settings.warn_at if warn_at is None else warn_at
        budget.account.name_cap(cap, when_spent)
        budget.unknown_prices = unknown_prices
        budget.warnings = Warnings(
            shares=tuple(Decimal(str(share)) for share in shares),
            tell=partial(self._warn, window.name, on_warning),
        )
        return budget

    async def probe(self) -> ResourceHealth:
        """Return the state now; a ledger that was away is asked whether it is back."""
        if self._ledger is not None and self._ledger.away:
            await self._ledger.check()
        detail = _ALONE
        if self._ledger is not None:
            detail = "PostgreSQL: accounts hold for all processes on the database"
            detail = "; ".join(filter(None, (detail, self._ledger.unwritten)))
        return ResourceHealth(name=self.name, state=self._state, reason=self._reason, detail=detail)

    async def _close(self) -> None:
        if self._ledger is not None:
            await self._ledger.aclose()

    def _account(self, key: str, cap: Decimal, window: Window, when: WhenSpent) -> Account:
        if self._ledger is None and not self._local:
            self._choose()
        if self._ledger is None:
            return LocalAccount(
                key, cap, window=window, when_spent=when, clock=self._clock, wall=self._wall
            )
        return SharedAccount(
            key,
            cap,
            window=window,
            when_spent=when,
            rounds=self._ledger,
            clock=self._clock,
            wall=self._wall,
        )

    def _choose(self) -> None:
        """Decide where accounts are kept, when the first one is asked for; it stays there."""
        if self._asked is not None:
            self._asked()
        lacking = self._lacking()
        if self._database is None or (lacking and not self._configured):
            self._local = True
            if lacking:
                self.degrade(f"{_ALONE}: {lacking}")
                _log.warning("budgets.not_shared", reason=lacking)
            return
        self._ledger = Ledger(
            self._database,
            term=self._settings.lease_term,
            timeout=self._settings.timeout,
            folder=self._settings.journal_dir or default_folder(),
            told=self._heard,
            metrics=self._metrics,
            clock=self._clock,
            wall=self._wall,
        )
        self._ledger.open()
        if lacking:
            self._heard(lacking)

    def _lacking(self) -> str:
        """Return why the database cannot be used now, empty where it can or is not wanted."""
        try:
            if self._database is not None:
                self._database.server  # noqa: B018 - it raises where that was not reached
        except DatabaseError as error:
            return str(error)
        return ""

    def _heard(self, reason: str) -> None:
        if reason:
            self.degrade(
                "the ledger cannot be reached; what is leased can be spent, then calls are "
                f"refused: {reason}"
            )
        else:
            self.restore()

    def _warn(
        self,
        per: str,
        on_warning: Callable[[Budget, Decimal], None] | None,
        budget: Budget,
        share: Decimal,
    ) -> None:
        self._series.warned(budget, per, share)
        _log.warning(
            "budgets.share_spent",
            budget=budget.name,
            per=per,
            share=float(share),
            spent_usd=budget.spent,
            limit_usd=budget.limit,
        )
        if on_warning is None:
            return
        try:
            on_warning(budget, share)
        except Exception as error:  # noqa: BLE001 - theirs; the call it was found out in goes on
            _log.error("budgets.warning_failed", error=f"{type(error).__name__}: {error}")

    def _keep(self, place: tuple[str, str], budget: Budget) -> None:
        self._recent[place] = budget
        self._recent.move_to_end(place)
        if len(self._recent) > _KEPT:
            oldest, _ = next(iter(self._recent.items()))
            if self._recent[oldest].account.idle:
                del self._recent[oldest]
            else:
                self._recent.move_to_end(oldest)
