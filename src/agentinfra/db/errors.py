"""What asyncpg and the socket say, in our words: one table, and nothing else catches them."""

from __future__ import annotations

import socket
import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from agentinfra.errors import (
    ConfigurationError,
    ConnectionLostError,
    DatabaseError,
    PoolTimeoutError,
    QueryError,
    ReadOnlyViolationError,
    StatementTimeoutError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from agentinfra.settings.dsn import DSN

__all__ = ["POOLER", "ErrorMap", "is_gone"]

_LOST = {
    "08": "the connection broke: {said}",
    "28P01": "the password of the user is wrong: correct it in the URL",
    "28000": "the user may not log in: {said}",
    "3D000": "there is no such database: create it, or correct its name in the URL",
    "42501": "the user may not connect to it: {said}",
    "53300": "it has no connection left: lower max_size, or raise its max_connections",
    "57P01": "the server ended the connection: {said}",
    "57P02": "the server crashed: {said}",
    "57P03": "the server is starting or stopping",
    "57P04": "the database was dropped",
    "57P05": "the connection was idle for too long: {said}",
    "25P03": "the transaction was idle for too long: {said}",
    "25P04": "the transaction took too long: {said}",
}
"""What ends a connection, or keeps one from being opened; by SQLSTATE or its class."""


_PROTOCOL_VIOLATION = "08P01"

POOLER = (
    "a pgbouncer (or a pooler like it) is in between, which takes no settings for sessions: set "
    "AGENTINFRA_DATABASE__PGBOUNCER=true, or add ?pgbouncer=true to the URL"
)

_NO_SOCKET = "there is no such socket: start the server, or correct the folder in the URL"
_NO_CERTIFICATE = "a certificate's file is missing: correct sslrootcert, sslcert or sslkey"


class ErrorMap:
    """Turns the errors of one database into ours. Their messages name it, never its password.

    Args:
        dsn: The database.
    """

    def __init__(self, dsn: DSN) -> None:
        hosts = ", ".join(
            f"{f'[{host}]' if ':' in host else host}" + (f":{port}" if port else "")
            for host, port in dsn.hosts
        )
        database = repr(dsn.database) if dsn.database else "of the user's name"
        user = f" as user {dsn.user!r}" if dsn.user else ""
        self.place = f"database {database} at {hosts or 'the default address'}{user}"
        self._has_password = dsn.password is not None
        self._on_socket = any(host.startswith("/") for host, _ in dsn.hosts)

    @contextmanager
    def connecting(self) -> Iterator[None]:
        """Map everything that can go wrong while a connection is opened."""
        try:
            yield
        except (OSError, TimeoutError) as error:
            raise self.lost(self._said_by_the_socket(error)) from error
        except Exception as error:
            mapped = self._known(error, "", connecting=True)
            if mapped is None:
                raise
            raise mapped from error

    @contextmanager
    def running(
        self, *, statement: str = "", connection: Any = None, timeout: float | None = None
    ) -> Iterator[None]:
        """Map what the driver raises while statements run.

        Args:
            statement: The statement, where there is one only.
            connection: The connection; that it is closed tells what an odd error means.
            timeout: Seconds the statement may take; None leaves a ``TimeoutError`` alone, which
                then belongs to somebody else's block.
        """
        try:
            yield
        except TimeoutError as error:
            if timeout is None:
                raise
            raise _too_slow(timeout) from error
        except Exception as error:
            gone = connection is not None and is_gone(connection)
            mapped = self._known(_cause(error), statement, gone=gone)
            if mapped is None:
                raise
            raise mapped from error

    def lost(self, why: str) -> ConnectionLostError:
        """Return the error for a database that cannot be used, and why."""
        return ConnectionLostError(f"{self.place}: {why}")

    def exhausted(self, size: int, timeout: float) -> PoolTimeoutError:
        """Return the error for a pool that has no connection free."""
        return PoolTimeoutError(
            f"{self.place}: none of {size} connections became free within {timeout:g} s: "
            "give connections back sooner, or raise AGENTINFRA_DATABASE__MAX_SIZE"
        )

    def stuck(self, pids: Sequence[int], size: int) -> PoolTimeoutError:
        """Return the error for a pool whose connections are held by what does not stop."""
        return PoolTimeoutError(
            f"{self.place}: {len(pids)} of {size} connections are held by statements that were "
            f"told to stop and have not (backends {', '.join(map(str, pids))}): they are free "
            "when those end"
        )

    def _known(
        self,
        error: BaseException,
        statement: str,
        *,
        connecting: bool = False,
        gone: bool = False,
    ) -> Exception | None:
        """Return our error for a driver's, None where it is none of theirs."""
        from asyncpg import (
            ClientConfigurationError,
            InterfaceError,
            InternalClientError,
            OutdatedSchemaCacheError,
            PostgresError,
            TargetServerAttributeNotMatched,
        )

        if isinstance(error, ClientConfigurationError):
            return ConfigurationError(f"{self.place}: {_line(error)}")
        if isinstance(error, PostgresError):
            if connecting and error.sqlstate == _PROTOCOL_VIOLATION:
                return ConfigurationError(f"{self.place}: {POOLER}")
            return self._refused(error, statement, connecting=connecting)
        if isinstance(error, TargetServerAttributeNotMatched):
            return self.lost("no host is what target_session_attrs asks for")
        if isinstance(error, OutdatedSchemaCacheError):
            return QueryError(f"a type has changed meanwhile ({_line(error)}): send it again")
        if isinstance(error, InternalClientError):
            return self.lost(_line(error))
        if isinstance(error, InterfaceError) and gone:
            return self.lost("the connection broke while it was in use")
        if isinstance(error, InterfaceError):
            lost = connecting or "closed" in str(error) or "closing" in str(error)
            return self.lost(_line(error)) if lost else QueryError(_line(error))
        if isinstance(error, OSError) and gone:
            return self.lost(self._said_by_the_socket(error))
        return None

    def _refused(self, error: Any, statement: str, *, connecting: bool) -> DatabaseError:
        state: str = error.sqlstate or ""
        if state == "28P01" and not self._has_password:
            return self.lost("it asks for a password, and none is given: put one into the URL")
        lost = _LOST.get(state) or _LOST.get(state[:2])
        if lost is not None and (connecting or state != "42501"):
            return self.lost(lost.format(said=_line(error)))
        if connecting:
            return self.lost(_line(error))
        if state == "25006":
            return ReadOnlyViolationError(_line(error), statement=statement)
        if state == "57014" and "timeout" in str(error):
            return StatementTimeoutError(f"{_line(error)}: ask for less, or allow more time")
        if state == "55P03":
            return StatementTimeoutError(f"{_line(error)}: another transaction holds a lock")
        return QueryError(_line(error), sqlstate=state)

    def _said_by_the_socket(self, error: OSError) -> str:
        text = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, socket.gaierror):
            return "the host is unknown: correct its name in the URL"
        if isinstance(error, ssl.SSLError) or "SSL" in text:
            return f"no TLS connection can be made ({text}): check sslmode and the certificates"
        if isinstance(error, TimeoutError):
            return "no answer in time: check the address and the firewall, or raise connect_timeout"
        if isinstance(error, FileNotFoundError):
            return _NO_SOCKET if self._on_socket else _NO_CERTIFICATE
        if isinstance(error, ConnectionRefusedError) or "Connect call failed" in text:
            return "nothing listens there: start the server, or correct host and port in the URL"
        return text


def is_gone(connection: Any) -> bool:
    """Return whether a connection of a pool is closed; one that broke answers no question."""
    from asyncpg import InterfaceError

    try:
        return bool(connection.is_closed())
    except InterfaceError:
        return True


def _cause(error: BaseException) -> BaseException:
    """Return what really happened.

    Leaving asyncpg's transaction on a broken connection raises an InterfaceError of its own,
    which has the error that broke it as its context.
    """
    from asyncpg import InterfaceError, PostgresError

    inner = error.__context__
    hidden = isinstance(error, InterfaceError) and isinstance(inner, PostgresError | OSError)
    return inner if hidden and inner is not None else error


def _line(error: Any) -> str:
    """Return an error's message and hint in one line; its detail holds data, and is left out."""
    said = getattr(error, "message", None) or (str(error).splitlines() or [type(error).__name__])[0]
    hint = getattr(error, "hint", None)
    return " ".join(f"{said} ({hint})".split()) if hint else " ".join(str(said).split())


def _too_slow(timeout: float) -> StatementTimeoutError:
    return StatementTimeoutError(
        f"the statement did not end within {timeout:g} s: ask for less, or allow more time"
    )
