"""Judging the parse tree of a SELECT: every node has to be of a kind that only reads."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from agentinfra.db.guard.names import (
    CATALOGS,
    DENIED_FUNCTION_PREFIXES,
    DENIED_FUNCTIONS,
    DENIED_INFORMATION_PREFIXES,
    DENIED_RELATION_PREFIXES,
    EXPLAIN_OPTIONS,
    NODES,
    PG_FUNCTIONS,
    SETTINGS,
)
from agentinfra.db.guard.touched import Gathering, Refusal, Touched, strings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["Kind", "judge_statement"]

Kind: TypeAlias = Literal["select", "explain", "show", "other"]


def judge_statement(node: Any) -> tuple[Kind, Refusal | Touched]:
    """Return what a statement is, and why it may not run or else what it touches.

    Args:
        node: The statement's node.
    """
    which = node.WhichOneof("node")
    inner = getattr(node, which)
    if which == "select_stmt":
        return "select", _SelectJudge().judge(inner)
    if which == "explain_stmt":
        return "explain", _explain_options(inner) or _explained(inner.query)
    if which == "variable_show_stmt":
        return "show", _setting(inner.name) or Touched()
    return "other", _not_a_read(inner)


def _explained(node: Any) -> Refusal | Touched:
    if node.HasField("select_stmt"):
        return _SelectJudge().judge(node.select_stmt)
    return _not_a_read(getattr(node, node.WhichOneof("node")))


def _explain_options(explain: Any) -> Refusal | None:
    for option in explain.options:
        name = option.def_elem.defname.lower()
        if name not in EXPLAIN_OPTIONS:
            return Refusal(
                reason="clause",
                message=f"EXPLAIN with {name.upper()} is refused: leave the option out",
            )
    return None


class _SelectJudge:
    """Looks at every node of one SELECT, without recursion."""

    __slots__ = ("_checks", "_gathering")

    def __init__(self) -> None:
        self._gathering = Gathering()
        self._checks: Mapping[str, Callable[[Any], Refusal | None]] = {
            "FuncCall": self._call,
            "RangeVar": self._relation,
            "ColumnRef": self._column,
            "A_Indirection": self._indirection,
            "RangeFunction": self._gathering.function_in_from,
            "JoinExpr": self._gathering.join,
        }

    def judge(self, select: Any) -> Refusal | Touched:
        for message in _walk(select):
            kind = type(message).__name__
            if kind not in NODES:
                return _not_a_read(message)
            check = self._checks.get(kind)
            refusal = check(message) if check is not None else None
            if refusal is not None:
                return refusal
        return self._gathering.all()

    def _call(self, node: Any) -> Refusal | None:
        names = strings(node.funcname)
        name = names[-1].lower()
        if name == "current_setting":
            refusal = _told_setting(node)
            if refusal is not None:
                return refusal
        elif _denied(name) or name.startswith(DENIED_FUNCTION_PREFIXES):
            return _refused_function(names)
        self._gathering.call(node)
        return None

    def _relation(self, node: Any) -> Refusal | None:
        self._gathering.relation(node)
        return _server_relation(node)

    def _column(self, node: Any) -> Refusal | None:
        self._gathering.column(node)
        return _denied_attribute(node.fields[1:])

    def _indirection(self, node: Any) -> Refusal | None:
        self._gathering.indirection(node)
        return _denied_attribute(node.indirection)


def _denied_attribute(fields: Any) -> Refusal | None:
    # `a.b` and `(a).b` call the function b where a has no such column: one could read a file
    # by ('name'::text).pg_read_file.
    for name in strings(fields):
        if _denied(name.lower()) or name.lower() == "current_setting":
            return _refused_function([name])
    return None


def _walk(root: Any) -> Iterator[Any]:
    """Yield every message of a tree but the wrappers around choices."""
    pending = [root]
    while pending:
        message = pending.pop()
        kind: Any = type(message)
        if kind.__name__ == "Node":
            which = message.WhichOneof("node")
            if which is not None:
                pending.append(getattr(message, which))
            continue
        yield message
        for name, repeated in _children(kind):
            if repeated:
                pending.extend(getattr(message, name))
            elif message.HasField(name):
                pending.append(getattr(message, name))


@cache
def _children(kind: Any) -> tuple[tuple[str, bool], ...]:
    """Return the fields of a kind of message that hold messages, and whether they hold many.

    Looking at these alone is quicker than reading all the fields of every message.
    """
    return tuple(
        (field.name, field.is_repeated)
        for field in kind.DESCRIPTOR.fields
        if field.message_type is not None
    )


def _denied(name: str) -> bool:
    return name in DENIED_FUNCTIONS or (name.startswith("pg_") and name not in PG_FUNCTIONS)


def _refused_function(names: list[str]) -> Refusal:
    return Refusal(
        reason="function",
        message=f"the function {'.'.join(names)} is refused: it does more than read your tables",
    )


def _told_setting(node: Any) -> Refusal | None:
    """Let current_setting tell what SHOW may, where the name stands there in full."""
    if node.args and node.args[0].a_const.HasField("sval"):
        return _setting(node.args[0].a_const.sval.sval)
    return _refused_function(["current_setting"])


def _setting(name: str) -> Refusal | None:
    if name.lower() in SETTINGS:
        return None
    return Refusal(
        reason="setting",
        message=f"the setting {name} is not shown here: settings may hold secrets",
    )


def _server_relation(node: Any) -> Refusal | None:
    schema, name = node.schemaname.lower(), node.relname.lower()
    if name.startswith("pg_"):
        allowed = name in CATALOGS and schema in ("", "pg_catalog")
    elif schema == "information_schema":
        allowed = not name.startswith(DENIED_INFORMATION_PREFIXES)
    else:
        allowed = not schema.startswith("pg_") and not name.startswith(DENIED_RELATION_PREFIXES)
    if allowed:
        return None
    shown = f"{schema}.{name}" if schema else name
    return Refusal(
        reason="relation",
        message=f"the relation {shown} is refused: it holds the server's affairs, not your data",
    )


def _not_a_read(message: Any) -> Refusal:
    kind = type(message).__name__
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind.removesuffix("Stmt")).upper()
    return Refusal(
        reason="statement" if kind.endswith("Stmt") else "clause",
        message=f"{words} is refused: one SELECT, VALUES, TABLE, EXPLAIN or SHOW may run here",
    )
