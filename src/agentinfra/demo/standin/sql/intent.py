"""What a question wants of a database: a figure, by what, of which rows, how many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal, TypeAlias

from agentinfra.demo.standin.sql.catalog import Column, Measure
from agentinfra.demo.standin.sql.periods import Period

__all__ = ["Comparison", "Direction", "Group", "Intent", "Presence", "ValueFilter", "overlay"]

Direction: TypeAlias = Literal["ASC", "DESC"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A way to group: a column's values, a table's rows, or spans of time."""

    table: str = ""
    column: Column | None = None
    grain: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueFilter:
    """Rows whose column is (or is not) one of some values."""

    column: Column
    values: tuple[str, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Rows whose column compares with a number."""

    column: Column
    operator: str
    number: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """Rows that have (or have not) any row of another table."""

    table: str
    negated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """What a question wants; None and empty mean that it does not say.

    Attributes:
        counted: The table whose rows are counted.
        aggregate: ``sum``, ``avg``, ``min`` or ``max``.
        column: The column that is aggregated or ranked by.
        measure: The named figure.
        subject: The table whose rows are listed.
        distinct: The column whose different values are listed.
        groups: By what the figure is grouped.
        order: How the groups or rows are ranked.
        limit: How many of them.
        values: Filters on values.
        comparisons: Filters on numbers.
        presences: Filters on other tables.
        period: The span of time.
        mentioned: Every table the question mentions.
        roots: The roots of its words.
    """

    counted: str | None = None
    aggregate: str | None = None
    column: Column | None = None
    measure: Measure | None = None
    subject: str | None = None
    distinct: Column | None = None
    groups: tuple[Group, ...] = ()
    order: Direction | None = None
    limit: int | None = None
    values: tuple[ValueFilter, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    presences: tuple[Presence, ...] = ()
    period: Period | None = None
    mentioned: frozenset[str] = frozenset()
    roots: frozenset[str] = frozenset()

    @property
    def has_figure(self) -> bool:
        """Whether it says which figure it wants."""
        return bool(self.counted or self.measure or self.column or self.distinct)


def overlay(intents: Sequence[Intent]) -> Intent:
    """Return the last intent with what it leaves open taken from the ones before it.

    "How many orders in 2025?", "and in 2024?" counts orders in 2024. A new filter on a column
    replaces the old one on it; a new figure replaces the old figure.
    """
    merged = intents[0]
    for later in intents[1:]:
        merged = _over(merged, later)
    return merged


def _over(earlier: Intent, later: Intent) -> Intent:
    said = {
        field.name: value
        for field in fields(later)
        if (value := getattr(later, field.name)) and field.name not in ("values", "subject")
    }
    if later.has_figure:
        for name in ("counted", "aggregate", "column", "measure", "distinct"):
            said.setdefault(name, None)
    elif later.subject and not earlier.has_figure and not later.groups:
        said["subject"] = later.subject
    renewed = {filter_.column for filter_ in later.values}
    kept = tuple(filter_ for filter_ in earlier.values if filter_.column not in renewed)
    said["values"] = (*kept, *later.values)
    said["mentioned"] = earlier.mentioned | later.mentioned
    said["roots"] = earlier.roots | later.roots
    return replace(earlier, **said)
