"""The documents, embedded: brought up to date when the demo starts, searched for each question."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentinfra._mechanics.vendors import MissingPackageError
from agentinfra.db.documents import Chunking, Document, UnreadableError, chunks_of
from agentinfra.demo.word_search import WordIndex
from agentinfra.errors import DatabaseError, LLMError

if TYPE_CHECKING:
    from agentinfra.db import documents
    from agentinfra.db.vectors.store import VectorStore
    from agentinfra.demo.progress import Progress
    from agentinfra.results import SearchHit
    from agentinfra.runtime import InfraRuntime

__all__ = ["Found", "Library", "Passage"]

_TOP = 6
_LEAST = 0.1
"""Cosine similarity below which a passage has nothing to do with a question."""

_CHUNKING = Chunking()
_SUBJECTS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A piece of a document.

    Attributes:
        source: Where it stands, as answers quote it: ``path#heading``.
        heading: The headings it stands under.
        text: What it says.
    """

    source: str
    heading: str
    text: str

    @property
    def embedded(self) -> str:
        """The text with its headings, which often have the words people ask with."""
        return f"{self.heading}\n{self.text}" if self.heading else self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search gave.

    Attributes:
        passages: The passages, the nearest first.
        degraded: Why they were not searched by meaning, empty where they were.
    """

    passages: tuple[Passage, ...]
    degraded: str = ""


class Library:
    """A folder's documents, in a collection of vectors of their own.

    Args:
        rt: The runtime.
        documents: The documents.
        place: The folder, and who embeds them; those of another place are in another collection.

    Attributes:
        edition: Changes whenever a document does.
        subjects: What the documents are about, as their headings say.
        skipped: The documents that cannot be read, each with the reason.
        unavailable: Why the vectors cannot be searched, empty where they can.
    """

    def __init__(self, rt: InfraRuntime, documents: Sequence[Document], *, place: str) -> None:
        self._rt = rt
        self._documents = tuple(documents)
        self.skipped: list[str] = []
        passages = [self._passages(document) for document in documents]
        self._words = WordIndex([passage for group in passages for passage in group])
        self.edition = _digest(*(document.digest for document in documents))
        self.subjects = tuple(_subjects(passages)[:_SUBJECTS])
        self.unavailable = "it has not been prepared"
        llm = rt.settings.llm
        vectors = f"{llm.embedding_model} {llm.embedding_dimensions}"
        self._collection = f"demo-{_digest(place, vectors)}"

    def __len__(self) -> int:
        return len(self._documents)

    @property
    def _store(self) -> VectorStore:
        return self._rt.db.vectors(self._collection)

    def _passages(self, document: Document) -> list[Passage]:
        """Return the passages of a document, none where it cannot be read."""
        try:
            chunks = chunks_of(document, _CHUNKING)
        except (UnreadableError, MissingPackageError) as error:
            self.skipped.append(f"{document.name}: {error}")
            return []
        if not chunks:
            self.skipped.append(f"{document.name}: has no text in it")
        return [
            Passage(source=chunk.source, heading=chunk.heading, text=chunk.text) for chunk in chunks
        ]

    async def prepare(self, progress: Progress) -> None:
        """Embed what is new or changed, and forget what is gone.

        Raises:
            AgentInfraError: The database or the model cannot do it.
        """

        def show(seen: documents.Progress) -> None:
            progress.count("reading documents", seen.done, seen.total or seen.done)

        await self._store.ingest(self._documents, chunking=_CHUNKING, complete=True, progress=show)
        self.unavailable = ""

    async def search(self, question: str) -> Found:
        """Return passages about a question; by their words where vectors cannot be searched."""
        reason = self.unavailable
        if not reason:
            try:
                hits = await self._store.search(question, top_k=_TOP, min_score=_LEAST)
                return Found(passages=tuple(map(_passage, hits)))
            except (DatabaseError, LLMError) as error:
                reason = str(error)
        found = tuple(self._words.search(question, top_k=_TOP))
        return Found(
            passages=found, degraded=f"the documents were searched by their words: {reason}"
        )


def _passage(hit: SearchHit) -> Passage:
    heading = str(hit.metadata.get("heading", ""))
    return Passage(
        source=str(hit.metadata.get("source", hit.id)),
        heading=heading,
        text=hit.text.removeprefix(f"{heading}\n"),
    )


def _subjects(documents: Iterable[Sequence[Passage]]) -> list[str]:
    """Return the documents' titles, and after them the headings below."""
    trails = [
        passage.heading.split(" > ")
        for document in documents
        for passage in document
        if passage.heading
    ]
    found = [trail[depth] for depth in (0, 1) for trail in trails if len(trail) > depth]
    return list(dict.fromkeys(found))


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
