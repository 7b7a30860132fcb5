"""The three caches: what was decided, what was embedded, what was answered."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from agentinfra.cache.codec import codec_for
from agentinfra.cache.given import begin
from agentinfra.cache.keys import encode_context, encode_parts, text_digest
from agentinfra.cache.loading import ComputingCache
from agentinfra.cache.options import CacheOptions
from agentinfra.cache.tiered import MISSING
from agentinfra.cache.vectors import VECTOR_BYTES, VectorCodec, to_float32
from agentinfra.errors import CacheError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["EmbeddingCache", "ResponseCache", "RoutingCache"]

T = TypeVar("T")

_MOST_MODELS = 256


class RoutingCache(ComputingCache[Any]):
    """Remembers what was decided about a question, by its text, case and white space folded.

    Who gets a value gets one of its own: changing it changes it for nobody else. Values that can
    be read once are refused.

    Args:
        ttl_seconds: Seconds a value is fresh.
        max_size: Values held in memory at most; the least recently used goes first. 0 holds none.
        options: See `CacheOptions`.

    Raises:
        ConfigurationError: A bound or an option makes no sense.
    """

    kind = "routing"

    def __init__(
        self, ttl_seconds: float = 3600.0, max_size: int = 500, **options: Unpack[CacheOptions]
    ) -> None:
        super().__init__(codec_for(options.get("type")), ttl_seconds, max_size, **options)

    async def get(self, query: str, default: Any = None) -> Any:
        """Return the fresh value of a query, else ``default``."""
        return await self._get(self._key(query), default)

    async def get_many(self, queries: Iterable[str], default: Any = None) -> list[Any]:
        """Return the fresh value of each query, in one round trip to a shared tier."""
        return await self._get_many([self._key(query) for query in queries], default)

    async def set(
        self, query: str, value: Any, *, ttl: float | None = None, tags: Iterable[str] = ()
    ) -> None:
        """Remember a value; None is one, and ``get`` with another default tells it.

        Args:
            query: The query.
            value: The value.
            ttl: Seconds it is fresh; None for the cache's own.
            tags: What `delete_tagged` finds it by.

        Raises:
            CacheError: The value can be read once only.
        """
        await self._set([(self._key(query), value)], ttl, tags)

    async def set_many(
        self,
        pairs: Iterable[tuple[str, Any]],
        *,
        ttl: float | None = None,
        tags: Iterable[str] = (),
    ) -> None:
        """Remember values of queries; see `set`."""
        await self._set([(self._key(query), value) for query, value in pairs], ttl, tags)

    async def get_or_compute(
        self,
        query: str,
        loader: Callable[[], Awaitable[T]],
        *,
        ttl: float | None = None,
        tags: Iterable[str] = (),
    ) -> T:
        """Return the value of a query, from ``loader`` where there is none.

        Callers that want the same at the same time share one load, on a shared tier those of all
        processes. None of them owns it: a cancelled one does not cancel the others, and the last
        one to go ends it. A failure reaches all of them and is not remembered. None is remembered.

        Args:
            query: The query.
            loader: Called where there is no fresh value.
            ttl: Seconds a computed value is fresh; None for the cache's own.
            tags: What `delete_tagged` finds a computed value by.

        Raises:
            CacheError: The loader asks for what it loads, ended in a cancellation nobody asked
                for, or gave a value that can be read once only.
            ClosedError: The cache was closed meanwhile.
            WrongLoopError: Another event loop uses the cache.
        """
        return await self._compute(self._key(query), loader, ttl, tags)  # type: ignore[no-any-return]

    async def delete(self, query: str) -> bool:
        """Forget a query; return whether there was a value."""
        return await self._delete([self._key(query)])


class ResponseCache(ComputingCache[Any]):
    """Remembers an agent's answers, by question, agent and context.

    Who gets a value gets one of its own: changing it changes it for nobody else. Values that can
    be read once are refused.

    Args:
        ttl_seconds: Seconds a value is fresh.
        max_size: Values held in memory at most; the least recently used goes first. 0 holds none.
        options: See `CacheOptions`.

    Raises:
        ConfigurationError: A bound or an option makes no sense.
    """

    kind = "response"

    def __init__(
        self, ttl_seconds: float = 3600.0, max_size: int = 1000, **options: Unpack[CacheOptions]
    ) -> None:
        super().__init__(codec_for(options.get("type")), ttl_seconds, max_size, **options)

    async def get(self, query: str, agent: str, context: Any = None, default: Any = None) -> Any:
        """Return the fresh value of a query, else ``default``.

        Raises:
            CacheError: The context has no canonical form; the message says where.
        """
        return await self._get(self._answer_key(query, agent, context), default)

    async def get_many(
        self, queries: Iterable[str], agent: str, context: Any = None, default: Any = None
    ) -> list[Any]:
        """Return the fresh answer to each query, in one round trip to a shared tier.

        Raises:
            CacheError: The context has no canonical form.
        """
        keys = [self._answer_key(query, agent, context) for query in queries]
        return await self._get_many(keys, default)

    async def set(
        self,
        query: str,
        agent: str,
        value: Any,
        context: Any = None,
        *,
        ttl: float | None = None,
        tags: Iterable[str] = (),
    ) -> None:
        """Remember an answer; see `RoutingCache.set`.

        Raises:
            CacheError: The context has no canonical form, or the value can be read once only.
        """
        await self._set([(self._answer_key(query, agent, context), value)], ttl, tags)

    async def set_many(
        self,
        pairs: Iterable[tuple[str, Any]],
        agent: str,
        context: Any = None,
        *,
        ttl: float | None = None,
        tags: Iterable[str] = (),
    ) -> None:
        """Remember answers to queries; see `set`."""
        keyed = [(self._answer_key(query, agent, context), value) for query, value in pairs]
        await self._set(keyed, ttl, tags)

    async def get_or_compute(
        self,
        query: str,
        agent: str,
        loader: Callable[[], Awaitable[T]],
        context: Any = None,
        *,
        ttl: float | None = None,
        tags: Iterable[str] = (),
    ) -> T:
        """Return the answer to a query, from ``loader`` where there is none.

        See `RoutingCache.get_or_compute`.

        Raises:
            CacheError: The context has no canonical form.
        """
        key = self._answer_key(query, agent, context)
        return await self._compute(key, loader, ttl, tags)  # type: ignore[no-any-return]

    async def delete(self, query: str, agent: str, context: Any = None) -> bool:
        """Forget an answer; return whether there was one.

        Raises:
            CacheError: The context has no canonical form.
        """
        return await self._delete([self._answer_key(query, agent, context)])

    def _answer_key(self, query: str, agent: str, context: Any) -> bytes:
        return self._key(query, agent, None if context is None else encode_context(context))


class EmbeddingCache(ComputingCache["NDArray[np.float32]"]):
    """Remembers vectors, by text, model and number of dimensions asked for.

    Held as float32: four bytes a number. What it hands out cannot be written to.

    Args:
        ttl_seconds: Seconds a vector is fresh.
        max_size: Vectors held in memory at most; the least recently used goes first. 0 holds none.
        options: See `CacheOptions`.

    Raises:
        ConfigurationError: A bound or an option makes no sense.
    """

    kind = "embedding"

    def __init__(
        self, ttl_seconds: float = 86_400.0, max_size: int = 5000, **options: Unpack[CacheOptions]
    ) -> None:
        # Vectors are read-only: nobody needs a copy.
        super().__init__(VectorCodec(), ttl_seconds, max_size, **(options | {"copy": False}))
        self._about: dict[str | tuple[str, int], bytes] = {}

    async def get(
        self, text: str, model: str, dimensions: int | None = None
    ) -> NDArray[np.float32] | None:
        """Return the vector of a text, None when there is none; read-only."""
        key = self._vector_key(text, model, dimensions)
        held = self._memory.get(key, MISSING)
        if held is MISSING:
            return (await self._get_behind([key], None))[0]  # type: ignore[no-any-return]
        self._tally.hit()
        return held  # type: ignore[no-any-return]

    async def get_many(
        self, texts: Sequence[str], model: str, dimensions: int | None = None
    ) -> list[NDArray[np.float32] | None]:
        """Return the vector of each text, in one round trip to a shared tier."""
        keys = [self._vector_key(text, model, dimensions) for text in texts]
        return await self._get_many(keys, None)

    async def set(
        self,
        text: str,
        model: str,
        vector: Any,
        dimensions: int | None = None,
        *,
        ttl: float | None = None,
        tags: Iterable[str] = (),
    ) -> None:
        """Remember a vector: a list, an array, anything numpy reads.

        Raises:
            CacheError: It is not a row of finite numbers, or not of ``dimensions`` numbers.
        """
        row = to_float32(vector, dimensions)
        await self._set([(self._vector_key(text, model, dimensions), row)], ttl, tags)

    async def set_many(
        self,
        texts: Sequence[str],
        model: str,
        vectors: Sequence[Any],
        dimensions: int | None = None,
        *,
        ttl: float | None = None,
    ) -> None:
        """Remember the vectors of texts, in their order; see `set`."""
        if len(texts) != len(vectors):
            raise CacheError(f"{len(vectors)} vectors for {len(texts)} texts: give one for each")
        pairs = [
            (self._vector_key(text, model, dimensions), to_float32(vector, dimensions))
            for text, vector in zip(texts, vectors, strict=True)
        ]
        await self._set(pairs, ttl)

    async def get_or_compute(
        self,
        text: str,
        model: str,
        loader: Callable[[], Awaitable[Any]],
        dimensions: int | None = None,
        *,
        ttl: float | None = None,
    ) -> NDArray[np.float32]:
        """Return the vector of a text, from ``loader`` where there is none.

        See `RoutingCache.get_or_compute`.

        Raises:
            CacheError: The loader gave something that is not such a vector.
        """

        async def load() -> NDArray[np.float32]:
            return to_float32(await loader(), dimensions)

        return await self._compute(self._vector_key(text, model, dimensions), load, ttl)

    async def get_or_compute_many(
        self,
        texts: Sequence[str],
        model: str,
        loader: Callable[[list[str]], Awaitable[Sequence[Any]]],
        dimensions: int | None = None,
        *,
        ttl: float | None = None,
    ) -> list[NDArray[np.float32]]:
        """Return the vector of each text; the loader is called once, with those that are unknown.

        A text another caller is loading at this moment is waited for and not loaded again. See
        `RoutingCache.get_or_compute` for cancellation and failures: a failing loader fails
        all who wait for one of its texts.

        Args:
            texts: The texts.
            model: The model.
            loader: Gets the unknown texts, each once, and gives their vectors in that order.
            dimensions: The dimensions asked for.
            ttl: Seconds a computed vector is fresh; None for the cache's own.

        Raises:
            CacheError: The loader gave something else than one such vector for each text.
        """

        async def load(places: list[int]) -> list[NDArray[np.float32]]:
            vectors = await begin(partial(loader, [texts[at] for at in places]))
            return [to_float32(vector, dimensions) for vector in vectors]

        keys = [self._vector_key(text, model, dimensions) for text in texts]
        return await self._compute_many(keys, load, ttl)

    async def delete(self, text: str, model: str, dimensions: int | None = None) -> bool:
        """Forget a vector; return whether there was one."""
        return await self._delete([self._vector_key(text, model, dimensions)])

    def _vector_key(self, text: str, model: str, dimensions: int | None) -> bytes:
        # A program embeds with a model or two: what does not change is encoded once.
        asked = model if dimensions is None else (model, dimensions)
        about = self._about.get(asked)
        if about is None:
            if len(self._about) >= _MOST_MODELS:
                self._about.clear()
            about = self._about[asked] = self._key_prefix + encode_parts(model, dimensions)
        return text_digest(about, self._normalize(text))

    def _size(self, value: NDArray[np.float32]) -> int:
        return value.nbytes + VECTOR_BYTES
