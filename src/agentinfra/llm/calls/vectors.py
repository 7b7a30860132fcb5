"""The requests of an embedding call: side by side, in parts that the endpoint takes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from agentinfra.errors import BadRequestError, LLMResponseError
from agentinfra.llm.dialects.embeddings import (
    Limits,
    embeddings_body,
    fewer,
    parts,
    read_embeddings,
)
from agentinfra.llm.dialects.usage import estimate_tokens
from agentinfra.llm.wire.endpoint import Sending
from agentinfra.observability.logging import get_logger
from agentinfra.results import Usage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from agentinfra.llm.policy.call import Call
    from agentinfra.llm.policy.dispatch import Dispatcher
    from agentinfra.llm.wire.endpoint import Target

    Vector = NDArray[np.float32]

__all__ = ["Part", "VectorRequests", "Wanted"]

log = get_logger("agentinfra.llm")


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
        self, texts: list[str], wanted: Wanted, call: Call, target: Target
    ) -> tuple[list[Part], BaseException | None]:
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
        done: list[Part] = []
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
    ) -> list[Part]:
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
        found: list[Part] = []
        for request in parts(texts, Limits(inputs=allowed, tokens=limits.tokens)):
            found += await self._run(request, wanted=wanted, call=call, target=target)
        return found

    async def _send(self, texts: list[str], wanted: Wanted, call: Call, target: Target) -> Part:
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
        return Part(reply.headers, texts, vectors, usage or _estimated(texts))

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


def _estimated(texts: Sequence[str]) -> Usage:
    tokens = sum(map(estimate_tokens, texts))
    return Usage(prompt_tokens=tokens, total_tokens=tokens, estimated=True)


def _is_about_encoding(error: BadRequestError) -> bool:
    said = str(error).lower()
    return "encoding_format" in said or "base64" in said
