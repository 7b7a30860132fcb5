"""How a judged statement is run within its bounds, learnt once for each statement.

Bytes are bounded on the server, so that what is too much is never sent. Where every row is small
enough that no number of them could be too much, nothing has to be added up: that is checked row by
row, at the price of a few additions. A row that is larger ends the statement, and it is run again
with its rows added up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, cast

from agentinfra._mechanics.vendors import MissingPackageError, load
from agentinfra.db.scope import quoted

__all__ = ["Bounds", "Column", "Judged", "Plan", "distinct", "plan_of"]

_SMALL = """\
SELECT * FROM (SELECT * FROM ({statement}) AS q LIMIT {limit}) AS agentinfra_row
WHERE 1 / (CASE WHEN {size} <= {most} THEN 1 ELSE 0 END) = 1 {gate}"""
"""A row that is too large divides by zero; the sizes keep that from being worked out before."""

_ADDED_UP = """\
WITH agentinfra_rows AS MATERIALIZED (SELECT * FROM ({statement}) AS q LIMIT {limit})
SELECT kept.*, total.agentinfra_count
FROM (SELECT count(*) AS agentinfra_count FROM agentinfra_rows) AS total
LEFT JOIN (
    SELECT *, sum({size}) OVER (ROWS UNBOUNDED PRECEDING) AS agentinfra_bytes
    FROM agentinfra_rows AS agentinfra_row
) AS kept ON kept.agentinfra_bytes <= {bytes} {gate}"""
"""The server adds up the bytes. The join gives a row, and so the columns, when none is kept."""

_GATE = "LIMIT (CASE WHEN ({mark}) = {value} THEN NULL ELSE -1 END)"
"""A limit is looked at before anything below it runs, and may not be negative: where functions
have changed since the statement was judged, it is not run."""

_ADDED = 2  # the columns agentinfra_bytes and agentinfra_count, at the end

_WHOLE = "octet_length(agentinfra_row::text)"
"""The bytes of a row whose columns cannot be named one by one."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_FIXED = _words(
    """
    bool char int2 int4 int8 float4 float8 numeric date time timetz timestamp timestamptz interval
    uuid oid name money inet cidr macaddr macaddr8 xid xid8 cid tid regclass regtype regproc void
    point line lseg box circle pg_lsn
    """
)
"""Types whose values are small whatever they are."""

_COUNTED = frozenset({"text", "varchar", "bpchar", "bytea"})
"""Types whose length is known without unpacking them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much a read may give and take.

    Attributes:
        rows: Rows at most.
        bytes: Bytes at most.
        timeout: Seconds the statement may take.
    """

    rows: int
    bytes: int
    timeout: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A statement that may run, as long as its functions stay what they are.

    Attributes:
        text: The statement.
        mark: What gives the mark of its functions in SQL; empty where it calls none.
        value: The mark they were judged by.
    """

    text: str
    mark: str = ""
    value: int = 0

    @property
    def gate(self) -> str:
        """What keeps the statement from running where the mark has changed."""
        return _GATE.format(mark=self.mark, value=self.value) if self.mark else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a result.

    Attributes:
        name: As the statement names it.
        type: The name of its type.
        kind: ``scalar``, ``array``, ``composite`` or ``range``.
    """

    name: str
    type: str
    kind: str


@dataclass(slots=True, kw_only=True)
class Plan:
    """How one statement is run within some bounds.

    Attributes:
        statement: The statement.
        columns: Its columns.
        names: Their names, each once.
        small: The text for rows that are all small.
        added_up: The text for rows that have to be added up.
        most: Bytes a small row has at most.
        exact: Whether rows turned out to be large, so that they are added up at once.
    """

    statement: str
    columns: tuple[Column, ...]
    names: tuple[str, ...]
    small: str
    added_up: str
    most: int
    exact: bool = False
    _plain: tuple[tuple[str, Callable[[Any], Any]], ...] = ()

    @property
    def text(self) -> str:
        """What to send."""
        return self.added_up if self.exact else self.small

    def holds(self, records: Sequence[Any]) -> bool:
        """Return whether the columns are still those that were planned for."""
        if not records:
            return True
        found = list(records[0].keys())
        named = [column.name for column in self.columns]
        return (found[:-_ADDED] if self.exact else found) == named

    def rows(
        self, records: Sequence[Any], limit: int
    ) -> tuple[tuple[Mapping[str, Any], ...], bool]:
        """Return rows as plain mappings, and whether there were more."""
        if not self.exact:
            return self._mapped(records[:limit]), len(records) > limit
        there_are = records[0][-1]
        kept = [record for record in records if record[-_ADDED] is not None]
        largest, before = 0, 0
        for record in kept:
            largest, before = max(largest, record[-_ADDED] - before), record[-_ADDED]
        self.exact = largest > self.most or len(kept) < there_are
        rows = self._mapped([record[:-_ADDED] for record in kept[:limit]])
        return rows, there_are > len(rows)

    def singly(self, limit: int) -> Iterator[tuple[Column, str]]:
        """Give each column, and what reads that column alone."""
        aliases = [f"a{number}" for number in range(len(self.columns))]
        names = ", ".join(aliases)
        for column, alias in zip(self.columns, aliases, strict=True):
            text = f"SELECT {alias} FROM ({self.statement}) AS q ({names}) LIMIT {limit}"  # noqa: S608
            yield column, text

    def _mapped(self, records: Sequence[Any]) -> tuple[Mapping[str, Any], ...]:
        rows = _mapping(len(self.names))(*self.names)(records)
        for name, convert in self._plain:
            for row in rows:
                row[name] = convert(row[name])
        return tuple(rows)


