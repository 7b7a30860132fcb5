"""Words and their roots."""

from __future__ import annotations

import functools
import re

__all__ = [
    "STOPWORDS",
    "content_stems",
    "name_stems",
    "root_set",
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
