"""Collections that are brought up to date with documents."""

from __future__ import annotations

import asyncio
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from agentinfra.db.database import Database
from agentinfra.db.documents import Chunking, Document, Progress
from agentinfra.db.vectors.store import VectorStore
from agentinfra.errors import LLMUnavailableError, VectorError
from agentinfra.observability.metrics import Metrics
from agentinfra.results import EmbeddingBatch, Usage
from agentinfra.settings import DatabaseSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence


class Embedder:
    """Makes the same vector of everything, and keeps the texts; fails when told to."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.after: int | None = None
        self.hold: asyncio.Event | None = None

    async def get_embeddings(
        self, texts: Sequence[str], *, model: str | None = None, dimensions: int | None = None
    ) -> EmbeddingBatch:
        if self.after is not None and len(self.texts) >= self.after:
            raise LLMUnavailableError("away")
        self.texts += texts
        if self.hold is not None:
            await self.hold.wait()
        vectors = np.ones((len(texts), 4), np.float32)
        return EmbeddingBatch(vectors=vectors, model=model or "m", usage=Usage(), cost_usd=None)


@pytest.fixture
def embedder() -> Embedder:
    return Embedder()


@pytest.fixture
async def database(postgres_url: str, embedder: Embedder) -> AsyncIterator[Database]:
    settings = DatabaseSettings(url=postgres_url, max_size=4)
    async with (
        Metrics() as metrics,
        Database(settings, metrics=metrics, embedder=embedder) as opened,
    ):
        yield opened


@pytest.fixture
async def store(database: Database) -> AsyncIterator[VectorStore]:
    made = database.vectors(f"t{secrets.token_hex(4)}")
    yield made
    await made.drop()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three documents, one of them below."""
    made = tmp_path / "handbook"
    (made / "staff").mkdir(parents=True)
    (made / "refunds.md").write_text(
        "# Refunds\n\nWithin 14 days.\n\n## Money\n\nFive days later.\n"
    )
    (made / "shipping.html").write_text("<h1>Shipping</h1><p>Every morning.")
    (made / "staff" / "laptops.txt").write_text("Call security.")
    (made / "picture.png").write_bytes(b"x")
    (made / ".hidden.md").write_text("no")
    return made


async def test_a_folder_becomes_chunks(store, folder, embedder):
    """Each chunk is found with where it stands; its headings are embedded with it."""
    done = await store.ingest(folder)
    assert sorted(done.written) == ["refunds.md", "shipping.html", "staff/laptops.txt"]
    assert (done.chunks, done.unchanged, done.removed, done.passed_over) == (4, 0, (), ())
    assert "Refunds > Money\nFive days later." in embedder.texts
    hits = await store.search("x", top_k=9, filter={"document": "refunds.md"})
    assert {(hit.metadata["source"], hit.metadata["heading"]) for hit in hits} == {
        ("refunds.md#refunds", "Refunds"),
        ("refunds.md#money", "Refunds > Money"),
    }
    assert await store.count({"origin": "handbook"}) == 4


async def test_only_what_changed_is_embedded_again(store, folder, embedder):
    """Unchanged files cost nothing, changed ones lose what they said, vanished ones go."""
    await store.ingest(folder)
    embedder.texts.clear()
    assert (await store.ingest(folder)).unchanged == 3
    assert embedder.texts == []
    (folder / "refunds.md").write_text("# Refunds\n\nWithin 30 days.\n")
    (folder / "shipping.html").unlink()
    done = await store.ingest(str(folder))
    assert (done.written, done.unchanged, done.removed) == (("refunds.md",), 1, ("shipping.html",))
    assert embedder.texts == ["Refunds\nWithin 30 days."]
    assert await store.count_by("document") == {("refunds.md",): 1, ("staff/laptops.txt",): 1}


async def test_another_way_of_cutting_makes_all_documents_changed(store, folder):
    """What is there was cut otherwise, and is replaced."""
    await store.ingest(folder)
    done = await store.ingest(folder, chunking=Chunking(tokens=16, overlap=0))
    assert len(done.written) == 3
    assert await store.count() == done.chunks


async def test_bad_documents_are_named_and_passed_over(store, folder, database):
    """One bad file among many ends nothing, and what it said before is still there."""
    await store.ingest(folder)
    (folder / "shipping.html").write_bytes(b"\0")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7")
    (folder / "blank.md").write_text("\n")
    os.mkfifo(folder / "pipe.txt")
    done = await store.ingest(folder)
    reasons = {one.name: one.reason for one in done.passed_over}
    assert sorted(reasons) == ["blank.md", "broken.pdf", "pipe.txt", "shipping.html"]
    assert "zero bytes" in reasons["shipping.html"]
    assert "no text" in reasons["blank.md"]
    assert await store.count({"document": "shipping.html"}) == 1
    assert done.unchanged == 2
    assert 'documents_total{outcome="passed_over"} 4' in database.metrics.expose()


