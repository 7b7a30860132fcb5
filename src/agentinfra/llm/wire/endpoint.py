"""An endpoint: its profile, its wire, its prices, and the attempts made on it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec

from agentinfra._mechanics.clock import SYSTEM_CLOCK, Clock
from agentinfra._mechanics.in_thread import in_thread
from agentinfra._mechanics.timeouts import Timeouts
from agentinfra.errors import ConfigurationError, LLMTimeoutError
from agentinfra.llm.dialects.failures import status_error
from agentinfra.llm.money.prices import PriceBook
from agentinfra.llm.wire.checkup import Checkup, Finding
from agentinfra.llm.wire.credentials import Credentials, KeyProvider
from agentinfra.llm.wire.direct import open_direct
from agentinfra.llm.wire.lessons import Lessons
from agentinfra.llm.wire.open_stream import OpenStream
from agentinfra.llm.wire.profile import profile_of
from agentinfra.llm.wire.sdk import (
    SdkTransport,
    no_certificates,
    open_client,
    trusted_certificates,
)
from agentinfra.observability.redaction import Redactor

if TYPE_CHECKING:
    import ssl

    import openai

    from agentinfra._mechanics.deadline import Deadline
    from agentinfra.llm.dialects.answer import Assembly
    from agentinfra.llm.wire.transport import Reply, Transport
    from agentinfra.settings import EndpointSettings, LLMSettings

__all__ = ["Endpoint", "Sending", "Target"]

CONNECT_TIMEOUT = 5.0
"""Seconds a connection may take; the openai package's default."""

_EMPTY = b'{"max_tokens":1}'
"""A call that lacks all that it needs; the bound is for servers that answer it all the same."""


class Sending(msgspec.Struct, kw_only=True):
    """One request to be sent: where below the address, and within what time.

    Attributes:
        operation: ``chat``, ``responses`` or ``embeddings``.
        model: The model, which some addresses name.
        body: The body; empty for a GET.
        headers: Headers of this request alone.
        query: Query parameters of this request alone.
        below: What follows the operation's path.
        method: How it is asked.
        deadline: When the call has to be over.
        patience: Seconds one attempt may take; None has no end.
    """

    operation: str
    model: str
    body: bytes
    headers: Mapping[str, str]
    deadline: Deadline
    patience: float | None
    query: Mapping[str, Any] | None = None
    below: str = ""
    method: str = "POST"


