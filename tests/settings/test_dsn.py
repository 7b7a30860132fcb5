"""Addresses in every form people paste."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentinfra.dsn import DSN


@pytest.mark.parametrize(
    "scheme",
    ["postgres", "postgresql", "postgresql+psycopg", "postgresql+asyncpg", "jdbc:postgresql"],
)
def test_scheme(scheme):
    """Every scheme PostgreSQL addresses come with means the same database."""
    dsn = DSN.parse(f"{scheme}://ada:pw@db.example:5433/app")
    assert dsn == DSN(hosts=(("db.example", 5433),), user="ada", password="pw", database="app")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("secret", "secret"),
        ("p@ss%2Fword", "p@ss/word"),
        ("p%40ss", "p@ss"),
        ("a@b@c", "a@b@c"),
        ("per%cent", "per%cent"),
        ("100%", "100%"),
        ("%ff", "%ff"),
        ("a/b", "a/b"),
        ("a?b", "a?b"),
        ("a:b", "a:b"),
        ("a#b+c", "a#b+c"),
        ("", None),
    ],
)
def test_password(written, meant):
    """A password may hold anything, escaped or not."""
    dsn = DSN.parse(f"postgresql://ada:{written}@db.example/app?sslmode=require")
    assert dsn.password == meant
    assert (dsn.hosts, dsn.database) == ((("db.example", None),), "app")
    assert dsn.params["sslmode"] == "require"


@pytest.mark.parametrize(
    ("place", "hosts"),
    [
        ("", ()),
        ("localhost", (("localhost", None),)),
        (":5433", (("localhost", 5433),)),
        ("a:1,b:2,c", (("a", 1), ("b", 2), ("c", None))),
        ("[::1]:5433", (("::1", 5433),)),
        ("[2001:db8::7]", (("2001:db8::7", None),)),
        ("%2Fvar%2Frun%2Fpostgresql", (("/var/run/postgresql", None),)),
    ],
)
def test_hosts(place, hosts):
    """One host, several, IPv6 in brackets and an escaped folder are read as what they are."""
    assert DSN.parse(f"postgresql://{place}/app").hosts == hosts


@pytest.mark.parametrize(
    ("query", "hosts"),
    [
        ("host=/tmp/my%20socket", (("/tmp/my socket", None),)),
        ("host=/tmp&port=5433", (("/tmp", 5433),)),
        ("host=a:1&host=b:2", (("a", 1), ("b", 2))),
        ("host=a,b&port=1,2", (("a", 1), ("b", 2))),
        ("host=a,b&port=7", (("a", 7), ("b", 7))),
    ],
)
def test_hosts_in_the_query(query, hosts):
    """Hosts and folders can stand in the query too."""
    dsn = DSN.parse(f"postgresql://ada@/app?{query}")
    assert (dsn.hosts, dsn.user, dsn.database) == (hosts, "ada", "app")


@pytest.mark.parametrize(
    ("query", "params"),
    [
        ("ssl=true", {"sslmode": "require"}),
        ("ssl=0", {"sslmode": "disable"}),
        ("sslmode=no-verify", {"sslmode": "require"}),
        ("sslMode=verify_full", {"sslmode": "verify-full"}),
        ("timeout=3", {"connect_timeout": "3"}),
        ("schema=sales", {"search_path": "sales"}),
        ("target_session_attrs=read-write", {"target_session_attrs": "read-write"}),
        ("hnsw.ef_search=80", {"hnsw.ef_search": "80"}),
    ],
)
def test_words_of_other_tools(query, params):
    """What other tools call differently is translated into libpq's words."""
    assert dict(DSN.parse(f"postgresql://h/app?{query}").params) == params


def test_dropped_keys():
    """Keys that mean nothing to a server are left out, and named."""
    dsn = DSN.parse("postgresql://h/app?pool_size=5&prepared_statements=false&sslmode=disable")
    assert dsn.dropped == ("pool_size", "prepared_statements")
    assert "pool_size" not in str(dsn.asyncpg_kwargs()) + dsn.psycopg_conninfo()


def test_pgbouncer_is_said_in_the_query():
    """An address can say that a pgbouncer is in between; no driver is told."""
    dsn = DSN.parse("postgresql://h/app?pgbouncer=true")
    assert dsn.pgbouncer
    assert "pgbouncer" not in str(dsn.asyncpg_kwargs()) + dsn.psycopg_conninfo()


def test_asyncpg_arguments():
    """For asyncpg there are hosts, login and time-out as arguments, and server settings apart."""
    dsn = DSN.parse(
        "postgresql://ada:pw@a:1,b/app?connect_timeout=2.5&search_path=x&channel_binding=require"
        "&sslmode=require&target_session_attrs=primary"
    )
    assert dsn.asyncpg_kwargs() == {
        "dsn": "postgresql://?sslmode=require&target_session_attrs=primary",
        "host": ["a", "b"],
        "port": [1, 5432],
        "user": "ada",
        "password": "pw",
        "database": "app",
        "timeout": 2.5,
        "server_settings": {"search_path": "x"},
    }