async def test_what_is_in_a_folder_that_cannot_be_listed_stays(store, tmp_path):
    """It may be there as before; what is gone from the folders that can be is removed."""
    below, root = "s" * 250, tmp_path / "r"
    (root / below).mkdir(parents=True)
    for name in (f"{below}/in.md", "kept.md", "gone.md"):
        (root / name).write_text(f"# {name[-7:]}\n\nA text.\n")
    await store.ingest(root, origin="o")
    parent = tmp_path
    while len(str(parent)) < 3_850:
        parent /= "p" * 190
    parent.mkdir(parents=True)
    moved = root.rename(parent / "r")  # where the path of the folder below is too long to list
    (moved / "gone.md").unlink()
    done = await store.ingest(moved, origin="o")
    assert [one.name for one in done.passed_over] == [f"{below}/"]
    assert done.removed == ("gone.md",)
    assert await store.count({"document": f"{below}/in.md"}) == 1


async def test_a_document_that_says_nothing_any_more_is_forgotten(store, folder):
    """What an emptied document said is gone, for it can be read and says it no more."""
    await store.ingest(folder)
    (folder / "refunds.md").write_text("\n")
    await store.ingest(folder)
    assert await store.count({"document": "refunds.md"}) == 0


async def test_a_call_that_ended_is_gone_on_with(store, embedder):
    """What was written stays, and is not embedded again by the next call."""
    records = [{"id": f"d{n}", "text": "# A\n\n" + f"word{n} " * 3000} for n in range(60)]
    embedder.after = 512
    with pytest.raises(LLMUnavailableError):
        await store.ingest(records)
    kept = await store.count()
    assert kept >= 512
    embedder.after = None
    embedder.texts.clear()
    done = await store.ingest(records)
    assert done.unchanged > 0
    assert len(embedder.texts) == done.chunks
    assert await store.count() == kept + done.chunks


async def test_a_document_with_chunks_missing_is_written_again(store, folder):
    """What somebody deleted is noticed, and so is a collection that was dropped."""
    await store.ingest(folder)
    await store.delete(["handbook/refunds.md#1"])
    assert (await store.ingest(folder)).written == ("refunds.md",)
    await store.drop()
    assert len((await store.ingest(folder)).written) == 3


async def test_cancelled_anywhere_it_can_be_called_again(store, folder, embedder):
    """A cancellation leaves whole documents, and the next call finishes."""
    embedder.hold = asyncio.Event()
    task = asyncio.create_task(store.ingest(folder))
    while not embedder.texts:  # noqa: ASYNC110
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    embedder.hold = None
    assert await store.count() == 0
    assert (await store.ingest(folder)).chunks == 4


@pytest.mark.parametrize("form", ["list", "generator", "asynchronous"])
async def test_records_of_any_source_are_documents(store, form):
    """Records come at once or one by one; what was there stays unless these are all."""
    given: list[Any] = [
        {"id": "a.html", "text": "<h1>A</h1>b", "metadata": {"lang": "en"}},
        {"id": "note", "text": "# B\n\nc", "kind": "markdown"},
        Document(name="c", kind="text", data=b"d"),
        {"id": "c", "text": "again"},
        {"id": "e", "text": "f", "metadata": {"digest": 1}},
    ]

    async def one_by_one() -> AsyncIterator[Any]:
        for each in given:
            yield each

    forms = {"list": given, "generator": iter(given), "asynchronous": one_by_one()}
    seen: list[Progress] = []
    done = await store.ingest(forms[form], progress=seen.append)
    assert done.written == ("a.html", "note", "c")
    assert [one.name for one in done.passed_over] == ["c", "e"]
    assert (seen[-1].done, seen[-1].total) == (5, 5 if form == "list" else None)
    [hit] = await store.search("x", filter={"lang": "en"})
    assert hit.metadata["source"] == "a.html#a"
    assert (await store.ingest(given[1:2])).removed == ()
    assert await store.count() == 3
    assert (await store.ingest(given[1:2], complete=True)).removed == ("a.html", "c")


async def test_origins_do_not_know_one_another(store, folder):
    """Documents of another origin, and records of the caller's, are left alone."""
    await store.upsert([{"id": "mine", "text": "x"}])
    await store.ingest({"id": "refunds.md", "text": "other"}, origin="mail")
    await store.ingest(folder)
    assert await store.ingest({"id": "new", "text": "y"}, origin="mail", complete=True)
    assert await store.count_by("origin") == {("handbook",): 4, ("mail",): 1, (None,): 1}


async def test_metadata_that_changes_makes_a_document_a_changed_one(store):
    """A document is its text and what is said about it."""
    await store.ingest({"id": "a", "text": "b", "metadata": {"n": 1}})
    done = await store.ingest({"id": "a", "text": "b", "metadata": {"n": 2}})
    assert done.written == ("a",)
    assert await store.count({"n": 2}) == 1


@pytest.mark.parametrize(
    ("sources", "words"),
    [(7, "no document"), ([7], "no document"), ("/no/such", "no file"), ([{"id": "a"}], "text")],
)
async def test_what_is_no_document_is_refused(store, sources, words):
    """A mistake in the call is an error of ours, before anything is written."""
    with pytest.raises(VectorError, match=words):
        await store.ingest(sources)


async def test_two_calls_at_once_end_in_the_same(store, folder):
    """Whoever is first, each chunk is there once."""
    await asyncio.gather(*(store.ingest(folder) for _ in range(3)))
    assert await store.count() == 4
    assert (await store.ingest(folder)).unchanged == 3
