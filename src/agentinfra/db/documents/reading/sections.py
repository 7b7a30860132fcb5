"""Sections, and what all readers need to make them."""

from __future__ import annotations

import codecs
import re
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

__all__ = ["Deadline", "Outline", "Section", "UnreadableError", "decoded", "points_elsewhere"]

_NOT_IN_ANCHOR = re.compile(r"[^\w\- ]")
_WORD = re.compile(r"\w+")
_LINKS = 3


class UnreadableError(Exception):
    """A document that cannot be read; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of a document.

    Attributes:
        trail: Its heading after those it stands under, outermost first; empty above the first.
        anchor: The heading as a link names it, empty where there is none.
        blocks: Its own paragraphs, lists, tables and pieces of code, without those of the sections
            inside of it.
    """

    trail: tuple[str, ...]
    anchor: str
    blocks: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class Deadline:
    """When reading a document has to be over, looked at between its parts.

    A thread cannot be stopped from outside, so that what runs in it looks by itself.

    Attributes:
        seconds: How long it may take.
        stop: Set where nobody waits any more.
    """

    seconds: float
    stop: threading.Event = field(default_factory=threading.Event)
    _until: float = 0.0

    def begin(self) -> None:
        """Begin to count."""
        self._until = time.monotonic() + self.seconds

    def check(self) -> None:
        """Go on, or end.

        Raises:
            UnreadableError: It took too long, or nobody waits any more.
        """
        if self.stop.is_set():
            raise UnreadableError("was not read to its end: the call was cancelled")
        if time.monotonic() > self._until:
            raise UnreadableError(f"takes longer than {self.seconds:g} seconds to read")


class Outline:
    """The headings above a place, and the anchors that were given away."""

    def __init__(self) -> None:
        self._above: list[tuple[int, str]] = []
        self._used: dict[str, int] = {}

    def section(
        self, level: int, title: str, blocks: Iterable[str], *, anchor: str = ""
    ) -> Section:
        """Return the section under a heading.

        Args:
            level: The heading's level; the outermost has the lowest.
            title: The heading.
            blocks: What stands under it.
            anchor: What links name it by; empty makes one of the title.
        """
        self._above = [*(other for other in self._above if other[0] < level), (level, title)]
        trail = tuple(name for _, name in self._above if name)
        return Section(trail=trail, anchor=anchor or self._anchor(title), blocks=filled(blocks))

    def _anchor(self, title: str) -> str:
        """Return the anchor GitHub and MkDocs give a heading."""
        plain = _NOT_IN_ANCHOR.sub("", title.lower()).strip().replace(" ", "-") or "section"
        times = self._used[plain] = self._used.get(plain, -1) + 1
        return f"{plain}-{times}" if times else plain


def filled(blocks: Iterable[str]) -> tuple[str, ...]:
    """Return blocks that say something."""
    return tuple(block.strip("\n") for block in blocks if block.strip())


def before_headings(blocks: Iterable[str]) -> Iterator[Section]:
    """Give what stands above the first heading."""
    yield Section(trail=(), anchor="", blocks=filled(blocks))


def points_elsewhere(text: str, labels: list[str]) -> bool:
    """Return whether a block lists links: it names what other pages say, and says nothing.

    Args:
        text: The block.
        labels: The texts of its links.
    """
    if len(labels) < _LINKS:
        return False
    linked = len(_WORD.findall(" ".join(labels)))
    return 2 * linked > len(_WORD.findall(text))


def decoded(data: bytes, charset: str = "utf-8") -> str:
    """Return the text of a file: as its mark says, else in a character set.

    Raises:
        UnreadableError: It is no text.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = data.decode("utf-16", "replace")
    elif data.startswith(codecs.BOM_UTF8):
        text = data.decode("utf-8-sig", "replace")
    else:
        text = data.decode(charset, "replace")
    if "\0" in text:
        raise UnreadableError("is no text: it holds zero bytes")
    return text.replace("\r\n", "\n").replace("\r", "\n")
