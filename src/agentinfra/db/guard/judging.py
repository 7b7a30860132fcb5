"""The read-only guard: is this text one statement that only reads?

The statement is parsed with PostgreSQL's own grammar (libpg_query, through postgast) and its tree
judged by an allow-list of node kinds; text is never compared with patterns. What its functions do
is asked of the server. What neither can tell is for the layers below: the role's privileges
(other people's tables, views and operators with a function behind them), the READ ONLY
transaction, and time-outs and limits of rows and bytes (statements that never end).

The tree is the server's tree only where the server reads strings as the SQL standard does: run
judged statements with ``standard_conforming_strings = on`` and a fixed ``search_path``.

Without postgast nothing can be judged: `examine` raises ``MissingPackageError``, and
whoever runs SQL of others has to refuse it with that error's sentence, never run it unjudged.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from agentinfra._mechanics.vendors import MissingPackageError, load
from agentinfra.db.guard.depth import estimate
from agentinfra.db.guard.functions import judge_attribute, judge_call
from agentinfra.db.guard.touched import Refusal, Touched
from agentinfra.db.guard.tree import Kind, judge_statement
from agentinfra.errors import QueryError, ReadOnlyViolationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType

    from agentinfra.db.guard.functions import Function

__all__ = ["GuardVerdict", "check_readonly", "examine", "judge", "load_parser"]

MAX_BYTES = 100_000
MAX_DEPTH = 400
_SHALLOW = 2 * MAX_DEPTH  # characters: no level of a tree takes less than two

_TOO_DEEP = Refusal(
    reason="depth",
    message="the statement is nested too deeply to be judged: use WITH, IN (...) or fewer operands",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardVerdict:
    """What the guard says of a statement.

    Attributes:
        statement: The statement without the semicolon that ended it. Where ``kind`` is
            ``select`` it may be put in brackets, as in ``SELECT * FROM (<statement>) AS q``: it
            ends with a newline where a comment could swallow what follows.
        kind: ``select`` (VALUES and TABLE too), ``explain`` or ``show``; ``other`` is refused.
        refusal: Why it may not run, None when it may.
        touched: What it touches, for what only the server knows.
        begins: Where the statement begins in the text it was cut out of, in bytes.
    """

    statement: str
    kind: Kind
    refusal: Refusal | None = None
    touched: Touched = field(default_factory=Touched)
    begins: int = 0

    def with_functions(self, known: Mapping[str, Sequence[Function]]) -> GuardVerdict:
        """Return the verdict given what the functions of its names do.

        A call that can only mean PostgreSQL's own function where one of the same name may write
        is given the schema in the text.

        Args:
            known: The functions of all its names, by name; one that is missing does not exist.
        """
        places: list[tuple[int, str]] = []
        for call in self.touched.calls:
            found = judge_call(call, known)
            if isinstance(found, Refusal):
                return replace(self, refusal=found)
            if found is not None and call.at is not None:
                places.append((call.at - self.begins, found))
        for attribute in self.touched.attributes:
            refusal = judge_attribute(attribute, known)
            if refusal is not None:
                return replace(self, refusal=refusal)
        return replace(self, statement=_qualified(self.statement, places)) if places else self


def check_readonly(sql: str, *, functions: Mapping[str, Sequence[Function]] | None = None) -> str:
    """Return the statement, ready to run, when it only reads.

    Args:
        sql: One statement; parameters (``$1``) and a final semicolon are allowed.
        functions: The functions of its names on the server, by name, as ``functions_of`` gives
            them. None judges functions by the built-in lists alone.

    Returns:
        The text to run; see `GuardVerdict.statement`.

    Raises:
        ReadOnlyViolationError: It does something else, or it is too long or too deep to judge.
        QueryError: It is no SQL; ``sqlstate`` is 42601 and the message names the position.
        MissingPackageError: postgast is not installed, so nothing may run.
    """
    verdict = judge(sql, functions=functions)
    if verdict.refusal is not None:
        raise ReadOnlyViolationError(verdict.refusal.message, statement=sql)
    return verdict.statement


def judge(sql: str, *, functions: Mapping[str, Sequence[Function]] | None = None) -> GuardVerdict:
    """Return the guard's verdict; the arguments are those of `check_readonly`.

    Raises:
        QueryError: It is no SQL.
        MissingPackageError: postgast is not installed.
    """
    verdict = examine(sql)
    if verdict.refusal is not None or functions is None:
        return verdict
    return verdict.with_functions(functions)


def examine(sql: str) -> GuardVerdict:
    """Judge all that the text alone can tell.

    Raises:
        QueryError: It is no SQL.
        MissingPackageError: postgast is not installed.
    """
    parser = load_parser()
    refusal = _unreadable(sql) or _unparsable(parser, sql)
    tree = None if refusal is not None else _parse(parser, sql)
    if tree is None:
        return GuardVerdict(statement=sql, kind="other", refusal=refusal or _TOO_DEEP)
    if len(tree.stmts) > 1:
        text = f"{len(tree.stmts)} statements were given: send one at a time"
        refusal = Refusal(reason="several", message=text)
        return GuardVerdict(statement=sql, kind="other", refusal=refusal)
    kind, found = judge_statement(tree.stmts[0].stmt)
    text, begins = _text(sql, tree.stmts[0])
    if isinstance(found, Refusal):
        return GuardVerdict(statement=text, kind=kind, refusal=found)
    return GuardVerdict(statement=text, kind=kind, touched=found, begins=begins)


def load_parser() -> ModuleType:
    """Import the parser; the first time takes some 0.4 s, so do it off the event loop.

    Raises:
        MissingPackageError: It is not installed, or lacks its library.
    """
    try:
        return load("postgast")
    except OSError as error:
        raise MissingPackageError(f"the package 'postgast' does not work here: {error}") from error


def _unreadable(sql: str) -> Refusal | None:
    if "\0" in sql:
        return Refusal(reason="encoding", message="a statement cannot hold a NUL character")
    try:
        size = len(sql.encode())
    except UnicodeEncodeError as error:
        text = f"the statement is no Unicode text: character {error.start + 1} is half a pair"
        return Refusal(reason="encoding", message=text)
    if size > MAX_BYTES:
        text = (
            f"the statement has {size} bytes of {MAX_BYTES} at most: send long lists as parameters"
        )
        return Refusal(reason="size", message=text)
    return None


def _unparsable(parser: ModuleType, sql: str) -> Refusal | None:
    """Keep what is too deep away from the parser, which it would crash."""
    if len(sql) <= _SHALLOW:
        return None
    try:
        tokens = parser.scan(sql).tokens
    except parser.PgQueryError as error:
        raise _syntax_error(error) from None
    names = {number: name for name, number in parser.pg_query_pb2.Token.items()}
    depth = estimate(names[token.token] for token in tokens)
    return _TOO_DEEP if depth > MAX_DEPTH else None


def _parse(parser: ModuleType, sql: str) -> Any:
    """Return the tree, None where it is deeper than its encoding allows."""
    too_deep = load("google.protobuf.message").DecodeError
    try:
        try:
            tree = parser.parse(sql)
        except too_deep:
            with _LONG_CHAINS:
                tree = parser.parse(sql)
    except parser.PgQueryError as error:
        raise _syntax_error(error) from None
    except too_deep:
        return None
    if not tree.stmts:
        raise QueryError("the statement is empty: write one SELECT", sqlstate="42601")
    return tree


class _Deep:
    """Lets protobuf read trees of more than 100 levels, which our own bound has measured.

    A sum of fifty columns or a UNION of a hundred is wide to people, and deep to the encoding.
    The switch is one for the process: two threads must not turn it on and off in turns.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()
        self._turn(on=True)

    def __exit__(self, *_: object) -> None:
        self._turn(on=False)
        self._lock.release()

    @staticmethod
    def _turn(*, on: bool) -> None:
        implementation = load("google.protobuf.internal.api_implementation")
        switch = getattr(implementation._c_module, "SetAllowOversizeProtos", None)  # noqa: SLF001
        if switch is not None:
            switch(on)


_LONG_CHAINS = _Deep()


def _syntax_error(error: Any) -> QueryError:
    where = f" (character {error.cursorpos})" if error.cursorpos else ""
    return QueryError(f"{error.message}{where}", sqlstate="42601")


def _text(sql: str, raw: Any) -> tuple[str, int]:
    """Cut the statement out of the text; a length of 0 means up to the end."""
    data = sql.encode()[raw.stmt_location :]
    found = (data[: raw.stmt_len] if raw.stmt_len else data).decode()
    text = found.strip()
    begins = raw.stmt_location + len(found[: len(found) - len(found.lstrip())].encode())
    return (f"{text}\n" if "--" in text else text), begins


def _qualified(statement: str, places: Sequence[tuple[int, str]]) -> str:
    """Put schemas in front of the names at some places."""
    data = statement.encode()
    for at, schema in sorted(places, reverse=True):
        data = data[:at] + f"{schema}.".encode() + data[at:]
    return data.decode()
