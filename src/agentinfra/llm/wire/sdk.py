"""The openai package: configuration, authentication, error and response types, and its own wire."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from agentinfra._mechanics.vendors import load
from agentinfra.errors import ConfigurationError, LLMConnectionError, LLMTimeoutError
from agentinfra.llm.wire.transport import Reply

if TYPE_CHECKING:
    import httpx2
    import openai

    from agentinfra.settings import EndpointSettings

__all__ = [
    "KeyProvider",
    "SdkTransport",
    "key_provider",
    "no_certificates",
    "open_client",
    "raw_response",
    "trusted_certificates",
    "vendor_error",
]

KeyProvider = Callable[[], Awaitable[str]]
"""Gives the key of the next request; for keys that rotate and for token providers."""

NO_KEY = "not-needed"
"""Sent to compatible servers that take no key: the openai package insists on one."""


def key_provider(settings: EndpointSettings) -> KeyProvider | None:
    """Return what gives the key of each request, None where the key stays the same."""
    key = settings.api_key
    return key.current if key is not None and key.changes else None


def open_client(
    settings: EndpointSettings,
    key: KeyProvider | None,
    *,
    tls: ssl.SSLContext,
    timeout: float,
    proxies: bool,
) -> openai.AsyncOpenAI:
    """Return the openai package's client for an endpoint; its own retries are off.

    Args:
        settings: The endpoint's address and key.
        key: Gives the key of each request, in place of the settings' one.
        tls: What its own wire trusts.
        timeout: Seconds a request of its own wire may take.
        proxies: Whether its own wire goes through the environment's proxies.

    Raises:
        MissingPackageError: The openai package is not installed.
        ConfigurationError: It refuses the settings.
    """
    sdk = load("openai")
    if key is None and settings.api_key is not None:
        secret = settings.api_key.get_secret_value()
    else:
        secret = NO_KEY
    given = settings.base_url
    # A login in the address would stand in the log of each request.
    address = None if given is None else given.without_login
    login = {"Authorization": given.authorization} if given and given.authorization else None
    try:
        common: dict[str, Any] = {
            "api_key": key or secret,
            "organization": settings.organization,
            "project": settings.project,
            "default_headers": login,
            "timeout": timeout,
            "max_retries": 0,
            "http_client": sdk.DefaultAsyncHttpxClient(
                verify=tls, timeout=timeout, trust_env=proxies
            ),
        }
        client: openai.AsyncOpenAI
        if settings.api_version is not None:
            client = sdk.AsyncAzureOpenAI(
                azure_endpoint=address, api_version=settings.api_version, **common
            )
        else:
            client = sdk.AsyncOpenAI(base_url=address or "https://api.openai.com/v1", **common)
    except (sdk.OpenAIError, ValueError, ImportError) as error:  # a SOCKS proxy wants a package
        raise ConfigurationError(f"the openai package refuses the LLM settings: {error}") from error
    return client


def trusted_certificates() -> ssl.SSLContext:
    """Return what the openai package trusts: ``SSL_CERT_FILE``, or the system's store.

    Raises:
        ConfigurationError: The file cannot be read.
    """
    httpx = load("httpx2")
    try:
        context: ssl.SSLContext = httpx.create_ssl_context()
    except OSError as error:
        raise ConfigurationError(
            f"the trusted certificates cannot be read: {error}: set SSL_CERT_FILE to a file of "
            "certificates in PEM form, or unset it"
        ) from error
    context.set_alpn_protocols(["http/1.1"])
    return context


def no_certificates() -> ssl.SSLContext:
    """Return a context that trusts nobody, for endpoints that are spoken with plainly."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def vendor_error(
    url: str, status: int, headers: Mapping[str, str], body: bytes
) -> openai.APIStatusError:
    """Return the openai package's error for a response, as it would have raised it."""
    import httpx2
    import openai

    kinds: dict[int, type[openai.APIStatusError]] = {
        400: openai.BadRequestError,
        401: openai.AuthenticationError,
        403: openai.PermissionDeniedError,
        404: openai.NotFoundError,
        409: openai.ConflictError,
        422: openai.UnprocessableEntityError,
        429: openai.RateLimitError,
    }
    kind = kinds.get(status, openai.InternalServerError if status >= 500 else openai.APIStatusError)
    plain = {name: value for name, value in headers.items() if name != "content-encoding"}
    response = httpx2.Response(
        status, headers=plain, content=body, request=httpx2.Request("POST", url)
    )
    return kind(f"Error code: {status}", response=response, body=_error_object(body))


