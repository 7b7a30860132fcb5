"""The direct wire: aiohttp, with what the openai package says of itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from agentinfra._mechanics.vendors import load
from agentinfra.errors import (
    ConfigurationError,
    LLMConnectionError,
    LLMResponseError,
    LLMTimeoutError,
)
from agentinfra.llm.wire.sdk import vendor_error
from agentinfra.llm.wire.transport import Reply

if TYPE_CHECKING:
    import ssl
    from asyncio import BaseTransport

    import aiohttp
    import openai
    from multidict import CIMultiDict
    from yarl import URL

    from agentinfra.settings import EndpointSettings

__all__ = ["DirectTransport", "open_direct"]

_OF_THE_SDK = "x-stainless-"
"""Headers that describe the openai package's own wire, which this is not."""
_KEEP_ALIVE = 60.0
_MOST_ADDRESSES = 1024
_AT_ONCE = 5.0
"""Seconds behind a stream in which a connection closes because of it, and not for its age."""


def open_direct(
    client: openai.AsyncOpenAI,
    settings: EndpointSettings,
    fixed: Mapping[str, str],
    *,
    tls: ssl.SSLContext,
    max_connections: int,
    connect_timeout: float,
) -> DirectTransport:
    """Open a connection pool for an endpoint; nothing is connected yet.

    Proxies are taken from the environment (``HTTPS_PROXY``, ``ALL_PROXY``, ``NO_PROXY``).

    Args:
        client: The openai package's client, whose headers go along.
        settings: The endpoint's, for the sizes of its answers.
        fixed: Headers of every request.
        tls: What is trusted.
        max_connections: Connections at most; more requests wait.
        connect_timeout: Seconds a new connection may take.

    Raises:
        MissingPackageError: aiohttp is not installed.
        ConfigurationError: The proxy is of a kind that aiohttp does not speak.
    """
    aio = load("aiohttp")
    proxy, headers = _proxy(str(client.base_url)), _headers(client, fixed)
    session = aio.ClientSession(
        # With a proxy they go along with each request: aiohttp gives the session's own, keys
        # included, to the proxy as well.
        headers=headers if proxy is None else None,
        connector=aio.TCPConnector(limit=max_connections, keepalive_timeout=_KEEP_ALIVE, ssl=tls),
        cookie_jar=aio.DummyCookieJar(),
        # Not ``connect``, which would count the wait for a free connection as well.
        timeout=aio.ClientTimeout(total=None, sock_connect=connect_timeout),
        # Asked once here: with trust_env aiohttp would read the environment for every request,
        # in a thread.
        proxy=proxy,
        trust_env=False,
        raise_for_status=False,
        max_line_size=settings.header_size,
        max_field_size=settings.header_size,
    )
    more = headers if proxy is not None else None
    return DirectTransport(session, client, more, largest=settings.largest_answer)


def _headers(client: openai.AsyncOpenAI, fixed: Mapping[str, str]) -> CIMultiDict[str]:
    """Return what each request carries beside its own."""
    from multidict import CIMultiDict, istr

    headers = CIMultiDict(
        (istr(name), value)
        for name, value in client.default_headers.items()
        if isinstance(value, str) and not name.lower().startswith((_OF_THE_SDK, "authorization"))
    )
    headers["Content-Type"] = "application/json"
    headers.update((istr(name), value) for name, value in fixed.items())
    return headers


def _proxy(url: str) -> str | None:
    """Return the proxy the environment names for an address, None where it names none."""
    parts = urlsplit(url)
    if not parts.hostname or proxy_bypass(parts.hostname):
        return None
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if proxy and urlsplit(proxy).scheme not in ("http", "https"):
        raise ConfigurationError(
            f"the proxy {urlsplit(proxy).scheme}://{urlsplit(proxy).hostname} is none that the "
            "direct transport speaks: use an http proxy, or set AGENTINFRA_LLM__TRANSPORT=sdk"
        )
    return proxy or None


