"""How a client's endpoints are, for health reports that come often."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from agentinfra._mechanics.remembered import Remembered
from agentinfra.llm.wire.checkup import Finding

if TYPE_CHECKING:
    from agentinfra._mechanics.clock import Clock
    from agentinfra.llm.policy.endpoints import Endpoints
    from agentinfra.llm.wire.endpoint import Endpoint
    from agentinfra.settings import LLMSettings

__all__ = ["EndpointsProbe"]

_GOOD_FOR = 30.0
"""Seconds a good answer holds: readiness is asked every few seconds, by many."""

_BAD_FOR = 5.0
"""Seconds a bad one holds, so that what was mended is seen soon."""


class EndpointsProbe:
    """Asks every endpoint that calls may go to; what the first one says decides.

    Args:
        settings: The client's settings: the models that calls name.
        endpoints: The endpoints.
        clock: Where time comes from.
    """

    def __init__(
        self,
        settings: LLMSettings,
        endpoints: Endpoints,
        *,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._endpoints = endpoints
        self._remembered = Remembered(self.examine, seconds=_held, clock=clock)

    async def finding(self) -> Finding:
        """Return how they are: what was found a while ago, or what is found now."""
        return await self._remembered.get()

    async def examine(self, *, thorough: bool = False) -> Finding:
        """Ask them now.

        Args:
            thorough: Try whether calls would work, too; see ``Checkup``.
        """
        first, *others = await asyncio.gather(
            *(self._ask(endpoint, thorough=thorough) for endpoint in self._endpoints.every)
        )
        if first.state != "ready":
            return first
        for other in others:
            if other.state != "ready":  # calls go on without it
                return replace(first, state="degraded", reason=other.reason)
        return first

    async def _ask(self, endpoint: Endpoint, *, thorough: bool) -> Finding:
        s = self._settings
        embedder = self._endpoints.target(s.embedding_model)
        embeds = embedder.endpoint is endpoint
        chats = {self._endpoints.target(name).endpoint for name in (s.model, *s.fallback_models)}
        # An endpoint that no setting names is there for calls that name it: for chat.
        asked = endpoint in chats or endpoint is self._endpoints.first or not embeds
        return await endpoint.probe(
            chat=s.model if asked else None,
            embedding=embedder.model if embeds else None,
            thorough=thorough,
        )


def _held(finding: Finding) -> float:
    return _GOOD_FOR if finding.state == "ready" else _BAD_FOR
