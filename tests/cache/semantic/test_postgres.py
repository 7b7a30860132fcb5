"""Questions in PostgreSQL: many of them, of several processes, and without the database."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from agentinfra import InfraRuntime, RoutingCache, Settings
from agentinfra.cache import Caches
from agentinfra.cache.semantic import (
    Entry,
    MemoryNeighbours,
    PostgresNeighbours,
    SemanticRouting,
)
from agentinfra.db.database import Database
from agentinfra.errors import ConfigurationError, DatabaseError
from agentinfra.settings import CacheSettings, DatabaseSettings

pytestmark = pytest.mark.usefixtures("no_tasks_left")


@pytest.fixture
async def database(postgres_url):
    async with Database(DatabaseSettings(max_size=3), url=postgres_url) as database:
        yield database


def opened(database, **options):
    return PostgresNeighbours(database, **({"timeout": 30} | options))


def unit(*numbers):
    vector = np.array(numbers, "f4")
    return vector / np.linalg.norm(vector)


def entry(question, group="g"):
    return Entry.of(question, group)


async def questions(store, vector, limit=10, partition="p"):
    return [one.entry.question for one in await store.nearest(partition, vector, limit)]


async def indexes(database):
    async with database.connection(readonly=False) as connection:
        rows = await connection.fetch(
            "SELECT relname::text FROM pg_class WHERE relname LIKE 'agentinfra_questions_of%'"
        )
    return [row[0] for row in rows]


async def fill(store, vectors, partition="p", first=0):
    for number, vector in enumerate(vectors, first):
        await store.add(partition, entry(str(number), f"g{number % 7}"), vector)
    await store.settled()


def clustered(size, dimensions=16):
    """Vectors around some directions, with a large part that all of them share."""
    random = np.random.default_rng(5)
    middles = random.normal(size=(20, dimensions))
    vectors = middles[random.integers(20, size=size)] + random.normal(size=(size, dimensions)) * 0.5
    vectors += 4
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype("f4")


async def test_a_large_partition_gets_an_index_which_finds_what_memory_finds(database):
    """Of its own and used; the similarities are the same."""
    vectors, memory = clustered(1_100), MemoryNeighbours()
    async with opened(database) as store:
        await fill(store, vectors[:1_024])
        for number, vector in enumerate(vectors[:1_024]):
            await memory.add("p", entry(str(number), f"g{number % 7}"), vector)
        (index,) = await indexes(database)
        place = index.removeprefix("agentinfra_questions_of_")
        same = 0
        for vector in vectors[1_024:]:
            exact = {one.entry.question: one for one in await memory.nearest("p", vector, 10)}
            found = await store.nearest("p", vector, 10)
            assert [one.similarity for one in found] == sorted(
                (one.similarity for one in found), reverse=True
            )
            for one in found:
                if one.entry.question in exact:
                    same += 1
                    known = exact[one.entry.question]
                    assert one.entry == known.entry
                    assert one.similarity == pytest.approx(known.similarity, abs=0.05)
        assert same >= 0.95 * 10 * len(vectors[1_024:])
        async with database.connection(readonly=False) as connection:
            plan = await connection.fetch(
                "EXPLAIN SELECT FROM agentinfra.agentinfra_questions "
                f"WHERE place = '{place}' AND expires_at > now() "
                "ORDER BY (embedding::vector(16)) <=> $1::real[]::vector(16) LIMIT 100",
                vectors[0].tolist(),
            )
        assert any(index in row[0] for row in plan)


async def test_what_has_expired_is_not_found_and_goes(database):
    """By the server's clock; what is left of a partition without entries goes with it."""
    async with opened(database, lifetime=1e-6) as store:
        await fill(store, clustered(15), "old")
        assert await questions(store, clustered(1)[0], partition="old") == []
    async with opened(database) as store:
        await fill(store, clustered(16))
    count = "SELECT count(*) FROM agentinfra.agentinfra_question"
    async with database.connection(readonly=False) as connection:
        assert await connection.fetchval(f"{count}s") == 16
        assert await connection.fetchval(f"{count}_places") == 1


async def test_beyond_its_bound_the_oldest_go(database):
    """A twentieth more than has to, so that it is not done for every one."""
    async with opened(database, max_entries=40) as store:
        await fill(store, clustered(32))
        await fill(store, clustered(64)[32:], first=32)
        left = await questions(store, clustered(1)[0], 100)
    assert sorted(map(int, left)) == list(range(26, 64))


async def test_an_index_goes_with_its_partition(database):
    """After the partition was cleared, when others are looked after."""
    async with opened(database) as store:
        await fill(store, clustered(1_024))
        assert len(await indexes(database)) == 1
        await store.clear()
        assert await questions(store, clustered(1)[0]) == []
        await fill(store, clustered(16), "another")
    assert await indexes(database) == []


async def test_processes_of_one_scope_share_and_those_of_another_do_not(database):
    """What one adds all find; clearing leaves the questions of another scope."""
    async with (
        opened(database, scope="a") as mine,
        opened(database, scope="a") as beside,
        opened(database, scope="b") as other,
    ):
        await mine.add("p", entry("x"), unit(1, 0))
        await other.add("p", entry("y"), unit(1, 0))
        assert await questions(beside, unit(1, 0)) == ["x"]
        await beside.drop("p", "y")
        await beside.clear()
        assert await questions(mine, unit(1, 0)) == []
        assert await questions(other, unit(1, 0)) == ["y"]


