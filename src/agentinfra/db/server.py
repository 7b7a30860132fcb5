"""What a server is and has, and what is set up on one that is ours."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

__all__ = ["READER", "ServerFacts", "survey"]

READER = "agentinfra_reader"
"""The login role reads run under on the embedded server."""

_MARK = "reads for agentinfra, set up 1"
"""The role's comment; counted up whenever the set-up below changes."""

_SURVEY = f"""
SELECT current_setting('server_version') AS version,
       current_setting('server_version_num')::int / 10000 AS major,
       current_setting('agentinfra.data_dir', true) AS embedded,
       coalesce((SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user), false)
           AS superuser,
       pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on' AS standby,
       extversion AS vector, nspname AS vector_schema,
       shobj_description((SELECT oid FROM pg_catalog.pg_roles WHERE rolname = '{READER}'),
                         'pg_authid') IS NOT DISTINCT FROM '{_MARK}' AS prepared
FROM (SELECT 1) AS one
LEFT JOIN (pg_catalog.pg_extension e
           JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace) ON extname = 'vector'
"""  # noqa: S608 - only the constants above are put into it

_ACTING = (
    "pg_terminate_backend pg_cancel_backend pg_notify pg_sleep pg_sleep_for pg_sleep_until "
    "pg_advisory_lock pg_advisory_lock_shared pg_advisory_xact_lock pg_advisory_xact_lock_shared "
    "pg_try_advisory_lock pg_try_advisory_lock_shared pg_try_advisory_xact_lock "
    "pg_try_advisory_xact_lock_shared lo_creat lo_create lo_from_bytea lo_open lo_put lo_unlink "
    "lowrite lo_truncate lo_truncate64 pg_export_snapshot pg_logical_emit_message"
)
"""Functions everybody may call that act on the server or on other sessions."""

_SET_UP = f"""
BEGIN;
SELECT pg_advisory_xact_lock(7013246129);
CREATE EXTENSION IF NOT EXISTS vector;
DO $$
DECLARE
    acting regprocedure;
    place name;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{READER}') THEN
        CREATE ROLE {READER} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOREPLICATION;
    END IF;
    ALTER ROLE {READER} SET default_transaction_read_only = on;
    ALTER ROLE {READER} SET statement_timeout = '60s';
    ALTER ROLE {READER} SET idle_in_transaction_session_timeout = '60s';
    ALTER ROLE {READER} SET temp_file_limit = '1GB';
    FOR place IN SELECT nspname FROM pg_namespace
        WHERE nspname <> 'information_schema' AND nspname NOT LIKE 'pg\\_%' LOOP
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO {READER}', place);
        EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO {READER}', place);
    END LOOP;
    ALTER DEFAULT PRIVILEGES GRANT USAGE ON SCHEMAS TO {READER};
    ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {READER};
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    FOR acting IN SELECT p.oid::regprocedure FROM pg_proc p
        WHERE p.pronamespace = 'pg_catalog'::regnamespace
          AND p.proname = ANY (string_to_array('{_ACTING}', ' ')) LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', acting);
    END LOOP;
    COMMENT ON ROLE {READER} IS '{_MARK}';
END $$;
COMMIT;
"""  # noqa: S608 - only the constants above are put into it
"""One transaction, one at a time: runtimes that start together do not meet in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """What a server is and has.

    Attributes:
        version: PostgreSQL's version.
        major: Its major number.
        embedded: The data folder of a server this package started, empty for any other.
        superuser: Whether we are logged in as a superuser.
        vector: pgvector's version, empty where the extension is not in this database.
        vector_schema: The schema pgvector is in.
    """

    version: str
    major: int
    embedded: str
    superuser: bool
    vector: str
    vector_schema: str

    @property
    def iterative_scans(self) -> bool:
        """Whether pgvector can go on scanning an index until enough rows pass a filter."""
        numbers = self.vector.split(".")[:2]
        return bool(self.vector) and [int(number) for number in numbers] >= [0, 8]


async def survey(connection: Any, folder: str) -> ServerFacts:
    """Look at a server; set up what is missing on one that is ours.

    The embedded server gets pgvector and a reader role. On any other only the extension is
    created, where the user may do that; roles are left to its owner.

    Args:
        connection: Logged in as who writes.
        folder: The folder of the socket, or the host. Only a server whose data is in it is ours.
    """
    row = await connection.fetchrow(_SURVEY)
    ours = row["superuser"] and _is_same(row["embedded"], folder)
    if ours and not (row["prepared"] and row["vector"]):
        await connection.execute(_SET_UP)
        row = await connection.fetchrow(_SURVEY)
    elif not row["vector"] and not row["standby"]:
        await _create_vector(connection)
        row = await connection.fetchrow(_SURVEY)
    return ServerFacts(
        version=row["version"].split()[0],
        major=row["major"],
        embedded=row["embedded"] if ours else "",
        superuser=row["superuser"],
        vector=row["vector"] or "",
        vector_schema=row["vector_schema"] or "",
    )


def _is_same(data_dir: str | None, folder: str) -> bool:
    return bool(data_dir) and os.path.realpath(data_dir or "") == os.path.realpath(folder)


async def _create_vector(connection: Any) -> None:
    from asyncpg import PostgresError

    with suppress(PostgresError):  # not installed there, not allowed, or somebody was faster
        await connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
