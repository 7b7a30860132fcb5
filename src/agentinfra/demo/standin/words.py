"""Sentences, and what kinds of thing a text is about."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterable

from agentinfra.testing.answers.words import tokens, word_set

__all__ = ["concepts", "sentences", "singular"]

_SENTENCE_END = re.compile(
    r"""(?<=[.!?])\s+(?=["'“(\[]*[A-Z0-9])|(?<=[.!?]["'”)\]])\s+(?=["'“(\[]*[A-Z0-9])|\n+"""
)
_LEADING_MARKER = re.compile(r"(?:\[[^\[\]\n]{1,120}\]\s*)+\.?")

_CONCEPTS = {
    "quantity": """how_many how_much number count counts total totals sum average mean median
        maximum minimum highest lowest most least top bottom revenue sales amount amounts figure
        figures numbers metric metrics statistic statistics analytics aggregate aggregates
        percentage share trend trends growth compare kpi data database sql table tables per
        monthly weekly daily yearly quarterly best worst selling cheapest""",
    "document": """policy policies document documents documentation docs handbook manual guide
        guides guideline guidelines procedure procedures process rule rules terms faq knowledge
        explain explains explanation text texts article articles wiki""",
    "talk": """hello hi hey thanks thank bye goodbye greeting greetings joke chat chitchat
        small_talk smalltalk conversation general""",
}
_ASKING = word_set("how_do how_can how_should how_to what_is what_are why explain describe allowed")


def singular(name: str) -> str:
    """Return an identifier's singular: ``order_items`` gives ``order_item``."""
    if name.endswith("ies"):
        return name[:-3] + "y"
    if name.endswith(("sses", "xes", "ches", "shes")):
        return name[:-2]
    return name[:-1] if name.endswith("s") and not name.endswith(("ss", "us", "is")) else name


def sentences(text: str) -> list[str]:
    """Return the sentences of a text; a line break ends one, a source marker belongs to the last.

    "It takes 5 days. [2]" is one sentence.
    """
    found: list[str] = []
    for part in _SENTENCE_END.split(text):
        part = part.strip()
        if found and (marker := _LEADING_MARKER.match(part)):
            found[-1] = f"{found[-1]} {marker[0].rstrip()}"
            part = part[marker.end() :]
        if part:
            found.append(part)
    return found


@functools.cache
def _concept_phrases() -> dict[str, frozenset[str]]:
    return {name: frozenset(text.split()) for name, text in _CONCEPTS.items()}


def concepts(text: str) -> frozenset[str]:
    """Return what kinds of thing a text is about: ``quantity``, ``document``, ``talk``.

    "How do I ..." and its kind ask for a document where nothing else is asked for.
    """
    words = tokens(text)
    known = {*words, *_joined(words)}
    found = frozenset(name for name, phrases in _concept_phrases().items() if phrases & known)
    return found or (frozenset(["document"]) if _ASKING & known else found)


def _joined(words: list[str]) -> Iterable[str]:
    return (f"{first}_{second}" for first, second in itertools.pairwise(words))
