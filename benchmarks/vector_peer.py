"""A worker that keeps vectors with one peer: ``python -m benchmarks.vector_peer NAME HOST FILE``.

It prints its version, then answers each line it reads with the seconds that took: ``load``, or how
many tasks search for half a second.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from importlib.metadata import version
from typing import Any

SECONDS = 0.5


class LangChain:
    """langchain-postgres, on psycopg's pool in SQLAlchemy."""

    package = "langchain-postgres"

    def __init__(self, host: str, dimensions: int) -> None:
        self.host = host
        self.dimensions = dimensions

    async def load(self, texts: list[str], vectors: Any, metadata: list[dict[str, Any]]) -> None:
        from langchain_core.embeddings import DeterministicFakeEmbedding
        from langchain_postgres import PGEngine, PGVectorStore

        url = f"postgresql+asyncpg://postgres@/postgres?host={self.host}"
        engine = PGEngine.from_connection_string(url)
        await engine.ainit_vectorstore_table("langchain", self.dimensions, overwrite_existing=True)
        self.store = await PGVectorStore.create(
            engine, DeterministicFakeEmbedding(size=self.dimensions), "langchain"
        )
        began = time.perf_counter()
        await self.store.aadd_embeddings(texts, vectors.tolist(), metadata)
        self.took = time.perf_counter() - began

    async def index(self) -> None:
        from langchain_postgres.v2.indexes import HNSWIndex

        await self.store.aapply_vector_index(HNSWIndex(m=16, ef_construction=64))

    async def search(self, vector: Any) -> int:
        return len(await self.store.asimilarity_search_by_vector(vector.tolist(), k=10))


class LlamaIndex:
    """llama-index-vector-stores-postgres, on asyncpg in SQLAlchemy."""

    package = "llama-index-vector-stores-postgres"

    def __init__(self, host: str, dimensions: int) -> None:
        self.host = host
        self.dimensions = dimensions

    async def load(self, texts: list[str], vectors: Any, metadata: list[dict[str, Any]]) -> None:
        from llama_index.core.schema import TextNode
        from llama_index.vector_stores.postgres import PGVectorStore

        address = f"postgres@/postgres?host={self.host}"
        self.store = PGVectorStore.from_params(
            connection_string=f"postgresql+psycopg2://{address}",
            async_connection_string=f"postgresql+asyncpg://{address}",
            table_name="llama",
            embed_dim=self.dimensions,
            hnsw_kwargs={
                "hnsw_m": 16,
                "hnsw_ef_construction": 64,
                "hnsw_ef_search": 100,
                "hnsw_dist_method": "vector_cosine_ops",
            },
        )
        nodes = [
            TextNode(text=text, embedding=vector.tolist(), metadata=kept)
            for text, vector, kept in zip(texts, vectors, metadata, strict=True)
        ]
        began = time.perf_counter()
        await self.store.async_add(nodes)
        self.took = time.perf_counter() - began

    async def index(self) -> None:
        """Do nothing: it made its index with the table, and so loads into it."""

    async def search(self, vector: Any) -> int:
        from llama_index.core.vector_stores.types import VectorStoreQuery

        query = VectorStoreQuery(query_embedding=vector.tolist(), similarity_top_k=10)
        return len((await self.store.aquery(query)).ids)


PEERS = {"langchain-postgres": LangChain, "llama-index": LlamaIndex}


async def main(name: str, host: str, file: str) -> None:
    import numpy as np

    corpus = np.load(file)
    vectors, questions = corpus["vectors"], corpus["questions"]
    texts = [f"passage {n} on refunds, parcels and invoices" for n in range(len(vectors))]
    metadata = [{"hundredth": n % 100} for n in range(len(vectors))]
    peer = PEERS[name](host, vectors.shape[1])
    _say(version(peer.package))
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        order = json.loads(line)
        if order == "load":
            await peer.load(texts, vectors, metadata)
            await peer.index()
            assert await peer.search(questions[0]) == 10
            _say(peer.took)
        else:
            _say(await pace(peer.search, questions, order))


async def pace(search: Any, questions: Any, tasks: int) -> float:
    """Return seconds a search, so many at a time."""
    done = 0
    began = time.perf_counter()

    async def work() -> None:
        nonlocal done
        while time.perf_counter() < began + SECONDS:
            done += 1
            await search(questions[done % len(questions)])

    await asyncio.gather(*(work() for _ in range(tasks)))
    return (time.perf_counter() - began) / done


def _say(what: Any) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
