"""The ledger's tables and functions, at every kind of place a program's database can be."""

from __future__ import annotations

import asyncio
import secrets
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from agentinfra.db.database import Database
from agentinfra.errors import BudgetExceededError
from agentinfra.llm.money.budget import Budget, active_budgets, reserve
from agentinfra.llm.money.budgets import Budgets
from agentinfra.settings import BudgetsSettings, DatabaseSettings


async def spend(budget: Budget, amount: str) -> None:
    async with budget:
        (await reserve(active_budgets(), "m", Decimal(amount))).settle(Decimal(amount))


@pytest.mark.parametrize("place", ["embedded", "pgbouncer", "ordinary", "second"])
async def test_accounts_work_wherever_the_database_is(
    places: Any, place: str, tmp_path: Path
) -> None:
    """As its superuser, through a pgbouncer, as a user with a schema of its own."""
    key = secrets.token_hex(4)
    settings = BudgetsSettings(journal_dir=tmp_path)
    async with Database(DatabaseSettings(max_size=2), url=await places.url(place)) as db:
        async with Budgets(settings, database=db, configured=True) as budgets:
            account = budgets.of(key, usd=1)
            await asyncio.gather(*(spend(account, "0.1") for _ in range(9)))
            with pytest.raises(BudgetExceededError):
                await spend(account, "0.11")
        async with Budgets(settings, database=db, configured=True) as budgets:
            account = await budgets.of(key, usd=1).refresh()
            assert (account.spent, account.reserved, account.lost) == (Decimal("0.9"), 0, 0)


async def test_sql_of_a_model_cannot_touch_the_ledger(places: Any) -> None:
    """Neither its tables nor its functions: a model would set its own cap."""
    async with Database(DatabaseSettings(max_size=2), url=await places.url("embedded")) as db:
        for statement in (
            "SELECT * FROM agentinfra.agentinfra_budgets",
            "SELECT agentinfra.agentinfra_budget_settle('x', 0, 0)",
        ):
            with pytest.raises(Exception, match="refused"):
                await db.query(statement)
