"""Connections: reused, bounded, through proxies, with certificates of one's own, warm at entry."""

import asyncio
import json
import ssl
import subprocess
import sys
import traceback

import pytest
import trustme
from llm_support import HELLO
from raw_server import answer, events, piece, raw_server, reply
from wire_support import relay

from agentinfra.errors import ConfigurationError, LLMConnectionError, LLMTimeoutError
from agentinfra.testing import Reply, faults

WARM = """
import asyncio, json, sys
from agentinfra import InfraRuntime, Settings
from agentinfra.testing import OpenAIServer

async def main():
    async with OpenAIServer() as server:
        off = {"enabled": False}
        settings = Settings(
            llm={"base_url": server.base_url, "api_key": "x"}, database=off, checkpointer=off
        )
        async with InfraRuntime(settings) as rt:
            before = set(sys.modules)
            await rt.llm.chat_completion([{"role": "user", "content": "hello"}])
            await rt.llm.get_embeddings(["hello"])
            print(json.dumps(sorted(set(sys.modules) - before)))

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def authority():
    """A certificate authority that no system trusts."""
    return trustme.CA()


@pytest.fixture
def tls(authority):
    """The server's side of TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def trusted(authority, tmp_path, monkeypatch):
    """Have the authority trusted, as one does for a company's own."""
    file = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(file))
    monkeypatch.setenv("SSL_CERT_FILE", str(file))


@pytest.fixture
def proxied(monkeypatch):
    """Return a function that sets the proxy of the environment."""

    def set_proxy(url, *, scheme="http"):
        for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(f"{scheme}_proxy", url)
        monkeypatch.setenv(f"{scheme}_proxy".upper(), url)

    return set_proxy


async def test_one_connection_serves_calls_in_a_row(client_of, server):
    """Chat, embeddings and a stream read to its end reuse one connection."""
    async with relay(server) as front, client_of(server, base_url=front.base_url) as llm:
        for _ in range(10):
            await llm.chat_completion(HELLO)
        await llm.get_embeddings(["a"])
        async with await llm.chat_completion(HELLO, stream=True) as stream:
            await stream.response()
        await llm.chat_completion(HELLO)
        assert front.opened == 1


async def test_a_server_that_hangs_up_after_streams(client_of, transport):
    """A call is lost once on a connection that a stream's server closed; then streams go alone."""
    if transport == "sdk":
        pytest.skip("the wire of the openai package does not learn it")
    gone = asyncio.Event()

    async def parts(request):
        whole = events(piece({"content": "hi"}), piece({}, "stop"))
        if request["headers"].get("connection") == "close":
            whole = whole.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
        yield whole[:-20]
        await gone.wait()
        gone.clear()
        yield whole[-20:]

    def give(request):
        return parts(request) if request["body"].get("stream") else reply(answer())

    attempts = []
    async with raw_server(give) as server, client_of(server) as llm:
        for _ in range(5):
            async with await llm.chat_completion(HELLO, stream=True) as stream:
                gone.set()
                await stream.response()
            attempts.append((await llm.chat_completion(HELLO)).attempts)
    assert sum(attempts) <= len(attempts) + 1  # that it has gone may be seen before it is used


async def test_a_refused_call_keeps_its_connection(client_of, server):
    """An error status is read whole, so that its connection can be used again."""
    async with relay(server) as front, client_of(server, base_url=front.base_url) as llm:
        server.fail(faults.server_error(), times=2)
        assert (await llm.chat_completion(HELLO)).attempts == 3
        assert front.opened == 1


async def test_connections_are_bounded(client_of, server):
    """However many calls are made, no more connections are opened than the settings allow."""
    async with (
        relay(server) as front,
        client_of(server, base_url=front.base_url, max_connections=3) as llm,
    ):
        calls = (llm.chat_completion(HELLO) for _ in range(40))
        replies = await asyncio.gather(*calls)
        assert all(reply.text for reply in replies)
        assert 1 < front.most <= 3


