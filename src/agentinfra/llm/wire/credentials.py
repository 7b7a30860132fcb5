"""The key of each request: fixed, or asked of a provider."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from agentinfra._mechanics.in_thread import in_thread
from agentinfra.errors import AgentInfraError, AuthenticationError

if TYPE_CHECKING:
    from agentinfra.settings import EndpointSettings

__all__ = ["Credentials", "KeyProvider"]

KeyProvider: TypeAlias = Callable[[], str | Awaitable[str]]
"""Gives the key of the next request: for keys that rotate and for token providers (Entra).
A plain function runs in a thread, since those that exist ask a server now and then."""


class Credentials:
    """What shows an endpoint who asks.

    Args:
        settings: The endpoint's key.
        auth: How it is sent.
        provider: Gives the key of each request, in place of the settings' one. On Azure it gives
            tokens, which go out as bearer unless the settings say ``api-key``.
    """

    def __init__(self, settings: EndpointSettings, auth: str, provider: KeyProvider | None) -> None:
        if provider is not None and settings.auth is None:
            auth = "bearer"
        secret = settings.api_key
        if provider is None and secret is not None and secret.changes:
            provider = secret.current
        self._auth = auth
        self._provider = provider
        fixed = provider is None and secret is not None
        self._fixed = self._as_headers(secret.get_secret_value()) if fixed and secret else {}

    @property
    def fixed(self) -> Mapping[str, str] | None:
        """The headers, where they are the same for every request; None where they are not."""
        return self._fixed if self._provider is None else None

    async def headers(self) -> Mapping[str, str]:
        """Return the headers of the next request.

        Raises:
            AuthenticationError: The provider failed, or gave no key.
        """
        if self._provider is None:
            return self._fixed
        try:
            given = await self._ask(self._provider)
        except AgentInfraError:
            raise
        except Exception as error:
            raise AuthenticationError(
                "the key's provider failed with "
                f"{type(error).__name__}, whose text is kept back, since it may hold the key",
                status_code=0,
            ) from error
        key = given.strip() if isinstance(given, str) else ""
        if not key or not (key.isascii() and key.isprintable()):
            what = (
                "an empty or unprintable text" if isinstance(given, str) else type(given).__name__
            )
            raise AuthenticationError(
                f"the key's provider gave {what}: it has to return the key as text", status_code=0
            )
        return self._as_headers(key)

    async def _ask(self, provider: KeyProvider) -> object:
        if inspect.iscoroutinefunction(provider):
            return await provider()
        given = await in_thread(provider)
        return await given if inspect.isawaitable(given) else given

    def _as_headers(self, key: str) -> dict[str, str]:
        if self._auth == "none":
            return {}
        return {"api-key": key} if self._auth == "api-key" else {"Authorization": f"Bearer {key}"}
