"""From an intent to a SELECT."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agentinfra.demo.standin.sql.catalog import Catalog, Column, Link, Measure, Table
from agentinfra.testing.answers.words import stems, word_set

__all__ = ["Builder", "identifier", "literal"]

_RESERVED = word_set("order user group table select from where limit desc asc end all any")


@dataclass(frozen=True, slots=True)
class Step:
    """One join on a way through the schema; ``up`` leads from a child to its one parent."""

    link: Link
    up: bool

    @property
    def start(self) -> str:
        """The table it leaves."""
        return self.link.child if self.up else self.link.parent

    @property
    def end(self) -> str:
        """The table it reaches."""
        return self.link.parent if self.up else self.link.child


class Builder:
    """Builds the FROM and WHERE clauses of one SELECT.

    Tables are joined by the shortest way over the foreign keys. A filter on a table that can only
    be reached from one row to many becomes ``IN (SELECT ...)``, so that it does not multiply rows.
    """

    def __init__(self, catalog: Catalog, base: str, measure: Measure | None = None) -> None:
        self._catalog = catalog
        self._aliases = dict(measure.aliases) if measure and measure.source else {base: base}
        self._from = [measure.source if measure and measure.source else identifier(base)]
        self._where = [f"({measure.where})"] if measure and measure.where else []
        self._inside: dict[tuple[Link, bool], Builder] = {}
        self.multiplied = False

    def reference(self, column: Column) -> str:
        """Return how to write a column, joining its table when it is not there yet."""
        self.join(column.table)
        return self.name(column.table, column.name)

    def join(self, table: str) -> None:
        """Join a table."""
        for step in self.way_to(table):
            self._add(step)

    def way_to(self, table: str) -> list[Step]:
        """Return the joins that lead to a table; empty when it is there, or out of reach."""
        if table in self._aliases:
            return []
        queue: deque[tuple[str, list[Step]]] = deque((name, []) for name in self._aliases)
        seen = set(self._aliases)
        while queue:
            place, way = queue.popleft()
            for step in _steps(self._catalog, place):
                if step.end == table:
                    return [*way, step]
                if step.end not in seen:
                    seen.add(step.end)
                    queue.append((step.end, [*way, step]))
        return []

    def reaches(self, table: str) -> bool:
        """Return whether a table is there or can be joined."""
        return table in self._aliases or bool(self.way_to(table))

    def where(self, table: str, *conditions: str, negated: bool = False) -> None:
        """Keep the rows for which a table meets conditions.

        The conditions name the columns as ``{table}.column``; without any the row must exist.
        """
        way = self.way_to(table)
        while way and way[0].up:
            self._add(way.pop(0))
        if not way:
            self._where.extend(c.replace("{table}", self._alias(table)) for c in conditions)
            return
        key = (way[0].link, negated)
        if key not in self._inside:
            self._inside[key] = Builder(self._catalog, way[0].link.child)
        self._inside[key].where(table, *conditions)

    def clauses(self) -> str:
        """Return the FROM and WHERE clauses."""
        conditions = [*self._where, *(self._member(key) for key in self._inside)]
        text = "FROM " + " ".join(self._from)
        return f"{text} WHERE {' AND '.join(conditions)}" if conditions else text

    def expression(self, measure: Measure) -> str:
        """Return a measure's expression with its columns qualified and their tables joined."""
        if measure.source:
            return measure.expression
        parts = re.split(r"('(?:[^']|'')*')", measure.expression)
        return "".join(
            part if part.startswith("'") else self._qualified(part, measure.table) for part in parts
        )

    def _qualified(self, text: str, base: str) -> str:
        for table in re.findall(r"\b(\w+)\.\w+", text):
            if table in self._catalog.tables:
                self.join(table)

        def qualify(match: re.Match[str]) -> str:
            owner = _owner(match[0], base, self._catalog)
            return self.reference(owner) if owner else match[0]

        return re.sub(r"(?<![\w.])[A-Za-z_]\w*(?!\w|\s*\(|\.)", qualify, text)

    def _member(self, key: tuple[Link, bool]) -> str:
        link, negated = key
        inner = self._inside[key]
        inside = f"SELECT {inner.name(link.child, link.column)} {inner.clauses()}"
        return f"{self.name(link.parent, link.key)} {'NOT IN' if negated else 'IN'} ({inside})"

    def _add(self, step: Step) -> None:
        self._aliases.setdefault(step.end, step.end)
        link = step.link
        child, parent = self.name(link.child, link.column), self.name(link.parent, link.key)
        self._from.append(f"JOIN {identifier(step.end)} ON {child} = {parent}")
        self.multiplied = self.multiplied or not step.up

    def _alias(self, table: str) -> str:
        return identifier(self._aliases.get(table, table))

    def name(self, table: str, column: str) -> str:
        """Return how to write a column of a table that is there."""
        return f"{self._alias(table)}.{identifier(column)}"


def _steps(catalog: Catalog, table: str) -> Iterable[Step]:
    """Yield the joins that leave a table, those to a single row first."""
    yield from (Step(link, up=True) for link in catalog.links if link.child == table)
    yield from (Step(link, up=False) for link in catalog.links if link.parent == table)


def _owner(name: str, base: str, catalog: Catalog) -> Column | None:
    """Return the column that a bare name in a table's expression means."""
    if name in catalog.tables[base].columns:
        return catalog.tables[base].columns[name]
    owners = [table.columns[name] for table in catalog.tables.values() if name in table.columns]
    return owners[0] if len(owners) == 1 else None


def date_column(
    catalog: Catalog,
    builder: Builder,
    base: str,
    roots: frozenset[str],
    filtered: Iterable[str] = (),
) -> Column | None:
    """Return the date column a span of time is about.

    The one whose name has a word of the question (ordered_at for "ordered in 2025"); else, of
    "customers who bought books in 2025", one on the way to the books; else the base table's
    first, else the nearest table's.
    """
    ways = [step for table in filtered for step in builder.way_to(table)]
    passed = [step.end for step in ways] if any(not step.up for step in ways) else []
    tables = [catalog.tables[name] for name in passed]
    dates = [
        column
        for table in (*tables, *_by_distance(catalog, builder, base))
        for column in table.columns.values()
        if column.kind == "date"
    ]
    named = [column for column in dates if set(stems(column.name.replace("_", " "))) & roots]
    return next(iter(named or dates), None)


def _by_distance(catalog: Catalog, builder: Builder, base: str) -> Sequence[Table]:
    reachable = [t for t in catalog.tables.values() if builder.reaches(t.name)]
    return sorted(reachable, key=lambda t: (t.name != base, len(builder.way_to(t.name))))


def identifier(name: str) -> str:
    """Return a name as SQL writes it, in quotes only where it must be."""
    plain = re.fullmatch(r"[a-z_][a-z0-9_]*", name) and name not in _RESERVED
    return name if plain else f'"{name}"'


def literal(value: str) -> str:
    """Return a text as SQL writes it."""
    return "'" + value.replace("'", "''") + "'"
