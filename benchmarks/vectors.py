"""What loading and searching vectors cost beside the driver alone, and how much searches find."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import numpy as np
from pgvector.asyncpg import register_vector

from agentinfra.db.database import Database
from agentinfra.db.vectors.store import VectorStore
from agentinfra.results import EmbeddingBatch, Usage
from agentinfra.settings import DatabaseSettings
from benchmarks.report import Claim, Result, Table, versions

NAME = "vectors"

COLUMNS = ("id", "text", "metadata", "embedding")
TOPICS = 200
SESSION = {"hnsw.ef_search": "100", "random_page_cost": "1.1"}

NEAREST = """
SELECT id, text, metadata, 1 - (embedding <=> $1) AS score FROM {table}
ORDER BY embedding <=> $1 LIMIT 10
"""


class Corpus:
    """Passages in clusters, each a topic, and questions from all of them."""

    def __init__(self, rows: int, dimensions: int) -> None:
        rng = np.random.default_rng(0)
        centres = rng.standard_normal((TOPICS, dimensions))
        self.topics = rng.integers(0, TOPICS, rows)
        self.vectors = _around(centres[self.topics], rng)
        self.questions = _around(centres[rng.integers(0, TOPICS, 50)], rng)
        self.records = [
            {
                "id": f"{n:06}",
                "text": f"passage {n} on refunds, parcels and invoices",
                "metadata": {"topic": int(topic), "hundredth": n % 100},
            }
            for n, topic in enumerate(self.topics)
        ]

    def truth(self, question: int, kept: Any) -> set[str]:
        """Return the ids of the ten nearest of what is kept."""
        cosines = np.where(kept, self.vectors @ self.questions[question], -np.inf)
        return {f"{n:06}" for n in np.argsort(-cosines)[:10]}


def _around(centres: Any, rng: np.random.Generator) -> Any:
    found = (centres + 0.6 * rng.standard_normal(centres.shape)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


async def run(*, quick: bool) -> Result:
    """Load, search and compare."""
    rounds = 2 if quick else 5
    embedder = Asked()
    async with Database(DatabaseSettings(data_dir="temporary"), embedder=embedder) as database:
        loads = {
            (rows, dimensions): await _load(database, Corpus(rows, dimensions), rounds)
            for rows, dimensions in ([(5_000, 384)] if quick else [(100_000, 384), (20_000, 1_536)])
        }
        corpus = Corpus(10_000 if quick else 100_000, 384)
        store = database.vectors("searched")
        await store.upsert(corpus.records, embeddings=corpus.vectors, model="numpy")
        await store.create_index()
        searches = await _search(database, store, corpus, rounds)
        recall = await _recall(store, corpus)
        embedder.vectors = corpus.questions
        hybrid = await _hybrid(store, rounds)
    return Result(
        name=NAME,
        versions=versions("agentinfra", "asyncpg", "pgvector", "numpy"),
        tables=(_loading(loads), _searching(searches), _words(hybrid), _finding(recall)),
        claims=(
            *_load_claims(loads),
            *(
                Claim(f"search_of_bare_asyncpg_at_{tasks}", seen["ours"] / seen["bare"], "<=", 1.25)
                for tasks, seen in searches.items()
            ),
            *(Claim(f"recall_{name}", value, ">=", 0.95) for name, (value, _) in recall.items()),
        ),
    )


async def _load(database: Database, corpus: Corpus, rounds: int) -> dict[str, float]:
    """Return the medians of seconds: bare, into a new collection, into one that has rows."""
    seen: dict[str, list[float]] = {"bare": [], "new": [], "more": []}
    store = database.vectors("loaded")
    others = [{**record, "id": f"more-{record['id']}"} for record in corpus.records]
    for _ in range(rounds + 1):
        await store.drop()
        began = time.perf_counter()
        await store.upsert(corpus.records, embeddings=corpus.vectors, model="numpy")
        seen["new"].append(time.perf_counter() - began)
        began = time.perf_counter()
        await store.upsert(others, embeddings=corpus.vectors, model="numpy")
        seen["more"].append(time.perf_counter() - began)
        seen["bare"].append(await _bare_load(database, corpus))
    await store.drop()
    return {name: statistics.median(runs[1:]) for name, runs in seen.items()}  # the first warms


async def _bare_load(database: Database, corpus: Corpus) -> float:
    """Copy the same rows into the same columns, with the driver's and pgvector's own codecs."""
    table = f'{database.server.schema}."vec_loaded"'
    async with database.connection(readonly=False) as connection:
        await connection.execute("DROP TABLE IF EXISTS bare")
        await connection.execute(f"CREATE TABLE bare (LIKE {table} INCLUDING DEFAULTS)")
        await connection.set_type_codec(
            "jsonb",
            schema="pg_catalog",
            encoder=lambda value: b"\x01" + json.dumps(value).encode(),
            decoder=bytes,
            format="binary",
        )
        rows = [
            (record["id"], record["text"], record["metadata"], vector)
            for record, vector in zip(corpus.records, corpus.vectors, strict=True)
        ]
        began = time.perf_counter()
        await connection.copy_records_to_table("bare", records=rows, columns=COLUMNS)
        seconds = time.perf_counter() - began
        await connection.reset_type_codec("jsonb", schema="pg_catalog")
        await connection.execute("DROP TABLE bare")
    return seconds


async def _search(
    database: Database, store: VectorStore, corpus: Corpus, rounds: int
) -> dict[int, dict[str, float]]:
    """Return the medians of microseconds a search takes, by tasks that search at a time."""
    statement = NEAREST.format(table=f'{database.server.schema}."vec_{store.name}"')
    found = {}
    async with _bare_pool(database) as pool:

        async def bare(question: Any) -> Any:
            async with pool.acquire() as connection:
                return await connection.fetch(statement, question)

        async def ours(question: Any) -> Any:
            return await store.search(question, top_k=10)

        for tasks in (1, 16):
            seen: dict[str, list[float]] = {"bare": [], "ours": []}
            for number in range(2 * rounds + 1):
                turn = [("bare", bare), ("ours", ours)]
                for name, search in turn if number % 2 == 0 else turn[::-1]:
                    seen[name].append(await _pace(search, corpus.questions, tasks))
            found[tasks] = {name: statistics.median(runs[1:]) for name, runs in seen.items()}
    return found


@asynccontextmanager
async def _bare_pool(database: Database) -> AsyncIterator[Any]:
    size = database.settings.max_size
    arguments = {**database.dsn.asyncpg_kwargs(), "server_settings": SESSION}
    pool = await asyncpg.create_pool(
        **arguments, init=register_vector, min_size=size, max_size=size
    )
    try:
        yield pool
    finally:
        await pool.close()


async def _pace(
    search: Callable[[Any], Awaitable[Any]], questions: Sequence[Any], tasks: int
) -> float:
    """Return microseconds a search, so many at a time for half a second."""
    done = 0
    began = time.perf_counter()

    async def work() -> None:
        nonlocal done
        while time.perf_counter() < began + 0.5:
            done += 1
            await search(questions[done % len(questions)])

    await asyncio.gather(*(work() for _ in range(tasks)))
    return (time.perf_counter() - began) / done * 1e6


class Asked:
    """Gives a question's vector for its number, without a model."""

    def __init__(self) -> None:
        self.vectors: Any = None

    async def get_embeddings(
        self,
        texts: Sequence[str],
        *,
        model: str | None = None,
        dimensions: int | None = None,  # noqa: ARG002
    ) -> EmbeddingBatch:
        numbers = [int(text.rpartition(" ")[2]) % len(self.vectors) for text in texts]
        return EmbeddingBatch(
            vectors=self.vectors[numbers], model=model or "numpy", usage=Usage(), cost_usd=None
        )


