"""Collections used by many at once, and calls that are cancelled half way."""

from __future__ import annotations

import asyncio
import secrets
import sys
from typing import TYPE_CHECKING, Any

import asyncpg
import numpy as np
import pytest

from agentinfra.db.database import Database
from agentinfra.db.vectors.store import Record, VectorStore
from agentinfra.errors import DimensionMismatchError, EmbeddingModelMismatchError
from agentinfra.settings import DatabaseSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from numpy.typing import NDArray


@pytest.fixture
async def store(database: Database) -> AsyncIterator[VectorStore]:
    """Give a collection that does not exist yet, and remove it afterwards."""
    made = database.vectors(f"t{secrets.token_hex(4)}")
    yield made
    await made.drop()


def batch(start: int, rows: int, dimensions: int = 8) -> tuple[list[Record], NDArray[np.float32]]:
    """Give records and vectors."""
    rng = np.random.default_rng(start)
    records = [Record(id=f"{n:06}", metadata={"by": start}) for n in range(start, start + rows)]
    return records, rng.standard_normal((rows, dimensions)).astype(np.float32)


async def test_first_upserts_at_once(store: VectorStore, database: Database):
    """Many tasks that write to a new collection at the same time all succeed."""
    others = [VectorStore(database, store.name) for _ in range(12)]

    async def write(number: int) -> int:
        records, vectors = batch(number * 100, 100)
        return await others[number].upsert(records, embeddings=vectors, model="one")

    assert await asyncio.gather(*map(write, range(12))) == [100] * 12
    assert await store.count() == 1_200


async def test_first_upserts_of_processes_at_once(
    store: VectorStore, database: Database, postgres_url: str
):
    """Processes that create the same collection at the same time all succeed."""
    script = (
        "import asyncio, sys, numpy as np\n"
        "from agentinfra.db.database import Database\n"
        "from agentinfra.settings import DatabaseSettings\n"
        "async def main(url, name, number):\n"
        "    async with Database(DatabaseSettings(url=url)) as database:\n"
        "        store = database.vectors(name)\n"
        "        print('ready', flush=True); sys.stdin.readline()\n"
        "        records = [{'id': f'{number}-{n}'} for n in range(50)]\n"
        "        await store.upsert(records, embeddings=np.ones((50, 4)))\n"
        "        await store.create_index()\n"
        "asyncio.run(main(*sys.argv[1:]))"
    )
    running = [await start(script, postgres_url, store.name, str(n)) for n in range(3)]
    for process in running:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
    done = await asyncio.gather(*(process.communicate(b"go\n") for process in running))
    assert [process.returncode for process in running] == [0, 0, 0], done
    assert await store.count() == 150


async def start(script: str, *args: str) -> asyncio.subprocess.Process:
    """Start a Python process."""
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-c", script, *args)
    return await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)


async def test_first_upserts_that_disagree(store: VectorStore, database: Database):
    """Of first writers with different vectors one wins, and the others are told."""
    records, short = batch(0, 5, 4)
    _, long = batch(0, 5, 6)
    outcomes = await asyncio.gather(
        VectorStore(database, store.name).upsert(records, embeddings=short, model="one"),
        VectorStore(database, store.name).upsert(records, embeddings=long, model="one"),
        VectorStore(database, store.name).upsert(records, embeddings=short, model="two"),
        return_exceptions=True,
    )
    assert outcomes.count(5) == 1
    expected = DimensionMismatchError | EmbeddingModelMismatchError
    assert sum(isinstance(outcome, expected) for outcome in outcomes) == 2
    assert await store.count() == 5


async def test_unnamed_collection_takes_one_name(store: VectorStore, database: Database):
    """Of writers that name a collection's model at the same time only one name sticks."""
    records, vectors = batch(0, 5)
    await store.upsert(records, embeddings=vectors)
    outcomes = await asyncio.gather(
        *(
            VectorStore(database, store.name).upsert(records, embeddings=vectors, model=f"m{n % 2}")
            for n in range(8)
        ),
        return_exceptions=True,
    )
    assert outcomes.count(5) == 4
    assert sum(isinstance(outcome, EmbeddingModelMismatchError) for outcome in outcomes) == 4


