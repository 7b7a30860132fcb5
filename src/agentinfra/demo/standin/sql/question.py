"""Reads the intent of one question, by keywords."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from agentinfra.demo.standin.sql.catalog import Catalog, Column
from agentinfra.demo.standin.sql.figures import read_figure
from agentinfra.demo.standin.sql.filters import (
    price_of,
    read_comparisons,
    read_presences,
    read_unsold,
    read_values,
)
from agentinfra.demo.standin.sql.intent import Direction, Group, Intent
from agentinfra.demo.standin.sql.lexicon import Mention, Words, read_words
from agentinfra.demo.standin.sql.periods import GRAINS, read_period
from agentinfra.testing.answers.words import word_set

__all__ = ["read_intent"]

_MOST = word_set("most highest largest biggest best top greatest maximum")
_LEAST = word_set("least lowest fewest smallest worst bottom minimum")
_DEAREST: dict[str, Direction] = {
    "expensive": "DESC",
    "dearest": "DESC",
    "priciest": "DESC",
    "cheapest": "ASC",
}
_NEWEST: dict[str, Direction] = {
    "latest": "DESC",
    "newest": "DESC",
    "recent": "DESC",
    "oldest": "ASC",
    "earliest": "ASC",
}
_MARKERS = word_set("by per each every across")
_FILLERS = word_set("the each every of our a an all")
_WHICH = word_set("which what who")
_TOP_LIMIT = 10

_TOP = re.compile(
    r"\b(?P<word>top|best|bottom|worst|first|last|highest|lowest|largest|smallest|biggest)\s+"
    r"(?P<number>\d+|two|three|four|five|ten)\b(?!\s+(?:day|week|month|quarter|year)s?\b)"
    r"|\b(?P<number2>\d+|two|three|four|five|ten)\s+(?:most|(?P<word2>best|top|largest|biggest|highest|"
    r"lowest|smallest|worst|cheapest|latest|newest|oldest))\b",
    re.IGNORECASE,
)
_KEPT = {"most": "which most", "last": "latest", "first": "earliest"}
_NUMBER_WORDS = {"two": 2, "three": 3, "four": 4, "five": 5, "ten": 10}


def read_intent(question: str, catalog: Catalog) -> Intent:
    """Return what a question wants; what it does not say stays open."""
    comparisons, rest = read_comparisons(question, catalog)
    limit, order, rest = _top(rest)
    period, rest = read_period(rest)
    unsold, rest = read_unsold(rest)
    words = read_words(rest, catalog)
    groups, used = _groups(words)
    ranked = _ranking(words, order, used)
    if ranked is not None:
        order, group, place = ranked
        groups, limit = (*groups, group), limit or _default_limit(words)
        used = used | {place}
    elif order is None and limit is None:
        order = _direction(words)
    figure = read_figure(words, used, catalog, grouped=bool(groups), ranked=bool(groups and order))
    free = [m for m in words.mentions if m.start not in used]
    if extreme := _extreme(words, catalog):
        order, column = extreme
        groups, limit = (Group(table=column.table),), limit or 1
        figure = Intent(column=column)
    return replace(
        figure,
        groups=groups,
        order=order,
        limit=limit,
        values=tuple(read_values(words, question, catalog)),
        comparisons=tuple(comparisons),
        presences=tuple(read_presences(words, free, catalog, unsold=unsold)),
        period=period,
        mentioned=frozenset(m.table for m in words.mentions),
        roots=frozenset(words.roots),
    )


def _top(question: str) -> tuple[int | None, Direction | None, str]:
    """Return how many the question asks for, from which end, and the question without it."""
    match = _TOP.search(question)
    if match is None:
        return None, None, question
    number = (match["number"] or match["number2"]).lower()
    word = (match["word"] or match["word2"] or "most").lower()
    low = word in _LEAST or _DEAREST.get(word) == "ASC" or _NEWEST.get(word) == "ASC"
    kept = word if word in _NEWEST or word in _DEAREST else _KEPT.get(word, "which")
    rest = f"{question[: match.start()]} {kept} {question[match.end() :]}"
    return int(_NUMBER_WORDS.get(number, number)), "ASC" if low else "DESC", rest


def _groups(words: Words) -> tuple[tuple[Group, ...], frozenset[int]]:
    """Return the groups and where the words that name them start."""
    groups: list[Group] = []
    used: set[int] = set()
    for place, word in enumerate(words.words):
        if word in GRAINS and word not in ("day", "week", "month", "quarter", "year"):
            groups.append(Group(grain=GRAINS[word]))
        elif word in _MARKERS:
            for group, start in _listed_groups(words, place + 1):
                if group not in groups:
                    groups.append(group)
                used.add(start)
    if words.find("over time", "trend") is not None and not any(g.grain for g in groups):
        groups.append(Group(grain="month"))
    return tuple(groups), frozenset(used)


def _listed_groups(words: Words, place: int) -> Iterator[tuple[Group, int]]:
    """Yield the groups named from a word on, one after the other or joined by "and"."""
    fresh = True
    while place < len(words.words):
        word, mention = words.words[place], words.at(place)
        if fresh and word in _FILLERS:
            place += 1
            continue
        group = Group(grain=GRAINS[word]) if word in GRAINS else mention and _as_group(mention)
        if not group:
            return
        yield group, place
        place = mention.end if mention else place + 1
        fresh = place < len(words.words) and words.words[place] == "and"
        place += fresh


def _as_group(mention: Mention) -> Group | None:
    if mention.is_table:
        return Group(table=mention.table)
    if mention.attribute is not None:
        return Group(table=mention.table, column=mention.attribute)
    return None


def _ranking(
    words: Words, order: Direction | None, used: frozenset[int]
) -> tuple[Direction, Group, int] | None:
    """Return rank, group and its place for "which X has the most ...", "top 5 X"."""
    direction = order or _direction(words)
    which = next((i for i, word in enumerate(words.words) if word in _WHICH), None)
    if which is None and direction is not None and words.words[:1] == ("top",):
        which = 0
    if direction is None or which is None:
        return None
    for place in range(which, len(words.words)):
        mention = words.at(place)
        if place in used or (mention and (mention.value or mention.measure)):
            continue
        if words.words[place] in GRAINS:
            return direction, Group(grain=GRAINS[words.words[place]]), place
        if mention is not None:
            group = _as_group(mention)
            return (direction, group, place) if group else None
    return None


def _direction(words: Words) -> Direction | None:
    for word in words.words:
        if word in _LEAST:
            return "ASC"
        if word in _MOST:
            return "DESC"
    return None


def _extreme(words: Words, catalog: Catalog) -> tuple[Direction, Column] | None:
    """Return rank and column for "most expensive product", "cheapest", "latest order"."""
    for place, word in enumerate(words.words):
        direction = _DEAREST.get(word) or _NEWEST.get(word)
        if direction is None:
            continue
        if words.words[max(0, place - 1)] == "least":
            direction = "ASC"
        mentioned = [m.table for m in words.mentions if m.is_table or m.value is not None]
        for name in mentioned or catalog.tables:
            table = catalog.tables[name]
            column = table.date if word in _NEWEST else price_of(table)
            if column is not None:
                return direction, column
    return None


def _default_limit(words: Words) -> int:
    """Return 1 for "which country", 10 for "top customers"."""
    return 1 if words.words[0] != "top" else _TOP_LIMIT
