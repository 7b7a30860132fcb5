"""The sales database: filled once, then only read."""

from __future__ import annotations

import asyncio
import hashlib
import math
from dataclasses import replace
from datetime import date, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from agentinfra.demo.bookkeeping import creating
from agentinfra.demo.sales.data import make_sales
from agentinfra.demo.sales.schema import SALES_SCHEMA, TABLES
from agentinfra.errors import ConfigurationError, DatabaseError

if TYPE_CHECKING:
    from agentinfra.db.database import Database
    from agentinfra.results import QueryResult

__all__ = ["SalesDatabase", "scoped", "to_json"]

_ROWS = 200
"""Rows one question gets at most."""

_TIMEOUT = 10.0

_OURS = "sales of the agentinfra demo"
_VERSION = "1"
_MARK = f"{_OURS}, {hashlib.sha256((TABLES + _VERSION).encode()).hexdigest()[:8]}"
"""The schema's comment; another one means that the tables are those of another version."""

_COMMENT = f"SELECT obj_description(to_regnamespace('{SALES_SCHEMA}'), 'pg_namespace')"
_EXISTS = f"SELECT to_regnamespace('{SALES_SCHEMA}') IS NOT NULL"

_NAMES = ("customers", "products", "orders", "order_items")
_SCOPE = ", ".join(
    f"{name} AS NOT MATERIALIZED (SELECT * FROM {SALES_SCHEMA}.{name})"  # noqa: S608
    for name in _NAMES
)


class SalesDatabase:
    """The shop's tables, in a schema of their own.

    Args:
        db: The database.

    Attributes:
        unavailable: Why nothing can be read, empty when it can.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self.unavailable = ""

    async def prepare(self) -> None:
        """Create and fill the tables, unless that was done before.

        Raises:
            ConfigurationError: The schema is somebody else's.
            DatabaseError: The database is away, or the user may not create schemas.
        """
        async with self._db.connection(readonly=False, reset=False) as connection:
            if await connection.fetchval(_COMMENT) == _MARK:
                return
        rows = await asyncio.to_thread(lambda: list(make_sales().tables()))
        async with creating(self._db) as connection:
            await _create(connection, rows)

    async def read(self, sql: str) -> QueryResult:
        """Run a statement that only reads; its values become those of JSON.

        Raises:
            DatabaseError: It was refused, or the database is away.
        """
        if self.unavailable:
            raise DatabaseError(self.unavailable)
        result = await self._db.query(scoped(sql), limit=_ROWS, timeout=_TIMEOUT)
        rows = tuple({name: to_json(value) for name, value in row.items()} for row in result)
        return replace(result, rows=rows)


def scoped(sql: str) -> str:
    """Return a statement in which the shop's tables need no schema in front of their names.

    Nothing has to be set in the session for it, and the statement's own WITH comes first.
    """
    inside = sql.strip().rstrip(";")
    return f"WITH {_SCOPE} SELECT * FROM (\n{inside}\n) AS answer"  # noqa: S608 - it is judged


def to_json(value: Any) -> Any:
    """Return a database's value as one of JSON."""
    if isinstance(value, Decimal):
        value = float(value) if value.is_finite() and value % 1 else _whole(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        return {str(key): to_json(item) for key, item in value.items()}
    return str(value)


def _whole(value: Decimal) -> int | str:
    return int(value) if value.is_finite() else str(value)


async def _create(connection: Any, rows: list[tuple[str, list[tuple[Any, ...]]]]) -> None:
    comment = await connection.fetchval(_COMMENT)
    if comment == _MARK:  # somebody was faster
        return
    if await connection.fetchval(_EXISTS):
        if not (comment or "").startswith(_OURS):
            raise ConfigurationError(
                f"the database has a schema {SALES_SCHEMA} which is not the demo's: "
                "rename it, or name another database with DATABASE_URL"
            )
        await connection.execute(f"DROP SCHEMA {SALES_SCHEMA} CASCADE")
    await connection.execute(f"CREATE SCHEMA {SALES_SCHEMA}")
    await connection.execute(f"SET LOCAL search_path = {SALES_SCHEMA}")
    await connection.execute(TABLES)
    for name, records in rows:
        await connection.copy_records_to_table(name, records=records, schema_name=SALES_SCHEMA)
    await connection.execute("CREATE INDEX ON orders (customer_id)")
    await connection.execute("CREATE INDEX ON order_items (order_id)")
    await connection.execute(f"COMMENT ON SCHEMA {SALES_SCHEMA} IS '{_MARK}'")
