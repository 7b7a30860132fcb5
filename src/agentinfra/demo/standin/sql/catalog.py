"""A database schema as the planner needs it, read from CREATE TABLE statements and comments.

Comments tell what the columns' types do not:

* ``-- status: values 'paid', 'refunded'`` lists a column's values (a CHECK with IN does too)
* ``-- revenue: sum(quantity * unit_price)`` names a measure of the table the comment stands in
* ``-- measure revenue = sum(i.quantity * i.unit_price) from order_items i`` names one with its
  own FROM clause, with joins and WHERE where it needs them
* ``-- customers: synonyms clients, buyers`` gives a table, column or measure more names

A comment without a name (``status text, -- values 'paid', 'refunded'``) speaks of the column on
its line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

__all__ = ["Catalog", "Column", "Kind", "Link", "Measure", "Table"]

Kind: TypeAlias = Literal["number", "text", "date", "boolean", "key"]
_LABELS = ("name", "title", "label", "full_name", "email", "code", "sku")


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column.

    Attributes:
        table: Its table's name.
        name: Its own.
        kind: What can be done with it; ``key`` is a primary or foreign key.
        values: The texts it can hold, where they are known.
        synonyms: Other names.
    """

    table: str
    name: str
    kind: Kind
    values: tuple[str, ...] = ()
    synonyms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A foreign key: ``child.column`` refers to ``parent.key``."""

    child: str
    column: str
    parent: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table, its columns by name."""

    name: str
    columns: Mapping[str, Column]
    primary_key: str | None = None
    synonyms: tuple[str, ...] = ()

    @property
    def label(self) -> Column | None:
        """The column that names a row to people, None where there is only a key."""
        for name in _LABELS:
            if name in self.columns:
                return self.columns[name]
        return next((column for column in self.columns.values() if column.kind == "text"), None)

    @property
    def date(self) -> Column | None:
        """The first date or timestamp column."""
        return next((column for column in self.columns.values() if column.kind == "date"), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A named figure.

    Attributes:
        name: Its name, words joined by spaces.
        expression: The SQL of the figure.
        table: The table the expression's bare columns belong to.
        source: A FROM clause of its own, without the FROM; empty: ``table``.
        where: The condition of that clause, empty where it has none.
        aliases: The tables in ``source`` and the names they have there.
        synonyms: Other names.
    """

    name: str
    expression: str
    table: str
    source: str = ""
    where: str = ""
    aliases: Mapping[str, str] = field(default_factory=dict)
    synonyms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Catalog:
    """A schema: tables and measures by name, and the foreign keys. Compared by identity."""

    tables: Mapping[str, Table]
    links: tuple[Link, ...]
    measures: Mapping[str, Measure]