async def test_models_share_the_direct_pool(client_of, server, transport):
    """Two models of an endpoint wait for one another where all connections are in use."""
    if transport == "sdk":
        pytest.skip("the openai package's pool has a size of its own")
    async with (
        relay(server) as front,
        client_of(server, base_url=front.base_url, max_connections=2) as llm,
    ):
        calls = (llm.chat_completion(HELLO, model=f"model-{n % 4}") for n in range(40))
        replies = await asyncio.gather(*calls)
        assert all(reply.text for reply in replies)
        assert front.most <= 2


async def test_waiting_for_a_connection_is_not_connecting(client_of, server):
    """A call may wait longer for a free connection than a new connection may take."""
    arrived, go = asyncio.Event(), asyncio.Event()

    async def slow(body):
        arrived.set()
        await go.wait()
        return Reply(text="at last")

    server.script(slow, "at once")
    async with (
        relay(server) as front,
        client_of(server, base_url=front.base_url, max_connections=1) as llm,
    ):
        first = asyncio.create_task(llm.chat_completion(HELLO, model="one"))
        await arrived.wait()
        second = asyncio.create_task(llm.chat_completion(HELLO, model="two", timeout=5))
        await asyncio.sleep(0)
        go.set()
        assert (await first).text == "at last"
        assert (await second).text


async def test_a_proxy_is_asked_for_plain_addresses(client_of, server, proxied):
    """A request to an http address beyond a proxy goes to the proxy."""
    proxied(server.root_url)
    async with client_of(server, base_url="http://models.example/v1") as llm:
        assert (await llm.chat_completion(HELLO)).text
    assert server.ledger.last.headers["host"] == "models.example"


async def test_a_proxy_is_tunnelled_through_for_tls(client_of, server, proxied, tls, trusted):
    """A request to an https address goes through a tunnel, with the proxy's own password."""
    async with relay(server, tls=tls) as front, relay(server, proxy=True) as proxy:
        proxied(f"http://me:secret@{proxy.address}", scheme="https")
        async with client_of(server, base_url=front.tls_url) as llm:
            assert (await llm.chat_completion(HELLO)).text
            assert (await llm.chat_completion(HELLO)).text
        assert proxy.opened == 1
        assert f"CONNECT {front.address}" in proxy.asked[0]
        assert "Proxy-Authorization: Basic bWU6c2VjcmV0" in proxy.asked[0]


@pytest.mark.parametrize("version", [None, "2024-10-21"], ids=["openai", "azure"])
@pytest.mark.parametrize("login", ["", "me:secret@"], ids=["open", "with_a_password"])
async def test_a_proxy_never_sees_the_key(client_of, server, proxied, tls, trusted, version, login):
    """What a proxy is asked for names the host, and nothing that is meant for the endpoint."""
    async with relay(server, tls=tls) as front, relay(server, proxy=True) as proxy:
        proxied(f"http://{login}{proxy.address}", scheme="https")
        base = front.tls_url.removesuffix("/v1") if version else front.tls_url
        fields = {"base_url": base, "api_version": version, "organization": "org-mine"}
        async with client_of(server, **fields) as llm:
            assert (await llm.chat_completion(HELLO)).text
    [asked] = proxy.asked
    assert "sk-test" not in asked
    assert "org-mine" not in asked
    assert ("Proxy-Authorization" in asked) == bool(login)


async def test_what_each_wire_says_of_itself(client_of, server, transport):
    """The openai package's headers about its own wire go out with its own wire alone."""
    async with client_of(server, organization="org-mine") as llm:
        await llm.chat_completion(HELLO)
    headers = server.ledger.last.headers
    described = [name for name in headers if name.startswith("x-stainless-")]
    assert bool(described) == (transport == "sdk")
    assert headers["openai-organization"] == "org-mine"
    assert headers["idempotency-key"].startswith("agentinfra-")
    assert headers["content-type"] == "application/json"


