"""The three caches: what was decided, what was embedded, what was answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from agentinfra.cache.codec import PlainCodec
from agentinfra.cache.keys import canonical_json, normalize_text
from agentinfra.cache.tiered import CacheOptions, TieredCache
from agentinfra.cache.vectors import VectorCodec, from_float32, to_float32

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["EmbeddingCache", "ResponseCache", "RoutingCache"]

T = TypeVar("T")


class RoutingCache(TieredCache[Any]):
    """Remembers what was decided about a question, by its normalised text.

    Values are held as they are, not copied: do not change one you have stored or been given.
    Other processes get the values that MessagePack can hold.

    Args:
        ttl_seconds: Seconds a value is fresh.
        max_size: Values held in memory at most; the least recently used goes first. 0 holds none.
        options: See :class:`~agentinfra.cache.tiered.CacheOptions`.
    """

    kind = "routing"

    def __init__(
        self, ttl_seconds: float = 3600.0, max_size: int = 500, **options: Unpack[CacheOptions]
    ) -> None:
        super().__init__(PlainCodec(), ttl_seconds, max_size, **options)

    async def get(self, query: str, default: Any = None) -> Any:
        """Return the fresh value of a query, else ``default``."""
        return await self._get(self._key(normalize_text(query)), default)

    async def set(self, query: str, value: Any) -> None:
        """Remember a value; None is one, and ``get`` with another default tells it."""
        await self._set(self._key(normalize_text(query)), value)

    async def get_or_compute(self, query: str, loader: Callable[[], Awaitable[T]]) -> T:
        """Return the value of a query, from ``loader`` where there is none.

        Callers that want the same at the same time share one load, which none of them owns: a
        cancelled one does not cancel the others, and the last one to go ends it. A failure
        reaches all of them and is not remembered. None is remembered.
        """
        return await self._compute(self._key(normalize_text(query)), loader)  # type: ignore[no-any-return]

    async def delete(self, query: str) -> bool:
        """Forget a query; return whether there was a value."""
        return await self._delete(self._key(normalize_text(query)))


class ResponseCache(TieredCache[Any]):
    """Remembers an agent's answers, by normalised question, agent and context.

    Values are held as they are, not copied: do not change one you have stored or been given.
    Other processes get the values that MessagePack can hold.

    Args:
        ttl_seconds: Seconds a value is fresh.
        max_size: Values held in memory at most; the least recently used goes first. 0 holds none.
        options: See :class:`~agentinfra.cache.tiered.CacheOptions`.
    """

    kind = "response"

    def __init__(
        self, ttl_seconds: float = 3600.0, max_size: int = 1000, **options: Unpack[CacheOptions]
    ) -> None:
        super().__init__(PlainCodec(), ttl_seconds, max_size, **options)

    async def get(self, query: str, agent: str, context: Any = None, default: Any = None) -> Any:
        """Return the fresh value of a query, else ``default``.

        Raises:
            CacheError: The context cannot be written as JSON.
        """
        return await self._get(self._answer_key(query, agent, context), default)

    async def set(self, query: str, agent: str, value: Any, context: Any = None) -> None:
        """Remember an answer.

        Raises:
            CacheError: The context cannot be written as JSON.
        """
        await self._set(self._answer_key(query, agent, context), value)

    async def get_or_compute(
        self,
        query: str,
        agent: str,
        loader: Callable[[], Awaitable[T]],
        context: Any = None,
    ) -> T:
        """Return the answer to a query, from ``loader`` where there is none.

        See :meth:`RoutingCache.get_or_compute`.

        Raises:
            CacheError: The context cannot be written as JSON.
        """
        key = self._answer_key(query, agent, context)
        return await self._compute(key, loader)  # type: ignore[no-any-return]

    async def delete(self, query: str, agent: str, context: Any = None) -> bool:
        """Forget an answer; return whether there was one.

        Raises:
            CacheError: The context cannot be written as JSON.
        """
        return await self._delete(self._answer_key(query, agent, context))

    def _answer_key(self, query: str, agent: str, context: Any) -> str:
        about = None if context is None else canonical_json(context)
        return self._key(normalize_text(query), agent, about)


class EmbeddingCache(TieredCache[bytes]):
    """Remembers vectors, by normalised text, model and number of dimensions asked for.

    Held as float32: four bytes a number. What ``get`` returns cannot be written to.

    Args:
        ttl_seconds: Seconds a vector is fresh.
        max_size: Vectors held in memory at most; the least recently used goes first. 0 holds none.
        options: See :class:`~agentinfra.cache.tiered.CacheOptions`.
    """

    kind = "embedding"

    def __init__(
        self, ttl_seconds: float = 86_400.0, max_size: int = 5000, **options: Unpack[CacheOptions]
    ) -> None:
        super().__init__(VectorCodec(), ttl_seconds, max_size, **options)

    async def get(
        self, text: str, model: str, dimensions: int | None = None
    ) -> NDArray[np.float32] | None:
        """Return the vector of a text, None when there is none; read-only."""
        data = await self._get(self._vector_key(text, model, dimensions), None)
        return None if data is None else from_float32(data)

    async def set(self, text: str, model: str, vector: Any, dimensions: int | None = None) -> None:
        """Remember a vector: a list, an array, anything numpy reads.

        Raises:
            CacheError: It is not a row of finite numbers, or not of ``dimensions`` numbers.
        """
        data = to_float32(vector, dimensions)
        await self._set(self._vector_key(text, model, dimensions), data)

    async def get_or_compute(
        self,
        text: str,
        model: str,
        loader: Callable[[], Awaitable[Any]],
        dimensions: int | None = None,
    ) -> NDArray[np.float32]:
        """Return the vector of a text, from ``loader`` where there is none.

        See :meth:`RoutingCache.get_or_compute`.

        Raises:
            CacheError: The loader gave something that is not such a vector.
        """

        async def load() -> bytes:
            return to_float32(await loader(), dimensions)

        return from_float32(await self._compute(self._vector_key(text, model, dimensions), load))

    async def delete(self, text: str, model: str, dimensions: int | None = None) -> bool:
        """Forget a vector; return whether there was one."""
        return await self._delete(self._vector_key(text, model, dimensions))

    def _vector_key(self, text: str, model: str, dimensions: int | None) -> str:
        return self._key(normalize_text(text), model, dimensions)
