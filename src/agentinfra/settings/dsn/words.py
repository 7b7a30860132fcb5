"""The words of PostgreSQL addresses: parameters, what others call them, and what they may say."""

from __future__ import annotations

import re

__all__ = ["BOTH", "KNOWN", "LIBPQ", "MEANINGLESS", "SERVER", "checked", "named"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_SESSIONS = ("any", "read-write", "read-only", "primary", "standby", "prefer-standby")
_SSL_WORDS = {
    **dict.fromkeys(("true", "1", "yes", "on", "no-verify"), "require"),
    **dict.fromkeys(("false", "0", "no", "off"), "disable"),
}

_ALIASES = {
    "ssl": "sslmode",
    "ssl_mode": "sslmode",
    "timeout": "connect_timeout",
    "connecttimeout": "connect_timeout",
    "schema": "search_path",
    "currentschema": "search_path",
    "applicationname": "application_name",
    "database": "dbname",
    "db": "dbname",
    "username": "user",
    "pass": "password",
    "passwd": "password",
    "pwd": "password",
    "hostname": "host",
    "server": "host",
    "targetservertype": "target_session_attrs",
}
"""Keys of SQLAlchemy, Prisma, JDBC and others, and libpq's name for the same thing."""

_SERVER_TYPES = {
    "master": "primary",
    "secondary": "standby",
    "preferslave": "prefer-standby",
    "prefersecondary": "prefer-standby",
}
"""What JDBC calls the servers that may be chosen."""

BOTH = _words("""
    sslmode sslrootcert sslcert sslkey sslcrl sslpassword sslnegotiation ssl_min_protocol_version
    ssl_max_protocol_version target_session_attrs passfile service krbsrvname gsslib
""")
"""Connection parameters asyncpg and libpq both know."""

LIBPQ = BOTH | _words("""
    channel_binding gssencmode gssdelegation require_auth load_balance_hosts hostaddr sslsni
    sslcertmode sslcompression keepalives keepalives_idle keepalives_interval keepalives_count
    tcp_user_timeout requirepeer
""")
"""Those that libpq knows."""

SERVER = _words("""
    application_name options search_path timezone datestyle intervalstyle statement_timeout
    lock_timeout transaction_timeout idle_session_timeout idle_in_transaction_session_timeout
    default_transaction_read_only default_transaction_isolation default_transaction_deferrable
    client_min_messages extra_float_digits work_mem jit row_security role
""")
"""Server settings people put into addresses; besides, every name with a dot is one."""

MEANINGLESS = _words("""
    client_encoding fallback_application_name replication requiressl authtype tty
    min_protocol_version max_protocol_version sslkeylogfile
""")
"""What libpq takes, and what is nothing to say here: the drivers decide it themselves."""

KNOWN = LIBPQ | SERVER | _words("host port user password dbname connect_timeout pgbouncer")


def named(name: str) -> str:
    """Return libpq's name for what a key of any tool says; an unknown one stays as it is."""
    key = name.strip().lower()
    return _ALIASES.get(key, key)


def checked(key: str, value: str) -> str:
    """Return the value of a parameter in libpq's words.

    Raises:
        ValueError: It is none of those the parameter may have.
    """
    if key == "sslmode":
        value = _SSL_WORDS.get(value.lower(), value.lower().replace("_", "-"))
        if value not in _SSL_MODES:
            raise ValueError(f"sslmode must be one of {', '.join(_SSL_MODES)}")
    if key == "target_session_attrs":
        value = _SERVER_TYPES.get(value.lower(), value)
        if value not in _SESSIONS:
            raise ValueError(f"target_session_attrs must be one of {', '.join(_SESSIONS)}")
    if key == "connect_timeout" and not re.fullmatch(r"\d+(\.\d+)?", value):
        raise ValueError("connect_timeout must be a number of seconds")
    return value
