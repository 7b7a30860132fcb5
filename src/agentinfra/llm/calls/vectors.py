"""The requests of an embedding call: side by side, in parts that the endpoint takes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from agentinfra._mechanics.closing import cancel_and_wait
from agentinfra.errors import BadRequestError, LLMResponseError
from agentinfra.llm.dialects.embeddings import (
    Limits,
    embeddings_body,
    fewer,
    parts,
    read_embeddings,
)
from agentinfra.llm.dialects.usage import cost_in_headers, estimate_tokens
from agentinfra.llm.wire.endpoint import Sending
from agentinfra.observability.logging import get_logger
from agentinfra.results import Usage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from agentinfra.llm.calls.bill import Bill
    from agentinfra.llm.policy.call import Call
    from agentinfra.llm.policy.dispatch import Dispatcher
    from agentinfra.llm.wire.endpoint import Target

    Vector = NDArray[np.float32]

__all__ = ["Part", "VectorRequests", "Wanted"]

log = get_logger("agentinfra.llm")

_AROUND_A_TEXT = 3
"""Tokens that some models put around a text, and count."""


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


class Part(NamedTuple):
    """What one request gave."""

    headers: Mapping[str, str]
    texts: Sequence[str]
    vectors: Vector
    usage: Usage


class VectorRequests:
    """Sends texts to be embedded.

    Args:
        dispatcher: Makes the attempts.
    """

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    async def send_all(
        self,
        texts: list[str],
        wanted: Wanted,
        call: Call,
        bill: Bill[list[str]],
        target: Target,
        done: list[Part],
    ) -> BaseException | None:
        """Send every request and return the first failure.

        Args:
            texts: The texts.
            wanted: What the call wants.
            call: The call.
            bill: What it owes.
            target: Where to send them.
            done: Gets what was answered, whatever becomes of the rest: it is paid for.
        """
        run = partial(self._run, wanted=wanted, call=call, bill=bill, target=target, done=done)
        requests = parts(texts, target.endpoint.limits)
        if len(requests) == 1:
            try:
                await run(requests[0])
            except Exception as error:  # noqa: BLE001 - said by the caller, after booking
                return error
            return None
        tasks = [asyncio.create_task(run(request)) for request in requests]
        try:
            # Not a task group: what the siblings of a failed request bring is paid for as well.
            await asyncio.wait(tasks)
        finally:
            # Waited for: what a request that is cut off may have cost is known when it has ended.
            await cancel_and_wait(*tasks)
        for task in tasks:
            if task.cancelled():
                return asyncio.CancelledError()
            if (raised := task.exception()) is not None:
                return raised
        return None

    async def _run(
        self,
        texts: list[str],
        *,
        wanted: Wanted,
        call: Call,
        bill: Bill[list[str]],
        target: Target,
        done: list[Part],
    ) -> None:
        """Have the texts of one request embedded, in fewer at once where the server says so."""
        limits = target.endpoint.limits
        again = partial(self._run, wanted=wanted, call=call, bill=bill, target=target, done=done)
        part = bill.part(texts)
        try:
            send = partial(self._send, texts, wanted, call, part)
            done.append(await self._dispatcher.run(call, (target,), send))
        except BadRequestError as error:
            if limits.encoding == "base64" and _is_about_encoding(error):
                limits.encoding = "float"
                return await again(texts)
            allowed = fewer(error, len(texts))
            if allowed is None:
                raise
            limits.inputs = min(limits.inputs, allowed)
            log.warning("llm.embedding_inputs_learned", target=target.label, inputs=allowed)
            for request in parts(texts, Limits(inputs=allowed, tokens=limits.tokens)):
                await again(request)

    async def _send(
        self, texts: list[str], wanted: Wanted, call: Call, bill: Bill[list[str]], target: Target
    ) -> Part:
        await bill.begin(target)
        try:
            return await self._ask(texts, wanted, call, target)
        except BaseException as error:
            bill.failed(target, error)
            raise

    async def _ask(self, texts: list[str], wanted: Wanted, call: Call, target: Target) -> Part:
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
        usage = usage or _estimated(texts)
        if usage.reported_cost is None and (said := cost_in_headers(reply.headers)) is not None:
            usage = replace(usage, reported_cost=said)
        return Part(reply.headers, texts, vectors, usage)

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


def worst_of(texts: Sequence[str], target: Target) -> Decimal | None:
    """Return the most that embedding some texts costs in USD, None where nobody knows."""
    size = sum(len(text.encode("utf-8", "replace")) for text in texts)
    bound = target.endpoint.prices.bound(target.model)
    return None if bound is None else bound.of_text(size + _AROUND_A_TEXT * len(texts), 0)


def likely_of(texts: Sequence[str], target: Target) -> Decimal:
    """Return about what embedding some texts costs in USD, 0 where nobody knows."""
    rates = target.endpoint.prices.rates(target.model)
    return Decimal(0) if rates is None else rates.cost(_estimated(texts))


def _estimated(texts: Sequence[str]) -> Usage:
    tokens = sum(map(estimate_tokens, texts))
    return Usage(prompt_tokens=tokens, total_tokens=tokens, estimated=True)


def _is_about_encoding(error: BadRequestError) -> bool:
    said = str(error).lower()
    return "encoding_format" in said or "base64" in said