def test_asyncpg_trusts_the_system():
    """``sslrootcert=system`` is the system's trust store for asyncpg as for libpq."""
    import ssl

    dsn = DSN.parse("postgresql://h/app?sslmode=verify-full&sslrootcert=system")
    context = dsn.asyncpg_kwargs()["ssl"]
    assert isinstance(context, ssl.SSLContext)
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert "sslrootcert='system'" in dsn.psycopg_conninfo()


def test_psycopg_reads_its_connection_string():
    """The string is what libpq understands, quotes, backslashes and settings included."""
    from psycopg.conninfo import conninfo_to_dict

    dsn = DSN.parse("postgresql://ada:o'c%5Cx@[::1]:5433/app?connect_timeout=2.5&search_path=a b")
    assert conninfo_to_dict(dsn.psycopg_conninfo()) == {
        "host": "::1",
        "port": "5433",
        "user": "ada",
        "password": "o'c\\x",
        "dbname": "app",
        "connect_timeout": "3",
        "options": r"-c search_path=a\ b",
    }


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://ada:hunter2@h:port/app",
        "postgresql://ada:hunter2",
        "mysql://ada:hunter2@h/app",
        "ada:hunter2@h/app",
        "host=h user=ada password=hunter2",
        "postgresql://ada:hunter2@h/app?sslmode=maybe",
        "postgresql://ada:hunter2@h/app?connect_timeout=soon",
        "postgresql://ada:hunter2@h/app?target_session_attrs=some",
        "postgresql://ada:hunter2@::1/app",
        "postgresql://ada:hunter2@h:99999/app",
        "postgresql://ada:hunter2@a,b,c/app?port=1,2",
        "",
    ],
)
def test_refusal(text):
    """What cannot be understood is refused in one line that says what to do, not the password."""
    with pytest.raises(ValueError, match=r".{20}") as refused:
        DSN.parse(text)
    message = str(refused.value)
    assert "hunter2" not in message
    assert "\n" not in message


def test_secrets_are_not_shown():
    """Neither repr, str nor the masked form holds a secret."""
    dsn = DSN.parse("postgresql://ada:hunter2@h:5433/app?sslpassword=hunter2&sslmode=require")
    assert "hunter2" not in repr(dsn) + str(dsn) + dsn.masked()
    assert str(dsn) == "postgresql://ada:***@h:5433/app?sslpassword=***&sslmode=require"


@given(
    user=st.text(min_size=1, alphabet=st.characters(exclude_categories=("Cs",))),
    password=st.text(min_size=1, alphabet=st.characters(exclude_categories=("Cs",))),
    database=st.text(min_size=1, alphabet=st.characters(exclude_categories=("Cs",))),
)
def test_escaped_parts_come_back(user, password, database):
    """Whatever was escaped as URLs are comes back as it was."""
    from urllib.parse import quote

    login = f"{quote(user, safe='')}:{quote(password, safe='')}"
    dsn = DSN.parse(f"postgresql://{login}@h/{quote(database, safe='')}")
    assert (dsn.user, dsn.password, dsn.database) == (user, password, database)


@pytest.mark.parametrize(
    ("known", "host"),
    [
        ({"db"}, "db"),
        ({"host.docker.internal", "localhost"}, "host.docker.internal"),
        ({"localhost"}, "localhost"),
        (set(), "db"),
    ],
)
def test_container_names(known, host):
    """A container's name that does not resolve gives way to the machine that runs containers."""
    dsn = DSN.parse("postgresql://ada:db@db:5433/db").for_this_host(known.__contains__)
    assert dsn.hosts == ((host, 5433),)
    assert (dsn.password, dsn.database) == ("db", "db")


@pytest.mark.parametrize("host", ["db.example", "10.0.0.7", "localhost", "[::1]"])
def test_other_hosts_stay(host):
    """Full names and addresses stay, whether they resolve or not."""
    dsn = DSN.parse(f"postgresql://{host}/app")
    assert dsn.for_this_host(lambda name: False) == dsn


def test_with_host():
    """A copy for another host keeps everything else."""
    dsn = DSN.parse("postgresql://ada:pw@a,b/app?sslmode=require")
    assert dsn.with_host("c", 7) == dsn.replace(hosts=(("c", 7),))
    assert dsn.with_host("c").password == "pw"


async def test_drivers_connect(postgres_url):
    """Both drivers connect with what they are given."""
    import asyncpg
    import psycopg

    dsn = DSN.parse(postgres_url + "&application_name=two words&timeout=5&pool_size=3")
    ours = await asyncpg.connect(**dsn.asyncpg_kwargs())
    assert await ours.fetchval("SHOW application_name") == "two words"
    await ours.close()
    async with await psycopg.AsyncConnection.connect(dsn.psycopg_conninfo()) as theirs:
        row = await (await theirs.execute("SHOW application_name")).fetchone()
        assert row == ("two words",)
    await asyncio.sleep(0)
