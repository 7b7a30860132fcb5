"""HTML, as browsers read it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from agentinfra._mechanics.vendors import load
from agentinfra.db.documents.reading.sections import (
    Deadline,
    Outline,
    Section,
    before_headings,
    decoded,
    points_elsewhere,
)

__all__ = ["read"]

_UNSAID = [
    *("script", "style", "noscript", "template", "nav", "header", "footer", "aside", "form"),
    *("svg", "iframe", "button", "select", "dialog", "head"),
]
"""What is no part of what a page says."""

_WORDS = """
a abbr b bdi bdo cite code data del dfn em font i ins kbd label mark q s samp small span strong sub
sup time tt u var wbr
"""
_INLINE = frozenset(_WORDS.split())
_CELLS = frozenset({"td", "th"})
_PARTS = frozenset({"li", "tr"})
_HEADING = re.compile(r"h[1-6]")
_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?([\w-]{1,40})", re.IGNORECASE)
_SPACE = re.compile(r"\s+")
_LOOKED_AT = 2_048
_NODES_BETWEEN_LOOKS = 1_000


def read(data: bytes, deadline: Deadline) -> Iterator[Section]:
    """Give the sections under headings, without what surrounds a page's own text."""
    parser = load("selectolax.lexbor", extra="documents").LexborHTMLParser
    tree = parser(decoded(data, _charset(data)))
    deadline.check()
    if tree.body is None:
        return
    body = tree.css_first("main") or tree.css_first("article") or tree.body
    body.strip_tags(_UNSAID)
    yield from _Page(deadline).sections(body)


class _Page:
    """Walks through a page's nodes, however deep they are, and collects blocks of text."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._outline = Outline()
        self._level, self._title, self._anchor = 0, "", ""
        self._in_heading = False
        self._blocks: list[str] = []
        self._text: list[str] = []
        self._labels: list[str] = []
        self._part = ""  # of what the text is one line: "li" of a list, "tr" of a table
        self._last = ""  # of what the last block is
        self._kept = 0  # how many <pre> are around

    def sections(self, body: Any) -> Iterator[Section]:
        for number, (node, entered) in enumerate(_walk(body)):
            if number % _NODES_BETWEEN_LOOKS == 0:
                self._deadline.check()
            heading = bool(_HEADING.fullmatch(node.tag or ""))
            if heading and entered:
                yield from self._section()
                self._level, self._anchor = int(node.tag[1]), node.attributes.get("id") or ""
                self._in_heading = True
            elif heading:
                self._title = _SPACE.sub(" ", "".join(self._text)).strip()
                self._text, self._labels = [], []
                self._in_heading = False
            else:
                self._take(node, entered=entered)
        yield from self._section()

    def _take(self, node: Any, *, entered: bool) -> None:
        tag = node.tag or ""
        if node.is_text_node:
            if entered:
                text = node.text_content or ""
                self._text.append(text if self._kept else _SPACE.sub(" ", text))
        elif tag == "br":
            self._text.append("\n" if entered else "")
        elif tag == "a" and not entered:
            self._labels.append(node.text(deep=True))
        elif tag in _CELLS:
            self._text.append("" if entered else " | ")
        elif tag not in _INLINE and not tag.startswith("-") and not self._in_heading:
            self._flush()
            if tag == "pre":
                self._kept += 1 if entered else -1
            if tag in _PARTS:
                self._part = tag if entered else ""

    def _flush(self) -> None:
        text = "".join(self._text)
        if not self._kept:
            text = "\n".join(line.strip() for line in text.splitlines())
        text = text.strip("\n").rstrip().removesuffix("|").rstrip()
        if text.strip("| \n") and not points_elsewhere(text, self._labels):
            text = f"- {text}" if self._part == "li" else text
            if self._part and self._part == self._last:
                self._blocks[-1] += f"\n{text}"
            else:
                self._blocks.append(text)
            self._last = self._part
        self._text, self._labels = [], []

    def _section(self) -> Iterator[Section]:
        self._flush()
        if self._level:
            yield self._outline.section(self._level, self._title, self._blocks, anchor=self._anchor)
        else:
            yield from before_headings(self._blocks)
        self._blocks, self._title, self._last = [], "", ""


def _walk(root: Any) -> Iterator[tuple[Any, bool]]:
    """Give each node below a root twice: when it is entered, and when it is left."""
    node, down = root.first_child, True
    while node is not None:
        if down:
            yield node, True
            if node.first_child is not None:
                node = node.first_child
                continue
        yield node, False
        if node.next is not None:
            node, down = node.next, True
            continue
        node, down = node.parent, False
        if node is None or node.mem_id == root.mem_id:
            return


def _charset(data: bytes) -> str:
    found = _CHARSET.search(data[:_LOOKED_AT])
    name = found[1].decode() if found else "utf-8"
    try:
        b" ".decode(name, "replace")
    except (LookupError, ValueError):  # an unknown one, or none of texts
        return "utf-8"
    return name
