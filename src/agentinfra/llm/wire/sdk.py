"""The openai package: error and response types, its headers, and its own wire."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from agentinfra._mechanics.vendors import load
from agentinfra.errors import ConfigurationError, LLMConnectionError, LLMTimeoutError
from agentinfra.llm.wire.transport import Reply

if TYPE_CHECKING:
    import httpx2
    import openai

    from agentinfra.results import AnswerSource

__all__ = [
    "SdkTransport",
    "no_certificates",
    "open_client",
    "raw_answer",
    "trusted_certificates",
    "vendor_error",
]

NO_KEY = "not-needed"
"""Never sent: the openai package insists on a key, and ours goes along with each request."""


def open_client(
    base_url: str, *, tls: ssl.SSLContext, connect_timeout: float, proxies: bool
) -> openai.AsyncOpenAI:
    """Return the openai package's client for an endpoint; its own retries are off.

    Args:
        base_url: The endpoint's address.
        tls: What its own wire trusts.
        connect_timeout: Seconds a new connection of its own wire may take; the rest of a request
            is bounded by who sends it.
        proxies: Whether its own wire goes through the environment's proxies.

    Raises:
        MissingPackageError: The openai package is not installed.
        ConfigurationError: It refuses the settings.
    """
    sdk = load("openai")
    timeout = sdk.Timeout(None, connect=connect_timeout)
    try:
        client: openai.AsyncOpenAI = sdk.AsyncOpenAI(
            base_url=base_url,
            api_key=NO_KEY,
            # Given, so that it does not take them from the environment for every endpoint.
            organization="",
            project="",
            timeout=timeout,
            max_retries=0,
            http_client=sdk.DefaultAsyncHttpxClient(
                verify=tls, timeout=timeout, trust_env=proxies, follow_redirects=False
            ),
        )
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


def raw_answer(source: AnswerSource) -> Any:
    """Return an answer as the openai package's ``ChatCompletion`` or ``Response``."""
    import pydantic
    from openai.types.chat import ChatCompletion
    from openai.types.responses import Response

    kind: Any = Response if source.api == "responses" else ChatCompletion
    try:
        return kind.model_validate(source.data)
    except pydantic.ValidationError:  # a value the package does not know yet
        return kind.construct(**source.data)


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
        broken = LLMConnectionError(f"the endpoint cannot be reached: {cause}")
        broken.sent = not isinstance(cause, httpx2.ConnectError)
        raise broken from error
    except (httpx2.HTTPError, httpx2.StreamError) as error:
        raise LLMConnectionError(f"the connection broke: {error}") from error


class SdkTransport:
    """Sends through the openai package's own path."""

    def __init__(self, client: openai.AsyncOpenAI, fixed: Mapping[str, str]) -> None:
        self._client = client
        self._fixed = fixed

    async def send(
        self, url: str, body: bytes, *, headers: Mapping[str, str], method: str = "POST"
    ) -> Reply:
        """Send a body and return the response; see ``Transport``."""
        response = await self._send(url, body, headers, method, stream=False)
        if isinstance(response, Reply):
            return response
        return Reply(response.status_code, response.headers, response.content)

    @asynccontextmanager
    async def stream(
        self, url: str, body: bytes, *, headers: Mapping[str, str], method: str = "POST"
    ) -> AsyncIterator[_SdkStream]:
        """Send a body and give the response while it comes."""
        response = await self._send(url, body, headers, method, stream=True)
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
        self, url: str, body: bytes, headers: Mapping[str, str], method: str, *, stream: bool
    ) -> httpx2.Response | Reply:
        import httpx2
        import openai

        given: dict[str, Any] = {**self._fixed, **headers}
        if "Authorization" not in given:
            given["Authorization"] = openai.Omit()
        options: Any = {"headers": given, "follow_redirects": False}
        more: Any = {"stream": True, "stream_cls": openai.AsyncStream} if stream else {}
        if method == "POST":
            more["body"] = msgspec.json.decode(body) if body else None
        call = self._client.post if method == "POST" else self._client.get
        with _mapped():
            try:
                answer: httpx2.Response = await call(
                    url, cast_to=httpx2.Response, options=options, **more
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
