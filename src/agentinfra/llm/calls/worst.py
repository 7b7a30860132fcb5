"""The most a call for a text can use: what is held for it before it is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agentinfra.llm.dialects.request import limit_in
from agentinfra.llm.dialects.values import as_list, as_mapping, count, plain
from agentinfra.llm.money.bound import Most
from agentinfra.llm.money.known import largest_prompt, picture_tokens

if TYPE_CHECKING:
    from decimal import Decimal

    from agentinfra.llm.dialects.request import TextRequest
    from agentinfra.llm.money.bound import Bound
    from agentinfra.llm.wire.endpoint import Target

__all__ = ["worst_cost"]

_PER_MESSAGE = 8
"""Tokens a message costs beside its text, at most (OpenAI's cookbook counts 3, and 1 a name)."""

_PER_CALL = 200
"""Tokens of what a server puts before a conversation (gpt-oss: 70)."""

_WITH_TOOLS = 1_000
"""Tokens of what is put before tools (Anthropic: 346 to 530)."""

_STORED = ("previous_response_id", "conversation", "prompt")
_SPECIAL = frozenset(
    (*_STORED, "tools", "functions", "n", "prediction", "modalities", "audio", "web_search_options")
)
"""Parameters by which a call costs more than its text and its limit tell."""

_OWN_TOOLS = frozenset({"function", "custom", None})
_SEARCHES = 10
"""Calls of a server's own tools that are held for where no ``max_tool_calls`` bounds them."""


def worst_cost(request: TextRequest, target: Target) -> Decimal | None:
    """Return an upper bound of what a request costs in USD, None where nobody knows the price.

    Byte-level BPE makes at most one token of each byte of the body; pictures, sounds and what the
    server alone can see count by measures of their own.

    Args:
        request: The request, encoded for its first target.
        target: Where it goes.
    """
    model, prices = target.model, target.endpoint.prices
    options, limit = request.options, request.limit
    if (extra := target.endpoint.profile.speech.extra_body) or request.extra_body:
        options = {**options, **(extra or {}), **(request.extra_body or {})}
        limit = limit_in(options)
    tier = options.get("service_tier")
    bound = prices.bound(model, (plain(tier) or None) if tier else None)
    if bound is None:
        return None
    text = request.size + _PER_CALL + _PER_MESSAGE * len(request.messages)
    answer = limit or bound.largest
    if request.seen.plain and _SPECIAL.isdisjoint(options):
        return bound.of_text(text, answer)
    return bound.of(_most(request, options, model, bound, text, answer))


def _most(
    request: TextRequest,
    options: Mapping[str, Any],
    model: str,
    bound: Bound,
    text: int,
    answer: int,
) -> Most:
    attached = request.attached
    text = max(0, text - attached.inline)
    text += _WITH_TOOLS if options.get("tools") or options.get("functions") else 0
    sharp = attached.pictures - attached.small
    pictures = sharp and sharp * picture_tokens(model, low=False)
    pictures += attached.small and attached.small * picture_tokens(model, low=True)
    rounds = _rounds(options)
    if rounds or attached.unseen or any(options.get(name) for name in _STORED):
        # What the server adds nobody here can see: it is bounded by what the model can take.
        text = largest_prompt(model, bound.window, at_least=text)
        text *= 1 + (count(options.get("max_tool_calls")) or 0 if rounds else 0)
    predicted = len(str(as_mapping(options.get("prediction")).get("content") or "").encode())
    return Most(
        text=text,
        pictures=pictures,
        sound=attached.sound,
        answer=answer * _choices(options) + predicted,
        speaks="audio" in (options.get("modalities") or ()) or bool(options.get("audio")),
        searches=rounds,
    )


def _rounds(options: Mapping[str, Any]) -> int:
    """Return how often the server may call a tool of its own, as far as that is bounded."""
    tools = (as_mapping(tool) for tool in as_list(options.get("tools")))
    own = any(tool.get("type") not in _OWN_TOOLS for tool in tools)
    if not own and options.get("web_search_options") is None:
        return 0
    return count(options.get("max_tool_calls")) or _SEARCHES


def _choices(options: Mapping[str, Any]) -> int:
    return max(1, count(options.get("n")) or 1)
