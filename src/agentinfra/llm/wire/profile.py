"""An endpoint's profile: what differs between servers, out of settings and presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from agentinfra.errors import ConfigurationError
from agentinfra.llm.dialects.embeddings import MAX_INPUTS, MAX_REQUEST_TOKENS, Limits
from agentinfra.llm.dialects.speech import Speech
from agentinfra.llm.wire.presets import preset_names, preset_of
from agentinfra.observability import semconv

if TYPE_CHECKING:
    from agentinfra.settings import EndpointSettings

__all__ = ["Profile", "profile_of"]

OPENAI = "https://api.openai.com/v1"

_PATHS = {
    "chat": "/chat/completions",
    "responses": "/responses",
    "embeddings": "/embeddings",
}
_OF_DEPLOYMENTS = frozenset({"chat", "embeddings"})
"""Operations that Azure's dated APIs have below the deployment's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What differs between servers.

    Attributes:
        base_url: The address, without a slash at its end.
        azure: Whether it is Azure with a dated API, whose paths name the deployment.
        api: Which API; ``auto`` decides by model.
        auth: How the key is sent.
        headers: Headers of every request, the key's not among them.
        query: Query parameters of every request.
        paths: The path of each operation.
        speech: What dialects need to know.
        limits: What embeddings are sent by.
        propagate: Whether the trace goes out with requests.
        attributes: What spans say of the server.
    """

    base_url: str
    azure: bool
    api: Literal["auto", "chat", "responses"]
    auth: Literal["bearer", "api-key", "none"]
    headers: Mapping[str, str] = field(repr=False)
    query: Mapping[str, str] = field(repr=False)
    paths: Mapping[str, str]
    speech: Speech
    limits: Limits
    propagate: bool
    attributes: Mapping[str, Any]

    def url(self, operation: str, model: str, *, below: str = "", query: Mapping[str, Any]) -> str:
        """Return the address of a request.

        Args:
            operation: ``chat``, ``responses`` or ``embeddings``.
            model: The model, which is part of some addresses.
            below: What follows the path: the id of a response.
            query: Query parameters of this request.
        """
        of_deployment = operation in _OF_DEPLOYMENTS
        return self._url(f"{self.paths[operation]}{below}", model if of_deployment else "", query)

    def below(self, path: str, model: str) -> str:
        """Return the address of a path that may be none of an operation's.

        Args:
            path: It, below the endpoint's address.
            model: The model, which is part of some addresses.
        """
        of_deployment = any(self.paths[operation] == path for operation in _OF_DEPLOYMENTS)
        return self._url(path, model if of_deployment else "", {})

    def _url(self, path: str, deployment: str, query: Mapping[str, Any]) -> str:
        base = self.base_url
        if self.azure and deployment and "/deployments" not in base:
            base += f"/deployments/{quote(deployment, safe='')}"
        every = {**self.query, **query}
        asked = urlencode({name: _word(value) for name, value in every.items()}, doseq=True)
        return f"{base}{path}{'?' if asked else ''}{asked}"


def profile_of(settings: EndpointSettings) -> Profile:
    """Return the profile of an endpoint: what is set, else what its preset says.

    Raises:
        ConfigurationError: There is no preset of that name.
    """
    if settings.preset is not None and settings.preset not in preset_names():
        raise ConfigurationError(
            f"Settings.llm.preset is {settings.preset!r}: use one of {', '.join(preset_names())}"
        )
    given = settings.base_url
    base, asked = _taken_apart(given.without_login if given is not None else OPENAI)
    parts = urlsplit(base)
    host = parts.hostname or ""
    azure = settings.api_version is not None
    known = preset_of(host, "azure" if azure else settings.preset)
    if azure and "/openai" not in parts.path:
        base += "/openai"
    query = {**asked, **settings.extra_query}
    if azure:
        query.setdefault("api-version", settings.api_version or "")

    def chosen(name: str, *, default: Any) -> Any:
        given = getattr(settings, name)
        return given if given is not None else known.get(name, default)

    return Profile(
        base_url=base,
        azure=azure,
        api=chosen("api", default="auto"),
        auth=chosen("auth", default="bearer"),
        headers=_headers(settings),
        query=query,
        paths=_PATHS | {str(name): path for name, path in settings.paths.items()},
        speech=Speech(
            official=bool(known.get("official")),
            token_limit=chosen("token_limit", default="auto"),
            stream_options=chosen("stream_options", default=True),
            extra_body=settings.extra_body or None,
            unsupported=settings.unsupported,
        ),
        limits=Limits(
            inputs=chosen("embedding_inputs", default=MAX_INPUTS),
            tokens=chosen("embedding_tokens", default=MAX_REQUEST_TOKENS),
            text_tokens=settings.embedding_text_tokens,
            encoding=chosen("embedding_encoding", default="base64"),
        ),
        propagate=_is_near(host) if settings.propagate is None else settings.propagate,
        attributes={
            semconv.PROVIDER: known.get("provider", "openai"),
            semconv.SERVER_ADDRESS: host,
            semconv.SERVER_PORT: parts.port or (443 if parts.scheme == "https" else 80),
        },
    )


def _taken_apart(url: str) -> tuple[str, dict[str, str]]:
    """Return an address up to where the operations' paths begin, and what its query says.

    What people paste from a page of documentation is often the address of one operation.
    """
    base, _, query = url.partition("?")
    base = base.rstrip("/")
    for path in _PATHS.values():
        base = base.removesuffix(path)
    return base, dict(parse_qsl(query, keep_blank_values=True))


def _headers(settings: EndpointSettings) -> dict[str, str]:
    headers = {name: secret.get_secret_value() for name, secret in settings.extra_headers.items()}
    if settings.base_url is not None and settings.base_url.authorization is not None:
        headers.setdefault("Authorization", settings.base_url.authorization)
    if settings.organization:
        headers.setdefault("OpenAI-Organization", settings.organization)
    if settings.project:
        headers.setdefault("OpenAI-Project", settings.project)
    return headers


def _is_near(host: str) -> bool:
    """Whether an address is of one's own network, where a trace may go on."""
    try:
        return ip_address(host).is_private
    except ValueError:
        return host == "localhost" or "." not in host or host.endswith((".local", ".internal"))


def _word(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return list(value) if isinstance(value, list | tuple) else str(value)
