"""What is known of the server: one description, made while connecting, read by everybody."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agentinfra.db.layout import LOCK, MIGRATIONS, Layout, choose, migrate
from agentinfra.db.reader_role import READER, ReaderRole
from agentinfra.db.scope import Scope, quoted

if TYPE_CHECKING:
    from agentinfra.settings import DatabaseSettings

__all__ = ["PROBE", "Server", "survey"]

PROBE = "agentinfra.asks"
"""A session setting that says nothing: who drops or refuses it is a pooler, not a server."""

_SURVEY = f"""
SELECT current_setting('server_version') AS version,
       current_setting('server_version_num')::int / 10000 AS major,
       current_setting('agentinfra.data_dir', true) AS embedded,
       current_setting('{PROBE}', true) AS probe,
       session_user::text AS login,
       coalesce((SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user), false)
           AS superuser,
       pg_catalog.pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on'
           AS standby,
       extversion AS vector, n.nspname::text AS vector_schema,
       coalesce((SELECT pg_catalog.pg_has_role(r.oid, CASE
                     WHEN current_setting('server_version_num')::int >= 160000
                     THEN 'SET' ELSE 'MEMBER' END)
                 AND EXISTS (SELECT FROM pg_catalog.pg_class c
                             WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.oid >= 16384
                             AND pg_catalog.has_table_privilege(r.oid, c.oid, 'SELECT'))
                 FROM pg_catalog.pg_roles r WHERE r.rolname = '{READER}'), false) AS may_lower,
       pg_catalog.has_database_privilege(current_database(), 'CREATE') AS may_create_schema
FROM (SELECT 1) AS one
LEFT JOIN (pg_catalog.pg_extension e
           JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace) ON extname = 'vector'
"""  # noqa: S608 - only the constants above are put into it

_FIRST_WITH_READ_ALL = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What a server is and has.

    Attributes:
        version: PostgreSQL's version.
        major: Its major number.
        login: Who is logged in.
        embedded: The data folder of a server this package started, empty for any other.
        superuser: Whether the login is a superuser.
        pooled: Whether sessions are shared with others, by a pgbouncer in transaction mode.
        vector: pgvector's version, empty where the extension is not in this database.
        vector_schema: The schema pgvector is in.
        layout: Where our own tables are.
        role: What the role may that SQL of others reads as.
        lowers: Whether the login may become that role, and the role may read anything here:
            roles belong to all databases of a server, and what they may to each one.
    """

    version: str
    major: int
    login: str
    embedded: str
    superuser: bool
    pooled: bool
    vector: str
    vector_schema: str
    layout: Layout
    role: ReaderRole
    lowers: bool

    @property
    def schema(self) -> str:
        """The schema of our own tables, quoted."""
        return quoted(self.layout.schema)

    @property
    def iterative_scans(self) -> bool:
        """Whether pgvector can go on scanning an index until enough rows pass a filter."""
        numbers = self.vector.split(".")[:2]
        return bool(self.vector) and [int(number) for number in numbers] >= [0, 8]

    @property
    def reads_as(self) -> str:
        """The role that reads are lowered to in their transactions, empty for none."""
        if self.embedded:
            return ""  # its reads are logged in as the role
        if self.lowers:
            return READER
        return "pg_read_all_data" if self.superuser and self.major >= _FIRST_WITH_READ_ALL else ""

    @property
    def detail(self) -> str:
        """What the server is, for people."""
        vector = f"pgvector {self.vector}" if self.vector else "no pgvector"
        where = f"embedded in {self.embedded}" if self.embedded else "as given"
        through = ", through a pgbouncer" if self.pooled else ""
        return f"PostgreSQL {self.version}, {vector}, {where}{through}; {self._reading}"

    @property
    def _reading(self) -> str:
        if self.embedded:
            return f"reads as {READER}"
        if self.lowers:
            return f"reads in READ ONLY transactions as {READER}"
        sentences = "; ".join(self.role.sentences(self.login))
        todo = f"to have them read as {READER}, run: {sentences}"
        if self.reads_as:
            who = f"as {self.reads_as}: the user is a superuser"
        else:
            who = "as the same user"
        return f"reads in READ ONLY transactions {who} ({todo})"

    def vector_type(self, name: str) -> str:
        """Return one of pgvector's types as it is named from anywhere."""
        return f"{quoted(self.vector_schema)}.{name}"


async def survey(
    connection: Any, folder: str, settings: DatabaseSettings, *, pooled: bool
) -> Server:
    """Look at a server; set up what is missing on one that is ours.

    The embedded server gets pgvector, our tables and a reader role in each database. On any other
    only the extension is created, where the user may do that, and tables of an earlier layout are
    brought to today's; roles are left to its owner.

    Args:
        connection: Logged in as who writes.
        folder: The folder of the socket, or the host. Only a server whose data is in it is ours.
        settings: Which schema, and what may be read.
        pooled: Whether a pgbouncer is in between.

    Raises:
        DatabaseError: What an earlier layout left cannot be brought to today's.
    """
    row = await connection.fetchrow(_SURVEY)
    ours = bool(row["superuser"]) and _is_same(row["embedded"], folder)
    if not row["vector"] and not row["standby"]:
        await _create_vector(connection)
        row = await connection.fetchrow(_SURVEY)
    layout = await _look(connection, row, settings)
    if ours or (layout.earlier and not layout.lacking and not row["standby"]):
        await migrate(connection, layout)
        layout = await _look(connection, row, settings)
    scope = Scope(ours=layout.schema, readable=settings.readable, hidden=settings.hidden)
    role = ReaderRole(scope=scope)
    if ours:
        await _set_up_reader(connection, layout, role)
    return Server(
        version=row["version"].split()[0],
        major=row["major"],
        login=row["login"],
        embedded=row["embedded"] if ours else "",
        superuser=row["superuser"],
        pooled=pooled,
        vector=row["vector"] or "",
        vector_schema=row["vector_schema"] or "",
        layout=layout,
        role=role,
        lowers=row["may_lower"],
    )


async def _look(connection: Any, row: Any, settings: DatabaseSettings) -> Layout:
    return await choose(
        connection,
        wanted=settings.schema,
        may_create_schema=row["may_create_schema"],
        login=row["login"],
    )


async def _set_up_reader(connection: Any, layout: Layout, role: ReaderRole) -> None:
    """Grant the role what it may read in this database, unless that was done."""
    wanted = f"reader {role.mark}"
    if wanted in layout.steps:
        return
    table = f"{quoted(layout.schema)}.{MIGRATIONS}"
    async with connection.transaction():
        await connection.execute("SELECT pg_catalog.pg_advisory_xact_lock($1)", LOCK)
        await role.set_up(connection)
        await connection.execute(f"DELETE FROM {table} WHERE starts_with(name, 'reader ')")  # noqa: S608
        await connection.execute(f"INSERT INTO {table} (name) VALUES ($1)", wanted)  # noqa: S608


def _is_same(data_dir: str | None, folder: str) -> bool:
    return bool(data_dir) and os.path.realpath(data_dir or "") == os.path.realpath(folder)


async def _create_vector(connection: Any) -> None:
    from asyncpg import PostgresError

    with suppress(PostgresError):  # not installed there, not allowed, or somebody was faster
        await connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