def _error_object(body: bytes) -> object:
    try:
        data = msgspec.json.decode(body)
    except msgspec.MsgspecError:
        return None
    return data.get("error", data) if isinstance(data, dict) else data


def raw_response(body: bytes) -> Any:
    """Return a chat answer as the openai package's ``ChatCompletion``."""
    import pydantic
    from openai.types.chat import ChatCompletion

    try:
        return ChatCompletion.model_validate_json(body)
    except pydantic.ValidationError:  # a value the package does not know yet
        return ChatCompletion.construct(**msgspec.json.decode(body))


@contextmanager
def _mapped() -> Iterator[None]:
    """Turn the openai package's and its transport's failures into ours; nothing else does."""
    import httpx2
    import openai

    try:
        yield
    except openai.APITimeoutError as error:
        raise LLMTimeoutError("the endpoint did not answer in time") from error
    except (openai.APIConnectionError, httpx2.TransportError) as error:
        cause = error.__cause__ or error
        raise LLMConnectionError(f"the endpoint cannot be reached: {cause}") from error
    except (httpx2.HTTPError, httpx2.StreamError) as error:
        raise LLMConnectionError(f"the connection broke: {error}") from error


class SdkTransport:
    """Sends through the openai package's own path."""

    def __init__(self, client: openai.AsyncOpenAI) -> None:
        self._client = client

    async def get(self, path: str) -> Reply:
        """Ask for what is there; see ``Transport``."""
        import httpx2
        import openai

        with _mapped():
            try:
                answer = await self._client.get(path, cast_to=httpx2.Response)
            except openai.APIStatusError as error:
                answer = error.response
        return Reply(answer.status_code, answer.headers, answer.content)

    async def post(
        self, path: str, body: bytes, *, model: str, headers: Mapping[str, str]
    ) -> Reply:
        """Send a body and return the response; see ``Transport``."""
        del model  # the openai package finds it in the body
        response = await self._send(path, body, headers, stream=False)
        if isinstance(response, Reply):
            return response
        return Reply(response.status_code, response.headers, response.content)

    @asynccontextmanager
    async def stream(
        self, path: str, body: bytes, *, model: str, headers: Mapping[str, str]
    ) -> AsyncIterator[_SdkStream]:
        """Send a body and give the response while it comes."""
        del model
        response = await self._send(path, body, headers, stream=True)
        if isinstance(response, Reply):
            yield _SdkStream(None, response)
            return
        try:
            yield _SdkStream(response, Reply(response.status_code, response.headers, b""))
        finally:
            await response.aclose()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.close()

    async def _send(
        self, path: str, body: bytes, headers: Mapping[str, str], *, stream: bool
    ) -> httpx2.Response | Reply:
        import httpx2
        import openai

        options: Any = {"headers": dict(headers)}
        wanted: Any = {"stream": True, "stream_cls": openai.AsyncStream} if stream else {}
        with _mapped():
            try:
                answer: httpx2.Response = await self._client.post(
                    path,
                    cast_to=httpx2.Response,
                    body=msgspec.json.decode(body),
                    options=options,
                    **wanted,
                )
            except openai.APIStatusError as error:
                response = error.response
                return Reply(response.status_code, response.headers, response.content, error)
        return answer


class _SdkStream:
    """A streamed response of the openai package's transport."""

    def __init__(self, response: httpx2.Response | None, reply: Reply) -> None:
        self._response = response
        self._reply = reply
        self.status = reply.status
        self.headers = reply.headers
        self.error = reply.error

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes."""
        if self._response is None:
            yield self._reply.body
            return
        with _mapped():
            async for chunk in self._response.aiter_bytes():
                yield chunk

    async def read(self) -> bytes:
        """Return the whole body."""
        return b"".join([chunk async for chunk in self.chunks()])
