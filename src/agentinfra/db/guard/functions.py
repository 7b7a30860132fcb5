"""Which functions a statement may call: asked of the server, by schema, name and arguments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentinfra.db.guard.names import HARMLESS
from agentinfra.db.guard.touched import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from agentinfra.db.guard.touched import Attribute, Call

__all__ = [
    "FUNCTIONS_SQL",
    "Function",
    "functions_of",
    "judge_attribute",
    "judge_call",
    "mark_of",
]

_HARMLESS_ARRAY = "{" + ",".join(sorted(HARMLESS)) + "}"

FUNCTIONS_SQL = f"""
SELECT n.nspname::text AS schema, p.proname::text AS name,
       array_position(current_schemas(true), n.nspname) AS place,
       p.pronargs - p.pronargdefaults AS least,
       CASE WHEN p.provariadic = 0 THEN p.pronargs END AS most,
       p.prokind <> 'p'
           AND (p.provolatile <> 'v'
                OR n.nspname = 'pg_catalog' AND p.proname = ANY ('{_HARMLESS_ARRAY}'))
           AND NOT 'pg_catalog.internal'::regtype = ANY (p.proargtypes)
           AND p.prorettype NOT IN ('pg_catalog.trigger'::regtype,
                                    'pg_catalog.event_trigger'::regtype) AS reads,
       p.pronargs >= 1 AND t.typtype IN ('p', 'c', 'd') AS whole
FROM pg_catalog.pg_proc p
JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
LEFT JOIN pg_catalog.pg_type t ON t.oid = p.proargtypes[0]
WHERE p.proname = ANY ($1::name[])
ORDER BY n.nspname, p.oid
"""  # noqa: S608 - only the constants above are put into it
"""The functions of some names, as the connection that will read sees them."""


_MARK_SQL = """
SELECT coalesce(pg_catalog.sum(pg_catalog.hashtext(p.xmin::text)), 0)
FROM pg_catalog.pg_proc p WHERE p.proname = ANY ('{names}')
"""


def mark_of(names: Iterable[str]) -> str:
    """Return the SQL of a number that changes with every function of some names.

    One that is made, changed or dropped has a row that another transaction wrote. It is planned
    with the statement each time, so that it is as small as it can be: the names are one literal.
    """
    quoted = [name.replace("\\", "\\\\").replace('"', '\\"').replace("'", "''") for name in names]
    return _MARK_SQL.format(names="{" + ",".join(f'"{name}"' for name in quoted) + "}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One function of the server.

    Attributes:
        schema: The schema it is in.
        name: Its name.
        place: Where its schema stands on the search path, None where it does not.
        least: Arguments it needs.
        most: Arguments it takes, None for any number.
        reads: False for one that may write: VOLATILE, a procedure, a trigger.
        whole: Whether its first argument can be a whole row.
    """

    schema: str
    name: str
    place: int | None = 1
    least: int = 0
    most: int | None = None
    reads: bool = True
    whole: bool = True

    def takes(self, arguments: int) -> bool:
        """Return whether it can be called with so many arguments."""
        return self.least <= arguments and (self.most is None or arguments <= self.most)


def functions_of(rows: Iterable[Sequence[object]]) -> dict[str, list[Function]]:
    """Return what ``FUNCTIONS_SQL`` gave, by name."""
    fields = ("schema", "name", "place", "least", "most", "reads", "whole")
    found: dict[str, list[Function]] = {}
    for row in rows:
        function = Function(**dict(zip(fields, row, strict=True)))  # type: ignore[arg-type]
        found.setdefault(function.name, []).append(function)
    return found


def judge_call(call: Call, known: Mapping[str, Sequence[Function]]) -> Refusal | str | None:
    """Judge a call by the functions it can mean.

    Returns:
        A refusal; the schema the call has to be given, where others on the search path have
        functions of that name that may write; None where it may be made as it stands. A function
        that does not exist is the server's to refuse.
    """
    meant = [
        function
        for function in known.get(call.name, ())
        if function.takes(call.arguments)
        and (function.schema == call.schema if call.schema else function.place is not None)
    ]
    writing = {function.schema for function in meant if not function.reads}
    if not writing:
        return None
    ours = "pg_catalog" in {function.schema for function in meant} - writing
    if ours and call.at is not None:
        return "pg_catalog"
    shown = f"{call.schema}.{call.name}" if call.schema else call.name
    return Refusal(
        reason="function",
        message=f"the function {shown} is refused: it is VOLATILE, so it may do more than read "
        "(one that only reads can be declared STABLE)",
    )


def judge_attribute(
    attribute: Attribute, known: Mapping[str, Sequence[Function]]
) -> Refusal | None:
    """Judge ``a.b``, which calls the function b of one argument where a has no such column."""
    for function in known.get(attribute.name, ()):
        callable_so = function.takes(1) and (function.whole or not attribute.of_a_row)
        if callable_so and not function.reads and function.place is not None:
            return Refusal(
                reason="function",
                message=f"the attribute {attribute.name} is refused: a function of that name may "
                "do more than read; write the column without its table in front of it",
            )
    return None
