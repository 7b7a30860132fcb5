"""Accounts beside a model of three lines: what fits is let through, what does not is not."""

import asyncio
import shutil
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal

import asyncpg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from agentinfra.db.database import Database
from agentinfra.errors import BudgetExceededError
from agentinfra.llm.money.accounts import LocalAccount
from agentinfra.llm.money.budget import Budget, active_budgets, reserve
from agentinfra.llm.money.journal import Journal, read_entries
from agentinfra.llm.money.lease import Lease
from agentinfra.llm.money.shared import SharedAccount
from agentinfra.llm.money.windows import Window
from agentinfra.settings import DatabaseSettings
from agentinfra.testing import ManualClock

TERM = 30.0
CAPS = {"tenant": Decimal(10), "user": Decimal(4)}
WINDOWS = {"tenant": Window.of("day"), "user": Window.of("hour")}
AMOUNTS = st.integers(0, 300).map(lambda cents: Decimal(cents) / 100)
PLACES = st.sampled_from([("tenant",), ("user",), ("tenant", "user"), ("user", "tenant", "user")])


TURN = (
    "SELECT * FROM agentinfra.agentinfra_budget_turn("
    "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"
)


class Model:
    """What was spent, held and lost in each period, and nothing else."""

    def __init__(self, wall):
        self.wall = wall
        self.spent, self.held, self.lost = Counter(), Counter(), Counter()

    def place(self, name):
        return name, WINDOWS[name].period(self.wall())

    def fits(self, names, amount):
        return not amount or all(
            sum(book[self.place(name)] for book in (self.spent, self.held, self.lost)) + amount
            <= CAPS[name]
            for name in names
        )


class Machine(RuleBasedStateMachine):
    """Calls, in a time that goes by."""

    def __init__(self, runner):
        super().__init__()
        self.runner = runner
        self.clock = ManualClock()
        self.began = 1_790_000_000.0 - self.clock.now()
        self.model = Model(self.wall)
        self.calls = []

    def wall(self):
        return self.began + self.clock.now()

    @rule(seconds=st.sampled_from([1.0, 31.0, 1800.0, 3600.0, 86_400.0]))
    def time_goes_by(self, seconds):
        self.clock.shift(seconds)
        self.passed()

    @rule(number=st.integers(0, 9), share=st.fractions(0, 1))
    def a_call_ends(self, number, share):
        if not self.calls:
            return
        places, amount, reservation, owner = self.calls.pop(number % len(self.calls))
        cost = (amount * share.numerator / share.denominator).quantize(Decimal("0.0001"))
        reservation.settle(cost)
        reservation.settle(cost)
        for place in places:
            self.model.held[place] -= amount
            self.model.spent[place] += cost
        self.ended(owner)

    def passed(self):
        """Processes may have leases to renew."""

    def ended(self, owner):
        """A process may have something to tell."""

    def called(self, budgets, names, amount, owner, *, exact=True):
        reservation = self.runner.run(self.call(budgets, amount))
        # When a refusal says so, nothing of the call is held anywhere.
        fits = self.model.fits(names, amount)
        if reservation is None:
            assert not (exact and fits)
            self.ended(owner)  # what was held in one place before another refused is given back
            return
        assert fits
        places = {self.model.place(name) for name in names}
        for place in places:
            self.model.held[place] += amount
        self.calls.append((places, amount, reservation, owner))

    async def call(self, budgets, amount):
        async def inside(left):
            if left:
                async with left[0]:
                    return await inside(left[1:])
            return await reserve(active_budgets(), "m", amount)

        task = asyncio.create_task(inside(budgets))
        await self.until(task)
        try:
            return await task
        except BudgetExceededError:
            return None

    async def until(self, task):
        await asyncio.wait({task})


class InMemory(Machine):
    """Accounts of one process."""

    def __init__(self, runner):
        super().__init__(runner)
        self.budgets = {name: self.budget(name) for name in CAPS}

    def budget(self, name):
        account = LocalAccount(
            name,
            CAPS[name],
            window=WINDOWS[name],
            when_spent="refuse",
            clock=self.clock,
            wall=self.wall,
        )
        return Budget(0, name=name, account=account)

    @rule(names=PLACES, amount=AMOUNTS)
    def a_call_begins(self, names, amount):
        self.called([self.budgets[name] for name in names], names, amount, None)

    def teardown(self):
        for name, budget in self.budgets.items():
            place = self.model.place(name)
            assert (budget.spent, budget.reserved) == (
                self.model.spent[place],
                self.model.held[place],
            )


