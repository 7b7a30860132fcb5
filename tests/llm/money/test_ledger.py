"""Accounts that processes share: what one spends the others cannot, whatever becomes of it."""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import urlsplit

import asyncpg
import pytest
from llm_support import run_through

from agentinfra.errors import (
    BudgetExceededError,
    BudgetUnavailableError,
    ConfigurationError,
    NotStartedError,
)
from agentinfra.llm.money.budget import active_budgets, reserve
from agentinfra.llm.money.budgets import Budgets
from agentinfra.llm.money.journal import Journal
from agentinfra.llm.money.lease import Lease
from agentinfra.llm.money.windows import Window
from agentinfra.settings import BudgetsSettings

HOUR = 3600.0
WINDOW = Window.of("hour")


async def reserved(budget, amount, until=None):
    async with budget:
        return await reserve(active_budgets(), "m", Decimal(str(amount)), until=until)


@pytest.fixture
def hold(clock):
    """Reserve an amount, and let the time pass that this waits for."""

    async def held(budget, amount, *, step=0.05, until=None):
        call = asyncio.create_task(reserved(budget, amount, until))
        await asyncio.sleep(0)
        return await run_through(clock, call, step=step)

    return held


@pytest.fixture
def spend(hold):
    """Make a call, as far as money goes."""

    async def spent(budget, most, cost):
        (await hold(budget, most)).settle(Decimal(str(cost)))

    return spent


async def test_what_one_process_spends_the_other_cannot(fleet, hold, spend):
    """A cap is one for all processes, to the last cent."""
    async with fleet.process() as one, fleet.process() as other:
        mine, theirs = one.of("acme", usd=1), other.of("acme", usd=1)
        await spend(mine, "0.7", "0.6")
        await fleet.clock.advance(1.1)  # it is told to the ledger
        with pytest.raises(BudgetExceededError, match=r"has 0\.400000 of 1 USD left") as caught:
            await hold(theirs, "0.41")
        assert caught.value.spent == Decimal("0.6")
        held = await hold(theirs, "0.4")
        with pytest.raises(BudgetExceededError):
            await hold(mine, "0.01")
        held.settle(Decimal("0.1"))
        await fleet.clock.advance(1.1)
        await spend(mine, "0.3", "0.3")
        await mine.refresh()
        await theirs.refresh()
        assert mine.spent == theirs.spent == 1
        assert mine.remaining == theirs.remaining == 0


async def test_far_from_the_cap_a_call_asks_nobody(fleet, counted, spend):
    """A lease pays for many calls, and what they cost is told in batches."""
    async with fleet.process(metrics=counted) as budgets:
        acme = budgets.of("acme", usd=1000)
        for _ in range(20):
            for _ in range(50):
                await spend(acme, "0.01", "0.002")
            await fleet.clock.advance(0.1)
        assert acme.spent == 2
    page = counted.expose()
    asked = [line for line in page.splitlines() if "ledger_seconds_count" in line]
    assert [line.partition(" ")[0] for line in asked] == [
        'llm_budget_ledger_seconds_count{outcome="ok"}'
    ]
    assert float(asked[0].rpartition(" ")[2]) < 20


async def test_a_lease_takes_a_part_of_what_is_left_and_gives_it_back(fleet, spend):
    """Others find something too, and all of it when nobody calls any more."""
    async with fleet.process() as one, fleet.process() as other:
        mine, theirs = one.of("acme", usd=100), other.of("acme", usd=100)
        await spend(mine, 1, 0)
        await theirs.refresh()
        assert 0 < theirs.reserved <= 25
        await fleet.clock.advance(5)
        await theirs.refresh()
        assert theirs.reserved == 0


async def test_a_call_waits_for_room_that_others_do_not_use(fleet, hold, spend):
    """Near the cap an idle lease comes back before a call is refused for it."""
    async with fleet.process() as one, fleet.process() as other:
        await spend(one.of("acme", usd=1), "0.04", 0)
        theirs = other.of("acme", usd=1)
        await theirs.refresh()
        assert theirs.reserved > 0
        held = await hold(theirs, 1)
        held.settle(Decimal("0.5"))
        await theirs.refresh()
        assert theirs.spent == Decimal("0.5")


async def test_calls_wait_for_the_next_window_where_they_may(fleet, hold, spend):
    """An account that waits holds a call back until it fits, as long as its deadline lets it."""
    async with fleet.process() as budgets:
        acme = budgets.of("acme", usd=1, per="hour", when_spent="wait")
        with pytest.raises(BudgetExceededError):
            await hold(acme, 2, step=1)  # it never fits, which the first answer says
        await spend(acme, 1, 1)
        with pytest.raises(BudgetExceededError):
            await hold(acme, 1, step=1, until=fleet.clock.now() + 10)
        held = await hold(acme, 1, step=60)
        held.settle(Decimal(1))
        with pytest.raises(BudgetExceededError):
            await hold(acme, 2, step=1)


