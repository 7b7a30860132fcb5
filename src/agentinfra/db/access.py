"""The way into one server: two pools and the reader on top of them."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agentinfra._mechanics.vendors import MissingPackageError, load
from agentinfra.db.errors import ErrorMap
from agentinfra.db.pool import ConnectionPool, PoolOptions
from agentinfra.db.reading import Reader
from agentinfra.db.server import READER, ServerFacts, survey
from agentinfra.db.transactions import milliseconds
from agentinfra.observability.semconv import SERVER_ADDRESS, SERVER_PORT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agentinfra.db.outage import Outage
    from agentinfra.observability.metrics import Metrics
    from agentinfra.settings import DatabaseSettings
    from agentinfra.settings.dsn import DSN

__all__ = ["Access", "open_access"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Access:
    """What there is while a server can be used.

    Attributes:
        dsn: Where it is.
        errors: The words for what goes wrong with it.
        facts: What it is and has.
        write: The pool that may write.
        read: The pool whose sessions are read-only.
        reader: What runs judged statements on it.
    """

    dsn: DSN
    errors: ErrorMap
    facts: ServerFacts
    write: ConnectionPool
    read: ConnectionPool
    reader: Reader

    @property
    def connected(self) -> bool:
        """Whether there is any connection that is not known to be broken."""
        return self.write.connected or self.read.connected

    @property
    def pgbouncer(self) -> bool:
        """Whether a pgbouncer in transaction mode is in between."""
        return self.dsn.pgbouncer

    @property
    def address(self) -> dict[str, Any]:
        """The server's address, for spans."""
        host, port = self.dsn.hosts[0] if self.dsn.hosts else ("localhost", None)
        return {SERVER_ADDRESS: host, **({SERVER_PORT: port} if port else {})}

    @property
    def detail(self) -> str:
        """What the server is, for people."""
        facts = self.facts
        vector = f"pgvector {facts.vector}" if facts.vector else "no pgvector"
        where = f"embedded in {facts.embedded}" if facts.embedded else "as given"
        return f"PostgreSQL {facts.version}, {vector}, {where}; {_reads_as(facts)}"

    async def close(self) -> None:
        """Close both pools side by side."""
        await asyncio.gather(self.write.close(), self.read.close())


async def open_access(
    dsn: DSN, settings: DatabaseSettings, *, outage: Outage, metrics: Metrics
) -> Access:
    """Connect, look at the server, and open the pools.

    Raises:
        ConnectionLostError: It cannot be reached, or refuses the login.
        MissingPackageError: asyncpg is not installed.
    """
    if settings.pgbouncer:
        dsn = dsn.replace(params={**dsn.params, "pgbouncer": "true"})
    load("asyncpg")  # the way out when it is missing
    errors, pgbouncer = ErrorMap(dsn), dsn.pgbouncer
    facts = await _look(dsn, errors, settings, pgbouncer=pgbouncer)
    reader_dsn = dsn.replace(user=READER, password=None) if facts.embedded else dsn

    def pool(name: str, login: DSN, prepare: Callable[[Any], Awaitable[None]]) -> ConnectionPool:
        options = PoolOptions(
            name=name,
            connect=_arguments(
                login, settings, _session(name, settings, facts), pgbouncer=pgbouncer
            ),
            prepare=prepare,
            min_size=settings.min_size,
            max_size=settings.max_size,
            acquire_timeout=settings.acquire_timeout,
            resets=not pgbouncer,
        )
        return ConnectionPool(options, errors=errors, outage=outage, metrics=metrics)

    codecs = _Codecs(facts)
    async with AsyncExitStack() as undo:
        write = pool("write", dsn, codecs.vectors)
        undo.push_async_callback(write.close)
        await write.open()
        read = pool("read", reader_dsn, codecs.all)
        undo.push_async_callback(read.close)
        await read.open()
        undo.pop_all()
    begin = _begin(facts, pgbouncer=pgbouncer)
    return Access(
        dsn=dsn,
        errors=errors,
        facts=facts,
        write=write,
        read=read,
        reader=Reader(read, errors=errors, metrics=metrics, begin=begin),
    )


async def _look(
    dsn: DSN, errors: ErrorMap, settings: DatabaseSettings, *, pgbouncer: bool
) -> ServerFacts:
    import asyncpg

    with errors.connecting():
        connection = await asyncpg.connect(**_arguments(dsn, settings, {}, pgbouncer=pgbouncer))
    try:
        with errors.running(connection=connection):
            return await survey(connection, dsn.hosts[0][0] if dsn.hosts else "")
    finally:
        connection.terminate()


def _arguments(
    dsn: DSN, settings: DatabaseSettings, session: dict[str, str], *, pgbouncer: bool
) -> dict[str, Any]:
    """Return the arguments for ``asyncpg.connect``; what the URL says goes before ours."""
    arguments = {"timeout": settings.connect_timeout, **dsn.asyncpg_kwargs()}
    if pgbouncer:  # it refuses session settings, and its servers know no statements of ours
        return arguments | {"statement_cache_size": 0}
    return arguments | {"server_settings": session | arguments.get("server_settings", {})}


def _session(name: str, settings: DatabaseSettings, facts: ServerFacts) -> dict[str, str]:
    session = {
        "application_name": f"agentinfra {name}",
        "statement_timeout": str(milliseconds(settings.statement_timeout)),
        "random_page_cost": "1.1",  # else the planner passes over vector indexes
    }
    if facts.iterative_scans:
        session["hnsw.iterative_scan"] = "strict_order"
    if name == "read":
        session["default_transaction_read_only"] = "on"
        session["idle_in_transaction_session_timeout"] = "60000"
    return session


def _begin(facts: ServerFacts, *, pgbouncer: bool) -> list[str]:
    """Return what each read begins with, beside being read-only."""
    begin = ["SET LOCAL random_page_cost = 1.1"] if pgbouncer else []
    if _lowers_itself(facts):
        begin.append("SET LOCAL ROLE pg_read_all_data")
    return begin


def _lowers_itself(facts: ServerFacts) -> bool:
    return facts.superuser and not facts.embedded and facts.major >= 14


def _reads_as(facts: ServerFacts) -> str:
    if facts.embedded:
        return f"reads as {READER}"
    if _lowers_itself(facts):
        return "reads in READ ONLY transactions as pg_read_all_data: the user is a superuser"
    return "reads in READ ONLY transactions as the same user"


class _Codecs:
    """Teaches new connections the types asyncpg does not know."""

    def __init__(self, facts: ServerFacts) -> None:
        self._facts = facts
        self._register: Any = None
        with suppress(MissingPackageError):  # vectors are then text
            self._register = load("pgvector.asyncpg").register_vector

    async def vectors(self, connection: Any) -> None:
        """Send and receive pgvector's types in binary."""
        if self._facts.vector and self._register is not None:
            await self._register(connection, schema=self._facts.vector_schema)

    async def all(self, connection: Any) -> None:
        """Give JSON as Python values, too."""
        await self.vectors(connection)
        for name in ("json", "jsonb"):
            await connection.set_type_codec(
                name, schema="pg_catalog", encoder=_json_text, decoder=json.loads
            )


def _json_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
