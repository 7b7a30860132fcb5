"""What a statement touches: the calls, attributes, relations and columns its tree names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Attribute", "Call", "Reason", "Refusal", "Relation", "Touched", "strings"]

Reason: TypeAlias = Literal[
    "clause", "depth", "encoding", "function", "relation", "setting", "several", "size", "statement"
]

_WRITTEN_AS_A_CALL = 1
"""COERCE_EXPLICIT_CALL: not one of the forms of the standard, like EXTRACT (x FROM y)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a statement may not run.

    Attributes:
        reason: One word, for counting.
        message: One line, for people and models: what is refused, and what to write instead.
    """

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call of a function.

    Attributes:
        schema: The schema it names, empty for none.
        name: The function.
        arguments: How many it is given.
        at: Where its name begins (in bytes), for a schema to be put there; None where none can.
    """

    schema: str
    name: str
    arguments: int
    at: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """The last part of ``a.b``.

    Attributes:
        name: The part.
        of_a_row: Whether ``a`` is a row for certain, as the name of a table is.
    """

    name: str
    of_a_row: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """A table, view or query of WITH that a statement names.

    Attributes:
        schema: The schema it names, empty for none.
        name: The relation.
        alias: What the statement calls it.
        renames: Whether its columns get names of the statement's own.
    """

    schema: str
    name: str
    alias: str
    renames: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    """What a statement touches.

    Attributes:
        calls: The functions it calls.
        attributes: What may be a column or a call.
        relations: Its relations, queries of WITH among them.
        columns: Every name that may be a column.
        rows: Every name that may be a whole row.
        stars: Whether it asks for all columns of something, or joins by whatever is alike.
    """

    calls: tuple[Call, ...] = ()
    attributes: tuple[Attribute, ...] = ()
    relations: tuple[Relation, ...] = ()
    columns: frozenset[str] = frozenset()
    rows: frozenset[str] = frozenset()
    stars: bool = False

    @property
    def names(self) -> frozenset[str]:
        """The names that may be functions."""
        return frozenset({call.name for call in self.calls} | {a.name for a in self.attributes})


class Gathering:
    """Gathers what a statement touches while its tree is walked."""

    __slots__ = ("_calls", "_columns", "_fields", "_functions", "_relations", "_rows", "_stars")

    def __init__(self) -> None:
        self._calls: list[Call] = []
        self._fields: list[tuple[str, str]] = []  # a and b of a.b; a is empty for an expression
        self._relations: list[Relation] = []
        self._functions: set[str] = set()
        self._columns: set[str] = set()
        self._rows: set[str] = set()
        self._stars = False

    def call(self, node: Any) -> None:
        """Note a FuncCall."""
        names = strings(node.funcname)
        written = node.funcformat == _WRITTEN_AS_A_CALL and len(names) == 1
        ordered = len(node.agg_order) if node.agg_within_group else 0
        call = Call(
            schema=names[-2] if len(names) > 1 else "",
            name=names[-1],
            arguments=len(node.args) + ordered,
            at=node.location if written and node.location >= 0 else None,
        )
        self._calls.append(call)

    def column(self, node: Any) -> None:
        """Note a ColumnRef."""
        names = strings(node.fields)
        self._columns.update(names[-1:])
        self._stars |= len(names) < len(node.fields)
        if len(names) == len(node.fields) == 1:
            self._rows.update(names)
        if len(names) > 1:
            self._fields.append((names[-2], names[-1]))

    def indirection(self, node: Any) -> None:
        """Note an A_Indirection: attributes of an expression."""
        names = strings(node.indirection)
        self._columns.update(names)
        self._stars |= any(step.HasField("a_star") for step in node.indirection)
        self._fields += [("", name) for name in names]

    def relation(self, node: Any) -> None:
        """Note a RangeVar."""
        self._relations.append(
            Relation(
                schema=node.schemaname,
                name=node.relname,
                alias=node.alias.aliasname or node.relname,
                renames=bool(node.alias.colnames),
            )
        )

    def function_in_from(self, node: Any) -> None:
        """Note a RangeFunction: its alias may stand for a single value, which is no row."""
        self._functions.add(node.alias.aliasname)
        for item in node.functions:
            inner = item.list.items[0] if item.HasField("list") and item.list.items else item
            if inner.HasField("func_call"):  # without an alias it goes by the function's name
                self._functions.update(strings(inner.func_call.funcname)[-1:])

    def join(self, node: Any) -> None:
        """Note a JoinExpr."""
        self._stars |= node.is_natural
        self._columns.update(strings(node.using_clause))

    def all(self) -> Touched:
        """Return what was gathered."""
        return Touched(
            calls=tuple(dict.fromkeys(self._calls)),
            attributes=tuple(
                dict.fromkeys(
                    Attribute(name=name, of_a_row=bool(owner) and owner not in self._functions)
                    for owner, name in self._fields
                )
            ),
            relations=tuple(dict.fromkeys(self._relations)),
            columns=frozenset(self._columns),
            rows=frozenset(self._rows),
            stars=self._stars,
        )


def strings(nodes: Iterable[Any]) -> list[str]:
    """Return the names among some nodes."""
    return [node.string.sval for node in nodes if node.HasField("string")]