async def test_a_call_is_booked_in_the_window_it_began_in(fleet, hold, spend):
    """What was held before the hour turned costs the old hour, and the new one is whole."""
    async with fleet.process() as budgets:
        acme = budgets.of("acme", usd=1, per="hour")
        held = await hold(acme, 1)
        turns = acme.resets_at
        await fleet.clock.advance(HOUR)
        assert acme.resets_at > turns
        assert (acme.spent, acme.remaining) == (0, 1)
        held.settle(Decimal(1))
        await acme.refresh()
        assert (acme.spent, acme.remaining) == (0, 1)
        await spend(acme, 1, 1)
        assert acme.remaining == 0
    rows = await fleet.database.pool.fetch(
        "SELECT spent FROM agentinfra.agentinfra_budget_periods ORDER BY period"
    )
    assert [row["spent"] for row in rows] == [1, 1]


async def test_a_rolling_window_forgets_as_it_goes(fleet, hold, spend):
    """Spending counts for the whole length, and a sixtieth of it more at most."""
    async with fleet.process() as budgets:
        acme = budgets.of("acme", usd=1, per=600)
        await spend(acme, 1, 1)
        await fleet.clock.advance(600)
        with pytest.raises(BudgetExceededError):
            await hold(acme, "0.1")
        await fleet.clock.advance(10.1)
        await spend(acme, 1, 1)


async def test_a_key_has_an_account_for_each_window(fleet, hold, spend):
    """A day's cap and an hour's around one call both count it."""
    async with fleet.process() as budgets:
        day, hour = budgets.of("acme", usd=9), budgets.of("acme", usd=1, per="hour")
        async with day:
            await spend(hour, 1, "0.5")
            with pytest.raises(BudgetExceededError, match="of 1 USD"):
                await hold(hour, 1)
        assert day.spent == hour.spent == Decimal("0.5")
        assert day.reserved - await lent(fleet, "day") == 0
        assert budgets.of("acme", usd=9) is day


async def lent(fleet, per):
    return await fleet.database.pool.fetchval(
        "SELECT sum(busy) FROM agentinfra.agentinfra_budget_leases WHERE per = $1", per
    )


async def test_what_is_said_twice_is_booked_once(fleet):
    """A process tells totals: an answer that was lost is asked for again without harm."""
    async with fleet.process() as budgets:
        await budgets.of("acme", usd=5).refresh()
    told = (
        "SELECT used FROM agentinfra.agentinfra_budget_turn('acme', 'day', 5, now(), "
        "now() + '30s', date_trunc('day', now(), 'UTC'), 'x.1', "
        "date_trunc('day', now(), 'UTC'), 0.75, 0, 0, 0, 0, 0)"
    )
    said = [await fleet.database.pool.fetchval(told) for _ in range(3)]
    assert said == [Decimal("0.75")] * 3


@pytest.fixture
async def outage(fleet, postgres_url):
    """Return a function that takes the database away, and one that brings it back."""
    name = urlsplit(postgres_url).path.strip("/")
    admin = await asyncpg.connect(postgres_url.replace(name, "postgres", 1))

    async def away():
        await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name
        )

    async def back():
        await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")

    yield away, back
    await admin.close()


async def test_without_the_database_what_is_leased_can_be_spent_and_no_more(fleet, outage, spend):
    """Then calls are refused with an error of their own; nothing is booked twice or forgotten."""
    away, back = outage
    async with fleet.process() as budgets:
        acme = budgets.of("acme", usd=100)
        await spend(acme, 1, 1)
        await away()
        spent = Decimal(1)
        with pytest.raises(BudgetUnavailableError, match="'acme'.*used up"):
            for _ in range(100):
                await spend(acme, 1, 1)
                spent += 1
        assert 1 < spent <= 26
        assert acme.spent == spent
        health = await budgets.probe()
        assert health.state == "degraded"
        assert "what is leased can be spent" in health.reason
        await back()
        while fleet.database.state != "ready":
            await fleet.database.probe()
            await asyncio.sleep(0.005)
        assert (await budgets.probe()).state == "ready"
        await spend(acme, 1, 1)
        await acme.refresh()
        assert acme.spent == spent + 1
        assert acme.lost == 0


async def test_leaving_settles_and_gives_back(fleet, spend):
    """What was not told yet is told then, and nothing stays leased or written down."""
    async with fleet.process() as budgets:
        await spend(budgets.of("acme", usd=100), 1, "0.25")
    async with fleet.process() as budgets:
        acme = budgets.of("acme", usd=100)
        await acme.refresh()
        assert (acme.spent, acme.reserved, acme.lost) == (Decimal("0.25"), 0, 0)
    assert list(fleet.folder.iterdir()) == []


