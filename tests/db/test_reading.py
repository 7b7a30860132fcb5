"""What reads give: bounded, typed, and true to what the tables are now."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from agentinfra.db.database import Database
from agentinfra.errors import QueryError, ReadOnlyViolationError
from agentinfra.settings import DatabaseSettings

UNDECODABLE = {
    "a date before Christ": ("'0044-03-15 BC'::date", "date"),
    "a late moment": ("'294276-01-01'::timestamptz", "timestamptz"),
    "the end of a day": ("'24:00'::time", "time"),
    "a long number in JSON": ("'1e5000'::jsonb", "jsonb"),
    "deep JSON": ("(repeat('[', 6000) || repeat(']', 6000))::jsonb", "jsonb"),
    "an interval without end": ("'infinity'::interval", "interval"),
}


@pytest.mark.parametrize("name", UNDECODABLE)
async def test_a_value_python_cannot_hold_names_its_column(database, name):
    """It is a QueryError with the column and its type, and the connection is good for more."""
    value, kind = UNDECODABLE[name]
    if kind == "interval" and database.server.major < 17:
        pytest.skip("intervals have an end there")
    with pytest.raises(QueryError, match=rf"column 'odd' \({kind}\)") as caught:
        await database.query(f"SELECT 1 AS fine, {value} AS odd")
    assert "\n" not in str(caught.value)
    assert (await database.query(f"SELECT ({value})::text IS NOT NULL AS n"))[0]["n"] is True


async def test_rows_in_rows(database):
    """Whole rows, rows of rows and lists of rows are plain values, JSON in them too."""
    await database.execute(
        "DROP TABLE IF EXISTS customers; CREATE TABLE customers (id int, profile jsonb, j json);"
        """INSERT INTO customers VALUES (1, '{"tier": "gold"}', '[1]')"""
    )
    row = {"id": 1, "profile": {"tier": "gold"}, "j": [1]}
    found = (await database.query("SELECT c, ROW(7, c) AS deep FROM customers c"))[0]
    assert found["c"] == row
    many = await database.query("SELECT array_agg(c) AS many FROM customers c")
    assert many[0]["many"] == [row]
    assert found["deep"] == (7, row)


async def test_json_goes_out_as_it_comes(database):
    """JSON can be given as an argument as a value or as its text."""
    for value in ({"a": [1, None]}, '{"a": [1, null]}'):
        result = await database.query("SELECT $1::jsonb AS b, $1::jsonb::json AS j", value)
        assert dict(result[0]) == {"b": {"a": [1, None]}, "j": {"a": [1, None]}}


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE moving ADD COLUMN c int DEFAULT 3",
        "ALTER TABLE moving RENAME COLUMN a TO z",
        "ALTER TABLE moving DROP COLUMN a; ALTER TABLE moving ADD COLUMN d text DEFAULT 'd'",
        "ALTER TABLE moving ALTER COLUMN a TYPE text",
        "DROP TABLE moving; CREATE TABLE moving AS SELECT 9 AS q",
    ],
)
@pytest.mark.parametrize("elsewhere", [False, True])
async def test_a_table_that_changes_is_read_as_it_is(database, postgres_url, change, elsewhere):
    """What is remembered of a statement never goes before what the table is.

    On the connection that has it prepared the server says so; on another one nobody does.
    """
    await database.execute(
        "DROP TABLE IF EXISTS moving; CREATE TABLE moving AS SELECT 1 AS a, 2 AS b"
    )
    for _ in range(2):
        await database.query("SELECT * FROM moving")
    await database.execute(change)
    async with Database(DatabaseSettings(), url=postgres_url) as fresh:
        truth = await fresh.query("SELECT * FROM moving")
    async with database.connection() if elsewhere else nullcontext():  # that one
        for _ in range(2):
            result = await database.query("SELECT * FROM moving")
            assert (result.columns, result.rows) == (truth.columns, truth.rows)


async def test_a_type_that_changes_is_no_outage(database):
    """A composite type that was altered is read anew, and the database stays ready."""
    await database.execute(
        "DROP TABLE IF EXISTS typed; DROP TYPE IF EXISTS pair; CREATE TYPE pair AS (x int, y int);"
        "CREATE TABLE typed (p pair); INSERT INTO typed VALUES ((1, 2))"
    )
    assert (await database.query("SELECT p FROM typed"))[0]["p"] == {"x": 1, "y": 2}
    await database.execute("ALTER TYPE pair ADD ATTRIBUTE z int")
    assert (await database.query("SELECT p FROM typed"))[0]["p"] == {"x": 1, "y": 2, "z": None}
    assert database.state == "ready"


async def test_functions_are_what_they_are_now(database):
    """A function that became VOLATILE is refused at once, and one that became STABLE may run."""
    make = "CREATE OR REPLACE FUNCTION shifting(int) RETURNS int LANGUAGE sql {} AS 'SELECT $1'"
    for _ in range(2):
        await database.execute(make.format("STABLE"))
        for _ in range(2):
            assert (await database.query("SELECT shifting(3) AS n"))[0]["n"] == 3
        await database.execute(make.format("VOLATILE"))
        for sql in ("SELECT shifting(3) AS n", "EXPLAIN (ANALYZE) SELECT shifting(3)"):
            with pytest.raises(ReadOnlyViolationError):
                await database.query(sql)
    await database.query("SELECT upper('x') AS n")
    await database.execute(
        "CREATE FUNCTION upper(boolean) RETURNS text LANGUAGE sql VOLATILE AS 'SELECT ''!'''"
    )
    assert (await database.query("SELECT upper('x') AS n"))[0]["n"] == "X"
    await database.execute("DROP FUNCTION upper(boolean); DROP FUNCTION shifting(int)")


async def test_bytes_are_bounded_whatever_the_columns_are(postgres_url):
    """Large rows are cut off by their bytes: texts, JSON, lists, whole rows, twin names."""
    async with Database(DatabaseSettings(byte_limit=20_000), url=postgres_url) as db:
        for value in (
            "repeat('x', 3000)",
            "repeat('é', 1500)",
            "jsonb_build_object('a', repeat('x', 3000))",
            "ARRAY[repeat('x', 3000)]",
            "ROW(repeat('x', 3000))",
            "convert_to(repeat('x', 3000), 'UTF8')",
            "repeat('x', 1500) AS a, repeat('x', 1500)",
        ):
            for _ in range(2):
                result = await db.query(f"SELECT {value} AS a FROM generate_series(1, 100)")
                assert 3 <= len(result) <= 6, value
                assert result.truncated
        few = await db.query("SELECT repeat('x', 3000) AS a FROM generate_series(1, 3)")
        assert (len(few), few.truncated) == (3, False)


async def test_an_own_division_by_zero_is_an_error(database):
    """What looks like a large row is told from a statement that divides by zero."""
    for _ in range(2):
        with pytest.raises(QueryError) as caught:
            await database.query("SELECT 1 / (n - n) FROM generate_series(1, 3) AS n")
        assert caught.value.sqlstate == "22012"
    with pytest.raises(QueryError) as negative:
        await database.query("SELECT upper('x') LIMIT -1")
    assert negative.value.sqlstate == "2201W"


async def test_wrong_order_by_is_told_as_it_was_written(database):
    """Errors speak of the statement that was given."""
    for _ in range(2):
        with pytest.raises(QueryError, match="position 7") as caught:
            await database.query("SELECT 1 AS a ORDER BY 7")
        assert caught.value.sqlstate == "42P10"
