"""Embedding calls: the cache first, then as few requests as the limits allow, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from agentinfra.errors import LLMResponseError
from agentinfra.llm.calls.bill import Bill
from agentinfra.llm.calls.flights import Flights, Space
from agentinfra.llm.calls.record import CallRecord, Outcome
from agentinfra.llm.calls.vectors import Part, VectorRequests, Wanted, likely_of, worst_of
from agentinfra.llm.dialects.embeddings import (
    checked_texts,
)
from agentinfra.llm.dialects.hashing import HASH_DIMENSIONS, HASH_MODEL, hash_embeddings
from agentinfra.llm.dialects.usage import estimate_tokens
from agentinfra.observability import semconv
from agentinfra.observability.logging import get_logger
from agentinfra.results import EmbeddingBatch, Usage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from agentinfra._mechanics.clock import Clock
    from agentinfra.llm.calls.telemetry import LLMTelemetry
    from agentinfra.llm.policy.call import Call
    from agentinfra.llm.policy.dispatch import Dispatcher
    from agentinfra.llm.wire.endpoint import Target
    from agentinfra.observability.metrics import Metrics
    from agentinfra.protocols import VectorCache

    Vector = NDArray[np.float32]

__all__ = ["EmbeddingCalls"]

log = get_logger("agentinfra.llm")

_CUT = (
    "the endpoint ignores dimensions: its vectors were cut and brought to length 1, which only "
    "models trained for it bear well"
)


class _Fetched(NamedTuple):
    """What a call's own texts gave: by text, and as it came where it was one request alone."""

    found: dict[str, Vector]
    cached: set[str]
    matrix: Vector | None
    usage: Usage
    cost: Decimal | None


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
        self._telemetry = telemetry
        self._vectors = vectors
        self._clock = clock
        self._requests = VectorRequests(dispatcher)
        self._flights = Flights()
        self._hashed = metrics.counter(semconv.LLM_DEGRADED_EMBEDDINGS)

    def fallback(
        self, texts: Sequence[str], dimensions: int | None, *, reason: str
    ) -> EmbeddingBatch:
        """Return deterministic vectors that no model made; they are never cached."""
        texts = checked_texts(texts)
        self._hashed.inc(len(texts))
        log.warning("llm.embeddings_degraded", texts=len(texts), reason=reason)
        return EmbeddingBatch(
            vectors=hash_embeddings(texts, dimensions or HASH_DIMENSIONS),
            model=HASH_MODEL,
            usage=Usage(),
            cost_usd=None,
            degraded=f"hash vectors, not a model's: {reason}",
        )

    async def get(self, wanted: Wanted, call: Call, target: Target) -> EmbeddingBatch:
        """Return the vectors of texts."""
        tokens = target.endpoint.limits.text_tokens
        texts = checked_texts(wanted.texts, target.model, tokens)
        if texts is not wanted.texts:  # they came one by one, and are gone now
            wanted = Wanted(texts=texts, dimensions=wanted.dimensions, more=wanted.more)
        # What another call is having embedded already is waited for, not paid for again. Asked
        # before the cache is: a text that lands between a look into the cache and one at the
        # flights would be fetched twice.
        space = (target.label, wanted.dimensions, repr(sorted(wanted.more.items())))
        mine, others = self._flights.board(space, list(dict.fromkeys(texts)))
        try:
            got = await self._own(space, mine, wanted, call, target)
        except BaseException as error:
            self._flights.crash(space, mine, error)
            raise
        found, usage, paid = got.found, got.usage, got.cost
        if others:
            found |= await self._flights.wait(others, call.deadline)
            left = [text for text in others if text not in found]
            if left:  # the call that had asked for them was given up
                again = Wanted(texts=left, dimensions=wanted.dimensions, more=wanted.more)
                rest = await self.get(again, call, target)
                found |= zip(left, rest.vectors, strict=True)
                usage, paid = usage + rest.usage, _sum(paid, rest.cost_usd)
        cut = (target.model, wanted.dimensions) in target.endpoint.limits.cut
        return EmbeddingBatch(
            vectors=_in_order(texts, got.matrix, found, wanted.dimensions),
            # The name asked for: a server's own one would differ from that of cached vectors.
            model=target.model,
            usage=usage,
            cost_usd=paid,
            degraded=_CUT if cut else None,
            cached=sum(text in got.cached for text in texts),
        )

    async def _own(
        self, space: Space, mine: list[str], wanted: Wanted, call: Call, target: Target
    ) -> _Fetched:
        """Return the vectors of the texts that this call has to see to."""
        known = await self._cached(mine, target.model, wanted.dimensions)
        self._flights.land(space, known)
        missing = [text for text in mine if text not in known]
        if not missing:
            return _Fetched(known, set(known), None, Usage(), Decimal(0))
        got = await self._fetch(space, missing, wanted, call, target)
        matrix = got.matrix if len(missing) == len(wanted.texts) else None
        return _Fetched(known | got.found, set(known), matrix, got.usage, got.cost)

    async def _fetch(
        self, space: Space, texts: list[str], wanted: Wanted, call: Call, target: Target
    ) -> _Fetched:
        """Have texts embedded; what was paid for is kept and booked even where a part fails."""
        bill = Bill(target.model, texts, worst_of, likely_of, until=call.until)
        call.tokens = sum(map(estimate_tokens, texts))
        call.target = target
        with self._record(call, target.model) as record:
            record.span.set(semconv.EMBEDDING_DIMENSIONS, wanted.dimensions)
            if bill.budgets:
                await bill.hold(worst_of(texts, target))
            done: list[Part] = []
            failure: BaseException | None = None
            try:
                failure = await self._requests.send_all(texts, wanted, call, bill, target, done)
            except BaseException as error:
                failure = error
                raise
            finally:
                usage, cost = _booked(done, bill, target)
                bill.settle(cost)
                outcome = Outcome(usage=usage if done else None, cost=cost, model=target.model)
                outcome.error = failure
                record.close(outcome)
            found = {
                text: vector
                for part in done
                for text, vector in zip(part.texts, part.vectors, strict=True)
            }
            if found:
                # Into the cache first: who looks into it after the flight has landed finds them.
                if (target.model, wanted.dimensions) not in target.endpoint.limits.cut:
                    await self._remember(found, target.model, wanted.dimensions)
                self._flights.land(space, found)
            if failure is not None:
                raise failure
        lengths = {len(vector) for vector in found.values()}
        if len(lengths) > 1:
            raise LLMResponseError(f"the vectors have different lengths: {sorted(lengths)}")
        alone = done[0].vectors if len(done) == 1 else None
        return _Fetched(found, set(), alone, usage, cost)

    def _record(self, call: Call, model: str) -> CallRecord:
        return CallRecord(
            self._telemetry,
            call,
            model=model,
            component="embeddings",
            clock=self._clock,
        )

    async def _cached(
        self, texts: Sequence[str], model: str, dimensions: int | None
    ) -> dict[str, Vector]:
        if self._vectors is None:
            return {}
        asked = list(dict.fromkeys(texts))
        vectors = await self._vectors.get_many(asked, model, dimensions)
        return {
            text: vector for text, vector in zip(asked, vectors, strict=True) if vector is not None
        }

    async def _remember(
        self, found: Mapping[str, Vector], model: str, dimensions: int | None
    ) -> None:
        if self._vectors is not None:
            await self._vectors.set_many(list(found), model, list(found.values()), dimensions)


def _in_order(
    texts: Sequence[str],
    matrix: Vector | None,
    found: Mapping[str, Vector],
    dimensions: int | None,
) -> Vector:
    import numpy as np

    if matrix is not None:
        return matrix
    if not texts:
        return np.zeros((0, dimensions or 0), np.float32)
    return np.vstack([found[text] for text in texts])


def _booked(
    parts: Sequence[Part], bill: Bill[list[str]], target: Target
) -> tuple[Usage, Decimal | None]:
    """Return what some requests used and cost in USD; None where nobody knows."""
    prices = target.endpoint.prices
    costs = [prices.cost(target.model, part.usage) for part in parts]
    known = [cost for cost in costs if cost is not None]
    usage = sum((part.usage for part in parts), Usage())
    if len(known) < len(costs) or not (known or bill.owed):
        return usage, None
    return usage, sum(known, bill.owed)


def _sum(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    return None if one is None or other is None else one + other
