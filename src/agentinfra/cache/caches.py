"""The caches of a runtime as one resource."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from agentinfra._mechanics.clock import SYSTEM_CLOCK, Clock
from agentinfra._mechanics.identifiers import random_hex
from agentinfra._mechanics.resource import Resource
from agentinfra.cache.kinds import EmbeddingCache, ResponseCache, RoutingCache
from agentinfra.cache.replies import RepliesByRequest
from agentinfra.cache.semantic.caches import SemanticResponses, SemanticRouting
from agentinfra.cache.semantic.memory import MemoryNeighbours
from agentinfra.cache.semantic.postgres import PostgresNeighbours
from agentinfra.cache.shared.redis import RedisTier
from agentinfra.errors import CacheError
from agentinfra.observability.metrics import Metrics
from agentinfra.observability.semconv import RESOURCE_STATE
from agentinfra.results import ResourceHealth

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentinfra.cache.options import CacheOptions
    from agentinfra.cache.semantic.neighbours import Neighbours
    from agentinfra.cache.semantic.tier import SemanticOptions
    from agentinfra.protocols import Embedder, Tables
    from agentinfra.results import EmbeddingBatch
    from agentinfra.settings import CacheSettings

__all__ = ["Caches", "EmbeddingCache", "ResponseCache", "RoutingCache"]


_MOST_IN_MEMORY = 20_000
"""Questions that memory holds at most where there is a database: each lookup compares with all."""


_DAY = 86_400.0
_WEEK = 7 * _DAY
"""How long questions are kept: what nobody else finds is of no use when its process has ended."""


class VectorsByText(EmbeddingCache):
    """The vectors a model client keeps by itself: each is that of the very text."""

    kind = "vectors"


class _Embedding:
    """The embedder of the semantic caches, which comes later than they do."""

    def __init__(self) -> None:
        self.embedder: Embedder | None = None

    async def get_embeddings(
        self, texts: Sequence[str], *, model: str | None = None, dimensions: int | None = None
    ) -> EmbeddingBatch:
        if self.embedder is None:
            raise CacheError("nothing turns texts into vectors: call embed_with()")
        return await self.embedder.get_embeddings(texts, model=model, dimensions=dimensions)


class Caches(Resource):
    """The three caches, the vectors a model client keeps, and the Redis they share if there is one.

    ``semantic_routing`` and ``semantic_response`` ask ``routing`` and ``response`` by meaning; they
    are switched off by default, and then ask them by the letter.

    Whoever enters it owns its lifetime; the tasks of its event loop share it. Without Redis, or
    while Redis is away, the caches serve from memory and the state is ``degraded``. Switched off,
    they hold nothing: every get is a miss, and ``get_or_compute`` calls its loader.

    Args:
        settings: The settings' cache group.
        metrics: Where operations are counted; None counts nothing.
        clock: Where time comes from.
        database: Gives the database that keeps questions which are too many for memory; None
            where there is none.
    """

    name = "cache"
    vendors = ("numpy",)

    def __init__(
        self,
        settings: CacheSettings,
        *,
        metrics: Metrics | None = None,
        clock: Clock = SYSTEM_CLOCK,
        database: Callable[[], Tables] | None = None,
    ) -> None:
        super().__init__()
        self._settings = settings
        self._metrics = metrics if metrics is not None else Metrics.off()
        self._tier = self._make_tier(clock)
        on = settings.enabled
        options: CacheOptions = {
            "max_bytes": settings.max_bytes,
            "namespace": settings.namespace,
            "tenant": settings.tenant,
            "shared": self._tier,
            "clock": clock,
        }
        self.routing = RoutingCache(
            settings.routing_ttl, settings.routing_size if on else 0, **options
        )
        self.embedding = EmbeddingCache(
            settings.embedding_ttl, settings.embedding_size if on else 0, **options
        )
        self.response = ResponseCache(
            settings.response_ttl, settings.response_size if on else 0, **options
        )
        self.vectors = VectorsByText(
            settings.embedding_ttl,
            settings.embedding_size if on else 0,
            **(options | {"normalize": "exact"}),
        )
        self.replies = RepliesByRequest(
            settings.response_ttl, settings.response_size if on else 0, **options
        )
        self._all = (self.routing, self.embedding, self.response, self.vectors, self.replies)
        self._embedding = _Embedding()
        semantic: SemanticOptions = {
            "enabled": on and settings.semantic,
            "max_false_hit": settings.max_false_hit,
            "audit_share": settings.audit_share,
        }
        routed, answered = (
            self._store_of(cache, database) for cache in (self.routing, self.response)
        )
        self.semantic_routing = SemanticRouting(
            self.routing, self._embedding, **(semantic | {"store": routed})
        )
        self.semantic_response = SemanticResponses(
            self.response, self._embedding, clock=clock, **(semantic | {"store": answered})
        )
        self._stores = [
            store for store in (routed, answered) if isinstance(store, PostgresNeighbours)
        ]
        self._semantic = (self.semantic_routing, self.semantic_response)

    def embed_with(self, embedder: Embedder) -> None:
        """Have the semantic caches turn questions into vectors with a model client."""
        self._embedding.embedder = embedder

    @property
    def redis(self) -> RedisTier | None:
        """The Redis behind the caches, with a health row of its own; None where there is none."""
        return self._tier

    async def probe(self) -> ResourceHealth:
        """Return the state now; Redis is asked where one is configured."""
        latency, detail = None, "memory"
        if self._tier is not None:
            latency, detail = (await self._tier.probe()).latency, "memory and Redis"
        state, reason = self.state, self.reason
        if self._settings.semantic and state != "disabled":
            detail = "; ".join([detail, *(cache.describe() for cache in self._semantic)])
            if trouble := " and ".join(filter(None, (cache.trouble for cache in self._semantic))):
                state, reason = "degraded", "; ".join(filter(None, (reason, trouble)))
        return ResourceHealth(
            name=self.name, state=state, reason=reason, latency=latency, detail=detail
        )

    async def _open(self) -> None:
        for cache in self._all:
            cache.bind(self._metrics)
        if self._settings.semantic:
            for semantic in self._semantic:
                semantic.bind(self._metrics)
        if not self._settings.enabled:
            self.degrade("switched off: AGENTINFRA_CACHE__ENABLED is false", state="disabled")
            return
        if self._tier is not None:
            await self._tier.__aenter__()

    async def _close(self) -> None:
        for semantic in self._semantic:
            await semantic.aclose()
        for store in self._stores:
            await store.aclose()
        for cache in self._all:
            await cache.aclose()
        if self._tier is not None:
            await self._tier.aclose()

    def _store_of(
        self, cache: RoutingCache | ResponseCache, database: Callable[[], Tables] | None
    ) -> Neighbours:
        """Return where the questions of a cache are kept: on the database where they are many.

        Questions are shared where answers are. Without Redis nobody has the answers of another
        process: it would find their questions only to drop them.
        """
        size = self._settings.semantic_size
        if database is None or size <= _MOST_IN_MEMORY:
            return MemoryNeighbours(size)
        alone = self._tier is None
        return PostgresNeighbours(
            database,
            scope=f"{random_hex(8) if alone else 'all'} {cache.kind} {cache.identity.hex()}",
            max_entries=size,
            lifetime=_DAY if alone else _WEEK,
        )

    def _make_tier(self, clock: Clock) -> RedisTier | None:
        url = self._settings.redis_url
        if url is None or not self._settings.enabled:
            return None
        return RedisTier(
            url.get_secret_value(),
            timeout=self._settings.redis_timeout,
            clock=clock,
            changed=self._follow_tier,
        )

    def _follow_tier(self) -> None:
        if self._tier is None:
            return
        if self._tier.state == "ready":
            self.restore()
        else:
            self.degrade(self._tier.reason)
        gauge = self._metrics.gauge(RESOURCE_STATE, self.name)
        gauge.set(0 if self.state == "ready" else 1)