class Process:
    """A process of the ledger that speaks when the test says so."""

    def __init__(self, machine, number):
        self.machine = machine
        self.away = ""
        self.name = f"{machine.key}p{number}"
        self.journal = Journal(machine.world.folder, self.name)
        self.pages, self.leases = {}, 0
        self.accounts = {
            name: SharedAccount(
                f"{machine.key}.{name}",
                CAPS[name],
                window=WINDOWS[name],
                when_spent="refuse",
                rounds=self,
                clock=machine.clock,
                wall=machine.wall,
            )
            for name in CAPS
        }
        self.budgets = {
            name: Budget(0, name=name, account=account) for name, account in self.accounts.items()
        }

    def lease(self, period):
        self.leases += 1
        page = self.journal.page()
        lease = Lease(f"{self.name}.{self.leases}", period, page)
        self.pages[lease] = page
        return lease

    def drop(self, lease):
        self.journal.free(self.pages.pop(lease))

    def schedule(self, account, seconds):
        """Nothing: the machine makes the rounds."""

    async def round(self, *, parting=False):
        for name, account in self.accounts.items():
            for lease in account.leases:
                ask, rest = account.question(lease, parting=parting)
                now = self.machine.wall()
                times = [datetime.fromtimestamp(at, UTC) for at in (now, now + TERM)]
                told = (account.name, WINDOWS[name].name, CAPS[name], *times, *rest)
                row = await self.machine.world.connection.fetchrow(TURN, *told)
                if row["ended"]:
                    await self.recover(row["ended"])
                    row = await self.machine.world.connection.fetchrow(TURN, *told)
                account.answer(lease, ask, row)

    async def recover(self, ended):
        for name in {lease.partition(".")[0] for lease in ended}:
            with read_entries(self.machine.world.folder, name) as entries:
                for entry in entries.values():
                    await self.machine.world.connection.fetchval(
                        "SELECT agentinfra.agentinfra_budget_settle($1, $2, $3)", *entry
                    )


class Shared(Machine):
    """Accounts of two processes on a database, which may be killed."""

    def __init__(self, world):
        super().__init__(world.runner)
        self.world = world
        world.machines += 1
        self.key = f"m{world.machines}"
        self.born = 0
        self.processes = [self.process(), self.process()]
        self.dead_until = 0.0

    def process(self):
        self.born += 1
        return Process(self, self.born)

    @rule(number=st.integers(0, 1), names=PLACES, amount=AMOUNTS)
    def a_call_begins(self, number, names, amount):
        process = self.processes[number]
        # What a killed process had leased beside its calls is back when its term is over.
        exact = self.clock.now() >= self.dead_until
        budgets = [process.budgets[name] for name in names]
        self.called(budgets, names, amount, process, exact=exact)

    def passed(self):
        for process in self.processes:
            self.runner.run(process.round())

    def ended(self, owner):
        self.runner.run(owner.round())

    async def until(self, task):
        for _ in range(20):  # as long as a call waits for what others do not use
            await asyncio.wait({task}, timeout=0)
            for _ in range(5):
                await asyncio.sleep(0)
            if task.done():
                return
            for process in self.processes:
                await process.round()
                await process.round()
            self.clock.shift(0.7)
        await asyncio.wait({task}, timeout=5)

    @rule(number=st.integers(0, 1))
    def a_process_tells(self, number):
        self.runner.run(self.processes[number].round())

    @rule(number=st.integers(0, 1))
    def a_process_is_killed(self, number):
        process = self.processes[number]
        process.journal.close(keep=True)  # as the kernel does
        for call in [call for call in self.calls if call[3] is process]:
            self.calls.remove(call)
            for place in call[0]:
                self.model.held[place] -= call[1]
                self.model.lost[place] += call[1]
        self.processes[number] = self.process()
        self.dead_until = self.clock.now() + TERM + 0.001

    def teardown(self):
        self.clock.shift(max(0.0, self.dead_until - self.clock.now()))
        self.runner.run(self.all_told())
        for name in CAPS:
            place = self.model.place(name)
            account = self.processes[0].accounts[name]
            assert account.spent == self.model.spent[place]
            assert account.lost == self.model.lost[place]
            assert account.reserved == self.model.held[place]
        for process in self.processes:
            process.journal.close(keep=False)

    async def all_told(self):
        for process in self.processes * 2:
            for budget in process.budgets.values():
                refreshed = asyncio.create_task(budget.refresh())
                await asyncio.sleep(0)
                await process.round()
                await refreshed
            await process.round(parting=True)
        for budget in self.processes[0].budgets.values():
            refreshed = asyncio.create_task(budget.refresh())
            await asyncio.sleep(0)
            await self.processes[0].round(parting=False)
            await refreshed
        await self.processes[0].round(parting=True)


class World:
    def __init__(self, runner, url, folder):
        self.runner, self.folder = runner, folder
        self.machines = 0
        self.connection = runner.run(self.open(url))

    async def open(self, url):
        async with Database(DatabaseSettings(), url=url) as database:
            await database.migrate()
        return await asyncpg.connect(url)


FEW = settings(
    max_examples=12,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def test_accounts_in_memory_agree_with_a_model():
    """Whatever begins, ends and goes by, in whichever order."""
    with asyncio.Runner() as runner:
        run_state_machine_as_test(lambda: InMemory(runner), settings=FEW)


@pytest.fixture
def world(postgres_url, tmp_path):
    with asyncio.Runner() as runner:
        world = World(runner, postgres_url, tmp_path / "journals")
        yield world
        runner.run(world.connection.close())
    shutil.rmtree(world.folder)


def test_accounts_of_processes_agree_with_a_model(world):
    """Also where one is killed with calls under way: these count, the rest of its lease is back."""
    run_state_machine_as_test(lambda: Shared(world), settings=FEW)
