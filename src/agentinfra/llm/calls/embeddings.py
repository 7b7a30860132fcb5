"""Embedding calls: the cache first, then as few requests as the limits allow, side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from agentinfra.errors import BadRequestError, LLMResponseError
from agentinfra.llm.calls.flights import Flights, Space
from agentinfra.llm.calls.record import CallRecord, Outcome
from agentinfra.llm.dialects.embeddings import (
    Limits,
    check_texts,
    embeddings_body,
    fewer,
    parts,
    read_embeddings,
)
from agentinfra.llm.dialects.hashing import HASH_DIMENSIONS, HASH_MODEL, hash_embeddings
from agentinfra.llm.dialects.usage import estimate_tokens
from agentinfra.llm.money.budget import reserve
from agentinfra.llm.wire.endpoint import Sending
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

__all__ = ["EmbeddingCalls", "Wanted"]

log = get_logger("agentinfra.llm")

_CUT = (
    "the endpoint ignores dimensions: its vectors were cut and brought to length 1, which only "
    "models trained for it bear well"
)


@dataclass(slots=True, kw_only=True)
class Wanted:
    """What one call for embeddings wants.

    Attributes:
        texts: The texts.
        dimensions: The length of the vectors; None is the model's own.
        more: Every other parameter.
    """

    texts: Sequence[str]
    dimensions: int | None
    more: Mapping[str, Any] = field(default_factory=dict)


class _Part(NamedTuple):
    """What one request gave."""

    headers: Mapping[str, str]
    texts: Sequence[str]
    vectors: Vector
    usage: Usage


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
        self._dispatcher = dispatcher
        self._telemetry = telemetry
        self._vectors = vectors
        self._clock = clock
        self._flights = Flights()
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

    async def get(self, wanted: Wanted, call: Call, target: Target) -> EmbeddingBatch:
        """Return the vectors of texts."""
        texts = wanted.texts
        check_texts(texts, target.model, target.endpoint.limits.text_tokens)
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
        prices = target.endpoint.prices
        rates = prices.rates(target.model)
        most = sum(len(text.encode("utf-8", "replace")) for text in texts)
        call.tokens = sum(map(estimate_tokens, texts))
        attributes = {semconv.EMBEDDING_DIMENSIONS: wanted.dimensions}
        call.target = target
        with self._record(call, target.model, attributes) as record:
            reservation = reserve(target.model, rates.at_most(most, 0) if rates else None)
            cost: Decimal | None = None
            try:
                done, failure = await self._send_all(texts, wanted, call, target)
                usage = sum((part.usage for part in done), Usage())
                cost = prices.cost(target.model, usage) if done else None
                found = {
                    text: vector
                    for part in done
                    for text, vector in zip(part.texts, part.vectors, strict=True)
                }
                outcome = Outcome(usage=usage if done else None, cost=cost, model=target.model)
                outcome.error = failure
                record.close(outcome)
            finally:
                reservation.settle(cost)
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

    def _record(self, call: Call, model: str, attributes: Mapping[str, Any]) -> CallRecord:
        return CallRecord(
            self._telemetry,
            call,
            model=model,
            component="embeddings",
            clock=self._clock,
            attributes=attributes,
        )

    async def _send_all(
        self, texts: list[str], wanted: Wanted, call: Call, target: Target
    ) -> tuple[list[_Part], BaseException | None]:
        """Send every request; return those that were answered, and the first failure."""
        requests = parts(texts, target.endpoint.limits)
        run = partial(self._run, wanted=wanted, call=call, target=target)
        if len(requests) == 1:
            try:
                return await run(requests[0]), None
            except Exception as error:  # noqa: BLE001 - said by the caller, after booking
                return [], error
        tasks = [asyncio.create_task(run(request)) for request in requests]
        try:
            # Not a task group: what the siblings of a failed request bring is paid for as well.
            await asyncio.wait(tasks)
        finally:
            for task in tasks:
                task.cancel()
        done: list[_Part] = []
        failure: BaseException | None = None
        for task in tasks:
            if task.cancelled():
                failure = failure or asyncio.CancelledError()
            elif (raised := task.exception()) is not None:
                failure = failure or raised
            else:
                done += task.result()
        return done, failure

    async def _run(
        self, texts: list[str], *, wanted: Wanted, call: Call, target: Target
    ) -> list[_Part]:
        """Have the texts of one request embedded, in fewer at once where the server says so."""
        limits = target.endpoint.limits
        try:
            send = partial(self._send, texts, wanted, call)
            return [await self._dispatcher.run(call, (target,), send)]
        except BadRequestError as error:
            if limits.encoding == "base64" and _is_about_encoding(error):
                limits.encoding = "float"
                return await self._run(texts, wanted=wanted, call=call, target=target)
            allowed = fewer(error, len(texts))
            if allowed is None:
                raise
            limits.inputs = min(limits.inputs, allowed)
            log.warning("llm.embedding_inputs_learned", target=target.label, inputs=allowed)
        found: list[_Part] = []
        for request in parts(texts, Limits(inputs=allowed, tokens=limits.tokens)):
            found += await self._run(request, wanted=wanted, call=call, target=target)
        return found

    async def _send(self, texts: list[str], wanted: Wanted, call: Call, target: Target) -> _Part:
        endpoint = target.endpoint
        more = dict(wanted.more)
        own = more.pop("extra_headers", None) or {}
        query = more.pop("extra_query", None) or {}
        body = {**(endpoint.profile.speech.extra_body or {}), **more.pop("extra_body", {}), **more}
        headers = dict(own)
        if endpoint.profile.propagate and call.span is not None and call.span.trace_id:
            headers.setdefault("traceparent", call.span.traceparent)
        reply = await endpoint.send(
            Sending(
                operation="embeddings",
                model=target.model,
                body=embeddings_body(
                    texts, target.model, wanted.dimensions, endpoint.limits.encoding, body
                ),
                headers=headers,
                query=query,
                deadline=call.deadline,
                patience=call.patience,
            )
        )
        vectors, usage = read_embeddings(reply.body, reply.headers, len(texts))
        wide, asked = vectors.shape[1], wanted.dimensions
        if asked is not None and wide != asked:
            vectors = self._cut(vectors, asked, target)
        return _Part(reply.headers, texts, vectors, usage or _estimated(texts))

    def _cut(self, vectors: Vector, dimensions: int, target: Target) -> Vector:
        """Cut vectors to what was asked for, where the endpoint ignores that; said as degraded.

        Raises:
            LLMResponseError: They are too short to be cut.
        """
        import numpy as np

        wide = vectors.shape[1]
        if wide < dimensions:
            raise LLMResponseError(
                f"{dimensions} dimensions were asked for and {wide} came: this endpoint ignores "
                "the parameter; leave dimensions out",
                retryable=False,
            )
        if (target.model, dimensions) not in target.endpoint.limits.cut:
            target.endpoint.limits.cut.add((target.model, dimensions))
            log.warning(
                "llm.embedding_dimensions_ignored", target=target.label, asked=dimensions, came=wide
            )
        kept = vectors[:, :dimensions]
        lengths = np.maximum(np.linalg.norm(kept, axis=1, keepdims=True), 1e-12)
        shortened: Vector = (kept / lengths).astype(np.float32)
        return shortened

    async def _cached(
        self, texts: Sequence[str], model: str, dimensions: int | None
    ) -> dict[str, Vector]:
        if self._vectors is None:
            return {}
        found = {}
        for text in dict.fromkeys(texts):
            vector = await self._vectors.get(text, model, dimensions)
            if vector is not None:
                found[text] = vector
        return found

    async def _remember(
        self, found: Mapping[str, Vector], model: str, dimensions: int | None
    ) -> None:
        if self._vectors is not None:
            for text, vector in found.items():
                await self._vectors.set(text, model, vector, dimensions)


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


def _estimated(texts: Sequence[str]) -> Usage:
    tokens = sum(map(estimate_tokens, texts))
    return Usage(prompt_tokens=tokens, total_tokens=tokens, estimated=True)


def _is_about_encoding(error: BadRequestError) -> bool:
    said = str(error).lower()
    return "encoding_format" in said or "base64" in said


def _sum(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    return None if one is None or other is None else one + other
