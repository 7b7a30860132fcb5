# ruff: noqa: S608 - names are quoted, and come from the settings and the catalog
"""The role that SQL of others reads as: what it may, and the sentences that make it so."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from agentinfra.db.scope import MARKS, Scope, Seen, quoted

__all__ = ["READER", "ReaderRole"]

READER = "agentinfra_reader"
"""A login of its own on the embedded server; on others a role that reads are lowered to."""

_REVISION = "2"
"""Counted up whenever the statements below change."""

_ACTING = (
    "pg_terminate_backend pg_cancel_backend pg_notify pg_sleep pg_sleep_for pg_sleep_until "
    "pg_advisory_lock pg_advisory_lock_shared pg_advisory_xact_lock pg_advisory_xact_lock_shared "
    "pg_try_advisory_lock pg_try_advisory_lock_shared pg_try_advisory_xact_lock "
    "pg_try_advisory_xact_lock_shared lo_creat lo_create lo_from_bytea lo_open lo_put lo_unlink "
    "lowrite lo_truncate lo_truncate64 pg_export_snapshot pg_logical_emit_message"
)
"""Functions everybody may call that act on the server or on other sessions."""

_ROLE = f"""
DO $$
DECLARE acting regprocedure;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{READER}') THEN
        CREATE ROLE {READER} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOREPLICATION;
    END IF;
    ALTER ROLE {READER} SET default_transaction_read_only = on;
    ALTER ROLE {READER} SET statement_timeout = '60s';
    ALTER ROLE {READER} SET idle_in_transaction_session_timeout = '60s';
    ALTER ROLE {READER} SET temp_file_limit = '1GB';
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    FOR acting IN SELECT p.oid::regprocedure FROM pg_proc p
        WHERE p.pronamespace = 'pg_catalog'::regnamespace
          AND p.proname = ANY (string_to_array('{_ACTING}', ' ')) LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', acting);
    END LOOP;
END $$;
"""

_SCHEMAS = """
SELECT nspname::text FROM pg_catalog.pg_namespace
WHERE nspname <> 'information_schema' AND NOT starts_with(nspname, 'pg_') ORDER BY 1
"""

_TABLES = """
SELECT n.nspname::text AS schema, c.relname::text AS name,
       (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname = ANY ($1::text[]) ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderRole:
    """What the role may read in one database.

    Attributes:
        scope: Which relations SQL of others may name.
    """

    scope: Scope

    @property
    def mark(self) -> str:
        """What stands in the database when it was set up like this."""
        text = f"{_REVISION} {self.scope}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    async def set_up(self, connection: Any) -> None:
        """Make the role on a server of ours, and grant it what it may read in this database.

        Call it in a transaction; runtimes that start together come one after the other.
        """
        await connection.execute(_ROLE)
        schemas = [row[0] for row in await connection.fetch(_SCHEMAS)]
        tables = await connection.fetch(_TABLES, schemas)
        statements = [*self._nothing(schemas), *self._defaults()]
        statements += [
            f"GRANT USAGE ON SCHEMA {quoted(schema)} TO {READER}"
            for schema in schemas
            if self.scope.names_in(schema)
        ]
        ours = {row["schema"] for row in tables if row["name"] in MARKS}
        for row in tables:
            schema = row["schema"]
            seen = Seen(schema=schema, name=row["name"], beside_ours=schema in ours)
            what = self.scope.readable_columns(seen, row["columns"] or ())
            if what is None:
                continue
            columns = f" ({', '.join(map(quoted, what))})" if what else ""
            table = f"{quoted(row['schema'])}.{quoted(row['name'])}"
            statements.append(f"GRANT SELECT{columns} ON {table} TO {READER}")
        await connection.execute(";\n".join(statements))

    @staticmethod
    def exceptions_for(user: str) -> tuple[str, ...]:
        """Return what gives another user of a server of ours back the locks our code takes."""
        return tuple(
            f"GRANT EXECUTE ON FUNCTION pg_catalog.{name}(bigint) TO {quoted(user)}"
            for name in ("pg_advisory_xact_lock", "pg_try_advisory_lock", "pg_advisory_unlock")
        )

    def sentences(self, login: str) -> tuple[str, ...]:
        """Return what the owner of a server has to run, so that reads can be lowered to the role.

        Args:
            login: Who connects.
        """
        scope = self.scope
        wide = scope.readable is None
        schemas = ["public"] if scope.readable is None else scope.readable_schemas
        granted = [f"CREATE ROLE {READER} NOLOGIN"]
        for schema in schemas:
            granted.append(f"GRANT USAGE ON SCHEMA {quoted(schema)} TO {READER}")
            if wide or schema in (scope.readable or ()):
                granted.append(f"GRANT SELECT ON ALL TABLES IN SCHEMA {quoted(schema)} TO {READER}")
        for schema, table in scope.readable_tables:
            granted.append(f"GRANT SELECT ON {quoted(schema)}.{quoted(table)} TO {READER}")
        for schema, table in scope.hidden_tables:
            granted.append(f"REVOKE SELECT ON {quoted(schema)}.{quoted(table)} FROM {READER}")
        return (*granted, f"GRANT {READER} TO {quoted(login)}")

    def _nothing(self, schemas: list[str]) -> list[str]:
        """Take everything back: what was readable before need not be so now."""
        statements = []
        for schema in map(quoted, schemas):
            statements.append(f"REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {READER}")
            statements.append(f"REVOKE ALL ON SCHEMA {schema} FROM {READER}")
        return statements

    def _defaults(self) -> list[str]:
        """Return the privileges on what is made later: all, unless what is readable is listed."""
        verb, word = ("GRANT", "TO") if self.scope.readable is None else ("REVOKE", "FROM")
        return [
            f"ALTER DEFAULT PRIVILEGES {verb} USAGE ON SCHEMAS {word} {READER}",
            f"ALTER DEFAULT PRIVILEGES {verb} SELECT ON TABLES {word} {READER}",
        ]
