"""The read-only guard: what it gives back, and how it says no."""

from __future__ import annotations

import subprocess
import sys

import pytest

from agentinfra.db.guard.functions import Function
from agentinfra.db.guard.judging import (
    MAX_BYTES,
    check_readonly,
    examine,
    judge,
    load_parser,
)
from agentinfra.errors import QueryError, ReadOnlyViolationError

READS = [
    "SELECT 1",
    "select distinct on (a) a, b from t order by a, b desc nulls last fetch first 3 rows with ties",
    "TABLE orders",
    "VALUES (1, 'a'), (2, 'b')",
    "(SELECT 1) UNION ALL (SELECT 2) EXCEPT SELECT 3 ORDER BY 1 LIMIT 5 OFFSET 1",
    "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT * FROM r",
    "WITH RECURSIVE r AS (TABLE t) SEARCH DEPTH FIRST BY n SET o CYCLE n SET c USING p TABLE r",
    "WITH a AS MATERIALIZED (SELECT 1 AS x), b AS NOT MATERIALIZED (TABLE a) SELECT * FROM a, b",
    "SELECT * FROM orders WHERE id = $1 AND day BETWEEN $2 AND $3",
    "SELECT sum(x) FILTER (WHERE y > 0) OVER w FROM t WINDOW w AS (PARTITION BY a ORDER BY b)",
    "SELECT sum(x) OVER (ROWS BETWEEN 1 PRECEDING AND CURRENT ROW EXCLUDE TIES) FROM t",
    "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x) FROM t",
    "SELECT grouping(a), count(*) FROM t GROUP BY GROUPING SETS ((a, b), ROLLUP (a), CUBE (b))",
    "SELECT * FROM a JOIN LATERAL (SELECT * FROM b WHERE b.id = a.id LIMIT 1) x ON true",
    "SELECT * FROM ROWS FROM (generate_series(1, 3), unnest(ARRAY['a', 'b'])) WITH ORDINALITY AS r",
    'SELECT * FROM json_to_recordset($1) AS r(a int, b text COLLATE "C")',
    "SELECT * FROM orders TABLESAMPLE BERNOULLI (10) REPEATABLE (1)",
    "SELECT * FROM XMLTABLE('/r' PASSING x COLUMNS a int PATH '@a' DEFAULT 1, n FOR ORDINALITY)",
    "SELECT * FROM JSON_TABLE(j, '$[*]' PASSING 1 AS x COLUMNS (a int DEFAULT 0 ON EMPTY))",
    "SELECT JSON_OBJECT('a': 1), JSON_ARRAY(1, 2), JSON_VALUE(j, '$.a' RETURNING int), j IS JSON",
    "SELECT JSON_OBJECTAGG(k: v), JSON_ARRAYAGG(v ORDER BY v), JSON_ARRAY(SELECT 1) FROM t",
    "SELECT xmlelement(name a, xmlattributes(1 AS b), 'c'), xmlserialize(content x AS text)",
    "SELECT CASE a WHEN 1 THEN 'x' ELSE 'y' END, COALESCE(a, b), GREATEST(a, b) FROM t",
    "SELECT (ARRAY[1, 2])[1:2], (r).field, ((r).a).b, r.* FROM t r",
    "SELECT x::date, CAST(y AS numeric(10, 2)), date '2026-01-01', interval '1 day' FROM t",
    "SELECT EXTRACT(YEAR FROM d), d AT TIME ZONE 'UTC', SUBSTRING(s FROM 2 FOR 3), TRIM(s) FROM t",
    "SELECT POSITION('a' IN s), OVERLAY(s PLACING 'x' FROM 1), NULLIF(a, b) FROM t",
    "SELECT s LIKE 'a%' ESCAPE '!', s ILIKE 'a', s SIMILAR TO 'a', s ~ '^a' FROM t",
    "SELECT CURRENT_DATE, CURRENT_TIMESTAMP(3), LOCALTIME, CURRENT_USER, now(), random()",
    "SELECT a OPERATOR(pg_catalog.+) b, a <=> b, NOT a, a IS DISTINCT FROM b, a IS NOT TRUE FROM t",
    'SELECT a COLLATE "de_DE" FROM t ORDER BY a USING <',
    "SELECT EXISTS (SELECT 1), 1 = ANY (SELECT 2), ARRAY(SELECT 3), ROW(1, 2) = ROW(1, 2)",
    "SELECT * FROM pg_catalog.pg_class c JOIN pg_attribute a ON a.attrelid = c.oid",
    "SELECT table_name, column_name FROM information_schema.columns",
    "SELECT pg_size_pretty(pg_total_relation_size('orders')), pg_typeof(1), current_database()",
    "SELECT current_setting('TimeZone'), pg_catalog.version()",
    "SELECT t.insert, t.\"update\", 'DROP TABLE t; COMMIT', $$; DELETE FROM t$$ FROM t",
    "SELECT /* DELETE FROM t; /* nested */ */ 1 -- ; DROP TABLE t",
    "SELECT U&'d\\0061ta' UESCAPE '\\', E'\\x41', B'101', x'1F', 1e3",
    "SELECT embedding <-> '[1,2]'::vector AS d FROM docs ORDER BY d LIMIT 5",
    "SELECT json_build_object('into', 1)->>'into' AS \"into\" FROM t AS \"set\"",
]