class Endpoint:
    """One address that answers calls for texts and embeddings.

    Args:
        name: How it is called in logs and in ``fallback_models``.
        settings: Its address, key and peculiarities.
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
        self.profile = profile_of(settings)
        self.weight = settings.weight
        self.limits = replace(self.profile.limits, cut=set())
        self.lessons = Lessons(self.profile, clock)
        self.prices = PriceBook(
            limits.prices,
            base_url=settings.base_url,
            azure=settings.api_version is not None,
            vendor=settings.prices_of,
        )
        self._settings = settings
        self._limits = limits
        self._credentials = Credentials(settings, self.profile.auth, key)
        self._timeouts = Timeouts(clock)
        self._connect = min(CONNECT_TIMEOUT, limits.timeout or CONNECT_TIMEOUT)
        self._transport: Transport | None = None
        self._urls: dict[tuple[str, str], str] = {}
        self._fixed = {**(self._credentials.fixed or {}), **self.profile.headers}
        self.address = Redactor().text(settings.base_url or self.profile.base_url)
        self._checkup = Checkup(
            self._ask,
            address=self.address,
            setting=self._setting,
            clock=clock,
            calls=self.profile.paths["responses" if self.profile.api == "responses" else "chat"],
        )

    @property
    def account(self) -> str:
        """Whose limits its requests count against, without saying who that is."""
        parts = (self.profile.base_url, *sorted(f"{k}={v}" for k, v in self._fixed.items()))
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]

    async def open(self) -> None:
        """Make the connection pool and look up prices, off the event loop; nothing is connected.

        Raises:
            MissingPackageError: openai or aiohttp is not installed.
            ConfigurationError: The openai package refuses the settings.
        """
        tls, client = await in_thread(self._prepare)
        if self._limits.transport == "sdk":
            self._transport = SdkTransport(client, self._fixed)
        else:
            self._transport = open_direct(
                client,
                self._settings,
                self._fixed,
                tls=tls,
                max_connections=self._limits.max_connections,
                connect_timeout=self._connect,
            )

    def _prepare(self) -> tuple[ssl.SSLContext, openai.AsyncOpenAI]:
        """Do what takes tens of milliseconds: reading certificates and tables of prices."""
        sdk_wire = self._limits.transport == "sdk"
        plain = self.profile.base_url.startswith("http://")
        # Reading a system's certificates takes 50 ms and more.
        tls = no_certificates() if plain and not sdk_wire else trusted_certificates()
        client = open_client(
            self.profile.base_url, tls=tls, connect_timeout=self._connect, proxies=sdk_wire
        )
        for model in (self._limits.model, self._limits.embedding_model):
            self.prices.rates(model)
        return tls, client

    async def probe(
        self, *, chat: str | None, embedding: str | None, thorough: bool = False
    ) -> Finding:
        """Ask the endpoint whether it works, without a token; see ``Checkup``."""
        return await self._checkup.look(chat=chat, embedding=embedding, thorough=thorough)

    async def _ask(self, method: str, path: str, model: str) -> Reply:
        return await self._wire.send(
            self.profile.below(path, model),
            _EMPTY if method == "POST" else b"",
            headers={} if self._credentials.fixed is not None else await self._asked({}),
            method=method,
        )

    @property
    def _setting(self) -> str:
        if self.name == "default":
            return "OPENAI_BASE_URL"
        return f"base_url of {self.name!r} in AGENTINFRA_LLM__ENDPOINTS"

    async def aclose(self) -> None:
        """Close every connection."""
        self._timeouts.close()
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.aclose()

    async def send(self, sending: Sending) -> Reply:
        """Send one request and return its answer.

        Raises:
            LLMStatusError: The answer is an error.
            LLMConnectionError: No answer came; ``LLMTimeoutError`` after the request's patience
                or at the deadline.
        """
        try:
            with self._timeouts.until(sending.deadline.within(sending.patience)):
                reply = await self._wire.send(
                    self._url(sending),
                    sending.body,
                    headers=sending.headers
                    if self._credentials.fixed is not None
                    else await self._asked(sending.headers),
                    method=sending.method,
                )
        except TimeoutError as error:
            raise self._too_late(sending) from error
        if reply.status >= 300:
            raise status_error(reply.status, reply.headers, reply.body) from reply.error
        return reply

    async def stream(self, sending: Sending, assembly: Assembly) -> OpenStream:
        """Send one request and return its stream, whose first content has come.

        Args:
            sending: The request.
            assembly: Puts the events together.

        Raises:
            LLMError: As `send`, and where the stream broke before any content.
        """
        try:
            with self._timeouts.until(sending.deadline.within(sending.patience)):
                connection = self._wire.stream(
                    self._url(sending),
                    sending.body,
                    headers=sending.headers
                    if self._credentials.fixed is not None
                    else await self._asked(sending.headers),
                    method=sending.method,
                )
                reply = await connection.__aenter__()
        except TimeoutError as error:
            raise self._too_late(sending) from error
        source = OpenStream(
            connection,
            reply,
            assembly,
            timeouts=self._timeouts,
            deadline=sending.deadline,
            patience=sending.patience,
            largest=self._settings.largest_answer,
        )
        try:
            if reply.status >= 300:
                body_sent = await reply.read()
                raise status_error(reply.status, reply.headers, body_sent) from reply.error
            await source.begin()
        except LLMTimeoutError as error:
            await source.aclose()
            raise self._too_late(sending) from error
        except BaseException:
            await source.aclose()
            raise
        return source

    def _url(self, sending: Sending) -> str:
        if sending.query or sending.below:
            return self.profile.url(
                sending.operation, sending.model, below=sending.below, query=sending.query or {}
            )
        key = (sending.operation, sending.model if self.profile.azure else "")
        try:
            return self._urls[key]
        except KeyError:
            url = self._urls[key] = self.profile.url(sending.operation, sending.model, query={})
            return url

    async def _asked(self, own: Mapping[str, str]) -> Mapping[str, str]:
        """Return a request's own headers, and the key that its provider gives for it."""
        return {**await self._credentials.headers(), **own}

    def _too_late(self, sending: Sending) -> LLMTimeoutError:
        configured = self._limits.timeout
        patience = sending.patience
        at_deadline = sending.deadline.passed
        shorter = patience is not None and (configured is None or patience < configured)
        named = "" if patience is None else f" within {patience:g} s"
        return LLMTimeoutError(
            f"no answer{named}, or before the call's deadline: "
            "raise Settings.llm.timeout if the model needs longer",
            impatient=at_deadline or shorter,
        )

    @property
    def _wire(self) -> Transport:
        if self._transport is None:
            raise ConfigurationError(f"the endpoint {self.name!r} is not open")
        return self._transport


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A model on an endpoint.

    Attributes:
        endpoint: The endpoint.
        model: The model as the endpoint calls it.
        route: The model it is one of several endpoints for; empty where it is the only one.
    """

    endpoint: Endpoint
    model: str
    route: str = ""

    @property
    def label(self) -> str:
        """How it is called in logs."""
        return f"{self.endpoint.name}/{self.model}"