async def test_writers_of_the_same_records_do_not_lock_each_other_out(
    store: VectorStore, database: Database
):
    """Overlapping upserts in any order end, and the records are of one of them each."""
    rng = np.random.default_rng(0)
    records, vectors = batch(0, 300)

    async def write(number: int) -> int:
        order = rng.permutation(300)[:250]
        mine = [Record(id=records[n].id, metadata={"by": number}) for n in order]
        return await store.upsert(mine, embeddings=vectors[order] + number)

    assert await asyncio.gather(*map(write, range(6))) == [250] * 6
    assert sum([await store.count({"by": number}) for number in range(6)]) == await store.count()


async def test_loads_of_the_same_many_records_at_once(store: VectorStore, database: Database):
    """Loads that meet in a new collection all end, with each record there once."""
    records, vectors = batch(0, 1_500)
    outcomes = await asyncio.gather(
        *(VectorStore(database, store.name).upsert(records, embeddings=vectors) for _ in range(4))
    )
    assert outcomes == [1_500] * 4
    assert await store.count() == 1_500


async def blocked(url: str, table: str) -> None:
    """Wait until somebody waits for a lock on a table's row."""
    # A pgbouncer gives each of its transactions another session.
    connection = await asyncpg.connect(url.partition("?pgbouncer")[0], statement_cache_size=0)
    try:
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
            "AND strpos(query, $1) > 0 AND pid <> pg_backend_pid()"
        )
        for _ in range(2_000):
            async with connection.transaction():
                if await connection.fetchval(waiting, table):
                    return
            await asyncio.sleep(0.005)
        pytest.fail("nobody waits")
    finally:
        await connection.close()


