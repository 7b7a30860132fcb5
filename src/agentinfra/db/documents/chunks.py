"""Cuts documents into chunks: short enough to embed, whole enough to answer from."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentinfra.db.documents.reading import Deadline, Section, sections_of
from agentinfra.errors import VectorError

if TYPE_CHECKING:
    from agentinfra.db.documents.sources import Document

__all__ = ["VERSION", "Chunk", "Chunking", "chunks_of", "tokens_of"]

VERSION = "1"
"""Of the way documents are cut; another one makes every document a changed one."""

_LONGEST = 8_000
_SECONDS = 60.0
"""What reading one document may take."""

_SPLITS = (
    re.compile(r"(?<=\n)"),
    re.compile(r"(?<=[.!?\u3002\uff01\uff1f])\s+"),
    re.compile(r"(?<=\s)"),
)
"""Where a text that is too long is cut: at its lines, else its sentences, else its words."""

_PIECE = re.compile(r"(?<=[.!?\u3002\uff01\uff1f])\s+|(?<=\n)")


def tokens_of(text: str) -> int:
    """Return about how many tokens a text has: four bytes each, in any language."""
    return (len(text.encode(errors="replace")) + 3) // 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunking:
    """How documents are cut.

    Attributes:
        tokens: Tokens a chunk has at most, 16 to 8,000.
        overlap: Tokens of the end of a chunk that the next one of the same section begins with, up
            to half of ``tokens``; 0 repeats nothing.
        count: What counts tokens, as of the model's own tokenizer; the default takes four bytes
            for one. Another one makes no document a changed one.

    Raises:
        VectorError: A number is out of its range.
    """

    tokens: int = 400
    overlap: int = 40
    count: Callable[[str], int] = tokens_of

    def __post_init__(self) -> None:
        if not 16 <= self.tokens <= _LONGEST:
            raise VectorError(f"tokens is {self.tokens}: a chunk has 16 to {_LONGEST}")
        if not 0 <= self.overlap <= self.tokens // 2:
            raise VectorError(f"overlap is {self.overlap}: it has to be 0 to {self.tokens // 2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A piece of a document.

    Attributes:
        number: Its place in the document, from 0.
        document: The document's name.
        anchor: The heading it stands under as a link names it, the page of a PDF as ``page=3``.
        heading: The headings it stands under, joined by ``>``.
        text: What it says.
    """

    number: int
    document: str
    anchor: str
    heading: str
    text: str

    @property
    def source(self) -> str:
        """Where it stands, as answers quote it: ``document#anchor``."""
        return f"{self.document}#{self.anchor}" if self.anchor else self.document

    @property
    def embedded(self) -> str:
        """The text under its headings, which often have the words people ask with."""
        return f"{self.heading}\n{self.text}" if self.heading else self.text


def chunks_of(
    document: Document, chunking: Chunking | None = None, deadline: Deadline | None = None
) -> list[Chunk]:
    """Read a document and cut it at its headings, long sections at their paragraphs; blocking.

    Args:
        document: The document.
        chunking: How it is cut; None is the default.
        deadline: When reading has to be over; None gives it a minute.

    Raises:
        UnreadableError: It cannot be read; the message says why.
        MissingPackageError: What reads documents of its kind is not installed.
    """
    chunking = chunking or Chunking()
    deadline = deadline or Deadline(seconds=_SECONDS)
    deadline.begin()
    found: list[Chunk] = []
    for section in sections_of(document.kind, document.data, deadline):
        for text in _packed(section, chunking):
            deadline.check()
            found.append(
                Chunk(
                    number=len(found),
                    document=document.name,
                    anchor=section.anchor,
                    heading=" > ".join(section.trail),
                    text=text,
                )
            )
    return found


def _packed(section: Section, chunking: Chunking) -> Iterator[str]:
    """Join blocks as long as they fit together; each begins with the end of the one before."""
    held: list[str] = []
    fresh = False
    for block in section.blocks:
        for part in _short_enough(block, chunking):
            if fresh and chunking.count("\n\n".join((*held, part))) > chunking.tokens:
                text = "\n\n".join(held)
                yield text
                tail = _tail(text, chunking)
                held = [tail] if tail and _fits((tail, part), chunking) else []
            held.append(part)
            fresh = True
    if fresh:
        yield "\n\n".join(held)


def _fits(parts: Sequence[str], chunking: Chunking) -> bool:
    return chunking.count("\n\n".join(parts)) <= chunking.tokens


def _short_enough(block: str, chunking: Chunking) -> Iterator[str]:
    if chunking.count(block) <= chunking.tokens:
        yield block
    else:
        # The room that is left is for the end of the piece before.
        most = chunking.tokens - chunking.overlap
        yield from filter(None, map(str.strip, _cut(block, most, chunking.count, 0)))


def _cut(text: str, most: int, count: Callable[[str], int], level: int) -> Iterator[str]:
    """Cut a text at its lines, sentences or words, whichever are short enough."""
    if count(text) <= most:
        yield text
        return
    if level == len(_SPLITS):
        yield from _cut_anywhere(text, most, count)
        return
    held = ""
    for piece in _split(text, level):
        if held and count(held + piece) > most:
            yield held
            held = ""
        if count(piece) <= most:
            held += piece
            continue
        *whole, held = _cut(piece, most, count, level + 1)
        yield from whole
    if held:
        yield held


def _split(text: str, level: int) -> Iterator[str]:
    """Give the pieces of a text, nothing of it left out."""
    start = 0
    for found in _SPLITS[level].finditer(text):
        if found.end() > start:
            yield text[start : found.end()]
            start = found.end()
    if start < len(text):
        yield text[start:]


def _cut_anywhere(text: str, most: int, count: Callable[[str], int]) -> Iterator[str]:
    while text:
        size = len(text)
        while size > 1 and (tokens := count(text[:size])) > most:
            size = max(1, min(size - 1, size * most // tokens))
        yield text[:size]
        text = text[size:]


def _tail(text: str, chunking: Chunking) -> str:
    """Return the end of a text: its last sentences, or its last words where they are long."""
    if not chunking.overlap:
        return ""
    for pattern in (_PIECE, _SPLITS[-1]):
        kept = ""
        for piece in reversed(pattern.split(text)):
            longer = f"{piece} {kept}" if kept and not piece.endswith((" ", "\n")) else piece + kept
            if chunking.count(longer) > chunking.overlap:
                break
            kept = longer
        if kept.strip():
            return kept.strip()
    return ""
