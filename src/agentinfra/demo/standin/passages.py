"""Finds the documents in a prompt and the sentences in them that answer a question."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agentinfra.demo.standin.words import sentences
from agentinfra.testing.answers.words import content_stems

__all__ = ["NOTHING_FOUND", "Passage", "best_passages", "quote", "split_context"]

NOTHING_FOUND = "I could not find that in the context."
_MOST_SENTENCES = 3
_CLOSE_ENOUGH = 0.6
_HEADING_LENGTH = 80
_PLAIN = frozenset('<["`:')  # a text without any of these holds no document

_FENCE = re.compile(
    r"<(?P<tag>context|documents?|passages?|sources?|excerpts?|text|article|data|chunks?)\b"
    r"(?P<attributes>[^>]*)>(?P<tagged>.*?)</(?P=tag)>"
    r'|"""(?P<quoted>.*?)"""|```\w*\n(?P<ticked>.*?)```',
    re.DOTALL | re.IGNORECASE,
)
_MARKER = re.compile(
    r"^[ \t]*(?:[-*][ \t]+)?(?P<marker>\[(?:\d{1,3}|"
    r"(?:source|doc|document|file|id|ref)\b[^\[\]\n]*|"
    r"[^\[\]\n\s]+\.[a-z]{2,5}(?:#[^\[\]\n]*)?)\])[ \t:]*"
    r"|^[ \t]*(?:source|file|document)[ \t]*\d*[ \t]*:[ \t]*(?P<named>[^\n]+?)[ \t]*$",
    re.MULTILINE | re.IGNORECASE,
)
_LABEL = re.compile(
    r"^[ \t]*(?:#+[ \t]*|\*\*)?(?:the |retrieved |relevant )?"
    r"(?:context|documents?|sources?|passages?|excerpts?|information|"
    r"knowledge(?: base)?|text|article|chunks?|facts|snippets?)"
    r"(?: \([^)\n]*\)| below)?(?:\*\*)?[ \t]*:(?:\*\*)?[ \t]*$"
    r"|^[ \t]*(?:context|information|text|facts)[ \t]*:[ \t]*(?=\S)",
    re.MULTILINE | re.IGNORECASE,
)
_CODE = re.compile(r"^\s*[\w.]+\(|\w = \S")  # a call or an assignment: it explains nothing
_ATTRIBUTE = re.compile(
    r"(?:source|path|file|title|name|href|id)=[\"']([^\"']+)[\"']", re.IGNORECASE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A piece of a document.

    Attributes:
        text: What it says.
        marker: How its source is cited (``[1]``, ``[source: a.md]``), empty where it has none.
    """

    text: str
    marker: str = ""


@dataclass(frozen=True, slots=True)
class _Sentence:
    text: str
    marker: str
    place: int
    words: frozenset[str]
    score: float


def split_context(text: str) -> tuple[tuple[Passage, ...], str]:
    """Split a prompt into its documents and the rest.

    Documents stand in tags (``<context>``), triple quotes or code fences, after a label
    (``Context:``), or start with a source marker (``[1]``, ``[source: a.md]``, ``Source: a.md``).

    Returns:
        The passages, and what is left of the text without them.
    """
    if _PLAIN.isdisjoint(text):
        return (), text.strip()
    passages: list[Passage] = []

    def lift(match: re.Match[str]) -> str:
        inner = match["tagged"] or match["quoted"] or match["ticked"] or ""
        named = _ATTRIBUTE.search(match["attributes"] or "")
        passages.extend(_marked(inner, f"[source: {named[1]}]" if named else ""))
        return "\n"

    rest = _FENCE.sub(lift, text)
    starts = [match.start() for match in (_LABEL.search(rest), _MARKER.search(rest)) if match]
    if starts:
        cut = min(starts)
        label = _LABEL.match(rest, cut)
        passages.extend(_marked(rest[label.end() if label else cut :]))
        rest = rest[:cut]
    return tuple(passages), rest.strip()


def _marked(text: str, marker: str = "") -> list[Passage]:
    """Split a text at its source markers; without any it is one passage."""
    nested = _FENCE.search(text)
    if nested and nested["tagged"] is not None:
        return list(split_context(text)[0])
    marks = list(_MARKER.finditer(text))
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    found = (
        [
            Passage(
                text=text[mark.end() : end].strip(), marker=mark["marker"] or _cited(mark["named"])
            )
            for mark, end in zip(marks, ends, strict=True)
        ]
        if marks
        else []
    )
    before = text[: marks[0].start()] if marks else text
    if before.strip():
        found.insert(0, Passage(text=before.strip(), marker=marker))
    return [passage for passage in found if passage.text]


def _cited(source: str) -> str:
    return f"[source: {source}]"


def best_passages(question: str, passages: Sequence[Passage]) -> list[Passage]:
    """Return the sentences that share most with a question, each as a passage of its own.

    A shared word counts more the fewer sentences have it. The best sentence comes with up to two
    others that are nearly as good and add a word of the question; they stay in their order.
    """
    asked = frozenset(content_stems(question))
    scored = _score(asked, list(_spread(passages)))
    scored.sort(key=lambda sentence: (-sentence.score, sentence.place))
    if not scored or scored[0].score <= 0:
        return []
    chosen, covered = [scored[0]], asked & scored[0].words
    for sentence in scored[1:]:
        good = sentence.score >= _CLOSE_ENOUGH * scored[0].score
        if good and len(chosen) < _MOST_SENTENCES and (asked & sentence.words) - covered:
            chosen.append(sentence)
            covered |= asked & sentence.words
    chosen.sort(key=lambda sentence: sentence.place)
    return [Passage(text=sentence.text, marker=sentence.marker) for sentence in chosen]


def _spread(passages: Iterable[Passage]) -> Iterable[tuple[str, str, str]]:
    """Yield each sentence with its passage's heading and marker."""
    for passage in passages:
        heading = ""
        for line in sentences(passage.text):
            if _is_heading(line):
                heading = line
            yield line, heading, passage.marker


def _is_heading(line: str) -> bool:
    if line.startswith("#"):
        return True
    plain = not line.startswith(("-", "*", "|")) and line[-1] not in ".!?:;,])"
    return plain and len(line) < _HEADING_LENGTH


def _score(asked: frozenset[str], spread: list[tuple[str, str, str]]) -> list[_Sentence]:
    words = [frozenset(content_stems(line)) for line, _, _ in spread]
    held = Counter(word for bag in words for word in bag & asked)
    weight = {word: math.log(1 + len(words) / times) for word, times in held.items()}
    scored = []
    for place, ((line, heading, marker), bag) in enumerate(zip(spread, words, strict=True)):
        score = sum(weight[word] for word in bag & asked)
        if line == heading:
            score *= 0.3
        elif _CODE.search(line):
            score *= 0.6
        if heading and line != heading:
            under = frozenset(content_stems(heading)) & asked - bag
            score += 0.4 * sum(weight.get(word, 0.0) for word in under)
        score /= 1 + 0.02 * len(bag)
        scored.append(_Sentence(line, marker, place, bag, score))
    return scored


def quote(found: Sequence[Passage]) -> str:
    """Return passages as one answer, each run from one source followed by its marker."""
    parts: list[str] = []
    for place, passage in enumerate(found):
        text = passage.text.lstrip("#-*| ").rstrip("| ")
        following = found[place + 1].marker if place + 1 < len(found) else None
        if passage.marker and passage.marker != following and passage.marker not in text:
            text = f"{text} {passage.marker}"
        parts.append(text)
    return " ".join(parts) if parts else NOTHING_FOUND
