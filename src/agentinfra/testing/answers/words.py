"""Words, their roots and how far two texts share them."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterable

__all__ = [
    "STOPWORDS",
    "concepts",
    "content_stems",
    "name_stems",
    "root_set",
    "sentences",
    "singular",
    "stem",
    "stems",
    "tokens",
    "word_set",
]


def word_set(text: str) -> frozenset[str]:
    """Return the words of a text written as a list of them."""
    return frozenset(text.split())


STOPWORDS = word_set(
    """
    a about above after again all also am an and any anybody anyone are as at be because
    been before being below between both but by can could did do does doing don't down
    during each else every few for from further get give given gives had has have having he
    her here hers him his how i i'd i'll i'm i've if in into is it it's its itself just let
    let's many may me might more most much must my no nor not now of off on once one only or
    other our ours out over own per please same shall she should show so some such tell than
    that that's the their them then there these they this those through to too under until
    up us use using very want was we were what what's when where whether which while who
    who's whom whose why will with would yes you you're your yours
    """
)

_TOKEN = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)?")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SENTENCE_END = re.compile(
    r"""(?<=[.!?])\s+(?=["'“(\[]*[A-Z0-9])|(?<=[.!?]["'”)\]])\s+(?=["'“(\[]*[A-Z0-9])|\n+"""
)
_LEADING_MARKER = re.compile(r"(?:\[[^\[\]\n]{1,120}\]\s*)+\.?")
_SUFFIXES = ("ing", "ed")
_IRREGULAR = {
    "sold": "sell",
    "sale": "sell",
    "sales": "sell",
    "bought": "buy",
    "spent": "spend",
    "paid": "pay",
}
_SHORTEST_ROOT = 3

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


def tokens(text: str) -> list[str]:
    """Return the words of a text in lower case."""
    return _TOKEN.findall(text.replace("\u2019", "'").lower())


@functools.lru_cache(maxsize=20_000)
def stem(word: str) -> str:
    """Return a word's root: plural, -ing, -ed and a final e are taken off.

    Crude on purpose: ``policies`` and ``policy``, ``shipping`` and ``shipped``, ``price`` and
    ``prices`` meet; of irregular forms only a few of trade do (``sold``, ``sales``, ``sell``).
    """
    word = word.removesuffix("'s")
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) > _SHORTEST_ROOT:
        if word.endswith("ies") and len(word) > _SHORTEST_ROOT + 1:
            word = word[:-3] + "y"
        elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
            word = word[:-1]
    for suffix in _SUFFIXES:
        root = word.removesuffix(suffix)
        if root != word and len(root) >= _SHORTEST_ROOT:
            doubled = root[-1] == root[-2] and root[-1] not in "aeiouls"
            word = root[:-1] if doubled else root
            break
    return word[:-1] if len(word) > _SHORTEST_ROOT and word.endswith("e") else word


def singular(name: str) -> str:
    """Return an identifier's singular: ``order_items`` gives ``order_item``."""
    if name.endswith("ies"):
        return name[:-3] + "y"
    if name.endswith(("sses", "xes", "ches", "shes")):
        return name[:-2]
    return name[:-1] if name.endswith("s") and not name.endswith(("ss", "us", "is")) else name


def root_set(text: str) -> frozenset[str]:
    """Return the roots of words written as a list of them."""
    return frozenset(map(stem, text.split()))


def stems(text: str) -> list[str]:
    """Return the roots of all words of a text, in order."""
    return [stem(word) for word in tokens(text)]


def content_stems(text: str) -> list[str]:
    """Return the roots of the words that carry meaning, in order."""
    return [stem(word) for word in tokens(text) if word not in STOPWORDS]


def name_stems(name: str) -> list[str]:
    """Return the roots of an identifier's parts: ``getUnit_price`` gives get, unit, price."""
    return stems(_CAMEL.sub(" ", name).replace("_", " ").replace(".", " "))


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
