"""Bringing a collection up to date with documents.

The collection itself says what it holds: each chunk knows its document, the hash of it and how
many chunks there are. So nothing is noted twice, a call that was ended in the middle is gone on
with by the next one, and what was dropped or deleted is seen.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from agentinfra._mechanics.in_thread import in_thread
from agentinfra._mechanics.vendors import MissingPackageError
from agentinfra.db.documents.chunks import VERSION, Chunk, Chunking, chunks_of
from agentinfra.db.documents.reading import Deadline, UnreadableError
from agentinfra.db.documents.sources import (
    Document,
    PassedOver,
    Source,
    Sources,
    documents_in,
    open_source,
)
from agentinfra.errors import VectorError
from agentinfra.observability.logging import get_logger

__all__ = ["Ingested", "Ingesting", "Progress", "Shelf"]

_log = get_logger("agentinfra.documents")

_TOGETHER = 256
"""Chunks embedded and stored at a time; what a call that is cut off has to do again."""

_LISTED = 64
"""Sources taken at a time of what gives them one by one."""

_MOMENT = 0.25
"""Seconds documents are read in a thread before what was read is stored."""

_SECONDS = 60.0
"""What reading one document may take."""

_NAMES_AT_ONCE = 1_000
_CHANGED_AT_ONCE = 50
_NAMED = 20
"""Documents passed over that have a log line of their own."""


class Shelf(Protocol):
    """Where chunks go: a collection of vectors."""

    name: str

    async def upsert(self, records: Sequence[Mapping[str, Any]]) -> int:
        """Embed and write records, all or none; those whose id is there are replaced."""
        ...

    async def delete(self, *, filter: Mapping[str, Any] | None = None) -> int:  # noqa: A002
        """Delete records by their metadata."""
        ...

    async def count_by(
        self,
        *keys: str,
        filter: Mapping[str, Any] | None = None,  # noqa: A002
    ) -> Mapping[tuple[Any, ...], int]:
        """Count records by the values of some keys of their metadata."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a call is.

    Attributes:
        done: Documents that are up to date, or were passed over.
        total: All documents; None where they come one by one.
        chunks: Chunks written.
        document: The document looked at last.
    """

    done: int
    total: int | None
    chunks: int
    document: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingested:
    """What a call did.

    Attributes:
        written: Documents that were new or had changed, by name.
        unchanged: How many were as they had been.
        removed: Documents that are there no more, by name.
        passed_over: Documents that could not be taken, and why; what an earlier call took of them
            is still there.
        chunks: Chunks written.
    """

    written: tuple[str, ...]
    unchanged: int
    removed: tuple[str, ...]
    passed_over: tuple[PassedOver, ...]
    chunks: int

    @property
    def outcomes(self) -> dict[str, int]:
        """How many documents ended how."""
        return {
            "written": len(self.written),
            "unchanged": self.unchanged,
            "removed": len(self.removed),
            "passed_over": len(self.passed_over),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """A document that was looked at: its chunks, or why there are none to write."""

    name: str
    digest: str = ""
    chunks: Sequence[Chunk] = ()
    metadata: Mapping[str, Any] | None = None
    reason: str = ""
    empty: bool = False


class Ingesting:
    """One call.

    Args:
        shelf: Where the chunks go.
        sources: What the documents are.
        origin: Names these documents among all of the collection; None is the folder's name.
        chunking: How documents are cut.
        complete: Whether documents of this origin that are not among these are removed; None does
            so where the source is a folder.
        progress: Told of how far it is.

    Raises:
        VectorError: The origin cannot be one.
    """

    def __init__(
        self,
        shelf: Shelf,
        sources: Sources,
        *,
        origin: str | None,
        chunking: Chunking | None,
        complete: bool | None,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        folder = isinstance(sources, str | os.PathLike) and Path(sources).is_dir()
        named = Path(sources).resolve().name if folder else "documents"  # type: ignore[arg-type]
        self._origin = named if origin is None else origin
        given: Any = self._origin
        if not isinstance(given, str) or not given.isprintable() or not given:
            raise VectorError(f"origin is {origin!r:.80}: give a name that can be shown")
        self._shelf = shelf
        self._sources = sources
        self._chunking = chunking or Chunking()
        self._complete = folder if complete is None else complete
        self._progress = progress
        self._known: dict[str, list[tuple[str, int, int]]] = {}
        self._seen: set[str] = set()
        self._waiting: list[_Read] = []
        self._written: list[str] = []
        self._passed_over: list[PassedOver] = []
        self._unchanged = 0
        self._chunks = 0
        self._total: int | None = None

    async def run(self) -> Ingested:
        """Read, embed and write what is new or changed, and remove what is gone."""
        self._known = await self._held()
        async for batch in self._batches():
            while batch:
                deadline = Deadline(seconds=_SECONDS)
                read = partial(self._read_some, batch, deadline)
                for document in await in_thread(read, on_cancel=deadline.stop.set):
                    await self._take(document)
        await self._write()
        removed = await self._remove() if self._complete else ()
        return Ingested(
            written=tuple(self._written),
            unchanged=self._unchanged,
            removed=removed,
            passed_over=tuple(self._passed_over),
            chunks=self._chunks,
        )

    async def _held(self) -> dict[str, list[tuple[str, int, int]]]:
        """Return the documents the collection has: hashes, and chunks there should be and are."""
        counted = await self._shelf.count_by(
            "document", "digest", "chunks", filter={"origin": self._origin}
        )
        found: dict[str, list[tuple[str, int, int]]] = {}
        for (name, digest, chunks), there in counted.items():
            found.setdefault(str(name), []).append((str(digest), chunks, there))
        return found

    async def _batches(self) -> AsyncIterator[deque[Source]]:
        sources: Any = self._sources
        if isinstance(sources, AsyncIterable):
            batch: deque[Source] = deque()
            async for given in sources:
                batch += await in_thread(partial(documents_in, given))
                if len(batch) >= _LISTED:
                    yield batch
                    batch = deque()
            yield batch
            return
        if isinstance(sources, str | os.PathLike | Mapping | Document):
            sources = [sources]
        if not isinstance(sources, Iterable):
            raise VectorError(f"{sources!r:.80} is no document, nor a list of them")
        if isinstance(sources, Sequence):
            batch = await in_thread(partial(_listed, sources))
            self._total = len(batch)
            yield batch
            return
        given = iter(sources)
        while batch := await in_thread(lambda: _listed(islice(given, _LISTED))):
            yield batch

    def _read_some(self, batch: deque[Source], deadline: Deadline) -> list[_Read]:
        """Read documents for a moment; in a thread, which alone has the batch meanwhile."""
        found: list[_Read] = []
        chunks, began = 0, time.monotonic()
        while batch and chunks < _TOGETHER and time.monotonic() < began + _MOMENT:
            found.append(self._read(batch.popleft(), deadline))
            chunks += len(found[-1].chunks)
        return found

    def _read(self, source: Source, deadline: Deadline) -> _Read:
        name = source.name
        if name in self._seen:
            return _Read(name=name, reason="has the name of another document of this call")
        self._seen.add(name)
        try:
            document = open_source(source)
            digest = self._digest(document)
            if self._is_known(name, digest):
                return _Read(name=name, digest=digest)
            chunks = chunks_of(document, self._chunking, deadline)
        except (UnreadableError, MissingPackageError) as error:
            return _Read(name=name, reason=str(error))
        if not chunks:
            return _Read(name=name, reason="has no text in it", empty=True)
        return _Read(name=name, digest=digest, chunks=chunks, metadata=document.metadata)

    def _digest(self, document: Document) -> str:
        how = f"{VERSION} {self._chunking.tokens} {self._chunking.overlap} {document.digest}"
        return hashlib.sha256(how.encode()).hexdigest()[:32]

    def _is_known(self, name: str, digest: str) -> bool:
        """Return whether all chunks of just this document are there."""
        held = self._known.get(name, [])
        return len(held) == 1 and held[0][0] == digest and held[0][1] == held[0][2]

    async def _take(self, read: _Read) -> None:
        if read.reason:
            self._passed_over.append(PassedOver(name=read.name, reason=read.reason))
            if len(self._passed_over) <= _NAMED:
                _log.warning("documents.passed_over", document=read.name, reason=read.reason)
            if read.empty and read.name in self._known:
                await self._delete({"document": read.name})
        elif not read.chunks:
            self._unchanged += 1
        else:
            self._waiting.append(read)
            if sum(len(one.chunks) for one in self._waiting) >= _TOGETHER:
                await self._write()
        self._tell(read.name)

    async def _write(self) -> None:
        """Write what waits, and then delete what was there of it before.

        In this order: where it ends in between, the document has chunks of two hashes, which is
        no document that is up to date, and the next call does it again.
        """
        reads, self._waiting = self._waiting, []
        records = [self._record(read, chunk) for read in reads for chunk in read.chunks]
        if not records:
            return
        await self._shelf.upsert(records)
        changed = [read for read in reads if read.name in self._known]
        for start in range(0, len(changed), _CHANGED_AT_ONCE):
            stale = [
                {"document": read.name, "digest": {"$ne": read.digest}}
                for read in changed[start : start + _CHANGED_AT_ONCE]
            ]
            await self._delete({"$or": stale})
        self._chunks += len(records)
        self._written += [read.name for read in reads]
        self._tell(reads[-1].name)

    def _record(self, read: _Read, chunk: Chunk) -> dict[str, Any]:
        return {
            "id": f"{self._origin}/{chunk.document}#{chunk.number}",
            "text": chunk.embedded,
            "metadata": {
                **(read.metadata or {}),
                "origin": self._origin,
                "document": chunk.document,
                "source": chunk.source,
                "heading": chunk.heading,
                "digest": read.digest,
                "chunks": len(read.chunks),
            },
        }

    async def _remove(self) -> tuple[str, ...]:
        """Remove documents that are there no more; of a folder that cannot be read, none is."""
        closed = tuple(one.name for one in self._passed_over if one.name.endswith("/"))
        if "./" in closed:
            return ()
        gone = sorted(
            name for name in self._known.keys() - self._seen if not name.startswith(closed)
        )
        for start in range(0, len(gone), _NAMES_AT_ONCE):
            await self._delete({"document": gone[start : start + _NAMES_AT_ONCE]})
        return tuple(gone)

    async def _delete(self, matching: Mapping[str, Any]) -> None:
        await self._shelf.delete(filter={"origin": self._origin, **matching})

    def _tell(self, name: str) -> None:
        if self._progress is not None:
            done = len(self._written) + self._unchanged + len(self._passed_over)
            self._progress(
                Progress(done=done, total=self._total, chunks=self._chunks, document=name)
            )


def _listed(given: Iterable[Any]) -> deque[Source]:
    return deque(source for one in given for source in documents_in(one))
