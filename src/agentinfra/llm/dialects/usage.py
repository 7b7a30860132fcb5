"""What a server says a call used, in the words of any dialect.

Servers agree on the names of the sums and on little else. Some count a kind of token inside of the
sum it belongs to (OpenAI: reasoning in the completion, the cached part in the prompt), some beside
it (xAI and Gemini their reasoning, Anthropic what it reads from its cache and writes to it). Here
each kind ends up inside, so that the sums are what is billed and nothing is counted twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Any

from agentinfra.llm.dialects.values import as_list, as_mapping, count, plain
from agentinfra.results import Usage

__all__ = [
    "CHARACTERS_PER_TOKEN",
    "cost_in",
    "cost_in_headers",
    "estimate_tokens",
    "estimated",
    "usage_of",
    "with_searches",
]

CHARACTERS_PER_TOKEN = 4
"""OpenAI's rule of thumb for English text; used only where no server reported usage."""

_TICKS = Decimal(10) ** 10
"""Of xAI's ticks make a dollar (docs.x.ai, "Cost Tracking")."""

_MOST_USD = Decimal(1_000_000)


def usage_of(reported: Any) -> Usage | None:
    """Return the usage a server reported, None when it reported none that can be read.

    Chat Completions counts ``prompt`` and ``completion`` tokens, Responses ``input`` and
    ``output``; numbers may be floats, texts or missing. A missing part is what the total leaves.
    """
    body = as_mapping(reported)
    prompt = _first(body, "prompt_tokens", "input_tokens")
    completion = _first(body, "completion_tokens", "output_tokens")
    total = count(body.get("total_tokens"))
    if not (prompt or completion or total):
        return None  # noughts are what servers write that do not count
    if prompt is None:
        prompt = max(0, (total or 0) - (completion or 0))
    if completion is None:
        completion = max(0, (total or 0) - prompt)
    sent = as_mapping(body.get("prompt_tokens_details") or body.get("input_tokens_details"))
    made = as_mapping(body.get("completion_tokens_details") or body.get("output_tokens_details"))
    kept = as_mapping(body.get("cache_creation") or body.get("cache_creation_input_tokens_details"))
    read = _cached(body, sent)
    hour = _first(kept, "ephemeral_1h_input_tokens") or 0
    written = _written(body, sent, hour + (_first(kept, "ephemeral_5m_input_tokens") or 0))
    thought = _first(made, "reasoning_tokens") or _first(body, "reasoning_tokens") or 0
    counts = _Counts(prompt, completion, total or 0, cache=read + written, thought=thought)
    counts.bring_inside(anthropic=_is_anthropics(body))
    prompt, completion = counts.prompt, counts.completion
    tools = as_mapping(body.get("server_tool_use"))
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=max(total or 0, prompt + completion),
        cached_tokens=min(read, prompt),
        cache_write_tokens=min(written, prompt),
        cache_write_1h_tokens=min(hour, written),
        reasoning_tokens=counts.thought,
        audio_prompt_tokens=_first(sent, "audio_tokens") or 0,
        audio_completion_tokens=_first(made, "audio_tokens") or 0,
        image_prompt_tokens=_first(sent, "image_tokens") or 0,
        image_completion_tokens=_first(made, "image_tokens") or 0,
        web_searches=_first(tools, "web_search_requests")
        or _first(body, "num_search_queries")
        or 0,
        reported_cost=cost_in(body),
    )


def with_searches(usage: Usage | None, output: Any) -> Usage | None:
    """Return a usage with the searches that the items of a response tell of; they are billed."""
    kinds = [plain(as_mapping(item).get("type")) for item in as_list(output)]
    web, files = kinds.count("web_search_call"), kinds.count("file_search_call")
    if usage is None or not (web or files):
        return usage
    return replace(usage, web_searches=max(web, usage.web_searches), file_searches=files)


def cost_in(body: Mapping[str, Any]) -> Decimal | None:
    """Return what a server says a call cost in USD, in the words of any of those that do.

    OpenRouter names its own part alone where the key of the model's maker is the caller's.
    """
    if (ticks := _amount(body.get("cost_in_usd_ticks"))) is not None:  # xAI
        return ticks / _TICKS
    given = body.get("cost")
    if isinstance(given, Mapping):  # Perplexity
        return _amount(given.get("total_cost"))
    cost = _amount(given)
    if cost is None:
        return _amount(body.get("estimated_cost"))  # DeepInfra
    if body.get("is_byok") is True:
        upstream = as_mapping(body.get("cost_details")).get("upstream_inference_cost")
        return cost + (_amount(upstream) or 0)
    return cost


def cost_in_headers(headers: Mapping[str, str]) -> Decimal | None:
    """Return what a proxy says a call cost in USD, None where it does not (LiteLLM)."""
    said = headers.get("x-litellm-response-cost")
    return None if said is None else _amount(said)


def estimated(prompt: int, *texts: str) -> Usage:
    """Return what a call used, by our estimate, where the server did not say.

    Args:
        prompt: The tokens of the prompt, about.
        texts: What was generated.
    """
    completion = sum(map(estimate_tokens, texts))
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        estimated=True,
    )


def estimate_tokens(text: str) -> int:
    """Return about how many tokens a text has."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def _cached(body: Mapping[str, Any], sent: Mapping[str, Any]) -> int:
    names = ("cached_tokens", "prompt_cache_hit_tokens", "cache_read_input_tokens")
    return _first(sent, "cached_tokens", "cache_read_tokens") or _first(body, *names) or 0


def _written(body: Mapping[str, Any], sent: Mapping[str, Any], kept: int) -> int:
    found = _first(sent, "cache_write_tokens", "cache_creation_tokens")
    return found or _first(body, "cache_creation_input_tokens", "cache_write_tokens") or kept


def _is_anthropics(body: Mapping[str, Any]) -> bool:
    """Whether a usage is in Anthropic's own words, which have no sum over the cache's parts."""
    names = ("cache_read_input_tokens", "cache_creation_input_tokens")
    return "input_tokens" in body and any(name in body for name in names)


class _Counts:
    """Sums on their way to hold what the server has counted beside them."""

    def __init__(
        self, prompt: int, completion: int, total: int, *, cache: int, thought: int
    ) -> None:
        self.prompt = prompt
        self.completion = completion
        self.thought = thought
        self._total = total
        self._cache = cache

    def bring_inside(self, *, anthropic: bool) -> None:
        """Add what was counted beside: the total tells, or else a part larger than its sum."""
        beside = self._total - self.prompt - self.completion
        if beside <= 0:
            if self._cache > self.prompt or (anthropic and not self._total):
                self.prompt += self._cache
            if self.thought > self.completion:
                self.completion += self.thought
        elif beside == self._cache and beside != self.thought:
            self.prompt += beside
        elif beside == self._cache + self.thought:
            self.prompt += self._cache
            self.completion += self.thought
        else:  # thoughts, with a name of their own (xAI) or none (Gemini)
            self.completion += beside
            self.thought = max(self.thought, beside)


def _amount(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and 0 <= amount <= _MOST_USD * _TICKS else None


def _first(body: Mapping[str, Any], *names: str) -> int | None:
    for name in names:
        if (found := count(body.get(name))) is not None:
            return found
    return None
