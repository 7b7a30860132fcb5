"""From an intent to the text of a SELECT."""

from __future__ import annotations

from dataclasses import dataclass, replace

from agentinfra.demo.standin.sql.builder import Builder, date_column, identifier, literal
from agentinfra.demo.standin.sql.catalog import Catalog, Column, Table
from agentinfra.demo.standin.sql.intent import Comparison, Group, Intent, ValueFilter
from agentinfra.demo.standin.words import singular

__all__ = ["write_select"]

_LISTED = 100
_WORDS = {"avg": "average", "sum": "total", "min": "lowest", "max": "highest"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grouping:
    """What a group adds: select items, GROUP BY items, whether it is time."""

    selected: tuple[str, ...]
    grouped: tuple[str, ...]
    alias: str
    time: bool = False


def write_select(intent: Intent, catalog: Catalog) -> str | None:
    """Return the SELECT for an intent, None when it names nothing of the schema."""
    if not (intent.mentioned or intent.has_figure or intent.groups or intent.period):
        return None
    if intent.distinct is not None and not intent.groups:
        return _distinct(intent, intent.distinct, catalog)
    if intent.subject and not intent.has_figure and not intent.groups:
        return _listing(intent, catalog.tables[intent.subject], catalog)
    if ranked := _ranked_listing(intent, catalog):
        return ranked
    return _Figure(intent, catalog).select()


class _Figure:
    """One figure, grouped or not."""

    def __init__(self, intent: Intent, catalog: Catalog) -> None:
        self._intent = _decided(intent, catalog)
        self._catalog = catalog
        self._base = _base(self._intent, catalog)
        self._builder = Builder(catalog, self._base, self._intent.measure)

    def select(self) -> str:
        """Return the statement."""
        groups = [self._grouping(group) for group in self._intent.groups if self._possible(group)]
        figure, alias = self._figure()
        apply_filters(self._builder, self._intent, self._catalog, self._base)
        if self._intent.aggregate == "avg" and groups and self._averages_groups():
            return self._averaged(groups, figure, alias)
        items = [item for group in groups for item in group.selected] + [f"{figure} AS {alias}"]
        statement = f"SELECT {', '.join(items)} {self._builder.clauses()}"
        if not groups:
            return statement
        grouped = ", ".join(item for group in groups for item in group.grouped)
        return f"{statement} GROUP BY {grouped}{self._ordered(groups, alias)}"

    def _possible(self, group: Group) -> bool:
        return bool(group.grain) or self._builder.reaches(group.table)

    def _grouping(self, group: Group) -> _Grouping:
        if group.grain:
            return self._time(group.grain)
        if group.column is not None:
            name = self._builder.reference(group.column)
            return _Grouping(selected=(name,), grouped=(name,), alias=identifier(group.column.name))
        table = self._catalog.tables[group.table]
        label, alias = table.label, identifier(singular(table.name))
        shown = [table.columns[table.primary_key]] if table.primary_key else []
        shown += [label] if label else []
        shown = shown or [next(iter(table.columns.values()))]
        names = [self._builder.reference(column) for column in shown]
        return _Grouping(
            selected=(f"{names[-1]} AS {alias}",), grouped=tuple(dict.fromkeys(names)), alias=alias
        )

    def _time(self, grain: str) -> _Grouping:
        column = date_column(self._catalog, self._builder, self._base, self._intent.roots)
        name = self._builder.reference(column) if column else "current_date"
        span = f"date_trunc('{grain}', {name})::date"
        return _Grouping(selected=(f"{span} AS {grain}",), grouped=(span,), alias=grain, time=True)

    def _figure(self) -> tuple[str, str]:
        """Return the figure's expression and its name."""
        intent = self._intent
        if intent.measure is not None:
            name = intent.measure.name.replace(" ", "_")
            return self._builder.expression(intent.measure), identifier(name)
        if intent.column is not None:
            aggregate = intent.aggregate or "sum"
            if intent.column.kind == "date" and aggregate not in ("min", "max"):
                aggregate = "max"
            name = f"{_WORDS[aggregate]}_{intent.column.name}"
            return f"{aggregate}({self._builder.reference(intent.column)})", identifier(name)
        table = self._catalog.tables[self._base]
        alias = identifier(f"{singular(table.name)}_count")
        if self._builder.multiplied and table.primary_key:
            key = self._builder.reference(table.columns[table.primary_key])
            return f"count(DISTINCT {key})", alias
        return "count(*)", alias

    def _averages_groups(self) -> bool:
        """Return whether "average X per Y" means the average over the Ys of their X."""
        return self._intent.measure is not None or self._intent.counted is not None

    def _averaged(self, groups: list[_Grouping], figure: str, alias: str) -> str:
        grouped = ", ".join(item for group in groups for item in group.grouped)
        inner = f"SELECT {figure} AS {alias} {self._builder.clauses()} GROUP BY {grouped}"
        return f"SELECT avg({alias}) AS average_{alias.strip(chr(34))} FROM ({inner}) AS grouped"  # noqa: S608 - planned, not pasted

    def _ordered(self, groups: list[_Grouping], alias: str) -> str:
        intent = self._intent
        time = next((group for group in groups if group.time), None)
        if intent.order is not None:
            order = f" ORDER BY {alias} {intent.order}"
        elif time is not None:
            rest = [group.alias for group in groups if group is not time]
            order = " ORDER BY " + ", ".join([time.alias, *rest])
        else:
            order = f" ORDER BY {alias} DESC"
        return f"{order} LIMIT {intent.limit}" if intent.limit else order


def apply_filters(builder: Builder, intent: Intent, catalog: Catalog, base: str) -> None:
    """Add an intent's filters to a statement."""
    for values in intent.values:
        if builder.reaches(values.column.table):
            builder.where(values.column.table, _value_condition(values))
    for comparison in intent.comparisons:
        if builder.reaches(comparison.column.table):
            builder.where(comparison.column.table, _comparison_condition(comparison))
    if intent.period is not None:
        filtered = [values.column.table for values in intent.values]
        column = date_column(catalog, builder, base, intent.roots, filtered)
        if column is not None:
            name = "{table}." + identifier(column.name)
            builder.where(column.table, *intent.period.conditions(name))
    for presence in intent.presences:
        if presence.table != base and builder.reaches(presence.table):
            builder.where(presence.table, negated=presence.negated)


def _value_condition(values: ValueFilter) -> str:
    name = "{table}." + identifier(values.column.name)
    texts = [literal(value) for value in dict.fromkeys(values.values)]
    if len(texts) == 1:
        return f"{name} {'<>' if values.negated else '='} {texts[0]}"
    return f"{name} {'NOT IN' if values.negated else 'IN'} ({', '.join(texts)})"


def _comparison_condition(comparison: Comparison) -> str:
    name = "{table}." + identifier(comparison.column.name)
    return f"{name} {comparison.operator} {comparison.number}"


def _distinct(intent: Intent, column: Column, catalog: Catalog) -> str:
    builder = Builder(catalog, column.table)
    name = builder.reference(column)
    apply_filters(builder, intent, catalog, column.table)
    return f"SELECT DISTINCT {name} {builder.clauses()} ORDER BY {name}"


def _listing(intent: Intent, table: Table, catalog: Catalog, *, rank: Column | None = None) -> str:
    builder = Builder(catalog, table.name)
    names = ", ".join(builder.reference(column) for column in table.columns.values())
    apply_filters(builder, intent, catalog, table.name)
    statement = f"SELECT {names} {builder.clauses()}"
    if rank is not None:
        order = f"{builder.reference(rank)} {intent.order or 'DESC'}"
    else:
        first = table.primary_key or next(iter(table.columns))
        order = builder.reference(table.columns[first])
    return f"{statement} ORDER BY {order} LIMIT {intent.limit or _LISTED}"


def _ranked_listing(intent: Intent, catalog: Catalog) -> str | None:
    """Return a listing for "the 3 products with the highest price", None for anything else."""
    if intent.order is None or len(intent.groups) != 1 or intent.groups[0].column is not None:
        return None
    group, column = intent.groups[0], intent.column
    own = column is not None and column.table == group.table
    if not own or intent.aggregate not in (None, "max", "min"):
        return None
    return _listing(intent, catalog.tables[group.table], catalog, rank=column)


def _decided(intent: Intent, catalog: Catalog) -> Intent:
    """Return an intent that names a figure, choosing one where the question does not.

    The first measure where there is one; else the rows of what hangs on the first group ("top
    customers": their orders), else of the first table there is talk of.
    """
    if intent.has_figure:
        return intent
    if catalog.measures and (intent.groups or intent.aggregate):
        return replace(intent, measure=next(iter(catalog.measures.values())))
    tables = [group.table for group in intent.groups if group.table]
    if tables and intent.order:
        tables = [link.child for link in catalog.links if link.parent == tables[0]] or tables
    tables += [values.column.table for values in intent.values]
    tables += [name for name in catalog.tables if name in intent.mentioned]
    tables += [table.name for table in catalog.tables.values() if table.date]
    return replace(intent, counted=tables[0] if tables else next(iter(catalog.tables)))


def _base(intent: Intent, catalog: Catalog) -> str:
    """Return the table the figure is taken from."""
    if intent.measure is not None:
        return intent.measure.table
    if intent.column is not None:
        return intent.column.table
    if intent.counted is not None:
        return intent.counted
    return next(iter(catalog.tables))
