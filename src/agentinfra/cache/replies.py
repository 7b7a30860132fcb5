"""What endpoints have answered, by the very request."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Unpack

from agentinfra.cache.codec import PlainCodec
from agentinfra.cache.keys import encode_parts
from agentinfra.cache.tiered import TieredCache

if TYPE_CHECKING:
    from agentinfra.cache.options import CacheOptions

__all__ = ["RepliesByRequest"]


class RepliesByRequest(TieredCache[bytes]):
    """The whole answers a model client keeps where a call asks for it.

    A request is all that goes to the endpoint, byte by byte: nothing is folded.

    Args:
        ttl_seconds: Seconds an answer is fresh where the call says nothing.
        max_size: Answers held in memory at most.
        options: See `CacheOptions`.
    """

    kind = "chat"

    def __init__(self, ttl_seconds: float, max_size: int, **options: Unpack[CacheOptions]) -> None:
        # Bytes are unchanging: nobody needs a copy.
        super().__init__(PlainCodec(), ttl_seconds, max_size, **(options | {"copy": False}))

    async def get(self, request: bytes, tenant: str) -> bytes | None:
        """Return the answer to a request, None where there is none that is fresh."""
        return await self._get(self._request_key(request, tenant), None)

    async def set(self, request: bytes, tenant: str, reply: bytes, *, ttl: float) -> None:
        """Keep the answer to a request for ``ttl`` seconds."""
        await self._set([(self._request_key(request, tenant), reply)], ttl)

    def _request_key(self, request: bytes, tenant: str) -> bytes:
        return sha256(self._key_prefix + encode_parts(tenant, request)).digest()
