"""Embedding calls: the cache first, then as few requests as the limits allow, side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from agentinfra.errors import LLMResponseError
from agentinfra.llm.dialects.assembly import estimate_tokens
from agentinfra.llm.dialects.codec import decode_embeddings, encode, usage_of
from agentinfra.llm.dialects.embeddings import check_texts, parts, vectors_of
from agentinfra.llm.dialects.hashing import HASH_DIMENSIONS, HASH_MODEL, hash_embeddings
from agentinfra.llm.money.budget import reserve
from agentinfra.observability import semconv
from agentinfra.observability.logging import get_logger
from agentinfra.results import EmbeddingBatch, Usage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from agentinfra._mechanics.clock import Clock
    from agentinfra.llm.calls.telemetry import LLMTelemetry
    from agentinfra.llm.policy.dispatch import Call, Dispatcher
    from agentinfra.llm.wire.endpoint import Target
    from agentinfra.llm.wire.transport import Reply
    from agentinfra.observability.metrics import Metrics
    from agentinfra.protocols import VectorCache

__all__ = ["EmbeddingCalls"]

log = get_logger("agentinfra.llm")

PATH = "/embeddings"


class EmbeddingCalls:
    """Makes embedding calls for a client."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        telemetry: LLMTelemetry,
        *,
        metrics: Metrics,
        vectors: VectorCache | None,
        clock: Clock,
    ) -> None:
        self._dispatcher = dispatcher
        self._telemetry = telemetry
        self._vectors = vectors
        self._clock = clock
        self._hashed = metrics.counter(semconv.LLM_DEGRADED_EMBEDDINGS)

    def fallback(
        self, texts: Sequence[str], dimensions: int | None, *, reason: str
    ) -> EmbeddingBatch:
        """Return deterministic vectors that no model made; they are never cached."""
        check_texts(texts)
        self._hashed.inc(len(texts))
        log.warning("llm.embeddings_degraded", texts=len(texts), reason=reason)
        return EmbeddingBatch(
            vectors=hash_embeddings(texts, dimensions or HASH_DIMENSIONS),
            model=HASH_MODEL,
            usage=Usage(),
            cost_usd=None,
            degraded=f"hash vectors, not a model's: {reason}",
        )

    async def get(
        self, texts: Sequence[str], dimensions: int | None, call: Call, target: Target
    ) -> EmbeddingBatch:
        """Return the vectors of texts."""
        import numpy as np

        check_texts(texts)
        known = await self._cached(texts, target.model, dimensions)
        wanted = [text for text in dict.fromkeys(texts) if text not in known]
        hits = sum(text in known for text in texts)
        vectors = np.zeros((0, dimensions or 0), np.float32)
        usage = Usage()
        paid: Decimal | None = Decimal(0)
        if wanted:
            call.tokens = sum(map(estimate_tokens, wanted))
            vectors, usage, paid = await self._fetch(wanted, dimensions, call, target)
            await self._remember(wanted, vectors, target.model, dimensions)
        if len(wanted) < len(texts):
            known |= zip(wanted, vectors, strict=True)
            vectors = np.vstack([known[text] for text in texts])
        return EmbeddingBatch(
            vectors=vectors,
            # The name asked for: a server's own one would differ from that of cached vectors.
            model=target.model,
            usage=usage,
            cost_usd=paid,
            cached=hits,
        )

    async def _fetch(
        self, texts: list[str], dimensions: int | None, call: Call, target: Target
    ) -> tuple[NDArray[np.float32], Usage, Decimal | None]:
        import numpy as np

        rates = target.endpoint.prices.rates(target.model)
        most = sum(len(text.encode("utf-8", "replace")) for text in texts)
        reservation = reserve(target.model, rates.at_most(most, 0) if rates else None)
        cost: Decimal | None = None
        span = self._telemetry.started(
            "embeddings", target.model, {semconv.EMBEDDING_DIMENSIONS: dimensions}
        )
        try:
            with span:
                try:
                    answers = await self._send_all(parts(texts), dimensions, call, target)
                except BaseException as error:
                    self._telemetry.failed(span, "embeddings", model=target.model, error=error)
                    raise
                usage = sum((answer[1] for answer in answers), Usage())
                cost = target.endpoint.prices.cost(target.model, usage)
                self._telemetry.answered(
                    span,
                    "embeddings",
                    model=target.model,
                    usage=usage,
                    cost=cost,
                    latency=self._clock.now() - call.started,
                    attempts=call.attempts,
                )
        finally:
            reservation.settle(cost)
        matrices = [answer[0] for answer in answers]
        if len(lengths := {matrix.shape[1] for matrix in matrices}) > 1:
            raise LLMResponseError(f"the vectors have different lengths: {sorted(lengths)}")
        return matrices[0] if len(matrices) == 1 else np.concatenate(matrices), usage, cost

    async def _send_all(
        self, requests: list[list[str]], dimensions: int | None, call: Call, target: Target
    ) -> list[tuple[NDArray[np.float32], Usage]]:
        if len(requests) == 1:
            return [await self._run(requests[0], dimensions, call, target)]
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._run(texts, dimensions, call, target))
                    for texts in requests
                ]
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _run(
        self, texts: list[str], dimensions: int | None, call: Call, target: Target
    ) -> tuple[NDArray[np.float32], Usage]:
        send = partial(self._send, texts, dimensions, call)
        return await self._dispatcher.run(call, (target,), send, partial(_read, len(texts)))

    def _send(
        self, texts: list[str], dimensions: int | None, call: Call, target: Target
    ) -> Awaitable[Reply]:
        payload: dict[str, Any] = {
            "model": target.model,
            "input": texts,
            "encoding_format": "base64",
        }
        if dimensions is not None:
            payload["dimensions"] = dimensions
        return target.endpoint.post(
            PATH,
            encode(payload),
            model=target.model,
            headers={},
            deadline=call.deadline,
            patience=call.patience,
        )

    async def _cached(
        self, texts: Sequence[str], model: str, dimensions: int | None
    ) -> dict[str, NDArray[np.float32]]:
        if self._vectors is None:
            return {}
        found = {}
        for text in dict.fromkeys(texts):
            vector = await self._vectors.get(text, model, dimensions)
            if vector is not None:
                found[text] = vector
        return found

    async def _remember(
        self, texts: list[str], vectors: NDArray[np.float32], model: str, dimensions: int | None
    ) -> None:
        if self._vectors is not None:
            for text, vector in zip(texts, vectors, strict=True):
                await self._vectors.set(text, model, vector, dimensions)


def _read(count: int, reply: Reply) -> tuple[NDArray[np.float32], Usage]:
    body = decode_embeddings(reply.body)
    return vectors_of(body, count), usage_of(body.usage) or Usage()