async def test_what_postgresql_cannot_hold_is_not_kept(database):
    """A NUL character, half a pair: nothing fails, and nothing is found."""
    async with opened(database) as store:
        for odd in ("a\0b", "a\ud800b"):
            await store.add("p", entry(odd), unit(1, 0))
            await store.drop("p", odd)
        assert await questions(store, unit(1, 0)) == []


@pytest.mark.parametrize("bound", ["max_entries", "lifetime"])
def test_a_bound_of_nothing_is_refused(bound):
    """The message names it."""
    with pytest.raises(ConfigurationError, match=f"{bound} is 0"):
        PostgresNeighbours(lambda: None, **{bound: 0})  # type: ignore[arg-type]


class OneDirection:
    async def get_embeddings(self, texts, *, model=None, dimensions=None):
        return SimpleNamespace(vectors=np.stack([unit(1, 0)]), model="m", degraded=None)


async def test_without_the_database_questions_are_loaded_and_health_says_why(postgres_url):
    """While it is away; when it is back, so are the questions."""
    settings = CacheSettings(semantic=True, semantic_size=20_001, routing_size=100)
    database = Database(DatabaseSettings(max_size=2), url=postgres_url)
    async with Caches(settings, database=lambda: database) as caches:
        caches.embed_with(OneDirection())

        async def load():
            return "orders"

        away = await caches.semantic_routing.get_or_compute("late?", load)
        assert (away.value, away.source) == ("orders", "computed")
        assert caches.semantic_routing.counts["error"] >= 1
        row = await caches.probe()
        assert row.state == "degraded"
        assert "semantic routing: " in row.reason
        async with database:
            await caches.semantic_routing.get_or_compute("later?", load)
            await caches.semantic_routing.get_or_compute("latest?", load)
            assert (await caches.probe()).state == "ready"
            async with database.connection(readonly=False) as connection:
                kept = await connection.fetch(
                    "SELECT question FROM agentinfra.agentinfra_questions ORDER BY kept_at"
                )
            assert [row[0] for row in kept] == ["later?", "latest?"]


async def test_up_to_20000_questions_stay_in_memory():
    """The database is not asked then; without one, memory holds more too."""

    def database():
        raise DatabaseError("asked")

    for size, given in ((20_000, database), (20_001, None)):
        settings = CacheSettings(semantic=True, semantic_size=size)
        async with Caches(settings, database=given) as caches:
            caches.embed_with(OneDirection())

            async def load():
                return "orders"

            await caches.semantic_routing.get_or_compute("late?", load)
            assert caches.semantic_routing.counts["error"] == 0


class Topics:
    """Gives each topic a direction of its own; the rest of a question hardly counts."""

    async def get_embeddings(self, texts, *, model=None, dimensions=None):
        vectors = []
        for text in texts:
            vector = np.random.default_rng(sum(map(ord, text))).normal(size=16) * 0.02
            vector["abcdefgh".index(text[0])] += 1
            vectors.append(unit(*vector))
        return SimpleNamespace(vectors=np.stack(vectors), model="m", degraded=None)


def word(number):
    return "".join("wcdfjyqvxz"[int(digit)] for digit in str(number))


async def test_answers_are_given_by_meaning_over_the_database(database):
    """By what another process has asked too, once there are labels enough."""
    answers = RoutingCache(max_size=1_000)
    store = opened(database)
    async with (
        store,
        SemanticRouting(answers, Topics(), store=store, chance=lambda: 1.0) as routing,
    ):
        for number in range(450):

            async def load(topic="abcdefgh"[number % 8]):
                return f"agent {topic}"

            await routing.get_or_compute(f"{'abcdefgh'[number % 8]} {word(number)}", load)
        async with (
            opened(database) as beside,
            SemanticRouting(answers, Topics(), store=beside, chance=lambda: 1.0) as another,
        ):

            async def never():
                return "loaded"

            first = await another.get_or_compute("c unheard", never)
            assert first.source == "computed"  # each process learns for itself
        given = await routing.get_or_compute("d unheard", never)
        assert (given.value, given.source) == ("agent d", "semantic")


async def test_a_runtime_keeps_many_questions_in_its_database(postgres_url, openai_server):
    """More than memory is meant for: nothing has to be handed to anybody."""
    settings = Settings(
        llm={"base_url": openai_server.base_url, "api_key": "sk-test"},
        database={"url": postgres_url},
        cache={"semantic": True, "semantic_size": 20_001},
        checkpointer={"enabled": False},
    )
    async with InfraRuntime(settings) as rt:

        async def load():
            return "orders"

        answer = await rt.caches.semantic_routing.get_or_compute("Which are late?", load)
        assert answer.source == "computed"
        async with rt.db.connection(readonly=False) as connection:
            kept = await connection.fetch("SELECT question FROM agentinfra.agentinfra_questions")
        assert [row[0] for row in kept] == ["Which are late?"]
        row = next(row for row in (await rt.health()).resources if row.name == "cache")
        assert row.state == "ready"
