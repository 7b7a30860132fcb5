"""The direct wire: aiohttp with the address, keys and headers of the openai package's client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

from agentinfra._mechanics.vendors import load
from agentinfra.errors import LLMConnectionError, LLMTimeoutError
from agentinfra.llm.sdk import KeyProvider, vendor_error
from agentinfra.llm.transport import Reply

if TYPE_CHECKING:
    import aiohttp
    import openai
    from yarl import URL

__all__ = ["DirectTransport", "open_direct"]

_DEPLOYMENT_PATHS = frozenset({"/chat/completions", "/embeddings"})
_KEEP_ALIVE = 60.0


def open_direct(
    client: openai.AsyncOpenAI,
    *,
    key: KeyProvider | None,
    max_connections: int,
    connect_timeout: float,
) -> DirectTransport:
    """Open a connection pool for an endpoint; nothing is connected yet.

    Proxies are taken from the environment (``HTTPS_PROXY``, ``NO_PROXY``), certificates from
    ``SSL_CERT_FILE`` or the system.

    Raises:
        MissingPackageError: aiohttp is not installed.
    """
    aio = load("aiohttp")
    session = aio.ClientSession(
        connector=aio.TCPConnector(limit=max_connections, keepalive_timeout=_KEEP_ALIVE),
        cookie_jar=aio.DummyCookieJar(),
        timeout=aio.ClientTimeout(total=None, connect=connect_timeout),
        # Asked once here: with trust_env aiohttp would read the environment for every request,
        # in a thread.
        proxy=_proxy(str(client.base_url)),
        trust_env=False,
        raise_for_status=False,
    )
    return DirectTransport(session, client, key)


def _proxy(url: str) -> str | None:
    """Return the proxy the environment names for an address, None where it names none."""
    parts = urlsplit(url)
    if not parts.hostname or proxy_bypass(parts.hostname):
        return None
    proxies = getproxies()
    return proxies.get(parts.scheme) or proxies.get("all")


class DirectTransport:
    """Sends through a connection pool of its own."""

    def __init__(
        self, session: aiohttp.ClientSession, client: openai.AsyncOpenAI, key: KeyProvider | None
    ) -> None:
        self._session = session
        self._client = client
        self._key = key
        self._azure = hasattr(client, "_api_version")
        self._urls: dict[tuple[str, str], URL] = {}
        self._headers = {
            **{k: v for k, v in client.default_headers.items() if isinstance(v, str)},
            "Content-Type": "application/json",
            **({} if key else client.auth_headers),
        }

    async def post(
        self, path: str, body: bytes, *, model: str, headers: Mapping[str, str]
    ) -> Reply:
        """Send a body and return the response; see :class:`~agentinfra.llm.transport.Transport`."""
        url = self._url(path, model)
        with _mapped():
            async with self._session.post(
                url, data=body, headers=await self._all(headers)
            ) as response:
                content = await response.read()
        return self._reply(response, content)

    @asynccontextmanager
    async def stream(
        self, path: str, body: bytes, *, model: str, headers: Mapping[str, str]
    ) -> AsyncIterator[_DirectStream]:
        """Send a body and give the response while it comes."""
        url = self._url(path, model)
        with _mapped():
            response = await self._session.post(url, data=body, headers=await self._all(headers))
        try:
            if response.status >= 400:
                with _mapped():
                    yield _DirectStream(response, self._reply(response, await response.read()))
            else:
                yield _DirectStream(response, Reply(response.status, response.headers, b""))
        finally:
            # A stream left early cannot be reused; one read to its end has gone back already.
            response.close()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._session.close()
        await self._client.close()

    async def _all(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        if self._key is None:
            return {**self._headers, **headers}
        secret = await self._key()
        name, value = ("api-key", secret) if self._azure else ("Authorization", f"Bearer {secret}")
        return {**self._headers, **headers, name: value}

    def _url(self, path: str, model: str) -> URL:
        try:
            return self._urls[path, model if self._azure else ""]
        except KeyError:
            from yarl import URL

            base = str(self._client.base_url).rstrip("/")
            if self._azure and path in _DEPLOYMENT_PATHS and "/deployments" not in base:
                base += f"/deployments/{quote(model, safe='')}"
            query = urlencode({k: str(v) for k, v in self._client.default_query.items()})
            url = URL(f"{base}{path}?{query}" if query else base + path, encoded=True)
            self._urls[path, model if self._azure else ""] = url
            return url

    def _reply(self, response: aiohttp.ClientResponse, body: bytes) -> Reply:
        if response.status < 400:
            return Reply(response.status, response.headers, body)
        lowered = {name.lower(): value for name, value in response.headers.items()}
        error = vendor_error(str(response.url), response.status, lowered, body)
        return Reply(response.status, response.headers, body, error)


class _DirectStream:
    """A streamed response of aiohttp."""

    def __init__(self, response: aiohttp.ClientResponse, reply: Reply) -> None:
        self._response = response
        self._reply = reply
        self.status = reply.status
        self.headers = reply.headers
        self.error = reply.error

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes."""
        if self._reply.body:
            yield self._reply.body
            return
        content = self._response.content
        while True:
            with _mapped():
                chunk = await content.readany()
            if not chunk:
                return
            yield chunk

    async def read(self) -> bytes:
        """Return the whole body."""
        return b"".join([chunk async for chunk in self.chunks()])


@contextmanager
def _mapped() -> Iterator[None]:
    """Turn aiohttp's failures into ours; nothing else does."""
    import aiohttp

    try:
        yield
    except (aiohttp.ConnectionTimeoutError, aiohttp.SocketTimeoutError) as error:
        raise LLMTimeoutError("connecting to the endpoint took too long") from error
    except aiohttp.ClientConnectorError as error:
        why = error.os_error.strerror or str(error.os_error)
        raise LLMConnectionError(
            f"the endpoint cannot be reached: {error.host}:{error.port}: {why}"
        ) from error
    except (aiohttp.ClientError, OSError) as error:
        if isinstance(error, asyncio.TimeoutError):
            raise  # the caller's own deadline
        raise LLMConnectionError(
            f"the endpoint cannot be reached: {str(error) or type(error).__name__}"
        ) from error
