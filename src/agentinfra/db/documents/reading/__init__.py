"""What documents say: their sections in order, whatever format they are in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentinfra.db.documents.reading.sections import Deadline, Section, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["KINDS", "Deadline", "Section", "UnreadableError", "kind_of", "sections_of"]

KINDS = {
    "markdown": (".md", ".markdown"),
    "restructuredtext": (".rst",),
    "html": (".html", ".htm", ".xhtml"),
    "pdf": (".pdf",),
    "text": (".txt", ".text"),
}
"""The kinds of documents, and the endings of their files."""


def kind_of(name: str) -> str | None:
    """Return the kind a file's ending stands for, None where nothing reads it."""
    lowered = name.lower()
    return next((kind for kind, endings in KINDS.items() if lowered.endswith(endings)), None)


def sections_of(kind: str, data: bytes, deadline: Deadline) -> list[Section]:
    """Return a document's sections that have text of their own, in order; blocking.

    Args:
        kind: One of `KINDS`.
        data: The document.
        deadline: When reading it has to be over.

    Raises:
        UnreadableError: It cannot be read; the message says why.
        MissingPackageError: What reads this kind is not installed.
    """
    return [section for section in _reader(kind)(data, deadline) if section.blocks]


def _reader(kind: str) -> Callable[[bytes, Deadline], Iterator[Section]]:
    from agentinfra.db.documents.reading import html, markdown, pdf, text

    readers = {
        "markdown": markdown.read,
        "restructuredtext": text.read_restructured,
        "html": html.read,
        "pdf": pdf.read,
    }
    return readers.get(kind, text.read)