async def test_a_cancelled_call_holds_nothing(fleet):
    """Also one that was about to be given what it waited for."""
    async with fleet.process() as budgets:
        acme = budgets.of("acme", usd=1)
        calls = [asyncio.create_task(reserved(acme, "0.1")) for _ in range(5)]
        for number, call in enumerate(calls):
            for _ in range(number):
                await asyncio.sleep(0)
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await fleet.clock.advance(5)
        await acme.refresh()
        assert (acme.spent, acme.reserved, acme.remaining) == (0, 0, 1)


async def test_shares_that_are_spent_are_told_once(fleet, counted, spend):
    """As a metric and to a function of the caller's; what that raises harms no call."""
    told = []

    def tell(budget, share):
        told.append((budget.name, share))
        raise ValueError

    async with fleet.process(metrics=counted) as budgets:
        acme = budgets.of("acme", usd=1, per="hour", warn_at=[0.5, 0.9], on_warning=tell)
        for _ in range(9):
            await spend(acme, "0.1", "0.1")
            await fleet.clock.advance(1.1)
        assert told == [("acme", Decimal("0.5")), ("acme", Decimal("0.9"))]
        await fleet.clock.advance(HOUR)
        await spend(acme, "0.1", "0.1")
        await fleet.clock.advance(1.1)
        await spend(acme, "0.5", "0.5")
        await fleet.clock.advance(1.1)
        assert told[2:] == [("acme", Decimal("0.5"))]
    page = counted.expose()
    assert 'llm_budget_warnings_total{budget="acme",per="hour",share="0.5"} 2' in page


async def test_accounts_beyond_a_bound_share_their_series(fleet, counted, spend):
    """Keys are people's, and series are few."""
    async with fleet.process(metrics=counted, named_series=2) as budgets:
        for number in range(5):
            await spend(budgets.of(f"user{number}", usd=1), "0.1", "0.1")
    lines = counted.expose().splitlines()
    spent = [line for line in lines if line.startswith("llm_budget_spent_usd_total{")]
    assert spent == [
        'llm_budget_spent_usd_total{budget="user0",per="day"} 0.1',
        'llm_budget_spent_usd_total{budget="user1",per="day"} 0.1',
        'llm_budget_spent_usd_total{budget="other",per="day"} 0.3',
    ]
    assert sum(line.startswith("llm_budget_remaining_usd{") for line in lines) == 2


async def test_without_a_database_accounts_hold_for_one_process(clock, hold, spend):
    """They have windows as well, and health says whom they hold for."""
    async with Budgets(BudgetsSettings(), clock=clock, wall=clock.now) as budgets:
        acme = budgets.of("acme", usd=1, per="hour", when_spent="wait")
        await spend(acme, 1, 1)
        await hold(acme, 1, step=60)
        health = await budgets.probe()
    assert health.state == "ready"
    assert "for this process alone" in health.detail


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"per": "week"}, "per='week'"),
        ({"per": 0}, "per=0"),
        ({"per": True}, "per=True"),
        ({"usd": -1}, "-1 USD"),
        ({"usd": "much"}, "much USD"),
        ({"when_spent": "cry"}, "'cry'"),
        ({"key": ""}, "''"),
        ({"key": "a\nb"}, "printable"),
    ],
)
async def test_an_account_that_makes_no_sense_is_refused(change, said):
    """The sentence names the value and says what to give."""
    async with Budgets(BudgetsSettings()) as budgets:
        given = {"key": "acme", "usd": 1, **change}
        with pytest.raises(ConfigurationError, match=said):
            budgets.of(given.pop("key"), **given)


async def test_accounts_are_of_an_entered_runtime():
    """Before that nobody knows where they are kept."""
    with pytest.raises(NotStartedError):
        Budgets(BudgetsSettings()).of("acme", usd=1)


async def test_nobody_is_refused_for_what_a_killed_process_gives_back(fleet, hold, spend):
    """The first call after the term is over finds it: what was recovered counts for it already."""
    journal = Journal(fleet.folder, "killed")
    lease = Lease("killed.1", WINDOW.period(fleet.wall()), journal.page())
    async with fleet.process() as budgets:
        acme = budgets.of("acme", usd=1, per="hour")
        await acme.refresh()
        await fleet.database.pool.execute(
            "INSERT INTO agentinfra.agentinfra_budget_leases VALUES "
            "('killed.1', 'acme', 'hour', $1, 0.9, 0, 0, $2)",
            datetime.fromtimestamp(lease.period, UTC),
            datetime.fromtimestamp(fleet.wall() + 30, UTC),
        )
        lease.room = Decimal("0.9")
        lease.take(Decimal("0.4"))
        lease.give(Decimal("0.4"), Decimal("0.1"))
        lease.take(Decimal("0.2"))
        journal.close(keep=True)  # as the kernel does
        with pytest.raises(BudgetExceededError):
            await hold(acme, "0.7", step=0.5)
        await fleet.clock.advance(30)
        await spend(acme, "0.7", "0.7")
        assert (acme.spent, acme.lost) == (Decimal("0.8"), Decimal("0.2"))
    assert list(fleet.folder.iterdir()) == []
