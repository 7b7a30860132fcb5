"""Accounts from the command line."""

import asyncio
import json
from decimal import Decimal

import pytest

from agentinfra.cli import main
from agentinfra.db.database import Database
from agentinfra.errors import BudgetExceededError
from agentinfra.llm.money.budget import active_budgets, reserve
from agentinfra.llm.money.budgets import Budgets
from agentinfra.settings import BudgetsSettings, DatabaseSettings


@pytest.fixture
def ledger(plain, monkeypatch, postgres_url, tmp_path):
    """Return what runs a function with budgets of a process."""
    monkeypatch.setenv("DATABASE_URL", postgres_url)

    def run(work):
        async def inside():
            settings = BudgetsSettings(journal_dir=tmp_path)
            async with (
                Database(DatabaseSettings(), url=postgres_url) as database,
                Budgets(settings, database=database, configured=True) as budgets,
            ):
                return await work(budgets)

        return asyncio.run(inside())

    return run


async def spend(budgets, amount):
    async with budgets.of("acme", usd=1):
        (await reserve(active_budgets(), "m", Decimal(amount))).settle(Decimal(amount))


def listed(capsys, *arguments):
    capsys.readouterr()
    assert main(["budgets", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_accounts_are_listed_as_the_ledger_has_them(ledger, capsys):
    """Each with its window, what was spent, and what is left."""
    assert main(["budgets"]) == 0
    assert "no program has asked" in capsys.readouterr().out
    ledger(lambda budgets: spend(budgets, "0.25"))
    (row,) = listed(capsys)
    assert (row["key"], row["per"], row["limit"], row["set"]) == ("acme", "day", "1", False)
    assert (row["spent"], row["remaining"], row["lost"]) == ("0.25", "0.75", "0")
    assert main(["budgets", "acme"]) == 0
    assert "0.750000" in capsys.readouterr().out


def test_what_an_operator_sets_goes_before_what_programs_say(ledger, capsys):
    """Until the word is given back; and before any program has asked."""
    (row,) = listed(capsys, "acme", "--usd", "0.30")
    assert (row["limit"], row["set"]) == ("0.30", True)
    ledger(lambda budgets: spend(budgets, "0.25"))
    with pytest.raises(BudgetExceededError, match=r"of 0\.30 USD left"):
        ledger(lambda budgets: spend(budgets, "0.25"))
    (row,) = listed(capsys, "acme", "--usd", "default")
    assert (row["limit"], row["set"]) == ("1", False)
    ledger(lambda budgets: spend(budgets, "0.25"))


def test_a_change_needs_a_key(ledger, capsys):
    """Nothing is set for all accounts at once."""
    assert main(["budgets", "--usd", "3"]) == 2
    assert "give the key" in capsys.readouterr().err


@pytest.mark.parametrize("amount", ["much", "-1", "1e9", "0.0000000000001"])
def test_amounts_are_plain_numbers(plain, capsys, amount):
    """What is none is refused before the database is asked."""
    assert main(["budgets", "acme", f"--usd={amount}"]) == 2
    assert "write 7.50" in capsys.readouterr().err