async def test_a_proxys_password_shows_nowhere(client_of, server, proxied, capsys):
    """A proxy that refuses is named as the culprit, its password in no error and no line."""
    async with relay(server, refusing=True) as proxy:
        proxied(f"http://me:hunter2@{proxy.address}", scheme="https")
        async with client_of(server, base_url="https://models.example/v1", max_attempts=1) as llm:
            with pytest.raises(LLMConnectionError, match="407") as caught:
                await llm.chat_completion(HELLO)
    shown = "".join(traceback.format_exception(caught.value))
    shown += f"{caught.value!r} {caught.value.__cause__!r} {capsys.readouterr()}"
    assert "hunter2" not in shown
    assert "bWU6aHVudGVyMg" not in shown


async def test_a_key_in_the_query_shows_nowhere(client_of, capsys):
    """An answer that cannot be read is named, and nothing of the query it was asked with."""
    given = {"max_attempts": 1, "extra_query": {"key": "hunter2"}}
    async with (
        raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: none\r\n\r\n") as server,
        client_of(server, **given) as llm,
    ):
        with pytest.raises(LLMConnectionError) as caught:
            await llm.chat_completion(HELLO)
    assert server.requests[0]["path"].endswith("?key=hunter2")
    shown = "".join(traceback.format_exception(caught.value))
    shown += f"{caught.value!r} {caught.value.__cause__!r} {capsys.readouterr()}"
    assert "hunter2" not in shown


async def test_no_proxy_where_the_environment_says_so(client_of, server, proxied, monkeypatch):
    """A host named in NO_PROXY is asked directly."""
    proxied("http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    async with client_of(server) as llm:
        assert (await llm.chat_completion(HELLO)).text


async def test_a_proxy_nobody_speaks_is_named(client_of, proxied, server):
    """A SOCKS proxy without the package for it is refused at entry, without its password."""
    proxied("socks5://me:secret@proxy.example:1080")
    with pytest.raises(ConfigurationError, match=r"(?i)socks") as caught:
        async with client_of(server, base_url="http://models.example/v1"):
            pass
    assert "secret" not in str(caught.value)


async def test_an_authority_of_ones_own(client_of, server, tls, trusted):
    """A server with a certificate of an authority in SSL_CERT_FILE is called."""
    async with (
        relay(server, tls=tls) as front,
        client_of(server, base_url=front.tls_url) as llm,
    ):
        assert (await llm.chat_completion(HELLO)).text


async def test_an_unknown_authority_is_refused(client_of, server, tls):
    """A server whose certificate nobody vouches for is not called; the error says why."""
    async with (
        relay(server, tls=tls) as front,
        client_of(server, base_url=front.tls_url, max_attempts=1) as llm,
    ):
        with pytest.raises(LLMConnectionError, match=r"(?i)certificate"):
            await llm.chat_completion(HELLO)
    assert server.ledger.count() == 0


async def test_certificates_that_cannot_be_read(client_of, server, monkeypatch):
    """A wrong SSL_CERT_FILE is named at entry."""
    monkeypatch.setenv("SSL_CERT_FILE", "/there/is/no/such/file")
    with pytest.raises(ConfigurationError, match="SSL_CERT_FILE"):
        async with client_of(server, base_url="https://models.example/v1"):
            pass


async def test_a_server_that_does_not_answer(client_of, server):
    """A connection that stays silent is given up after the attempt's time."""
    server.fail_always(faults.hang())
    async with client_of(server, max_attempts=1) as llm:
        with pytest.raises(LLMTimeoutError, match="0.05"):
            await llm.chat_completion(HELLO, timeout=0.05)


def test_the_first_call_imports_nothing():
    """What calls need has been loaded while entering, so that none stops the loop."""
    run = subprocess.run(
        [sys.executable, "-c", WARM], capture_output=True, text=True, check=True, timeout=60
    )
    assert json.loads(run.stdout) == []


async def test_an_address_with_a_login(client_of, server, caplog):
    """User and password of an address log in, in place of the key; no log of a request has them."""
    caplog.set_level("DEBUG")
    address = server.base_url.replace("http://", "http://user:p%40ss@")
    async with client_of(server, base_url=address) as llm:
        assert (await llm.chat_completion(HELLO)).text
        assert "p%40ss" not in repr(await llm.probe()) + caplog.text
    assert server.ledger.last.headers["authorization"].startswith("Basic ")
