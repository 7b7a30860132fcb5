"""Plain texts, and reStructuredText as far as its headings go."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agentinfra.db.documents.reading.sections import (
    Deadline,
    Outline,
    Section,
    before_headings,
    decoded,
)

__all__ = ["paragraphs", "read", "read_restructured"]

_UNDERLINE = re.compile(r"([=\-~^\"'`:.*+#_<>])\1{2,}\s*$")
_DIRECTIVE = re.compile(r"\s*\.\. \w+::")
_ITEM = re.compile(r"\s*(?:[-*+]|\d{1,3}[.)])\s+")
_AS_IT_IS = re.compile(r"\s*[|>]|\s{4,}\S|\t")


def read(data: bytes, deadline: Deadline) -> Iterator[Section]:
    """Give the one section of a plain text."""
    deadline.check()
    yield from before_headings(paragraphs(decoded(data).splitlines()))


def read_restructured(data: bytes, deadline: Deadline) -> Iterator[Section]:
    """Give the sections under underlined titles; levels follow from the order of the lines."""
    lines = decoded(data).splitlines()
    headings = list(_headings(lines))
    outline = Outline()
    yield from before_headings(paragraphs(lines[: headings[0].first if headings else None]))
    for number, heading in enumerate(headings, start=1):
        deadline.check()
        end = headings[number].first if number < len(headings) else len(lines)
        blocks = paragraphs(lines[heading.after : end])
        yield outline.section(heading.level, heading.title, blocks)


def paragraphs(lines: list[str]) -> Iterator[str]:
    """Give paragraphs and lists, a wrapped paragraph on one line."""
    held: list[str] = []
    for line in (*lines, ""):
        if not line.strip():
            if held:
                yield _joined(held)
            held = []
        elif not _DIRECTIVE.match(line):
            held.append(line.rstrip())


class _Heading:
    """A title and its lines: its level, its first line, and the line after it."""

    def __init__(self, level: int, title: str, first: int, after: int) -> None:
        self.level = level
        self.title = title
        self.first = first
        self.after = after


def _headings(lines: list[str]) -> Iterator[_Heading]:
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


def _joined(lines: list[str]) -> str:
    """Undo the wrapping of a paragraph; items and rows of tables keep their own lines."""
    joined: list[str] = []
    for line in lines:
        begins = not joined or bool(_ITEM.match(line))
        if begins or (_AS_IT_IS.match(line) and not _ITEM.match(joined[-1])):
            joined.append(line)
        else:
            joined[-1] = f"{joined[-1]} {line.strip()}"
    return "\n".join(joined)
