"""The tables of questions that are found by meaning, at every kind of place they can be."""

from __future__ import annotations

import secrets
from typing import Any

import numpy as np
import pytest

from agentinfra.cache.semantic import Entry, PostgresNeighbours
from agentinfra.db.database import Database
from agentinfra.errors import CacheError, ReadOnlyViolationError
from agentinfra.settings import DatabaseSettings

NEAR = np.array([1, 0, 0], "f4")


@pytest.mark.parametrize("place", ["embedded", "pgbouncer", "ordinary", "second"])
async def test_questions_are_found_wherever_the_database_is(places: Any, place: str) -> None:
    """As its superuser, through a pgbouncer, as a user with a schema of its own."""
    async with (
        Database(DatabaseSettings(max_size=2), url=await places.url(place)) as db,
        PostgresNeighbours(db, scope=secrets.token_hex(4), timeout=30) as store,
    ):
        for number in range(16):  # the last of which has the place looked after
            vector = NEAR + np.array([0, number, 0], "f4")
            await store.add("p", Entry.of(f"q{number}", "g"), vector / np.linalg.norm(vector))
        await store.settled()
        assert store.trouble == ""
        found = await store.nearest("p", NEAR, 3)
        assert [one.entry.question for one in found] == ["q0", "q1", "q2"]
        await store.clear()
        assert await store.nearest("p", NEAR, 3) == []


async def test_without_pgvector_the_tables_are_there_and_nothing_is_found(places: Any) -> None:
    """Nothing else of ours has to do without its tables for it."""
    url = await places.url("postgres15")
    async with (
        Database(DatabaseSettings(max_size=2), url=url) as db,
        PostgresNeighbours(db, timeout=30) as store,
    ):
        await store.add("p", Entry.of("q", "g"), NEAR)
        assert db.server.layout.newest
        with pytest.raises(CacheError, match="has no pgvector"):
            await store.nearest("p", NEAR, 3)


async def test_sql_of_a_model_cannot_read_questions(places: Any) -> None:
    """They are what people have asked."""
    async with Database(DatabaseSettings(max_size=2), url=await places.url("embedded")) as db:
        with pytest.raises(ReadOnlyViolationError):
            await db.query("SELECT * FROM agentinfra.agentinfra_questions")
