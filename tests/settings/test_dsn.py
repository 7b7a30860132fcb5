"""Addresses in every form people paste."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentinfra import ConfigurationError
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


def test_dropped_keys_tell_nothing_of_a_password():
    """What is left of a password with an & in it is no key to be named."""
    dsn = DSN.parse("postgresql://h/app?user=ada&password=hun&ter2=x&pool=5")
    assert dsn.dropped == ("***", "pool")
    with pytest.raises(ValueError, match="no connection parameter 'hostt'.*'host'"):
        DSN.parse("hostt=h user=ada")


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
        "host=h user=ada password=hunter2 hostnme=x",
        "host=h user=ada password=hunter2 two words",
        "Host=h;Username=ada;Password=hunter2;Database=app",
        "psql -h h -U ada -c hunter2",
        "postgresql://h/app?user=ada&password=my&hunter2",
        "postgresql://h/hunter2?dbname=",
        "host=h user=ada password=my hunter2=x",
        "PGWORD=hunter2 psql -h h",
        "psql 'postgresql://ada:hunter2@h/app",
        "psql -h h app ada hunter2",
        "jdbc:aws-wrapper:postgresql://ada:hunter2@h/app",
        "postgresql://ada:hunter2@h h/app",
        "postgresql://ada:hunter2@h/\napp",
        "host=h,i hostaddr=10.0.0.1 password=hunter2",
        "postgresql://postgres:[YOUR-PASSWORD]@h/app",
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


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://h:5432/a@b",
        "postgresql://h/a@b",
        "postgresql:///a@b",
        "postgresql://ada:pw@h/a@b",
        "postgresql://ada:12/3@h/app",
        "postgresql://ada:12?a=b@h/app",
        "postgresql://ada:12?user=b@h/app",
        "postgresql://ada:12/3?a=b@h/app",
    ],
)
def test_what_could_mean_two_servers_is_refused(text):
    """An @ behind a slash is a part of the database or of the password: nobody can say which."""
    with pytest.raises(ValueError, match="could mean two servers.*%40"):
        DSN.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "host=h port=7 dbname=app user=ada password='p\\'w x'",
        "dbname = app  user = ada host = h port = 7 password = p\\'w\\ x",
        'psql "host=h port=7 dbname=app user=ada password=pw"',
        'psql "postgresql://ada:p%27w%20x@h:7/app"',
        "psql postgresql://ada:p%27w%20x@h:7/app",
        "psql -h elsewhere postgresql://ada:p%27w%20x@h:7/app",
        "export PGPASSWORD=pw psql -h h -p 7 -U ada app",
        "PGPASSWORD=pw psql -h h -p7 --username=ada -d app",
        "PGHOST=h PGPASSWORD=pw psql --port 7 app ada",
        "DATABASE_URL=postgresql://ada:pw@h:7/app",
        "export DATABASE_URL='postgresql://ada:pw@h:7/app'",
        "'postgresql://ada:pw@h:7/app'",
        "pgsql://ada:pw@h:7/app",
        "postgis://ada:pw@h:7/app",
        "jdbc:postgresql://h:7/app?user=ada&password=pw",
    ],
)
def test_what_people_paste(text):
    """Connection strings, whole commands and lines of a file name the same server."""
    dsn = DSN.parse(text)
    assert (dsn.hosts, dsn.user, dsn.database) == ((("h", 7),), "ada", "app")
    assert dsn.password in ("p'w x", "pw")


@pytest.mark.parametrize(
    ("text", "hosts", "params"),
    [
        ("cockroachdb://u:p@h/app", (("h", 26257),), {}),
        ("postgresql+pg8000://u@/d?unix_sock=/a/.s.PGSQL.5433", (("/a", 5433),), {}),
        ("host=/a/.s.PGSQL.5433", (("/a", 5433),), {}),
        ("host=::1 port=7", (("::1", 7),), {}),
        ("host=a,b port=1,2", (("a", 1), ("b", 2)), {}),
        ("postgresql://h/d?host=::1", (("::1", None),), {}),
        ("hostaddr=10.0.0.1 host=a", (("a", None),), {"hostaddr": "10.0.0.1"}),
        ("hostaddr=10.0.0.1", (("10.0.0.1", None),), {"hostaddr": "10.0.0.1"}),
        ("service=mine", (), {"service": "mine"}),
        ("host=h client_encoding=utf8", (("h", None),), {}),
        ("postgresql://h/d?sslmode=", (("h", None),), {}),
        ("postgresql://h/d?options=endpoint%3Dep-1", (("h", None),), {"options": "endpoint=ep-1"}),
        ("postgresql://h/d?targetServerType=master", (("h", None),), None),
    ],
)
def test_forms_of_drivers_and_hosts(text, hosts, params):
    """Sockets, services, bare addresses and the words of other drivers are understood."""
    dsn = DSN.parse(text)
    assert dsn.hosts == hosts
    assert params is None or dict(dsn.params) == params


def test_asyncpg_goes_to_the_address():
    """``hostaddr`` says where a host is, to asyncpg as to libpq; another host has another."""
    dsn = DSN.parse("host=db hostaddr=10.0.0.1 port=7")
    assert dsn.asyncpg_kwargs() == {"host": ["10.0.0.1"], "port": [7]}
    assert dsn.with_host("other").asyncpg_kwargs() == {"host": ["other"], "port": [5432]}
    assert dsn.for_this_host(lambda name: False) == dsn


def test_services(tmp_path, monkeypatch):
    """A service is looked up where libpq looks; one that there is not leads nowhere else."""
    file = tmp_path / "services"
    file.write_text("# ours\n[mine]\nhost=h\nport=7\nuser=u\npassword=p%#w\nsslmode=require\n")
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    assert DSN.parse("service=mine dbname=app user=ada").asyncpg_kwargs() == {
        "dsn": "postgresql://?sslmode=require",
        "host": ["h"],
        "port": [7],
        "user": "ada",
        "password": "p%#w",
        "database": "app",
    }
    assert DSN.parse("service=mine").psycopg_conninfo() == "service='mine'"
    with pytest.raises(ConfigurationError, match="no service 'other'.*PGSERVICEFILE"):
        DSN.parse("service=other").asyncpg_kwargs()
    file.write_text("[mine]\nport=p%#w\n")
    with pytest.raises(ConfigurationError, match="the service 'mine' the port") as caught:
        DSN.parse("service=mine").asyncpg_kwargs()
    assert "p%#w" not in str(caught.value)


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


TEXT = st.text(min_size=1, alphabet=st.characters(exclude_categories=("Cs", "Cc")))
HOSTS = st.sampled_from(["h", "db.example", "10.0.0.7", "::1", "/run/postgresql"])
PLACES = st.lists(st.tuples(HOSTS, st.integers(1, 65535)), min_size=1, max_size=3)


@given(places=PLACES, user=TEXT, password=TEXT, database=TEXT, name=TEXT)
def test_every_form_says_the_same(places, user, password, database, name):
    """What libpq is handed comes back through libpq and through us as what it was."""
    from psycopg.conninfo import conninfo_to_dict

    dsn = DSN(
        hosts=tuple(places),
        user=user,
        password=password,
        database=database,
        params={"application_name": name, "sslmode": "require"},
    )
    text = dsn.psycopg_conninfo()
    libpq = conninfo_to_dict(text)
    assert (libpq["user"], libpq["password"], libpq["dbname"]) == (user, password, database)
    assert libpq["host"] == ",".join(host for host, _ in places)
    again = DSN.parse(text)
    assert (again.hosts, again.user, again.password) == (dsn.hosts, user, password)
    assert (again.database, again.psycopg_conninfo()) == (
        database,
        DSN.parse(text).psycopg_conninfo(),
    )


PIECES = [
    "h",
    "u",
    "db.x",
    "12",
    ":",
    "@",
    "/",
    "?",
    ",",
    "&",
    "=",
    "#",
    "%40",
    "%",
    "user",
    "host",
]


@settings(max_examples=300)
@given(
    pieces=st.lists(
        st.sampled_from([*PIECES, "password", "sslmode=require", "[::1]"]), max_size=12
    ),
    scheme=st.sampled_from(["postgresql://", "postgres://"]),
)
def test_nothing_is_read_as_another_server(pieces, scheme):
    """Where libpq understands a URL, and so do we, both mean the same server and login."""
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    text = scheme + "".join(pieces)
    try:
        theirs = conninfo_to_dict(text)
        ours = DSN.parse(text)
    except (psycopg.Error, ValueError):
        return
    hosts = theirs.get("host", "").split(",")
    ports = theirs.get("port", "").split(",")
    if any(set(host) & set("@ #=&?") for host in hosts) or not "".join(["0", *ports]).isdecimal():
        return  # there is no such host or port: libpq's reading leads nowhere
    ports = ports * len(hosts) if len(ports) == 1 else ports
    meant = [
        (host or "localhost", int(port) if port else None)
        for host, port in zip(hosts, ports, strict=True)
    ]
    assert list(ours.hosts or [("localhost", None)]) == meant
    login = (ours.user, ours.password, ours.database)
    database = theirs.get("dbname", "").rstrip("/")
    assert (theirs.get("user") or None, theirs.get("password") or None, database or None) == login


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
