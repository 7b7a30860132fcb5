"""The ledger: carries this process's leases to the database and back, many in one round trip."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence, Set
from contextlib import nullcontext
from contextvars import Context
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from agentinfra._mechanics.closing import cancel_and_wait
from agentinfra._mechanics.deadline import Deadline
from agentinfra._mechanics.identifiers import random_hex
from agentinfra.errors import AgentInfraError, ConnectionLostError
from agentinfra.llm.money.journal import Journal, read_entries
from agentinfra.llm.money.lease import Ask, Lease
from agentinfra.observability.logging import get_logger
from agentinfra.observability.semconv import LLM_BUDGET_ROUNDS

if TYPE_CHECKING:
    from pathlib import Path

    from agentinfra._mechanics.clock import Clock
    from agentinfra.llm.money.journal import Page
    from agentinfra.llm.money.shared import SharedAccount
    from agentinfra.observability.metrics import Metrics
    from agentinfra.protocols import Tables

__all__ = ["Ledger"]

_log = get_logger("agentinfra.budgets")

_TURN = (
    "SELECT * FROM {place}.agentinfra_budget_turn("
    "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"
)
_SETTLE = "SELECT {place}.agentinfra_budget_settle($1, $2, $3)"

_AT_ONCE = 200
"""Leases at most in one round trip: what others wait for must not take long."""

_PAUSES = (0.02, 0.2)
"""Seconds before a round is tried again at once: the connections of a pool break together."""

_AWAY = 1.0
"""Seconds between two rounds while the database cannot be reached."""

_Told = tuple["SharedAccount", Lease, Ask, tuple[Any, ...]]


class Ledger:
    """What the accounts of one process say to the database.

    A task runs while there is something to say. What it has said and got no answer to it says
    again: totals, so that nothing is booked twice.

    Args:
        database: Lends connections, and makes the tables.
        term: Seconds a lease holds without being renewed.
        timeout: Seconds a round may take.
        folder: Where processes of this machine write down what they have used.
        told: Called with the reason when the database cannot be reached, with "" when it answers.
        metrics: Where rounds are counted.
        clock: What waits are measured by.
        wall: Seconds since the epoch.
    """

    def __init__(
        self,
        database: Tables,
        *,
        term: float,
        timeout: float,
        folder: Path,
        told: Callable[[str], None],
        metrics: Metrics,
        clock: Clock,
        wall: Callable[[], float],
    ) -> None:
        self.away = ""
        self.unwritten = ""
        self._database = database
        self._term = term
        self._timeout = timeout
        self._folder = folder
        self._told = told
        self._metrics = metrics
        self._clock = clock
        self._wall = wall
        self._name = random_hex(8)
        self._leases = 0
        self._journal: Journal | None = None
        self._pages: dict[Lease, Page] = {}
        self._due: dict[SharedAccount, float] = {}
        self._changed = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._server: Any = None

    def open(self) -> None:
        """Begin to write down what is used."""
        self._loop = asyncio.get_running_loop()
        try:
            self._journal = Journal(self._folder, self._name)
        except OSError as error:
            self.unwritten = f"what a killed process had leased is lost with it: {error}"

    def lease(self, period: float) -> Lease:
        """Make a new lease; it is written down before the ledger knows it."""
        self._leases += 1
        page = self._journal.page() if self._journal is not None else None
        lease = Lease(f"{self._name}.{self._leases}", period, page)
        if page is not None:
            self._pages[lease] = page
        return lease

    def drop(self, lease: Lease) -> None:
        """Forget a settled lease."""
        page = self._pages.pop(lease, None)
        if page is not None and self._journal is not None:
            self._journal.free(page)

    def schedule(self, account: SharedAccount, seconds: float) -> None:
        """Ask for an account within so many seconds."""
        due = self._clock.now() + seconds
        if due < account.due:
            account.due = self._due[account] = due
        elif self._keeper is not None and not self._keeper.done():
            return
        if self._closed or asyncio._get_running_loop() is not self._loop:  # noqa: SLF001
            return  # a finalizer in another thread: it is written down, and told with the next
        self._changed.set()
        if self._keeper is None or self._keeper.done():
            # In a context of its own: in the caller's it would log under that one's names, and hold
            # the budgets that are around it as long as it runs.
            self._keeper = asyncio.create_task(
                self._keep(), name="agentinfra keeps budgets", context=Context()
            )

    async def aclose(self) -> None:
        """Tell all that is left to tell, and give back every lease.

        What cannot be told stays written down, for the next process that finds the lease expired.
        """
        self._closed = True
        if self._keeper is not None:
            await cancel_and_wait(self._keeper)
        accounts = [account for account in self._due if account.leases]
        for account in accounts:
            account.unanswered("it is being left")
        try:
            if accounts:
                await self._round(accounts)
        except (AgentInfraError, TimeoutError) as error:
            _log.warning("budgets.not_settled", reason=_said(error))
        finally:
            if self._journal is not None:
                unsettled = any(not lease.settled for lease in self._pages)
                self._journal.close(keep=unsettled)

    async def _keep(self) -> None:
        while self._due:
            await self._until_due()
            now = self._clock.now()
            accounts = [account for account, due in self._due.items() if due <= now]
            for account in accounts:
                del self._due[account]
                account.due = math.inf
            if accounts:
                await self._tried(accounts)

    async def _until_due(self) -> None:
        """Wait for the next account that is due; one that is due sooner may come meanwhile."""
        while (first := min(self._due.values())) > self._clock.now():
            self._changed.clear()
            alarm = self._clock.call_at(first, self._changed.set)
            try:
                await self._changed.wait()
            finally:
                alarm.cancel()

    async def _tried(self, accounts: list[SharedAccount]) -> None:
        """Make a round, and say when the next one is due, whatever came of this one."""
        try:
            await self._round(accounts)
        except Exception as error:  # noqa: BLE001 - said where it shows, and tried again
            self._lost(_said(error))
            for account in accounts:
                account.unanswered(self.away)
                if account.leases:
                    self.schedule(account, _AWAY)
            return
        except BaseException:
            for account in accounts:
                self.schedule(account, _AWAY)
                account.unanswered("it is being left")
            raise
        self._found()
        for account in accounts:
            wait = account.next_round(self._term)
            if wait != math.inf:
                self.schedule(account, wait)

    def _found(self) -> None:
        if self.away:
            self.away = ""
            self._told("")
            _log.info("budgets.ledger_back")

    def _lost(self, reason: str) -> None:
        if not self.away:
            _log.warning("budgets.ledger_lost", reason=reason)
        self.away = reason
        self._told(reason)

    async def _round(self, accounts: Sequence[SharedAccount]) -> None:
        """Tell the ledger of accounts and take in its answers.

        Raises:
            DatabaseError: It cannot be reached, or refuses.
            TimeoutError: It did not answer in time.
        """
        # In one order in all processes: two that hold what the other waits for would be a deadlock.
        asked = sorted(accounts, key=lambda account: (account.name, account.window.name))
        told = [self._say(account, lease) for account in asked for lease in account.leases]
        for start in range(0, len(told), _AT_ONCE):
            part = told[start : start + _AT_ONCE]
            said = [arguments for *_, arguments in part]
            rows = await self._sent(_TURN, said)
            ended = {lease for row in rows for lease in row["ended"]}
            if ended and await self._recover(ended):
                # Asked once more before anybody is refused for what has just come back.
                rows = await self._sent(_TURN, said)
            for (account, lease, ask, _), row in zip(part, rows, strict=True):
                account.answer(lease, ask, row)

    def _say(self, account: SharedAccount, lease: Lease) -> _Told:
        ask, rest = account.question(lease, parting=self._closed)
        now = self._wall()
        times = (datetime.fromtimestamp(now, UTC), datetime.fromtimestamp(now + self._term, UTC))
        return (
            account,
            lease,
            ask,
            (account.name, account.window.name, account.named, *times, *rest),
        )

    async def _recover(self, ended: Set[str]) -> bool:
        """Book what killed processes of this machine had written down; say whether there were any.

        What their calls under way held stays held until the window is over: it may have been paid.
        """
        found = False
        for name in {lease.partition(".")[0] for lease in ended} - {self._name}:
            with read_entries(self._folder, name) as entries:
                if not entries:
                    continue
                for entry in entries.values():  # one by one: in whichever order, no deadlock
                    await self._sent(_SETTLE, [(entry.lease, entry.spent, entry.held)])
                _log.warning("budgets.lease_recovered", process=name, leases=len(entries))
                found = True
        return found

    async def check(self) -> None:
        """Ask whether the database answers, and tell of it."""
        try:
            async with Deadline(self._timeout / 2, clock=self._clock).timeout():
                await self._once("SELECT $1::int", [(1,)])
        except (AgentInfraError, TimeoutError) as error:
            self._lost(_said(error))
        else:
            self._found()

    async def _sent(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> list[Any]:
        began, outcome = self._clock.now(), "ok"
        try:
            return await self._bounded(statement, rows)
        except BaseException as error:
            outcome = type(error).__name__
            raise
        finally:
            seconds = self._metrics.histogram(LLM_BUDGET_ROUNDS, outcome)
            seconds.observe(self._clock.now() - began)

    async def _bounded(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> list[Any]:
        async with Deadline(self._timeout, clock=self._clock).timeout():
            for pause in _PAUSES:
                try:
                    return await self._once(statement, rows)
                except ConnectionLostError:
                    await self._clock.sleep(pause)
            return await self._once(statement, rows)

    async def _once(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> list[Any]:
        server = await self._known_server()
        async with (
            self._database.connection(readonly=False, reset=False, late=True) as connection,
            # A pooler may give the halves of a statement outside of any to different servers.
            connection.transaction() if server.pooled else nullcontext(),
        ):
            text = statement.format(place=server.schema)
            found: list[Any] = await connection.fetchmany(text, rows)
            return found

    async def _known_server(self) -> Any:
        """Return what is known of the database, with our tables in it."""
        if self._closed and self._server is not None:
            return self._server  # which says no more of itself while it is being left
        server = self._database.server
        if not server.layout.newest:
            await self._database.migrate()
            server = self._database.server
        self._server = server
        return server


def _said(error: BaseException) -> str:
    return " ".join(str(error).split()) or "the database did not answer in time"