@pytest.mark.parametrize("rows", [30, 6_000])
async def test_cancelled_upsert_leaves_nothing(
    store: VectorStore, database: Database, postgres_url: str, rows: int
):
    """An upsert cancelled in the middle of its rows has written none of them."""
    first, vector = batch(900_000, 1)
    await store.upsert(first, embeddings=vector)
    records, vectors = batch(0, rows)
    async with database.transaction() as connection:
        table = f'{database.server.schema}."vec_{store.name}"'
        # An id in the middle belongs to somebody who has not decided yet.
        await connection.execute(
            f"INSERT INTO {table} (id, text, metadata, embedding) "
            f"SELECT $1, text, metadata, embedding FROM {table}",
            records[rows // 2].id,
        )
        task = asyncio.create_task(store.upsert(records, embeddings=vectors))
        await blocked(postgres_url, store.name)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await store.count() == 2
    assert await store.upsert(records, embeddings=vectors) == rows
    assert await store.count() == rows + 1


async def test_upsert_cancelled_anywhere_is_all_or_nothing(store: VectorStore):
    """Whichever step an upsert is cancelled at, all of its records are there or none."""
    ended = 0
    for steps in range(0, 120, 3):
        records, vectors = batch(steps * 1_000, 70)
        before = await store.count()
        task = asyncio.create_task(store.upsert(records, embeddings=vectors))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        outcome = (await asyncio.gather(task, return_exceptions=True))[0]
        written = await store.count() - before
        assert written in (0, 70)
        assert isinstance(outcome, asyncio.CancelledError) or written == outcome == 70
        ended += written == 0
    assert ended > 0


async def test_search_cancelled_anywhere_gives_its_connection_back(postgres_url: str):
    """After cancelled searches the only connection there is still works."""
    async with Database(DatabaseSettings(url=postgres_url, max_size=1)) as database:
        store = database.vectors(f"t{secrets.token_hex(4)}")
        records, vectors = batch(0, 50)
        await store.upsert(records, embeddings=vectors)
        for steps in range(0, 60, 2):
            task = asyncio.create_task(store.search(vectors[0], filter={"by": 0}))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert len(await store.search(vectors[0], top_k=3)) == 3
        await store.drop()


async def test_searches_keep_no_connection_from_others(postgres_url: str):
    """A connection that goes from search to search is had by whoever else asks for it."""
    settings = DatabaseSettings(url=postgres_url, max_size=1, acquire_timeout=5)
    async with Database(settings) as database:
        store = database.vectors(f"t{secrets.token_hex(4)}")
        records, vectors = batch(0, 20)
        await store.upsert(records, embeddings=vectors)

        async def search() -> int:
            return len(await store.search(vectors[0], top_k=3, filter={"by": 0}))

        async def write() -> int:
            await search()
            async with database.transaction() as connection:
                return int(await connection.fetchval("SELECT 3"))

        turns = [search() if n % 3 else write() for n in range(60)]
        assert set(await asyncio.gather(*turns)) == {3}
        await store.drop()


async def test_searches_and_writes_while_a_collection_is_dropped(
    store: VectorStore, database: Database
):
    """Dropping a collection under its users fails none of them."""
    records, vectors = batch(0, 100)

    async def use(number: int) -> None:
        mine = VectorStore(database, store.name)
        for _ in range(5):
            await mine.upsert(records, embeddings=vectors)
            await mine.search(vectors[number], top_k=3, filter={"by": 0})
            await mine.count()

    async def remove() -> None:
        for _ in range(5):
            await VectorStore(database, store.name).drop()

    await asyncio.gather(*map(use, range(4)), remove())


async def test_index_is_built_once_and_replaced(store: VectorStore, database: Database):
    """Builders at the same time build one index; other options replace it, under searches."""
    records, vectors = batch(0, 500)
    await store.upsert(records, embeddings=vectors)
    stores = [VectorStore(database, store.name) for _ in range(3)]
    built = await asyncio.gather(*(one.create_index() for one in stores))
    assert sorted(built) == [False, False, True]
    assert await indexes(database, store) == {"hnsw_16_64": True}
    searching = asyncio.create_task(search_often(store, vectors))
    assert await store.create_index(m=8, ef_construction=32)
    assert await searching == 40
    assert await indexes(database, store) == {"hnsw_8_32": True}
    assert not await store.create_index(m=8, ef_construction=32)


async def test_builders_that_wait_hold_nothing_the_builder_needs(postgres_url: str):
    """However many want an index on a small pool, one builds it and all are told."""
    async with Database(DatabaseSettings(url=postgres_url, max_size=2)) as database:
        store = database.vectors(f"t{secrets.token_hex(4)}")
        records, vectors = batch(0, 20)
        await store.upsert(records, embeddings=vectors)
        built = await asyncio.gather(*(store.create_index() for _ in range(5)))
        assert sorted(built) == [False] * 4 + [True]
        await store.drop()


@pytest.mark.usefixtures("embedded_only")
async def test_index_that_was_left_half_built_is_built_anew(store: VectorStore, database: Database):
    """What an interrupted build leaves behind is replaced by a whole index."""
    records, vectors = batch(0, 50)
    await store.upsert(records, embeddings=vectors)
    await store.create_index()
    await database.execute(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = to_regclass($1)",
        f"agentinfra.vecidx_{store.name}_hnsw_16_64",
    )
    assert await indexes(database, store) == {"hnsw_16_64": False}
    assert await store.create_index()
    assert await indexes(database, store) == {"hnsw_16_64": True}


async def search_often(store: VectorStore, vectors: Any) -> int:
    """Search and count how often something was found."""
    found = 0
    for vector in vectors[:40]:
        found += bool(await store.search(vector, top_k=1))
    return found


async def indexes(database: Database, store: VectorStore) -> dict[str, bool]:
    """Give the vector indexes of a collection and whether each is whole."""
    async with database.connection(readonly=False) as connection:
        rows = await connection.fetch(
            "SELECT relname, indisvalid FROM pg_index JOIN pg_class ON oid = indexrelid "
            "WHERE indrelid = $1::text::regclass AND relname LIKE '%hnsw%'",
            f'{database.server.schema}."vec_{store.name}"',
        )
    return {row[0].removeprefix(f"vecidx_{store.name}_"): row[1] for row in rows}
