"""PDF: the text of its pages, under the headings of its outline."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any

from agentinfra._mechanics.vendors import load
from agentinfra.db.documents.reading.sections import Deadline, Outline, Section, UnreadableError
from agentinfra.db.documents.reading.text import paragraphs

__all__ = ["read"]

_HYPHEN = re.compile(r"(?<=[a-zà-ÿ])[-\u00ad]\n(?=[a-zà-ÿ])")
_MOST_PAGES = 5_000
_DEEPEST = 6


def read(data: bytes, deadline: Deadline) -> Iterator[Section]:
    """Give a section for each page, its anchor being ``page=3``.

    A page stands under the heading of the outline that begins on it or was the last before it.
    """
    pypdf = load("pypdf", extra="documents")
    try:
        reader = pypdf.PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise UnreadableError("is encrypted: take its password off")
        count = len(reader.pages)
        if count > _MOST_PAGES:
            raise UnreadableError(f"has {count} pages: cut it into parts of {_MOST_PAGES}")
        headings = _headings(reader)
        deadline.check()
        outline = Outline()
        level, title, found = 1, "", 0
        for number in range(count):
            deadline.check()
            level, title = headings.get(number, (level, title))
            text = _HYPHEN.sub("", reader.pages[number].extract_text())
            blocks = list(paragraphs(text.splitlines()))
            found += any(block.strip() for block in blocks)
            yield outline.section(level, title, blocks, anchor=f"page={number + 1}")
    except UnreadableError:
        raise
    except Exception as error:  # whatever a broken file makes of a parser
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise UnreadableError(f"cannot be read as a PDF: {said}") from error
    if count and not found:
        raise UnreadableError("has no text in it: its pages are pictures, which need OCR")


def _headings(reader: Any) -> dict[int, tuple[int, str]]:
    """Return the first heading of each page that has one, and its level."""
    found: dict[int, tuple[int, str]] = {}
    open_lists = [(1, iter(reader.outline))]
    while open_lists:
        level, items = open_lists[-1]
        item = next(items, None)
        if item is None:
            open_lists.pop()
        elif isinstance(item, list):
            if level < _DEEPEST:
                open_lists.append((level + 1, iter(item)))
        else:
            page = reader.get_destination_page_number(item)
            if page is not None and page >= 0:
                found.setdefault(page, (level, str(item.title).strip()))
    return found