def plan_of(statement: Judged, attributes: Sequence[Any], bounds: Bounds) -> Plan:
    """Return how a statement is run.

    Columns are measured by their names, not by aliases: where one was renamed or dropped since,
    the server says so.

    Args:
        statement: A judged SELECT, and the mark of the functions it was judged by.
        attributes: Its columns as the server describes them.
        bounds: How much it may give.
    """
    columns = tuple(
        Column(name=found.name, type=found.type.name, kind=found.type.kind) for found in attributes
    )
    names = distinct([column.name for column in columns])
    named = all(column.name == name for column, name in zip(columns, names, strict=True))
    most = bounds.bytes // (bounds.rows + 1)
    parts = {
        "statement": statement.text,
        "gate": statement.gate,
        "limit": bounds.rows + 1,
        "size": " + ".join(map(_size, columns)) if columns and named else _WHOLE,
        "most": most,
        "bytes": bounds.bytes,
    }
    return Plan(
        statement=statement.text,
        columns=columns,
        names=names,
        small=_SMALL.format(**parts),
        added_up=_ADDED_UP.format(**parts),
        most=most,
        _plain=tuple(
            (name, convert)
            for name, column in zip(names, columns, strict=True)
            if (convert := _converter(column)) is not None
        ),
    )


def distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Number the names that come twice, so that no value is lost in a mapping."""
    found: dict[str, None] = {}
    for name in names:
        number, candidate = 2, name
        while candidate in found:
            number, candidate = number + 1, f"{name}_{number}"
        found[candidate] = None
    return tuple(found)


@cache
def _mapping(count: int) -> Callable[..., Callable[[Iterable[Any]], list[dict[str, Any]]]]:
    """Return what takes so many names, and returns what makes mappings of rows.

    Written out for the number of columns, which takes under half of ``dict(zip(names, row))``. The
    names are its arguments and never part of its text: they are anybody's.
    """
    keys = [f"k{number}" for number in range(count)]
    values = [f"v{number}" for number in range(count)]
    pairs = ", ".join(map("{}: {}".format, keys, values))
    row = f"{', '.join(values)}," if count else "_"
    made = eval(f"lambda {', '.join(keys)}: lambda rows: [{{{pairs}}} for {row} in rows]")  # noqa: S307
    return cast("Callable[..., Callable[[Iterable[Any]], list[dict[str, Any]]]]", made)


def _size(column: Column) -> str:
    """Return the bytes of a value in SQL.

    A table may have changed since: a column that was a number is still measured.
    """
    value = f"agentinfra_row.{quoted(column.name)}"
    if column.kind == "scalar" and column.type in _COUNTED:
        return f"coalesce(octet_length({value}), 0)"
    if column.kind == "scalar" and column.type in _FIXED:
        return f"coalesce(pg_column_size({value}), 0)"
    return f"coalesce(octet_length({value}::text), 0)"


def _converter(column: Column) -> Callable[[Any], Any] | None:
    simple = column.kind == "scalar" and (column.type in _FIXED or column.type in _COUNTED)
    return None if simple or column.type in ("json", "jsonb") else _plain_value


def _plain_value(value: Any) -> Any:
    """Return a value with the driver's own types turned into Python's, at any depth."""
    if isinstance(value, list | tuple):
        return type(value)(_plain_value(inner) for inner in value)
    convert = _converters().get(type(value))
    return value if convert is None else convert(value)


def _as_dict(record: Any) -> dict[str, Any]:
    return {name: _plain_value(value) for name, value in record.items()}


@cache
def _converters() -> Mapping[type, Callable[[Any], Any]]:
    from asyncpg import Record

    found: dict[type, Callable[[Any], Any]] = {Record: _as_dict}
    with suppress(MissingPackageError):
        pgvector = load("pgvector")
        for kind in (pgvector.Vector, pgvector.HalfVector):
            found[kind] = kind.to_list
    return MappingProxyType(found)
