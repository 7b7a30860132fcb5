"""The caches."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from agentinfra.settings.groups.group import BLANK_IS_NONE, Group
from agentinfra.settings.url import RedisUrl

__all__ = ["CacheSettings"]


class CacheSettings(Group):
    """The three caches.

    Attributes:
        enabled: False makes every get a miss and every set a no-op.
        redis_url: A Redis all processes share; None keeps the caches in memory only.
        namespace: Put in front of every key; set it apart for each application.
        tenant: Put in front of every key, after the namespace.
        routing_ttl: Seconds a routing decision lives.
        routing_size: Routing decisions held at most.
        embedding_ttl: Seconds a vector lives.
        embedding_size: Vectors held at most.
        response_ttl: Seconds a response lives.
        response_size: Responses held at most.
        max_bytes: Bytes each cache holds in memory at most.
        redis_timeout: Seconds one Redis operation may take.
        semantic: True gives answers of questions that mean the same, where mistakes are bounded.
        semantic_size: Questions known by meaning at most; more than 20,000 are kept in the
            database where there is one. An answer has to be in its cache too: give
            ``routing_size`` and ``response_size`` room.
        max_false_hit: The share of such answers that may be wrong.
        audit_share: The share of such answers that is computed all the same, to know that share.
    """

    enabled: bool = True
    redis_url: Annotated[RedisUrl | None, BLANK_IS_NONE] = None
    namespace: str = "agentinfra"
    tenant: str = ""
    routing_ttl: float = Field(default=3600.0, gt=0)
    routing_size: int = Field(default=500, ge=1)
    embedding_ttl: float = Field(default=86400.0, gt=0)
    embedding_size: int = Field(default=5000, ge=1)
    response_ttl: float = Field(default=3600.0, gt=0)
    response_size: int = Field(default=1000, ge=1)
    max_bytes: int = Field(default=64_000_000, ge=1000)
    redis_timeout: float = Field(default=0.5, gt=0)
    semantic: bool = False
    semantic_size: int = Field(default=20_000, ge=1)
    max_false_hit: float = Field(default=0.01, gt=0, lt=1)
    audit_share: float = Field(default=0.02, gt=0, lt=1)