async def _hybrid(store: VectorStore, rounds: int) -> dict[tuple[str, int], float]:
    """Return the medians of microseconds a hybrid search takes, by its words and tasks."""
    found = {}
    for words in ("passage 4711 number", "refunds and parcels"):
        questions = [f"{words} {n}" for n in range(50)]

        async def search(text: Any) -> Any:
            return await store.search(text, top_k=10, hybrid=True)

        for tasks in (1, 16):
            seen = [await _pace(search, questions, tasks) for _ in range(rounds + 1)]
            found[words, tasks] = statistics.median(seen[1:])
    return found


async def _recall(store: VectorStore, corpus: Corpus) -> dict[str, tuple[float, float]]:
    """Return recall of the ten nearest and milliseconds a search, by filter, at the defaults."""
    hundredth = np.arange(len(corpus.records)) % 100
    filters: dict[str, tuple[dict[str, Any] | None, Any]] = {
        "without_filter": (None, np.ones(len(hundredth), bool)),
        "1_percent": ({"hundredth": 7}, hundredth == 7),
        "30_percent": ({"hundredth": {"$lt": 30}}, hundredth < 30),
        **{
            f"{percent}_percent_by_topic": (
                {"topic": {"$lt": TOPICS * percent // 100}},
                corpus.topics < TOPICS * percent // 100,
            )
            for percent in (10, 20, 30)
        },
    }
    found = {}
    for name, (filter_, kept) in filters.items():
        hits = 0
        seconds = 0.0
        for number, question in enumerate(corpus.questions):
            began = time.perf_counter()
            ids = {hit.id for hit in await store.search(question, top_k=10, filter=filter_)}
            seconds += time.perf_counter() - began
            hits += len(ids & corpus.truth(number, kept))
        count = len(corpus.questions)
        found[name] = (hits / count / 10, seconds / count * 1e3)
    return found


def _load_claims(loads: dict[tuple[int, int], dict[str, float]]) -> list[Claim]:
    return [
        Claim(f"load_{name}_of_bare_copy_{size}", seen["bare"] / seen[name], ">=", bar)
        for (rows, dimensions), seen in loads.items()
        for size in (f"{rows}x{dimensions}",)
        for name, bar in (("new", 0.8), ("more", 0.5))
    ]


def _loading(loads: dict[tuple[int, int], dict[str, float]]) -> Table:
    return Table(
        title="rows loaded a second",
        columns=("rows", "dimensions", "bare COPY", "new collection", "into one that has rows"),
        rows=tuple(
            (rows, dimensions, *(rows / seen[name] for name in ("bare", "new", "more")))
            for (rows, dimensions), seen in loads.items()
        ),
    )


def _searching(searches: dict[int, dict[str, float]]) -> Table:
    return Table(
        title="microseconds a search of the ten nearest",
        columns=("tasks", "bare asyncpg, its pool", "agentinfra", "ratio"),
        rows=tuple(
            (tasks, seen["bare"], seen["ours"], seen["ours"] / seen["bare"])
            for tasks, seen in searches.items()
        ),
    )


def _words(hybrid: dict[tuple[str, int], float]) -> Table:
    return Table(
        title="microseconds a hybrid search of ten, by words and vectors",
        columns=("words", "tasks", "microseconds"),
        rows=tuple((words, tasks, f"{took:.0f}") for (words, tasks), took in hybrid.items()),
    )


def _finding(recall: dict[str, tuple[float, float]]) -> Table:
    return Table(
        title="recall of the ten nearest at the defaults",
        columns=("filter", "recall", "ms"),
        rows=tuple((name, *figures) for name, figures in recall.items()),
    )
