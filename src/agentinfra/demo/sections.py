"""Finds the sections of a document: their headings, and the lines under each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from agentinfra.demo.documents import Document

__all__ = ["FENCE", "Section", "sections_of"]

FENCE = re.compile(r"\s*(`{3,}|~{3,})")

_HEADING = re.compile(r"(#{1,6})\s+(.+?)\s*#*\s*$")
_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_UNDERLINE = re.compile(r"([=\-~^\"'`:.*+#_<>])\1{2,}\s*$")
_NOT_IN_ANCHOR = re.compile(r"[^\w\- ]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of a document.

    Attributes:
        trail: Its heading after those it stands under, outermost first; empty above the first.
        anchor: The heading as a link names it, empty where there is none.
        lines: Its own lines, without those of the sections inside it.
    """

    trail: tuple[str, ...]
    anchor: str
    lines: tuple[str, ...]


def sections_of(document: Document) -> list[Section]:
    """Return a document's sections that have text of their own, in order."""
    text = document.text
    if document.path.lower().endswith(".md"):
        text = _COMMENT.sub("", _FRONT_MATTER.sub("", text))
    lines = text.splitlines()
    suffix = document.path[document.path.rfind(".") :].lower()
    find = {".md": _markdown_headings, ".rst": _rst_headings}.get(suffix)
    headings = list(find(lines)) if find else []
    return [section for section in _cut(lines, headings) if section.lines]


@dataclass(frozen=True, slots=True)
class _Heading:
    level: int
    title: str
    first: int
    """Its first line."""
    after: int
    """The line after it."""


def _cut(lines: list[str], headings: list[_Heading]) -> Iterator[Section]:
    start = headings[0].first if headings else len(lines)
    yield Section(trail=(), anchor="", lines=_filled(lines[:start]))
    above: list[_Heading] = []
    used: dict[str, int] = {}
    for number, heading in enumerate(headings, start=1):
        end = headings[number].first if number < len(headings) else len(lines)
        above = [*(other for other in above if other.level < heading.level), heading]
        yield Section(
            trail=tuple(other.title for other in above),
            anchor=_anchor(heading.title, used),
            lines=_filled(lines[heading.after : end]),
        )


def _filled(lines: list[str]) -> tuple[str, ...]:
    return tuple(lines) if any(line.strip() for line in lines) else ()


def _anchor(title: str, used: dict[str, int]) -> str:
    """Return the anchor GitHub and MkDocs give a heading."""
    plain = _NOT_IN_ANCHOR.sub("", title.lower()).strip().replace(" ", "-") or "section"
    times = used[plain] = used.get(plain, -1) + 1
    return f"{plain}-{times}" if times else plain


def _markdown_headings(lines: list[str]) -> Iterator[_Heading]:
    fence = ""
    for number, line in enumerate(lines):
        if match := FENCE.match(line):
            if not fence:
                fence = match[1]
            elif match[1].startswith(fence):
                fence = ""
        elif not fence and (match := _HEADING.match(line)):
            yield _Heading(len(match[1]), match[2].replace("`", ""), number, number + 1)


def _rst_headings(lines: list[str]) -> Iterator[_Heading]:
    marks: list[str] = []
    for number in range(1, len(lines)):
        title, below = lines[number - 1].strip(), _UNDERLINE.match(lines[number])
        if not below or not title or _UNDERLINE.match(title) or title.startswith(".."):
            continue
        if len(lines[number].strip()) < len(title):
            continue
        above = number > 1 and lines[number - 2].strip() == lines[number].strip()
        mark = below[1] * (2 if above else 1)
        if mark not in marks:
            marks.append(mark)
        yield _Heading(marks.index(mark), title, number - 1 - above, number + 1)
