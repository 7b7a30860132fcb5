"""A store whose database comes late: memory answers until everything is there."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from agentinfra.checkpoint.store import LongTerm
from agentinfra.results import EmbeddingBatch, Usage
from agentinfra.settings import StoreSettings

pytestmark = pytest.mark.usefixtures("no_tasks_left")

USER = ("users", "1")


class Letters:
    """Embeds a text as the number of each of its letters; answers when it is let."""

    def __init__(self) -> None:
        self.answering = asyncio.Event()
        self.answering.set()
        self.asked = asyncio.Event()

    async def get_embeddings(
        self, texts: Any, *, model: str | None = None, dimensions: int | None = None
    ) -> EmbeddingBatch:
        self.asked.set()
        await self.answering.wait()
        rows = [[text.count(chr(97 + n)) + 0.01 for n in range(dimensions or 0)] for text in texts]
        vectors = np.asarray(rows, dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return EmbeddingBatch(vectors=vectors, model="letters", usage=Usage(), cost_usd=None)


def ready(long_term: LongTerm) -> Any:
    async def is_ready() -> bool:
        return long_term.state == "ready"

    return is_ready


async def test_items_are_there_while_they_are_taken_over(relay, rows):
    """None seems to be missing meanwhile; what is stored and deleted then counts as well."""
    async with LongTerm(StoreSettings(), url=relay.url) as long_term:
        store = long_term.store
        for n in range(5000):
            await store.aput(USER, f"k{n}", {"v": n})
        half: list[Any] = []
        async with relay.open():
            while long_term.state != "ready":
                known = await asyncio.gather(*(store.aget(USER, f"k{n}") for n in (1, 600, 4999)))
                assert None not in known
                if not half and rows("SELECT to_regclass('store')") != [(None,)]:
                    half = rows("SELECT 1 FROM store WHERE key = 'k0'")
                    if half:
                        await store.adelete(USER, "k0")
                        await store.aput(USER, "k1", {"v": "new"})
                        await store.aput(USER, "late", {"v": 1})
                await asyncio.sleep(0)
            keys = {key for (key,) in rows("SELECT key FROM store")}
            assert half
            assert keys == {f"k{n}" for n in range(1, 5000)} | {"late"}
            assert (await store.aget(USER, "k1")).value == {"v": "new"}
            await long_term.aclose()


async def test_an_item_that_waits_for_its_vector_is_not_lost(relay, eventually, rows):
    """Begun in memory, and ended when the database answers: it is stored there."""
    letters = Letters()
    settings = StoreSettings(dimensions=26, fields=("text",))
    async with LongTerm(settings, url=relay.url, embedder=letters) as long_term:
        letters.answering.clear()
        putting = asyncio.create_task(long_term.store.aput(USER, "tea", {"text": "tea"}))
        await letters.asked.wait()
        async with relay.open():
            await eventually(ready(long_term))
            assert rows("SELECT key FROM store") == []
            letters.answering.set()
            await putting
            assert rows("SELECT s.key FROM store s JOIN store_vectors USING (key)") == [("tea",)]
            await long_term.aclose()


async def test_what_is_hidden_from_searches_stays_hidden(relay, eventually, rows):
    """An item is taken over as it was stored: found by what was said, and for as long."""
    settings = StoreSettings(dimensions=26, fields=("text",))
    async with LongTerm(settings, url=relay.url, embedder=Letters()) as long_term:
        store = long_term.store
        await store.aput(USER, "hidden", {"text": "tea"}, index=False, ttl=60)
        await store.aput(USER, "other", {"text": "tea", "note": "zoo"}, index=["note"])
        async with relay.open():
            await eventually(ready(long_term))
            assert rows("SELECT key, field_name FROM store_vectors") == [("other", "note")]
            assert rows(
                "SELECT key, ttl_minutes > 59, expires_at < now() + interval '1 hour'"
                " FROM store ORDER BY 1"
            ) == [("hidden", True, True), ("other", None, None)]
            await long_term.aclose()