@pytest.mark.parametrize("sql", READS)
def test_plain_reads_pass(sql: str):
    """Whatever only reads is given back as it is, ready to run."""
    assert check_readonly(sql).strip() == sql


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("SELECT 1", "select"),
        ("VALUES (1)", "select"),
        ("EXPLAIN SELECT 1", "explain"),
        ("EXPLAIN (FORMAT JSON, COSTS off, VERBOSE, BUFFERS) TABLE t", "explain"),
        ("EXPLAIN (ANALYZE, BUFFERS, WAL, TIMING off, SERIALIZE text) TABLE t", "explain"),
        ("SHOW server_version", "show"),
        ("SHOW TIME ZONE", "show"),
    ],
)
def test_kind_tells_what_can_be_wrapped(sql: str, kind: str):
    """The verdict says whether the statement is a query, a plan or a setting."""
    assert (judge(sql).kind, judge(sql).refusal) == (kind, None)


@pytest.mark.parametrize(
    ("sql", "statement"),
    [
        ("SELECT 1;", "SELECT 1"),
        ("  SELECT 1 ;; -- done\n;", "SELECT 1"),
        ("SELECT 'é;€' ;", "SELECT 'é;€'"),
        ("/* é */ SELECT 1;", "SELECT 1"),
        ("SELECT 1 --", "SELECT 1 --\n"),
        ("SELECT 1 /* -- */", "SELECT 1 /* -- */\n"),
    ],
)
def test_statement_can_be_put_in_brackets(sql: str, statement: str):
    """The text given back has no semicolon, and no comment that swallows what follows."""
    assert check_readonly(sql) == statement
    assert check_readonly(f"SELECT * FROM ({check_readonly(sql)}) AS q LIMIT 3")


@pytest.mark.parametrize("sql", ["", "   ", ";", "-- nothing", "/* nothing */ ;"])
def test_empty_statement_is_a_query_error(sql: str):
    """No statement at all is a syntax error, not a violation."""
    with pytest.raises(QueryError, match="empty") as caught:
        check_readonly(sql)
    assert caught.value.sqlstate == "42601"


@pytest.mark.parametrize(
    ("sql", "character"),
    [("SELEC 1", 1), ("SELECT 'é' FORM t x y", 17), ("SELECT 'open", 8), ("SELECT 1 FROM", 14)],
)
def test_syntax_error_names_its_place(sql: str, character: int):
    """What is no SQL raises QueryError 42601 with the character it stumbled at."""
    with pytest.raises(QueryError, match=rf"\(character {character}\)") as caught:
        check_readonly(sql)
    assert caught.value.sqlstate == "42601"


def test_syntax_error_of_a_long_statement_is_the_same():
    """A text long enough to be scanned first says where it is wrong all the same."""
    with pytest.raises(QueryError) as caught:
        check_readonly("SELECT 1" + ", 2" * 400 + ", 'open")
    assert caught.value.sqlstate == "42601"


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT 1\0; DROP TABLE t", "encoding"),
        ("SELECT '\ud800'", "encoding"),
        ("SELECT '" + "x" * MAX_BYTES + "'", "size"),
        ("SELECT '" + "é" * (MAX_BYTES // 2) + "'", "size"),
        ("SELECT 1" + " + 1" * 450, "depth"),
        ("SELECT 1" + "+1" * 30_000, "depth"),
        ("SELECT 1; SELECT 2", "several"),
        ("DROP TABLE t", "statement"),
        ("SELECT 1 FOR UPDATE", "clause"),
        ("SELECT pg_read_file('x')", "function"),
        ("TABLE pg_authid", "relation"),
        ("SHOW ALL", "setting"),
    ],
)
def test_refusals_have_one_word_and_one_line(sql: str, reason: str):
    """Every refusal has a word for the metric and a single line for people."""
    refusal = judge(sql).refusal
    assert refusal is not None
    assert refusal.reason == reason
    assert "\n" not in refusal.message
    assert len(refusal.message) < 200


