"""Where documents come from: folders, files, and records of the caller's."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from agentinfra.db.documents.reading import KINDS, UnreadableError, kind_of
from agentinfra.errors import VectorError

__all__ = [
    "OURS",
    "Document",
    "PassedOver",
    "Source",
    "Sources",
    "documents_in",
    "open_source",
    "read_folder",
]

_LARGEST = {"pdf": 200_000_000}
_LARGEST_TEXT = 10_000_000
"""Bytes a document may have; what is larger is data, not prose."""

_LONGEST_NAME = 1_000
_KEYS = frozenset({"id", "text", "metadata", "kind"})
OURS = frozenset({"origin", "document", "source", "heading", "digest", "chunks"})
"""What a chunk's metadata says by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A document.

    Attributes:
        name: What names it: its path in its folder, with slashes, or a name of the caller's.
        kind: ``markdown``, ``restructuredtext``, ``html``, ``pdf`` or ``text``.
        data: What it holds.
        metadata: What its chunks say beside where they are from.
    """

    name: str
    kind: str
    data: bytes
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """A hash of all of it; equal for equal documents."""
        rest = json.dumps([self.kind, dict(self.metadata)], sort_keys=True, default=str)
        return hashlib.sha256(self.data + b"\0" + rest.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class PassedOver:
    """A document that was not taken.

    Attributes:
        name: Its name.
        reason: Why.
    """

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """A file that has not been read yet."""

    name: str
    path: Path


Source: TypeAlias = "Document | _File | PassedOver"
Given: TypeAlias = "str | os.PathLike[str] | Mapping[str, Any] | Document"
Sources: TypeAlias = "Given | Iterable[Given] | AsyncIterable[Given]"


def documents_in(given: Any) -> list[Source]:
    """Return the documents of what a caller gave: a folder, a file, or a record; blocking.

    Raises:
        VectorError: It is none of them, or there is no such file.
    """
    if isinstance(given, Document):
        return [given]
    if isinstance(given, Mapping):
        return [_of_record(given)]
    if not isinstance(given, str | os.PathLike):
        raise VectorError(
            f"{given!r:.80} is no document: give a path, or a mapping with an id and a text"
        )
    path = Path(given)
    if path.is_dir():
        return list(_files(path))
    if not path.exists():
        raise VectorError(f"there is no file or folder {str(path)!r}")
    return [_File(name=path.as_posix(), path=path)]


def open_source(source: Source) -> Document:
    """Read a document; blocking.

    Raises:
        UnreadableError: It cannot be read; the message says why.
    """
    if isinstance(source, PassedOver):
        raise UnreadableError(source.reason)
    document = source if isinstance(source, Document) else _read(source)
    if not document.name.isprintable():  # what is no UTF-8 is not printable either
        raise UnreadableError("has a name that cannot be shown: rename it")
    if len(document.name.encode()) > _LONGEST_NAME:
        raise UnreadableError(f"has a name longer than {_LONGEST_NAME} bytes: shorten it")
    if document.kind not in KINDS:
        raise UnreadableError(f"is of the kind {document.kind!r}: there are {', '.join(KINDS)}")
    taken = sorted(OURS & document.metadata.keys())
    if taken:
        raise UnreadableError(f"has the metadata {taken[0]!r}, which chunks say by themselves")
    return document


def read_folder(folder: Path, passed_over: Callable[[PassedOver], None]) -> list[Document]:
    """Read all documents of a folder and the folders in it; blocking.

    Args:
        folder: Where to look.
        passed_over: Told of what cannot be read.
    """
    found = []
    for source in _files(folder):
        try:
            found.append(open_source(source))
        except UnreadableError as error:
            passed_over(PassedOver(name=source.name, reason=str(error)))
    return found


def _of_record(record: Mapping[str, Any]) -> Source:
    name, text = record.get("id"), record.get("text")
    if not isinstance(name, str) or not name or not isinstance(text, str | bytes):
        raise VectorError(f"the record {record!r:.80} is no document: give it an id and a text")
    metadata, kind = record.get("metadata") or {}, record.get("kind") or kind_of(name) or "text"
    if not isinstance(metadata, Mapping):
        return PassedOver(name=name, reason=f"has the metadata {metadata!r:.80}: give a mapping")
    unknown = sorted(map(str, record.keys() - _KEYS))
    if unknown:
        reason = f"has the key {unknown[0]!r}: there are {', '.join(sorted(_KEYS))}"
        return PassedOver(name=name, reason=reason)
    data = text if isinstance(text, bytes) else text.encode(errors="replace")
    return Document(name=name, kind=str(kind), data=data, metadata=metadata)


def _files(folder: Path) -> Iterator[_File | PassedOver]:
    """Give the files that have a reader; hidden ones are passed over in silence."""
    failed: list[OSError] = []
    for parent, folders, files in os.walk(folder, onerror=failed.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if kind_of(name) and not name.startswith("."):
                path = Path(parent) / name
                yield _File(name=path.relative_to(folder).as_posix(), path=path)
    for error in failed:  # of a folder: what is in it may be there as before
        name = Path(error.filename or folder).relative_to(folder).as_posix()
        yield PassedOver(name=f"{name}/", reason=error.strerror or type(error).__name__)


def _read(file: _File) -> Document:
    kind = kind_of(file.name)
    if kind is None:
        endings = ", ".join(ending for group in KINDS.values() for ending in group)
        raise UnreadableError(f"has none of the endings {endings}")
    try:
        status = file.path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe would be waited at for ever
            raise UnreadableError("is no file")
        most = _LARGEST.get(kind, _LARGEST_TEXT)
        if status.st_size > most:
            raise UnreadableError(f"has more than {most:,} bytes: cut it, or leave it out")
        return Document(name=file.name, kind=kind, data=file.path.read_bytes())
    except OSError as error:
        raise UnreadableError(error.strerror or type(error).__name__) from error
