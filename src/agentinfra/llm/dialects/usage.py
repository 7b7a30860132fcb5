"""What a server says a call used, in the words of any dialect."""

from __future__ import annotations

from typing import Any

from agentinfra.llm.dialects.values import as_mapping, count
from agentinfra.results import Usage

__all__ = ["CHARACTERS_PER_TOKEN", "estimate_tokens", "estimated", "usage_of"]

CHARACTERS_PER_TOKEN = 4
"""OpenAI's rule of thumb for English text; used only where no server reported usage."""


def usage_of(reported: Any) -> Usage | None:
    """Return the usage a server reported, None when it reported none that can be read.

    Chat Completions counts ``prompt`` and ``completion`` tokens, Responses ``input`` and
    ``output``; numbers may be floats, texts or missing. A missing part is what the total leaves.
    """
    body = as_mapping(reported)
    prompt = _first(body, "prompt_tokens", "input_tokens")
    completion = _first(body, "completion_tokens", "output_tokens")
    total = count(body.get("total_tokens"))
    if prompt is None and completion is None and total is None:
        return None
    if prompt is None:
        prompt = max(0, (total or 0) - (completion or 0))
    if completion is None:
        completion = max(0, (total or 0) - prompt)
    sent = as_mapping(body.get("prompt_tokens_details") or body.get("input_tokens_details"))
    made = as_mapping(body.get("completion_tokens_details") or body.get("output_tokens_details"))
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=total or prompt + completion,
        cached_tokens=_first(sent, "cached_tokens")
        or _first(body, "cached_tokens", "prompt_cache_hit_tokens")
        or 0,
        cache_write_tokens=_first(sent, "cache_write_tokens", "cache_creation_tokens")
        or _first(body, "cache_creation_input_tokens")
        or 0,
        reasoning_tokens=_first(made, "reasoning_tokens") or _first(body, "reasoning_tokens") or 0,
        audio_prompt_tokens=_first(sent, "audio_tokens") or 0,
        audio_completion_tokens=_first(made, "audio_tokens") or 0,
    )


def estimated(prompt_characters: int, *texts: str) -> Usage:
    """Return what a call used, by our estimate, where the server did not say."""
    prompt = prompt_characters // CHARACTERS_PER_TOKEN + 1
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


def _first(body: Any, *names: str) -> int | None:
    for name in names:
        if (found := count(body.get(name))) is not None:
            return found
    return None