def test_violation_carries_the_statement():
    """The error holds the statement as it was given, and names what is refused."""
    with pytest.raises(ReadOnlyViolationError, match="CREATE TABLE AS is refused") as caught:
        check_readonly("CREATE TABLE x AS SELECT 1;")
    assert caught.value.statement == "CREATE TABLE x AS SELECT 1;"


KNOWN = {
    "count": [Function(schema="pg_catalog", name="count", least=0, most=1)],
    "total": [
        Function(schema="app", name="total", place=None),
        Function(schema="public", name="total", reads=False),
    ],
    "wipe": [
        Function(schema="public", name="wipe", reads=False, least=0, most=1, whole=False),
        Function(schema="app", name="wipe", reads=False, place=None),
    ],
    "purge": [Function(schema="public", name="purge", reads=False, least=2, most=3)],
    "touch": [Function(schema="public", name="touch", reads=False, least=1, most=1, whole=True)],
    "spread": [Function(schema="public", name="spread", reads=False, least=1, most=None)],
}


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) FROM t",
        "SELECT app.total(1)",
        "SELECT t.count, (r).x FROM t",
        "SELECT nobody_knows(1)",
        "SELECT wipe(1, 2)",  # nothing takes two
        "SELECT purge(1)",
        "SELECT t.purge FROM t",  # takes two arguments, so it is a column
        "SELECT t.wipe FROM t",  # takes a number, so a row of a table has a column
        "SELECT purge, wipe, touch FROM t",
    ],
)
def test_functions_that_may_be_called(sql: str):
    """A function is judged by its schema, its name and the number of its arguments."""
    assert judge(sql, functions=KNOWN).refusal is None


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT wipe()",
        "SELECT app.wipe()",
        "SELECT total(1)",
        "SELECT purge(1, 2)",
        "SELECT purge(a => 1, b => 2)",
        "SELECT spread(1, 2, 3, 4)",
        "SELECT spread(VARIADIC a)",
        "SELECT (1).wipe",
        "SELECT f.wipe FROM count(1) AS f",
        "SELECT count.wipe FROM count(1)",
        "SELECT t.touch FROM t",  # takes a row
        "SELECT ((t).x).touch FROM t",
    ],
)
def test_functions_that_may_write_are_refused(sql: str):
    """Whatever calls one is refused, in every notation."""
    refusal = judge(sql, functions=KNOWN).refusal
    assert refusal is not None
    assert refusal.reason == "function"


def test_denied_functions_stay_denied():
    """A function on the built-in list is refused even where the database calls it harmless."""
    for name in ("ts_stat", "pg_read_file", "set_config"):
        known = {name: [Function(schema="pg_catalog", name=name)]}
        assert judge(f"SELECT {name}('x')", functions=known).refusal is not None


def test_what_is_touched_is_known():
    """The verdict names relations, columns and whole rows, for what the server has to say."""
    touched = examine(
        "SELECT o.id, c, (SELECT max(x) FROM app.t) FROM orders o JOIN customers c USING (cid)"
    ).touched
    assert {(r.schema, r.name, r.alias) for r in touched.relations} == {
        ("app", "t", "t"),
        ("", "orders", "o"),
        ("", "customers", "c"),
    }
    assert touched.columns == {"id", "c", "x", "cid"}
    assert touched.rows == {"c", "x"}
    assert not touched.stars
    for sql in (
        "TABLE t",
        "SELECT t.* FROM t",
        "SELECT (t).* FROM t",
        "SELECT 1 FROM a NATURAL JOIN b",
    ):
        assert examine(sql).touched.stars, sql
    assert not examine("SELECT count(*) FROM t").touched.stars


def test_without_the_parser_nothing_is_judged():
    """Where postgast is missing every judgement raises the sentence that says what to install."""
    script = (
        "import sys; sys.modules['postgast'] = None\n"
        "from agentinfra.db.guard import check_readonly\n"
        "try: check_readonly('SELECT 1')\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("MissingPackageError")
    assert "pip install 'agentinfra'" in done.stdout


def test_importing_the_guard_loads_no_vendor():
    """The parser is imported when it is first needed, not with the module."""
    script = "import sys, agentinfra.db.guard; print('postgast' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_known_node_kinds_exist():
    """Every kind the guard allows is one of the grammar's, so no name in the list is mistyped."""
    from agentinfra.db.guard.names import NODES

    assert set(load_parser().pg_query_pb2.DESCRIPTOR.message_types_by_name) >= NODES
