"""Statements that nest too deeply are refused before they reach the parser."""

from __future__ import annotations

import subprocess
import sys
from bisect import bisect_right

import pytest

from agentinfra.db.guard.depth import estimate
from agentinfra.db.guard.judging import MAX_DEPTH, judge, load_parser

DEEP = {
    "operators": lambda n: "SELECT 1" + "+1" * n,
    "not": lambda n: "SELECT " + "NOT " * n + "a",
    "minus": lambda n: "SELECT " + "- " * n + "a",
    "union": lambda n: "SELECT 1, 2" + " UNION SELECT 1, 2" * n,
    "bracketed union": lambda n: "(" * n + "SELECT 1" + " UNION SELECT 2)" * n,
    "scalar subselect": lambda n: "SELECT " + "(SELECT " * n + "1" + ")" * n,
    "from subselect": lambda n: "SELECT * FROM " + "(SELECT * FROM " * n + "t" + ") x" * n,
    "call": lambda n: "SELECT " + "f(" * n + "1" + ")" * n,
    "join": lambda n: "SELECT * FROM a" + " JOIN b ON true" * n,
    "join with and": lambda n: "SELECT * FROM a" + " JOIN b ON x = 1 AND y = 2" * n,
    "else": lambda n: "SELECT " + "CASE WHEN a THEN b ELSE " * n + "1" + " END" * n,
    "when": lambda n: "SELECT " + "CASE WHEN " * n + "1" + " THEN 1 END" * n,
    "and or": lambda n: "SELECT " + "(a AND (b OR " * n + "c" + "))" * n,
    "cast": lambda n: "SELECT a" + "::int" * n,
    "is null": lambda n: "SELECT a" + " IS NULL" * n,
    "between": lambda n: "SELECT x" + " BETWEEN 1 AND NOT y" * n,
    "subscript": lambda n: "SELECT " + "a[" * n + "1" + "]" * n,
    "row": lambda n: "SELECT " + "(1, " * n + "1" + ")" * n,
    "with": lambda n: "WITH a AS (" * n + "SELECT 1" + ") SELECT 1" * n,
    # Keywords that are mere names must not look like the end of a part.
    "column named end": lambda n: "SELECT x" + "+f(x.end, 2)" * n,
    "label named end": lambda n: "SELECT x" + "+(SELECT 1 AS end, 2)" * n,
    "bare label end": lambda n: "SELECT x" + "+(SELECT 1 end, 2)" * n,
    "bare label case": lambda n: "SELECT x" + "+(SELECT 1 case, 2)" * n,
    "column named when": lambda n: "SELECT x" + "+x.when" * n,
    "column named or": lambda n: "SELECT x" + "+x. /* why */ or" * n,
}
SHALLOW = {
    "columns": lambda n: "SELECT " + ", ".join(f"a{i} + 1" for i in range(n)) + " FROM t",
    "list": lambda n: "SELECT 1 WHERE x IN (" + ", ".join(map(str, range(n))) + ")",
    "and": lambda n: "SELECT 1 WHERE a = 0" + " AND NOT b IS NULL" * n,
    "or": lambda n: "SELECT 1 WHERE a = 0" + " OR (b = 1 AND c BETWEEN 1 AND 2)" * n,
    "values": lambda n: "VALUES (1, 'a')" + ", (2, 'b')" * n,
    "case": lambda n: "SELECT CASE" + " WHEN a = 1 THEN 'x'" * n + " ELSE 'y' END",
    "with": lambda n: (
        "WITH c AS (SELECT 1)"
        + "".join(f", c{i} AS (SELECT 1 FROM c)" for i in range(n))
        + " SELECT 1"
    ),
}


def estimated(sql: str) -> int:
    """Give the bound of a statement's depth."""
    parser = load_parser()
    name_of = parser.pg_query_pb2.Token.Name
    return estimate(name_of(token.token) for token in parser.scan(sql).tokens)


@pytest.mark.parametrize("form", DEEP)
def test_every_level_is_counted(form: str):
    """The estimate grows by at least one with every level a construct nests."""
    few, many = estimated(DEEP[form](300)), estimated(DEEP[form](500))
    assert many - few >= 200


@pytest.mark.parametrize("form", DEEP)
def test_deep_statements_are_refused(form: str):
    """What would end the process in the parser is refused for its depth."""
    refusal = judge(DEEP[form](3000)).refusal
    assert refusal is not None
    assert refusal.reason == "depth"


@pytest.mark.parametrize("form", SHALLOW)
def test_long_and_flat_statements_pass(form: str):
    """Two thousand columns, values or conditions side by side are no depth."""
    assert judge(SHALLOW[form](2000)).refusal is None


WIDE = {
    "union": lambda n: " UNION ALL ".join(f"SELECT a{i} + b, c FROM t{i}" for i in range(n)),
    "join": lambda n: "SELECT 1 FROM t" + "".join(f" JOIN t{i} USING (id)" for i in range(n)),
    "sum": lambda n: "SELECT " + " + ".join(f"c{i}" for i in range(n)) + " FROM t",
    "texts": lambda n: "SELECT " + " || ', ' || ".join(f"c{i}" for i in range(n // 2)) + " FROM t",
}


@pytest.mark.parametrize("form", WIDE)
def test_wide_is_not_deep(form: str):
    """Three hundred joins, unions or operands are ordinary, however deep their encoding is."""
    verdict = judge(WIDE[form](300))
    assert verdict.refusal is None
    assert verdict.kind == "select"


def test_small_stacks_survive():
    """On a thread of 512 KB nothing the guard lets into the parser ends the process."""
    script = (
        "import sys, threading\n"
        "from agentinfra.db.guard.judging import judge\n"
        "threading.stack_size(512 * 1024)\n"
        "work = [line for line in sys.stdin.read().split('\\n')]\n"
        "def run():\n"
        "    for sql in work: judge(sql)\n"
        "thread = threading.Thread(target=run); thread.start(); thread.join(); print('alive')"
    )
    statements = []
    for make in DEEP.values():
        most = bisect_right(
            range(MAX_DEPTH), MAX_DEPTH, key=lambda n, make=make: estimated(make(n))
        )
        statements += [make(most - 1), make(most)]
    done = subprocess.run(
        [sys.executable, "-c", script],
        input="\n".join(statements),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "alive"), done.stderr[-500:]
