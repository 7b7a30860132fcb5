"""Markdown, by CommonMark's rules."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from agentinfra._mechanics.vendors import load
from agentinfra.db.documents.reading.sections import (
    Deadline,
    Outline,
    Section,
    before_headings,
    decoded,
    points_elsewhere,
)

if TYPE_CHECKING:
    from markdown_it.token import Token

__all__ = ["read"]

_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_DIRECTIVE = re.compile(r"(:::+|!!!|\?\?\?)[^\n]*\n?")
_TAG = re.compile(r"<!--.*?-->|</?[A-Za-z][^<>]*>", re.DOTALL)


def read(data: bytes, deadline: Deadline) -> Iterator[Section]:
    """Give the sections under headings; what is in a fence is no heading."""
    text = _FRONT_MATTER.sub("", decoded(data))
    deadline.check()
    parser = load("markdown_it").MarkdownIt("commonmark").enable("table")
    tokens: Sequence[Token] = parser.parse(text)
    lines = text.splitlines()
    outline = Outline()
    level, title = 0, ""
    blocks: list[str] = []
    for group in _groups(tokens):
        deadline.check()
        if group[0].type != "heading_open":
            blocks.append(_block(group, lines))
            continue
        yield from _section(outline, level, title, blocks)
        level, title, blocks = int(group[0].tag[1:]), _inline(group[1])[0].replace("`", ""), []
    yield from _section(outline, level, title, blocks)


def _section(outline: Outline, level: int, title: str, blocks: list[str]) -> Iterator[Section]:
    if level:
        yield outline.section(level, title, blocks)
    else:
        yield from before_headings(blocks)


def _groups(tokens: Sequence[Token]) -> Iterator[Sequence[Token]]:
    """Give the tokens of one block after the other."""
    start = 0
    for place, token in enumerate(tokens):
        if token.level == 0 and token.nesting <= 0:
            yield tokens[start : place + 1]
            start = place + 1


def _block(tokens: Sequence[Token], lines: list[str]) -> str:
    """Return what a block says; empty where it says nothing by itself."""
    first = tokens[0]
    if first.type == "hr":
        return ""
    if first.type in ("fence", "code_block"):
        return first.content.rstrip("\n")
    if first.type == "html_block":
        return _TAG.sub("", first.content)
    if first.type == "table_open" and first.map:
        return "\n".join(lines[first.map[0] : first.map[1]])
    labels: list[str] = []
    text = "\n".join(_lines(tokens, labels))
    return "" if points_elsewhere(text, labels) else text


def _lines(tokens: Sequence[Token], labels: list[str]) -> Iterator[str]:
    """Give the lines of paragraphs and lists: an item begins with its mark, as far in as it is."""
    depth = 0
    mark = ""
    for token in tokens:
        if token.type in ("bullet_list_open", "ordered_list_open"):
            depth += 1
        elif token.type in ("bullet_list_close", "ordered_list_close"):
            depth -= 1
        elif token.type == "list_item_open":
            mark = f"{token.info}{token.markup} " if token.info else "- "
        elif token.type == "inline" or token.content:
            text, found = _inline(token) if token.type == "inline" else (token.content, [])
            labels += found
            text = _DIRECTIVE.sub("", text) if text.startswith((":::", "!!!", "???")) else text
            inset = "  " * max(0, depth - 1)
            for line in filter(str.strip, text.splitlines()):
                yield f"{inset}{mark}{line}" if mark or not depth else f"{inset}  {line}"
                mark = ""


def _inline(token: Token) -> tuple[str, list[str]]:
    """Return the text of a line without its marks, a wrapped one unwrapped, and its links."""
    parts: list[str] = []
    labels: list[str] = []
    inside: int | None = None
    for child in token.children or ():
        if child.type == "softbreak":
            parts.append(" ")
        elif child.type == "hardbreak":
            parts.append("\n")
        elif child.type == "link_open":
            inside = len(parts)
        elif child.type == "link_close" and inside is not None:
            labels.append("".join(parts[inside:]))
            inside = None
        elif child.type == "code_inline":
            parts.append(f"`{child.content}`")
        elif child.type != "html_inline":
            parts.append(child.content)
    return "".join(parts).strip(), labels
