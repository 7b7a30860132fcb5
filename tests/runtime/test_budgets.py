"""Accounts of a runtime: who shares them, and what leaving makes of them."""

import asyncio

import pytest

from agentinfra import InfraRuntime
from agentinfra.errors import ConfigurationError
from agentinfra.testing import faults

HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture
def shared(quiet, postgres_url, tmp_path):
    """Settings of a runtime with a database."""
    return quiet(database={"url": postgres_url}, budgets={"journal_dir": tmp_path / "journals"})


async def test_leaving_settles_what_the_ledger_was_not_told(shared, tmp_path):
    """Though the database takes no new work any more: the next runtime finds all of it."""
    async with InfraRuntime(shared) as rt, rt.budgets.of("acme", usd=5):
        reply = await rt.llm.chat_completion(HELLO, max_tokens=9)
    async with InfraRuntime(shared) as rt:
        acme = await rt.budgets.of("acme", usd=5).refresh()
        assert (acme.spent, acme.reserved, acme.lost) == (reply.cost_usd, 0, 0)
    assert list((tmp_path / "journals").iterdir()) == []


async def test_a_call_that_leaving_cuts_off_holds_nothing(shared, openai_server):
    """Its reservation is given back before the account is settled."""
    openai_server.fail(faults.hang())
    settings = shared.with_changes(runtime={"stop_timeout": 0.5})

    async def ask(rt):
        async with rt.budgets.of("acme", usd=5):
            await rt.llm.chat_completion(HELLO, max_tokens=9)

    async with InfraRuntime(settings) as rt:
        call = asyncio.create_task(ask(rt))
        await openai_server.ledger.wait_for(arrived=1)
    await asyncio.gather(call, return_exceptions=True)
    async with InfraRuntime(shared) as rt:
        acme = await rt.budgets.of("acme", usd=5).refresh()
        assert acme.spent > 0  # its prompt, which was read
        assert (acme.reserved, acme.lost) == (0, 0)


async def test_accounts_have_a_row_in_health_once_there_is_one(quiet):
    """Who uses none is told nothing of them; who does is told whom they hold for."""
    async with InfraRuntime(quiet()) as rt:
        rows = {row.name for row in (await rt.health()).resources}
        assert "budgets" not in rows
        rt.budgets.of("acme", usd=5)
        row = (await rt.health())["budgets"]
        assert row.state == "ready"
        assert "for this process alone" in row.detail


async def test_a_database_that_was_named_is_waited_for(quiet):
    """Its accounts are never kept in memory instead: a cap would be one for each process."""
    settings = quiet(database={"url": "postgresql://u@127.0.0.1:9/d"}, budgets={"timeout": 0.5})
    async with InfraRuntime(settings) as rt:
        with pytest.raises(Exception, match="nobody can say how 'acme' stands"):
            await rt.budgets.of("acme", usd=5).refresh()
        row = (await rt.health())["budgets"]
        assert row.state == "degraded"
        assert "127.0.0.1" in row.reason


def test_a_ledger_needs_a_database(quiet):
    """Who asks for one without is told so at once."""
    with pytest.raises(ConfigurationError, match="budgets.backend is 'postgres'"):
        InfraRuntime(quiet(budgets={"backend": "postgres"}))