class DirectTransport:
    """Sends through a connection pool of its own."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        client: openai.AsyncOpenAI,
        more: CIMultiDict[str] | None,
        *,
        largest: int,
    ) -> None:
        self._session = session
        self._client = client
        self._largest = largest
        self._urls: dict[str, URL] = {}
        self._failures: tuple[type[Exception], ...] = (load("aiohttp").ClientError, OSError)
        self._more = more
        self._streamed: BaseTransport | None = None
        self._ended = 0.0
        self._hangs_up = False

    async def send(
        self, url: str, body: bytes, *, headers: Mapping[str, str], method: str = "POST"
    ) -> Reply:
        """Send a body and return the response; see ``Transport``."""
        response = await self._begin(method, url, body, headers)
        try:
            announced = response.content_length
            if announced is None or announced > self._largest:
                content = await self._read(response)
            elif response.content.is_eof():  # it came with its headers, as short ones do
                content = response.content.read_nowait()
            else:
                content = await response.read()
        except BaseException as error:
            response.close()  # what is left of it would be read as the next one's
            if isinstance(error, self._failures):
                raise _mapped(error) from error
            raise
        if response.status < 300:
            return Reply(response.status, response.headers, content)
        return self._refusal(response, content)

    @asynccontextmanager
    async def stream(
        self, url: str, body: bytes, *, headers: Mapping[str, str], method: str = "POST"
    ) -> AsyncIterator[_DirectStream]:
        """Send a body and give the response while it comes."""
        if self._hangs_up:
            headers = {**headers, "Connection": "close"}
        response = await self._begin(method, url, body, headers)
        if (connection := response.connection) is not None:
            self._streamed = connection.transport
        try:
            yield _DirectStream(response, await self._begun(response), self._failures)
        finally:
            # A stream left early cannot be reused; one read to its end has gone back already.
            if response.connection is not None:
                self._streamed = None  # closed by us: it tells nothing of the server
            self._ended = asyncio.get_running_loop().time()
            response.close()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._session.close()
        await self._client.close()

    async def _begin(
        self, method: str, url: str, body: bytes, headers: Mapping[str, str]
    ) -> aiohttp.ClientResponse:
        """Send a request; return its response, of which the headers have come."""
        if self._more is not None:
            headers = {**self._more, **headers}
        try:
            return await self._session.request(
                method,
                self._url(url),
                data=body or None,
                headers=headers,
                # A redirect would take the key along, to wherever it points.
                allow_redirects=False,
            )
        except self._failures as error:
            self._learn(error)
            raise _mapped(error) from error

    def _learn(self, error: Exception) -> None:
        """Take in that a server hangs up after a stream and does not say so, as llama.cpp's does.

        Its end of the connection is closed a moment after the last byte: the next request, sent at
        once, is lost on it. From here on streams ask for a connection of their own. Of streams side
        by side the one that began last is looked at: what is missed here the next loss tells.
        """
        from aiohttp import ClientConnectorError

        if self._streamed is not None and self._streamed.is_closing():
            soon = asyncio.get_running_loop().time() - self._ended < _AT_ONCE
            self._hangs_up |= soon and not isinstance(error, ClientConnectorError)

    async def _begun(self, response: aiohttp.ClientResponse) -> Reply:
        """Return what a streamed response has begun with; an error is read whole."""
        if response.status < 300:
            return Reply(response.status, response.headers, b"")
        try:
            return self._refusal(response, await self._read(response))
        except self._failures as error:
            raise _mapped(error) from error

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        """Return a body whose length nobody announced, bounded."""
        body = bytearray()
        if (response.content_length or 0) <= self._largest:
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > self._largest:
                    break
            else:
                return bytes(body)
        response.close()
        raise LLMResponseError(
            f"the answer is larger than {self._largest} bytes: raise Settings.llm.largest_answer "
            "if that is meant",
            retryable=False,
        )

    def _url(self, url: str) -> URL:
        try:
            return self._urls[url]
        except KeyError:
            from yarl import URL

            if len(self._urls) >= _MOST_ADDRESSES:
                self._urls.clear()
            known = self._urls[url] = URL(url, encoded=True)
            return known

    def _refusal(self, response: aiohttp.ClientResponse, body: bytes) -> Reply:
        lowered = {name.lower(): value for name, value in response.headers.items()}
        error = vendor_error(str(response.url), response.status, lowered, body)
        return Reply(response.status, response.headers, body, error)


class _DirectStream:
    """A streamed response of aiohttp."""

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        reply: Reply,
        failures: tuple[type[Exception], ...],
    ) -> None:
        self._response = response
        self._reply = reply
        self._failures = failures
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
            try:
                chunk = await content.readany()
            except self._failures as error:
                raise _mapped(error) from error
            if not chunk:
                return
            yield chunk

    async def read(self) -> bytes:
        """Return the whole body."""
        return b"".join([chunk async for chunk in self.chunks()])


def _mapped(error: Exception) -> LLMConnectionError:
    """Return our error for one of aiohttp's or of the system's; nothing else maps them."""
    import aiohttp
    from aiohttp.http_exceptions import HttpProcessingError

    if isinstance(error, TimeoutError):
        return _unsent(LLMTimeoutError("connecting to the endpoint took too long"))
    if isinstance(error, aiohttp.ClientResponseError):
        _forget_secrets(error)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return _unsent(LLMConnectionError(f"the proxy answered {error.status} {error.message}"))
    if isinstance(error, aiohttp.ClientConnectorError):
        why = error.os_error.strerror or str(error.os_error)
        return _unsent(
            LLMConnectionError(f"the endpoint cannot be reached: {error.host}:{error.port}: {why}")
        )
    if isinstance(error, aiohttp.ClientOSError):
        return LLMConnectionError(f"the endpoint cannot be reached: {_without_address(error)}")
    broken = error.__cause__ if isinstance(error, aiohttp.ClientPayloadError) else error
    if isinstance(broken, aiohttp.ClientResponseError | HttpProcessingError):
        why = " ".join(broken.message.split())  # their status is one of aiohttp's own
        return LLMConnectionError(f"the endpoint sent something that cannot be read: {why}")
    return LLMConnectionError(
        f"the endpoint cannot be reached: {str(error) or type(error).__name__}"
    )


def _unsent(error: LLMConnectionError) -> LLMConnectionError:
    error.sent = False
    return error


def _without_address(error: aiohttp.ClientOSError) -> str:
    """Return why a connection broke; of a body half sent aiohttp says the whole address as well.

    A key may be in its query: the error that goes along as the cause loses it, too.
    """
    if isinstance(cause := error.__cause__, OSError):
        error.strerror = cause.strerror or str(cause)
        error.args = (error.errno, error.strerror)
    return error.strerror or str(error)


def _forget_secrets(error: aiohttp.ClientResponseError) -> None:
    """Take the address's query and the proxy's password out of what an error keeps."""
    from multidict import CIMultiDict, CIMultiDictProxy

    asked, nothing = error.request_info, CIMultiDictProxy(CIMultiDict[str]())
    bare = asked.real_url.with_user(None).with_query(None)
    error.request_info = asked._replace(url=bare, real_url=bare, headers=nothing)
    error.args = (error.request_info, error.history)
