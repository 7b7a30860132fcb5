"""What a question took, step by step, read from the spans of its trace."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentinfra.observability import semconv
from agentinfra.results import Usage

if TYPE_CHECKING:
    from agentinfra.observability.tracing import FinishedSpan

__all__ = ["Account", "accounts_of", "total"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What the runs of one node took.

    Attributes:
        node: The node, as in the graph.
        agent: The agent it worked for.
        latency: Seconds.
        usage: Tokens of the model calls made in it.
        cost_usd: What they cost in USD, None where a price is unknown.
        cache: ``hit`` or ``miss``, empty where no cache was asked.
        calls: How many model calls were made.
    """

    node: str
    agent: str
    latency: float
    usage: Usage
    cost_usd: float | None
    cache: str
    calls: int


def accounts_of(spans: Sequence[FinishedSpan]) -> list[Account]:
    """Return one account for each run of a node, in order."""
    nodes = sorted((span for span in spans if semconv.NODE in span.attributes), key=_start)
    by_id = {span.span_id: span for span in spans}
    calls: dict[str, list[FinishedSpan]] = {span.span_id: [] for span in nodes}
    for span in spans:
        if semconv.OPERATION in span.attributes:
            owner = next((above for above in _above(span, by_id) if above in calls), None)
            if owner is not None:
                calls[owner].append(span)
    return [_account(span, calls[span.span_id]) for span in nodes]


def total(spans: Iterable[FinishedSpan]) -> tuple[Usage, float | None]:
    """Return the tokens of all model calls and their cost, None where a price is unknown."""
    calls = [span for span in spans if semconv.OPERATION in span.attributes]
    return sum(map(_usage, calls), Usage()), _cost(calls)


def _account(node: FinishedSpan, calls: Sequence[FinishedSpan]) -> Account:
    hit = node.attributes.get(semconv.CACHE_HIT)
    return Account(
        node=str(node.attributes[semconv.NODE]),
        agent=str(node.attributes.get(semconv.AGENT_NAME, "")),
        latency=node.duration,
        usage=sum(map(_usage, calls), Usage()),
        cost_usd=_cost(calls),
        cache="" if hit is None else "hit" if hit else "miss",
        calls=len(calls),
    )


def _above(span: FinishedSpan, by_id: Mapping[str, FinishedSpan]) -> Iterator[str]:
    parent = span.parent_id
    while parent is not None:
        yield parent
        above = by_id.get(parent)
        parent = above.parent_id if above else None


def _usage(call: FinishedSpan) -> Usage:
    prompt = int(call.attributes.get(semconv.INPUT_TOKENS, 0))
    completion = int(call.attributes.get(semconv.OUTPUT_TOKENS, 0))
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        cached_tokens=int(call.attributes.get(semconv.CACHED_TOKENS, 0)),
        reasoning_tokens=int(call.attributes.get(semconv.REASONING_TOKENS, 0)),
    )


def _cost(calls: Sequence[FinishedSpan]) -> float | None:
    costs = [call.attributes.get(semconv.COST_USD) for call in calls if call.error is None]
    known = [float(cost) for cost in costs if cost is not None]
    return sum(known) if len(known) == len(costs) else None


def _start(span: FinishedSpan) -> float:
    return span.start
