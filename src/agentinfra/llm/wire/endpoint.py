"""An endpoint: its wire, its prices, and the attempts made on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentinfra._mechanics.breaker import CircuitBreaker
from agentinfra._mechanics.clock import SYSTEM_CLOCK, Clock
from agentinfra._mechanics.in_thread import in_thread
from agentinfra._mechanics.timeouts import Timeouts
from agentinfra.errors import ConfigurationError, LLMTimeoutError
from agentinfra.llm.dialects.failures import status_error
from agentinfra.llm.money.prices import PriceBook
from agentinfra.llm.wire.checkup import Checkup, Finding
from agentinfra.llm.wire.direct import open_direct
from agentinfra.llm.wire.open_stream import OpenStream
from agentinfra.llm.wire.sdk import (
    KeyProvider,
    SdkTransport,
    key_provider,
    no_certificates,
    open_client,
    trusted_certificates,
)
from agentinfra.observability.redaction import Redactor

if TYPE_CHECKING:
    import ssl

    import openai

    from agentinfra._mechanics.deadline import Deadline
    from agentinfra.llm.wire.transport import Reply, Transport
    from agentinfra.settings import EndpointSettings, LLMSettings

__all__ = ["Endpoint", "Target"]

CONNECT_TIMEOUT = 5.0
"""Seconds a connection may take; the openai package's default."""


class Endpoint:
    """One address that answers chat and embeddings calls.

    Args:
        name: How it is called in logs and in ``fallback_models``.
        settings: Its address and key.
        limits: The client's settings.
        key: Gives the key of each request, in place of the settings' one.
        clock: Where time comes from.
    """

    def __init__(
        self,
        name: str,
        settings: EndpointSettings,
        limits: LLMSettings,
        *,
        key: KeyProvider | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.name = name
        self.breaker = CircuitBreaker(clock=clock)
        self.prices = PriceBook(
            limits.prices, base_url=settings.base_url, azure=settings.api_version is not None
        )
        self._settings = settings
        self._limits = limits
        self._key = key or key_provider(settings)
        self._timeouts = Timeouts(clock)
        self._transport: Transport | None = None
        self._checkup = Checkup(self._ask, address=self.address, setting=self._setting, clock=clock)

    async def open(self) -> None:
        """Make the connection pool and look up prices, off the event loop; nothing is connected.

        Raises:
            MissingPackageError: openai or aiohttp is not installed.
            ConfigurationError: The openai package refuses the settings.
        """
        tls, client = await in_thread(self._prepare)
        if self._limits.transport == "sdk":
            self._transport = SdkTransport(client)
        else:
            self._transport = open_direct(
                client,
                tls=tls,
                key=self._key,
                login=self._settings.base_url and self._settings.base_url.authorization,
                max_connections=self._limits.max_connections,
                connect_timeout=min(CONNECT_TIMEOUT, self._limits.timeout),
            )

    def _prepare(self) -> tuple[ssl.SSLContext, openai.AsyncOpenAI]:
        """Do what takes tens of milliseconds: reading certificates and tables of prices."""
        sdk_wire = self._limits.transport == "sdk"
        plain = (self._settings.base_url or "").startswith("http://")
        # Reading a system's certificates takes 50 ms and more.
        tls = no_certificates() if plain and not sdk_wire else trusted_certificates()
        client = open_client(
            self._settings, self._key, tls=tls, timeout=self._limits.timeout, proxies=sdk_wire
        )
        for model in (self._limits.model, self._limits.embedding_model):
            self.prices.rates(model)
        return tls, client

    @property
    def address(self) -> str:
        """Where it is, as people may see it."""
        return Redactor().text(self._settings.base_url or "https://api.openai.com/v1")

    async def probe(
        self, *, chat: str | None, embedding: str | None, thorough: bool = False
    ) -> Finding:
        """Ask the endpoint whether it works, without a token; see ``Checkup``."""
        return await self._checkup.look(chat=chat, embedding=embedding, thorough=thorough)

    async def _ask(self, method: str, path: str, model: str) -> Reply:
        if method == "GET":
            return await self._wire.get(path)
        return await self._wire.post(path, b"{}", model=model, headers={})

    @property
    def _setting(self) -> str:
        if self.name == "default":
            return "OPENAI_BASE_URL"
        return f"base_url of {self.name!r} in AGENTINFRA_LLM__ENDPOINTS"

    @property
    def weakness(self) -> str:
        """What the endpoint suffers from; empty when nothing."""
        if self.breaker.state == "closed":
            return ""
        return (
            f"the endpoint {self.name!r} failed too often of late; it is tried again "
            f"in {self.breaker.retry_after:.0f} s"
        )

    async def aclose(self) -> None:
        """Close every connection."""
        self._timeouts.close()
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.aclose()

    async def post(
        self,
        path: str,
        body: bytes,
        *,
        model: str,
        headers: Mapping[str, str],
        deadline: Deadline,
        patience: float,
    ) -> Reply:
        """Send one request and return its answer.

        Raises:
            LLMStatusError: The answer is an error.
            LLMConnectionError: No answer came; ``LLMTimeoutError`` after ``patience`` seconds or
                at the deadline.
        """
        try:
            with self._timeouts.until(deadline.within(patience)):
                reply = await self._wire.post(path, body, model=model, headers=headers)
        except TimeoutError as error:
            raise _too_late(patience) from error
        if reply.status >= 400:
            raise status_error(reply.status, reply.headers, reply.body) from reply.error
        return reply

    async def stream(
        self,
        path: str,
        body: bytes,
        *,
        model: str,
        headers: Mapping[str, str],
        deadline: Deadline,
        patience: float,
    ) -> OpenStream:
        """Send one request and return its stream, whose first content has come.

        Raises:
            LLMError: As :meth:`post`, and where the stream broke before any content.
        """
        connection = self._wire.stream(path, body, model=model, headers=headers)
        try:
            with self._timeouts.until(deadline.within(patience)):
                reply = await connection.__aenter__()
        except TimeoutError as error:
            raise _too_late(patience) from error
        source = OpenStream(
            connection, reply, timeouts=self._timeouts, deadline=deadline, patience=patience
        )
        try:
            if reply.status >= 400:
                body_sent = await reply.read()
                raise status_error(reply.status, reply.headers, body_sent) from reply.error
            await source.begin()
        except BaseException:
            await source.aclose()
            raise
        return source

    @property
    def _wire(self) -> Transport:
        if self._transport is None:
            raise ConfigurationError(f"the endpoint {self.name!r} is not open")
        return self._transport


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A model on an endpoint."""

    endpoint: Endpoint
    model: str

    @property
    def label(self) -> str:
        """How it is called in logs."""
        return f"{self.endpoint.name}/{self.model}"


def _too_late(patience: float) -> LLMTimeoutError:
    return LLMTimeoutError(
        f"no answer within {patience:g} s, or before the call's deadline: "
        "raise Settings.llm.timeout if the model needs longer"
    )
