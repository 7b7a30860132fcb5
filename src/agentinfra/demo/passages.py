"""Cuts documents into passages: short enough to embed, whole enough to answer from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from agentinfra.demo.documents import Document
from agentinfra.demo.sections import FENCE, Section, sections_of

__all__ = ["VERSION", "Passage", "passages_of"]

VERSION = "2"
"""Of the way documents are cut; another one makes every document a changed one."""

_LONGEST = 1600
_ITEM = re.compile(r"\s*(?:[-*+]|\d{1,3}[.)])\s+")
_AS_IT_IS = re.compile(r"\s*[|>]|\s{4,}\S|\t")
_LINK = re.compile(r"!?\[([^\]\n]*)\]\([^)\n]*\)")
_LINKS = 3
_WORD = re.compile(r"\w+")
_DIRECTIVE = re.compile(r"\s*(?::::?|\.\. \w+::|!!!)")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A piece of a document.

    Attributes:
        id: Names it among all passages of its folder.
        source: Where it stands, as answers quote it: ``path#heading``.
        path: The document.
        heading: The headings it stands under.
        text: What it says.
    """

    id: str
    source: str
    path: str
    heading: str
    text: str

    @property
    def embedded(self) -> str:
        """The text with its headings, which often have the words people ask with."""
        return f"{self.heading}\n{self.text}" if self.heading else self.text


def passages_of(document: Document) -> list[Passage]:
    """Cut a document at its headings, and long sections at their paragraphs."""
    found: list[Passage] = []
    for section in sections_of(document):
        source = f"{document.path}#{section.anchor}" if section.anchor else document.path
        for number, text in enumerate(_packed(filter(str.strip, _blocks(section)))):
            found.append(
                Passage(
                    id=f"{document.path}#{section.anchor}~{number}",
                    source=source,
                    path=document.path,
                    heading=" > ".join(section.trail),
                    text=text,
                )
            )
    return found


def _packed(blocks: Iterator[str]) -> Iterator[str]:
    """Join blocks as long as they fit together."""
    held: list[str] = []
    size = 0
    for block in blocks:
        for part in _short_enough(block):
            if held and size + len(part) > _LONGEST:
                yield "\n\n".join(held)
                held, size = [], 0
            held.append(part)
            size += len(part)
    if held:
        yield "\n\n".join(held)


def _short_enough(block: str) -> Iterator[str]:
    if len(block) <= _LONGEST:
        yield block
        return
    held = ""
    for piece in re.split(r"(?<=\n)", block) if "\n" in block else _SENTENCE_END.split(block):
        if held and len(held) + len(piece) > _LONGEST:
            yield held.strip()
            held = ""
        held += piece if piece.endswith("\n") else f"{piece} "
        while len(held) > _LONGEST:
            yield held[:_LONGEST]
            held = held[_LONGEST:]
    if held.strip():
        yield held.strip()


def _blocks(section: Section) -> Iterator[str]:
    """Yield paragraphs, lists, tables and pieces of code; a wrapped paragraph on one line."""
    held: list[str] = []
    fence = ""
    for line in section.lines:
        mark = FENCE.match(line)
        if mark and not fence:
            yield from _joined(held)
            held, fence = [], mark[1]
        elif mark and mark[1].startswith(fence):
            yield "\n".join(held)
            held, fence = [], ""
        elif fence:
            held.append(line.rstrip())
        elif not line.strip():
            yield from _joined(held)
            held = []
        elif not _DIRECTIVE.match(line):
            held.append(line.rstrip())
    yield from ["\n".join(held)] if fence else _joined(held)


def _joined(lines: list[str]) -> Iterator[str]:
    """Undo the wrapping of a paragraph; items and rows of tables keep their own lines."""
    joined: list[str] = []
    for line in lines:
        begins = not joined or bool(_ITEM.match(line))
        if begins or (_AS_IT_IS.match(line) and not _ITEM.match(joined[-1])):
            joined.append(line.rstrip())
        else:
            joined[-1] = f"{joined[-1]} {line.strip()}"
    block = "\n".join(joined)
    if joined and not _points_elsewhere(block):
        yield _LINK.sub(r"\1", block).strip()


def _points_elsewhere(block: str) -> bool:
    """Return whether a block lists links: it names what other pages say, and says nothing."""
    labels = _LINK.findall(block)
    if len(labels) < _LINKS:
        return False
    return len(_WORD.findall(" ".join(labels))) > len(_WORD.findall(_LINK.sub(" ", block)))
