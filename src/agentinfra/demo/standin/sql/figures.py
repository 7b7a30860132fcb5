"""Reads which figure a question wants."""

from __future__ import annotations

from agentinfra.demo.standin.sql.catalog import Catalog, Column, Measure
from agentinfra.demo.standin.sql.intent import Intent
from agentinfra.demo.standin.sql.lexicon import Mention, Words
from agentinfra.testing.answers.words import word_set

__all__ = ["read_figure"]

_COUNTING = ("how many", "number of", "count of", "count", "total number of")
_SELLING = word_set("sell sells sold selling buy buys bought purchased")
_QUANTITIES = word_set("quantity qty units pieces amount")
_AGGREGATES = {
    "avg": ("average", "avg", "mean"),
    "sum": ("total", "sum", "overall", "how much"),
    "max": ("maximum", "max", "highest", "largest", "biggest", "greatest"),
    "min": ("minimum", "min", "lowest", "smallest"),
}


def read_figure(
    words: Words, used: frozenset[int], catalog: Catalog, *, grouped: bool, ranked: bool
) -> Intent:
    """Return an intent that says which figure is wanted, and nothing else."""
    free = [mention for mention in words.mentions if mention.start not in used]
    counted = _counted(words, used, catalog)
    aggregate = _aggregate(words, ranked=ranked)
    if isinstance(counted, Column):
        return Intent(aggregate="sum", column=counted)
    if counted is not None:
        return Intent(counted=counted, aggregate="avg" if aggregate == "avg" else None)
    measure = _first_measure(free)
    if measure is not None:
        return Intent(measure=measure, aggregate="avg" if aggregate == "avg" else None)
    column = next((mention.number for mention in free if mention.number), None)
    if column is not None:
        return Intent(column=column, aggregate=aggregate)
    return _without_number(words, free, aggregate, grouped=grouped)


def _without_number(
    words: Words, free: list[Mention], aggregate: str | None, *, grouped: bool
) -> Intent:
    """Return the intent of a question that names no number: rows are counted or listed."""
    tables = [mention.table for mention in free if mention.is_table]
    if tables and (grouped or words.find("total") is not None):
        return Intent(counted=tables[0])
    if aggregate is not None:
        return Intent(aggregate=aggregate)
    first = next((m for m in free if m.attribute or m.is_table), None)
    valued = {mention.column for mention in free if mention.value is not None}
    if first and first.attribute and first.attribute not in valued and not grouped:
        return Intent(distinct=first.attribute, subject=first.table)
    return Intent(subject=tables[0] if tables else None)


def _counted(words: Words, used: frozenset[int], catalog: Catalog) -> str | Column | None:
    """Return the table that "how many" counts, or the numeric column it adds up.

    "How many tents did we sell" adds up the quantity: tents are a value, not a table.
    """
    place = words.find(*_COUNTING)
    if place is None:
        return None
    valued: str | None = None
    for mention in words.after(place):
        if mention.start in used:
            continue
        if mention.number is not None:
            return mention.number
        if mention.is_table:
            return mention.table
        if mention.value is not None:
            valued = valued or mention.table
    if valued and not _SELLING.isdisjoint(words.words):
        return _quantity(catalog) or valued
    return valued or next((m.table for m in words.mentions if m.is_table), None)


def _quantity(catalog: Catalog) -> Column | None:
    for table in catalog.tables.values():
        for column in table.columns.values():
            if column.kind == "number" and column.name in _QUANTITIES:
                return column
    return None


def _aggregate(words: Words, *, ranked: bool) -> str | None:
    said = words.outside_measures()
    for name, phrases in _AGGREGATES.items():
        if ranked and name in ("max", "min"):
            continue
        if said.find(*phrases) is not None:
            return name
    return None


def _first_measure(mentions: list[Mention]) -> Measure | None:
    return next((mention.measure for mention in mentions if mention.measure), None)
