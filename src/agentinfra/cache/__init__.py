"""Caches for what agents ask again: routing decisions, vectors, answers."""

from __future__ import annotations

from agentinfra.cache.caches import Caches, EmbeddingCache, ResponseCache, RoutingCache
from agentinfra.cache.keys import cache_key, normalize_text
from agentinfra.cache.options import CacheOptions
from agentinfra.cache.shared.protocol import CoordinatedTier, SharedTier, SharedValue
from agentinfra.cache.shared.redis import RedisTier

__all__ = [
    "CacheOptions",
    "Caches",
    "CoordinatedTier",
    "EmbeddingCache",
    "RedisTier",
    "ResponseCache",
    "RoutingCache",
    "SharedTier",
    "SharedValue",
    "cache_key",
    "normalize_text",
]
