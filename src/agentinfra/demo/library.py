"""The documents, embedded: brought up to date when the demo starts, searched for each question."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agentinfra.demo.bookkeeping import STATE_SCHEMA
from agentinfra.demo.passages import VERSION, Passage, passages_of
from agentinfra.demo.word_search import WordIndex
from agentinfra.errors import DatabaseError, LLMError

if TYPE_CHECKING:
    from agentinfra.db.vectors.store import VectorStore
    from agentinfra.demo.documents import Document
    from agentinfra.demo.progress import Progress
    from agentinfra.results import SearchHit
    from agentinfra.runtime import InfraRuntime

__all__ = ["Found", "Library"]

_TOP = 6
_LEAST = 0.1
"""Cosine similarity below which a passage has nothing to do with a question."""

_TOGETHER = 64
"""Passages embedded and stored at a time."""

_SUBJECTS = 60

_KNOWN = f"SELECT path, digest, passages FROM {STATE_SCHEMA}.documents WHERE collection = $1"  # noqa: S608
_NOTE = f"""
INSERT INTO {STATE_SCHEMA}.documents (collection, path, digest, passages)
VALUES ($1, $2, $3, $4) ON CONFLICT (collection, path)
DO UPDATE SET digest = excluded.digest, passages = excluded.passages"""  # noqa: S608
_DROP = f"DELETE FROM {STATE_SCHEMA}.documents WHERE collection = $1 AND path = $2"  # noqa: S608


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
        unavailable: Why the vectors cannot be searched, empty where they can.
    """

    def __init__(self, rt: InfraRuntime, documents: Sequence[Document], *, place: str) -> None:
        self._rt = rt
        self._documents = {document.path: document for document in documents}
        self._passages = {
            document.path: passages_of(document) for document in self._documents.values()
        }
        every = [passage for group in self._passages.values() for passage in group]
        self._by_id = {passage.id: passage for passage in every}
        self._words = WordIndex(every)
        self.edition = _digest(VERSION, *(document.digest for document in documents))
        self.subjects = tuple(_subjects(self._passages.values())[:_SUBJECTS])
        self.unavailable = "it has not been prepared"
        llm = rt.settings.llm
        vectors = f"{llm.embedding_model} {llm.embedding_dimensions}"
        self._collection = f"demo-{_digest(place, vectors)}"

    def __len__(self) -> int:
        return len(self._documents)

    @property
    def _store(self) -> VectorStore:
        return self._rt.db.vectors(self._collection)

    async def prepare(self, progress: Progress) -> None:
        """Embed what is new or changed, and forget what is gone.

        Raises:
            AgentInfraError: The database or the model cannot do it.
        """
        known = await self._known()
        gone = [path for path in known if path not in self._documents]
        changed = [
            path
            for path, document in self._documents.items()
            if known.get(path, ("", ()))[0] != _digest(VERSION, document.digest)
        ]
        for path in gone:
            await self._forget(path, known[path][1])
        done = 0
        for group in _groups(changed, self._passages):
            progress.count("reading documents", done, len(changed))
            await self._embed(group, known)
            done += len(group)
        self.unavailable = ""

    async def search(self, question: str) -> Found:
        """Return passages about a question; by their words where vectors cannot be searched."""
        reason = self.unavailable
        if not reason:
            try:
                hits = await self._store.search(question, top_k=_TOP, min_score=_LEAST)
                return Found(passages=tuple(map(self._passage, hits)))
            except (DatabaseError, LLMError) as error:
                reason = str(error)
        found = tuple(self._words.search(question, top_k=_TOP))
        return Found(
            passages=found, degraded=f"the documents were searched by their words: {reason}"
        )

    async def _known(self) -> dict[str, tuple[str, list[str]]]:
        async with self._rt.db.connection(readonly=False, reset=False) as connection:
            rows = await connection.fetch(_KNOWN, self._collection)
        return {row["path"]: (row["digest"], row["passages"]) for row in rows}

    async def _forget(self, path: str, passages: Sequence[str]) -> None:
        if passages:
            await self._store.delete(list(passages))
        await self._rt.db.execute(_DROP, self._collection, path)

    async def _embed(self, paths: Sequence[str], known: dict[str, tuple[str, list[str]]]) -> None:
        passages = [passage for path in paths for passage in self._passages[path]]
        ids = {passage.id for passage in passages}
        stale = [old for path in paths for old in known.get(path, ("", []))[1] if old not in ids]
        if passages:
            await self._store.upsert([_record(passage) for passage in passages])
        if stale:
            await self._store.delete(stale)
        # Noted last: after a kill in between it is done once more, and nothing is missing.
        for path in paths:
            await self._rt.db.execute(
                _NOTE,
                self._collection,
                path,
                _digest(VERSION, self._documents[path].digest),
                [passage.id for passage in self._passages[path]],
            )

    def _passage(self, hit: SearchHit) -> Passage:
        """Return the passage of a hit, which another process may have stored since."""
        found = self._by_id.get(hit.id)
        if found is not None:
            return found
        kept: dict[str, Any] = dict(hit.metadata)
        return Passage(
            id=hit.id,
            source=str(kept.get("source", hit.id)),
            path=str(kept.get("path", "")),
            heading=str(kept.get("heading", "")),
            text=hit.text,
        )


def _record(passage: Passage) -> dict[str, Any]:
    about = {"source": passage.source, "path": passage.path, "heading": passage.heading}
    return {"id": passage.id, "text": passage.embedded, "metadata": about}


def _groups(paths: Sequence[str], passages: dict[str, list[Passage]]) -> Iterator[list[str]]:
    """Yield documents in groups of about as many passages as are embedded at a time."""
    group: list[str] = []
    size = 0
    for path in paths:
        group.append(path)
        size += len(passages[path])
        if size >= _TOGETHER:
            yield group
            group, size = [], 0
    if group:
        yield group


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
