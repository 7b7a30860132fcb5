"""Loading and searching vectors beside langchain-postgres and llama-index, on one server.

Each peer is in a process and an environment of its own; all load the same rows and search them in
turn, half a second at a time. The figures are the medians of the rounds.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from agentinfra.db.database import Database
from agentinfra.db.vectors.store import VectorStore
from agentinfra.settings import DatabaseSettings
from benchmarks.environments import environment
from benchmarks.report import Claim, Result, Table, versions
from benchmarks.vector_peer import pace
from benchmarks.vectors import Corpus

NAME = "vector_peers"

OURS = "agentinfra"
PACKAGES = {
    "langchain-postgres": ["langchain-postgres", "numpy"],
    "llama-index": [
        "llama-index-vector-stores-postgres",
        "psycopg2-binary",
        "asyncpg",
        "numpy",
    ],
}
TASKS = (1, 16)
CANDIDATES = "ALTER DATABASE postgres SET hnsw.ef_search = 100"
"""All look at as many candidates: at pgvector's own 40, who says nothing would find fewer."""

ROOT = Path(__file__).resolve().parent.parent


async def run(*, quick: bool) -> Result:
    """Load, index and search with each."""
    rows, rounds = (2_000, 3) if quick else (100_000, 9)
    corpus = Corpus(rows, 384)
    pythons = {name: environment(name, packages) for name, packages in PACKAGES.items()}
    async with Database(DatabaseSettings(data_dir="temporary")) as database:
        await database.execute(CANDIDATES)
        with ExitStack() as stack:
            file = stack.enter_context(_saved(corpus))
            host = database.dsn.hosts[0][0]
            peers = {
                name: stack.enter_context(_worker(python, name, host, file))
                for name, python in pythons.items()
            }
            found = {name: json.loads(await _line(peer)) for name, peer in peers.items()}
            store = database.vectors("ours")
            loads = {OURS: await _load(store, corpus)}
            for name, peer in peers.items():
                loads[name] = await _ask(peer, "load")
            await store.create_index()
            searches = await _search(store, corpus, peers, rounds)
    return Result(
        name=NAME,
        versions={**versions(OURS, "asyncpg", "pgvector", "numpy"), **found},
        tables=(_loading(loads, rows), _searching(searches)),
        claims=(
            *(
                Claim(f"load_times_{name}", loads[name] / loads[OURS], ">=", 20)
                for name in PACKAGES
            ),
            *(
                Claim(
                    f"search_times_langchain_at_{tasks}",
                    searches["langchain-postgres", tasks] / searches[OURS, tasks],
                    ">=",
                    2,
                )
                for tasks in TASKS
            ),
        ),
    )


async def _load(store: VectorStore, corpus: Corpus) -> float:
    """Return the seconds a load takes; the first one warms."""
    seen = []
    for _ in range(3):
        await store.drop()
        began = time.perf_counter()
        await store.upsert(corpus.records, embeddings=corpus.vectors, model="numpy")
        seen.append(time.perf_counter() - began)
    return min(seen[1:])


async def _search(
    store: VectorStore, corpus: Corpus, peers: dict[str, Any], rounds: int
) -> dict[tuple[str, int], float]:
    """Return the median of seconds a search takes, by who searches and how many at a time."""

    async def ours(question: Any) -> Any:
        return await store.search(question, top_k=10)

    seen: dict[tuple[str, int], list[float]] = {}
    for _ in range(rounds):
        for tasks in TASKS:
            seen.setdefault((OURS, tasks), []).append(await pace(ours, corpus.questions, tasks))
            for name, peer in peers.items():
                seen.setdefault((name, tasks), []).append(await _ask(peer, tasks))
    return {key: statistics.median(values) for key, values in seen.items()}


@contextmanager
def _saved(corpus: Corpus) -> Iterator[str]:
    with tempfile.NamedTemporaryFile(suffix=".npz") as file:
        np.savez(file, vectors=corpus.vectors, questions=corpus.questions)
        file.flush()
        yield file.name


@contextmanager
def _worker(python: str, name: str, host: str, file: str) -> Iterator[Any]:
    process = subprocess.Popen(
        [python, "-m", "benchmarks.vector_peer", name, host, file],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=sys.stderr,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


async def _ask(process: Any, order: Any) -> float:
    process.stdin.write(json.dumps(order) + "\n")
    process.stdin.flush()
    return float(json.loads(await _line(process)))


async def _line(process: Any) -> str:
    line = await asyncio.to_thread(process.stdout.readline)
    if not line:
        raise RuntimeError("a peer's worker ended: its words are above")
    return str(line)


def _loading(loads: dict[str, float], rows: int) -> Table:
    return Table(
        title=f"{rows:,} rows of 384 dimensions loaded into a new collection",
        columns=("who", "seconds", "rows a second", "times"),
        rows=tuple(
            (name, f"{took:.2f}", f"{rows / took:.0f}", f"{took / loads[OURS]:.1f}")
            for name, took in loads.items()
        ),
    )


def _searching(searches: dict[tuple[str, int], float]) -> Table:
    names = list(dict.fromkeys(name for name, _ in searches))
    return Table(
        title="microseconds a search of the ten nearest, through an index of the same options",
        columns=("who", "alone", "times", "16 at once", "times"),
        rows=tuple(
            (name, *(cell for tasks in TASKS for cell in _beside_ours(searches, name, tasks)))
            for name in names
        ),
    )


def _beside_ours(searches: dict[tuple[str, int], float], name: str, tasks: int) -> tuple[str, str]:
    took = searches[name, tasks]
    return f"{took * 1e6:.0f}", f"{took / searches[OURS, tasks]:.2f}"
