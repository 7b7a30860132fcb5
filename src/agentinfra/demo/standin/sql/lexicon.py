"""Finds the tables, columns, measures and values that a question mentions."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agentinfra.demo.standin.sql.catalog import Catalog, Column, Measure
from agentinfra.testing.answers.words import STOPWORDS, name_stems, stem, stems, tokens

__all__ = ["Mention", "Words", "read_words"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mention:
    """A part of the schema in a question: the words from ``start`` up to ``end``.

    Exactly one of a measure, a column (with a value where the value is what is said) and a table
    is meant.
    """

    start: int
    end: int
    table: str = ""
    column: Column | None = None
    value: str | None = None
    measure: Measure | None = None

    @property
    def is_table(self) -> bool:
        """Whether the table itself is meant."""
        return self.column is None and self.measure is None

    @property
    def number(self) -> Column | None:
        """The numeric column that is meant, None for anything else."""
        column = self.column
        return column if column and column.kind == "number" and self.value is None else None

    @property
    def attribute(self) -> Column | None:
        """The text or boolean column that is meant, None for anything else."""
        column = self.column
        fits = column is not None and column.kind in ("text", "boolean") and self.value is None
        return column if fits else None


@dataclass(frozen=True, slots=True)
class Words:
    """A question as words, with what they mention.

    Attributes:
        words: The words in lower case.
        roots: Their roots.
        mentions: What they mention, in order, without overlap.
    """

    words: tuple[str, ...]
    roots: tuple[str, ...]
    mentions: tuple[Mention, ...]

    def at(self, place: int) -> Mention | None:
        """Return the mention that starts at a word."""
        return next((mention for mention in self.mentions if mention.start == place), None)

    def after(self, place: int) -> Iterator[Mention]:
        """Yield the mentions that start at a word or later."""
        return (mention for mention in self.mentions if mention.start >= place)

    def outside_measures(self) -> Words:
        """Return the words that are not part of a measure's name, without mentions."""
        inside = {
            place for m in self.mentions if m.measure is not None for place in range(m.start, m.end)
        }
        kept = [place for place in range(len(self.words)) if place not in inside]
        return Words(
            tuple(self.words[place] for place in kept),
            tuple(self.roots[place] for place in kept),
            (),
        )

    def find(self, *phrases: str) -> int | None:
        """Return the place after the first of the phrases, None where there is none."""
        best: tuple[int, int] | None = None
        for phrase in phrases:
            wanted = tuple(phrase.split())
            for start in range(len(self.words) - len(wanted) + 1):
                if self.words[start : start + len(wanted)] == wanted:
                    found = (start, start + len(wanted))
                    best = found if best is None or found[0] < best[0] else best
                    break
        return best[1] if best else None


def read_words(question: str, catalog: Catalog) -> Words:
    """Return a question's words and what they mention; the longest names win."""
    words = tuple(tokens(question))
    roots = tuple(map(stem, words))
    entries = _entries(catalog)
    longest = max(map(len, entries), default=1)
    found: list[Mention] = []
    place = 0
    while place < len(roots):
        size = next(
            (
                size
                for size in range(min(longest, len(roots) - place), 0, -1)
                if roots[place : place + size] in entries
            ),
            0,
        )
        if size:
            found.append(_pick(entries[roots[place : place + size]], place, place + size, found))
        place += size or 1
    return Words(words, roots, tuple(_settled(found)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    table: str = ""
    column: Column | None = None
    value: str | None = None
    measure: Measure | None = None


@functools.lru_cache(maxsize=16)
def _entries(catalog: Catalog) -> dict[tuple[str, ...], list[_Target]]:
    """Return what each phrase can mean, the likelier meaning first."""
    entries: dict[tuple[str, ...], list[_Target]] = {}
    for phrase, target in _phrases(catalog):
        if not all(word in STOPWORDS for word in phrase):
            entries.setdefault(tuple(phrase), []).append(target)
    for table in catalog.tables.values():
        entries.setdefault(tuple(name_stems(table.name)[-1:]), [_Target(table=table.name)])
    return entries


def _phrases(catalog: Catalog) -> Iterator[tuple[list[str], _Target]]:
    for measure in catalog.measures.values():
        for name in (measure.name, *measure.synonyms):
            yield stems(name), _Target(table=measure.table, measure=measure)
    for table in catalog.tables.values():
        for name in (table.name, *table.synonyms):
            yield name_stems(name), _Target(table=table.name)
    for table in catalog.tables.values():
        for column in table.columns.values():
            yield from _column_phrases(column)


def _column_phrases(column: Column) -> Iterator[tuple[list[str], _Target]]:
    if column.kind not in ("key", "date"):
        for name in (column.name, *column.synonyms):
            yield name_stems(name), _Target(table=column.table, column=column)
    for value in column.values:
        yield stems(value), _Target(table=column.table, column=column, value=value)


def _pick(targets: list[_Target], start: int, end: int, found: Sequence[Mention]) -> Mention:
    """Return the meaning whose table was mentioned just before, else the likeliest."""
    near = {mention.table for mention in found[-2:]}
    target = next((t for t in targets if t.table in near), targets[0])
    return _mention(target, start, end)


def _mention(target: _Target, start: int, end: int) -> Mention:
    return Mention(
        start=start,
        end=end,
        table=target.table,
        column=target.column,
        value=target.value,
        measure=target.measure,
    )


def _settled(found: list[Mention]) -> Iterator[Mention]:
    """Join a table to the column after it: "product category" mentions one column."""
    place = 0
    while place < len(found):
        first = found[place]
        second = found[place + 1] if place + 1 < len(found) else None
        joined = (
            second is not None
            and first.is_table
            and second.start == first.end
            and (second.attribute or second.number)
            and second.table == first.table
        )
        if joined and second is not None:
            yield Mention(
                start=first.start, end=second.end, table=second.table, column=second.column
            )
        else:
            yield first
        place += 2 if joined else 1
