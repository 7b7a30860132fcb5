"""Answers that are kept and given again, for calls that ask for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from agentinfra.errors import AgentInfraError
from agentinfra.llm.calls.replaying import Replay
from agentinfra.llm.calls.sending import DIALECTS
from agentinfra.llm.calls.telemetry import log

if TYPE_CHECKING:
    from agentinfra.llm.dialects.answer import Answer
    from agentinfra.llm.dialects.request import TextRequest
    from agentinfra.llm.policy.call import Call
    from agentinfra.llm.wire.endpoint import Target
    from agentinfra.protocols import ReplyCache
    from agentinfra.results import LLMResponse

__all__ = ["Kept"]

_WHOLE = frozenset({"stop", "length", "tool_calls", "function_call"})
"""What an answer that is kept ended with: one that was filtered may come out otherwise."""


class _Reply(NamedTuple):
    """What is kept: the API, and the body, or the events of a stream."""

    api: str
    pieces: list[bytes]


_READ = msgspec.msgpack.Decoder(tuple[str, list[bytes]])


class Kept:
    """The answer to one request, as a cache has it, or is to have it.

    A request is the body, the headers, the query, and the endpoint they go to. What the cache
    raises is logged: a call never fails because of it.

    Args:
        cache: The cache.
        request: The request, whose body was encoded.
        call: The call.
        target: Where it goes first.
    """

    __slots__ = ("_cache", "_key", "_seconds", "_tenant")

    def __init__(self, cache: ReplyCache, request: TextRequest, call: Call, target: Target) -> None:
        self._cache = cache
        self._tenant = call.tenant
        self._seconds = request.keep
        about = (str(target.endpoint.address), _sorted(request.headers), _sorted(request.query))
        self._key = msgspec.msgpack.encode((*about, request.stream, request.body))

    async def answer(self) -> Answer | None:
        """Return the whole answer."""
        found = await self._find()
        if found is None:
            return None
        try:
            return DIALECTS[found.api].read(found.pieces[0], {})
        except (AgentInfraError, LookupError) as error:
            self._failed(error)
            return None

    async def replay(self, request: TextRequest) -> Replay | None:
        """Return the whole stream."""
        found = await self._find()
        if found is None or found.api not in DIALECTS:
            return None
        return Replay(DIALECTS[found.api].assembly(request), found.pieces)

    async def keep(self, response: LLMResponse, api: str, pieces: Sequence[bytes]) -> None:
        """Keep an answer that is whole and what was asked for."""
        if response.degraded or response.finish_reason not in _WHOLE or not pieces:
            return
        data = msgspec.msgpack.encode((api, list(pieces)))
        try:
            await self._cache.set(self._key, self._tenant, data, ttl=self._seconds)
        except AgentInfraError as error:
            self._failed(error)

    async def _find(self) -> _Reply | None:
        try:
            data = await self._cache.get(self._key, self._tenant)
            return None if data is None else _Reply(*_READ.decode(data))
        except (AgentInfraError, msgspec.MsgspecError) as error:
            self._failed(error)
            return None

    def _failed(self, error: Exception) -> None:
        log.warning("llm.cache_failed", error=type(error).__name__)


def _sorted(given: Mapping[str, object] | None) -> list[tuple[str, str]]:
    return sorted((name, str(value)) for name, value in (given or {}).items())
