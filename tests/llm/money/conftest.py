"""A ledger in a real database, and processes of it whose time a test moves."""

import time
from contextlib import asynccontextmanager

import pytest

from agentinfra.db.database import Database
from agentinfra.llm.money.budgets import Budgets
from agentinfra.observability.metrics import Metrics
from agentinfra.settings import BudgetsSettings, DatabaseSettings

BEGAN = 1_790_000_000.0
"""A moment in the middle of an hour, a day and a month."""


class Fleet:
    """Several processes' budgets on one database, as far as the ledger can tell."""

    def __init__(self, database, clock, folder):
        self.database = database
        self.clock = clock
        self.folder = folder
        self._epoch = BEGAN - clock.now()

    def begin_now(self):
        """Go on at this moment, among processes whose time is the machine's."""
        self._epoch = time.time() - self.clock.now()

    def wall(self):
        return self._epoch + self.clock.now()

    @asynccontextmanager
    async def process(self, *, metrics=None, **fields):
        # Time is the test's and the database is real: a question must not be late for that.
        given = {"journal_dir": self.folder, "lease_term": 30, "timeout": 1e9, **fields}
        settings = BudgetsSettings(**given)
        async with Budgets(
            settings,
            database=self.database,
            configured=True,
            metrics=metrics,
            clock=self.clock,
            wall=self.wall,
        ) as budgets:
            yield budgets


@pytest.fixture
async def database(postgres_url):
    async with Database(DatabaseSettings(max_size=4), url=postgres_url) as db:
        yield db


@pytest.fixture
async def fleet(database, clock, tmp_path):
    return Fleet(database, clock, tmp_path / "journals")


@pytest.fixture
async def counted():
    async with Metrics() as metrics:
        yield metrics
