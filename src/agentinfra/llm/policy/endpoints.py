"""The endpoints of a client, and where a call for a model goes."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from agentinfra._mechanics.clock import Clock
from agentinfra.errors import ConfigurationError
from agentinfra.llm.policy.routes import shared_out
from agentinfra.llm.wire.endpoint import Endpoint, Target

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agentinfra.llm.policy.gate import Gates
    from agentinfra.llm.wire.credentials import KeyProvider
    from agentinfra.settings import LLMSettings

__all__ = ["Endpoints"]


class Endpoints:
    """Every endpoint of a client.

    Args:
        settings: The client's settings.
        key: Gives the key of each request to the first endpoint.
        clock: Where time comes from.

    Raises:
        ConfigurationError: A route names no endpoint.
    """

    def __init__(self, settings: LLMSettings, *, key: KeyProvider | None, clock: Clock) -> None:
        self.first = Endpoint("default", settings, settings, key=key, clock=clock)
        self._others = {
            name: Endpoint(name, other, settings, clock=clock)
            for name, other in settings.endpoints.items()
        }
        self._routes = settings.routes
        self._fallbacks = settings.fallback_models
        self._settings = settings
        # A program names few models, again and again.
        self._targets = lru_cache(maxsize=256)(self._targets_of)
        for model, peers in self._routes.items():
            if not peers:
                raise ConfigurationError(
                    f"Settings.llm.routes[{model!r}] is empty: name an endpoint and its model, as "
                    "'east/gpt-4o'"
                )

    @property
    def every(self) -> tuple[Endpoint, ...]:
        """All of them, the one that is called first in front."""
        return (self.first, *self._others.values())

    @property
    def named(self) -> tuple[tuple[str, str], ...]:
        """What is asked, ``chat`` or ``embeddings``, of which models that the settings name."""
        s = self._settings
        chat = (("chat", self.target(name).model) for name in (s.model, *s.fallback_models))
        return (*chat, ("embeddings", self.target(s.embedding_model).model))

    @property
    def servers(self) -> dict[str, Mapping[str, Any]]:
        """What spans say of the server of each model that the settings name."""
        s = self._settings
        targets = map(self.target, (s.model, *s.fallback_models, s.embedding_model))
        return {target.model: target.endpoint.profile.attributes for target in targets}

    async def open(self) -> None:
        """Open all of them; nothing is connected yet."""
        for endpoint in self.every:
            await endpoint.open()

    async def aclose(self) -> None:
        """Close every connection."""
        for endpoint in self.every:
            await endpoint.aclose()

    def ordered(self, model: str, operation: str, gates: Gates) -> tuple[Target, ...]:
        """Return where a call goes, in order: the endpoints of its model, then what falls back.

        Args:
            model: The model.
            operation: What is asked of it.
            gates: Know which endpoints are better left alone for now.

        Raises:
            ConfigurationError: The model is no text.
        """
        if type(model) is not str and not isinstance(model, str):
            raise ConfigurationError(f"model is {model!r}: give its name")
        targets = self._targets(model)
        if not self._routes or model not in self._routes:
            return targets
        count = len(self._routes[model])
        return (*shared_out(targets[:count], gates, operation), *targets[count:])

    def _targets_of(self, model: str) -> tuple[Target, ...]:
        names = (model, *(name for name in self._fallbacks if name != model))
        return tuple(target for name in names for target in self._routed(name))

    def _routed(self, name: str) -> tuple[Target, ...]:
        peers = self._routes.get(name)
        if peers is None:
            return (self.target(name),)
        return tuple(self.target(peer, route=name) for peer in peers)

    def target(self, name: str, *, route: str = "") -> Target:
        """Return the model and the endpoint that a name means."""
        where, separator, model = name.partition("/")
        if separator and where in self._others:
            return Target(endpoint=self._others[where], model=model, route=route)
        return Target(endpoint=self.first, model=name, route=route)
