"""Reads which rows a question is about."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from agentinfra.demo.standin.sql.catalog import Catalog, Column, Table
from agentinfra.demo.standin.sql.intent import Comparison, Presence, ValueFilter
from agentinfra.demo.standin.sql.lexicon import Mention, Words
from agentinfra.testing.answers.words import name_stems, root_set, word_set

__all__ = ["price_of", "read_comparisons", "read_presences", "read_unsold", "read_values"]

_PRICES = root_set("price cost amount fee rate")
_NOT = word_set("not excluding except without non exclude no never")
_HAVING = word_set("with who that having placed bought have has contain containing include")
_OPERATORS = {
    ">=": r">=|at least|not less than|no less than|minimum of",
    "<=": r"<=|at most|not more than|no more than|up to|maximum of",
    ">": r">|over|above|more than|greater than|higher than|exceeding",
    "<": r"<|under|below|less than|lower than|cheaper than",
}
_UNSOLD = re.compile(
    r"\b(?:(?:have|has|were|was) )?(?:never|not)(?: been)?(?: ever)? (?:sold|bought|purchased)\b",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"\"([^\"]+)\"|“([^”]+)”|(?<!\w)'([^']+)'(?!\w)")


def read_comparisons(question: str, catalog: Catalog) -> tuple[list[Comparison], str]:
    """Return filters such as "price above 50" and the question without them."""
    found: list[Comparison] = []
    for column, names in _numeric_names(catalog):
        words = "|".join(re.escape(name).replace(r"\ ", r"[ _]") for name in names)
        for operator, phrases in _OPERATORS.items():
            pattern = (
                rf"\b(?:with (?:a |an )?)?(?:{words})s?\s+(?:is |are |of )?(?:{phrases})\s*"
                r"[$€£]?(?P<number>\d+(?:\.\d+)?)\b"
            )
            if match := re.search(pattern, question, re.IGNORECASE):
                found.append(Comparison(column=column, operator=operator, number=match["number"]))
                question = f"{question[: match.start()]} {question[match.end() :]}"
    return found, question


def _numeric_names(catalog: Catalog) -> Iterator[tuple[Column, list[str]]]:
    for table in catalog.tables.values():
        for column in table.columns.values():
            if column.kind == "number":
                cost = ("cost", "costing") if column is price_of(table) else ()
                names = (column.name, *column.synonyms, *cost)
                yield column, [name.replace("_", " ") for name in names]


def price_of(table: Table) -> Column | None:
    """Return the column that says what a row costs."""
    for column in table.columns.values():
        if column.kind == "number" and _PRICES & set(name_stems(column.name)):
            return column
    return None


def read_values(words: Words, question: str, catalog: Catalog) -> Iterator[ValueFilter]:
    """Yield one filter for each column of which values are mentioned."""
    said: dict[Column, list[str]] = {}
    negated: set[Column] = set()
    for mention in words.mentions:
        if mention.column is not None and mention.value is not None:
            said.setdefault(mention.column, []).append(mention.value)
            if not _NOT.isdisjoint(words.words[max(0, mention.start - 2) : mention.start]):
                negated.add(mention.column)
    for column, values in said.items():
        yield ValueFilter(column=column, values=tuple(values), negated=column in negated)
    for match in _QUOTED.finditer(question):
        value = next(filter(None, match.groups()))
        label = _label_for(words, catalog, value)
        if label is not None:
            yield ValueFilter(column=label, values=(value,))


def _label_for(words: Words, catalog: Catalog, value: str) -> Column | None:
    """Return the naming column of the table a quoted text belongs to."""
    if any(
        value in column.values for t in catalog.tables.values() for column in t.columns.values()
    ):
        return None
    first = name_stems(value)[:1]
    start = words.roots.index(first[0]) if first and first[0] in words.roots else len(words.roots)
    before = [m.table for m in words.mentions if m.is_table and m.start < start]
    after = [m.table for m in words.mentions if m.is_table]
    name = (before or after or [""])[-1]
    return catalog.tables[name].label if name in catalog.tables else None


def read_unsold(question: str) -> tuple[bool, str]:
    """Return whether a question asks for what was never sold, and the question without it."""
    rest = _UNSOLD.sub(" ", question)
    return rest != question, rest


def read_presences(
    words: Words, free: Sequence[Mention], catalog: Catalog, *, unsold: bool
) -> Iterator[Presence]:
    """Yield the tables a row has to have, or must not have, rows of."""
    tables = [mention for mention in free if mention.is_table]
    if unsold and tables:
        children = [link.child for link in catalog.links if link.parent == tables[0].table]
        yield from (Presence(table=child, negated=True) for child in children[:1])
    for mention in tables:
        before = words.words[max(0, mention.start - 3) : mention.start]
        if not _NOT.isdisjoint(before):
            yield Presence(table=mention.table, negated=True)
        elif not _HAVING.isdisjoint(before) or words.words[mention.start].endswith("ed"):
            yield Presence(table=mention.table)
