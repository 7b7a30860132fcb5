"""xAI: thoughts counted beside the answer, and parameters that reasoning models refuse."""

from __future__ import annotations

from typing import Any

from agentinfra.testing.outcome import Asked, RefusedError
from agentinfra.testing.zoo.animal import Animal

__all__ = ["XAI"]

_REFUSED = {"presence_penalty": "presencePenalty", "frequency_penalty": "frequencyPenalty"}


class XAI(Animal):
    """xAI's API with Grok."""

    name = "xai"
    validates = False
    serves = frozenset({"chat", "responses", "embeddings", "models"})
    reasoning_key = "reasoning_content"
    sources = (
        # total = prompt + completion + reasoning.
        "https://github.com/UKGovernmentBEIS/inspect_ai/issues/5528",
        "https://github.com/VariantConst/OpenWebUI-Monitor/pull/99",
        # Reasoning models refuse stop and the penalties.
        "https://github.com/lidge-jun/opencodex/pull/5280",
        "https://docs.x.ai/docs/guides/reasoning",
    )

    def admit(self, asked: Asked) -> None:
        """Refuse what a reasoning model does not take.

        Raises:
            RefusedError: ``stop`` or a penalty is set.
        """
        for name in ("stop", *_REFUSED):
            if asked.body.get(name) not in (None, 0, []):
                raise RefusedError(
                    f"Model {asked.exchange.model} does not support parameter "
                    f"{_REFUSED.get(name, name)}."
                )

    def whole(self, payload: dict[str, Any], asked: Asked) -> dict[str, Any]:
        """Count thoughts beside the answer."""
        return _beside(payload)

    def chunks(self, payloads: list[dict[str, Any]], asked: Asked) -> list[dict[str, Any]]:
        """Do the same in a stream."""
        return [_beside(payload) for payload in payloads]

    def headers(self, asked: Asked) -> dict[str, str]:
        """Send none of OpenAI's."""
        return {}


def _beside(payload: dict[str, Any]) -> dict[str, Any]:
    usage = payload.get("usage")
    if not usage:
        return payload
    thought = usage["completion_tokens_details"]["reasoning_tokens"]
    said = max(0, usage["completion_tokens"] - thought)
    total = usage["prompt_tokens"] + said + thought
    told = {"completion_tokens": said, "total_tokens": total, "num_sources_used": 0}
    return {**payload, "usage": {**usage, **told}}
