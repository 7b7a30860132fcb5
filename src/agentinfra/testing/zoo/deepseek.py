"""DeepSeek: thoughts beside the content, which have to come back with tool calls."""

from __future__ import annotations

from typing import Any

from agentinfra.testing.outcome import Asked, RefusedError
from agentinfra.testing.zoo.animal import Animal, first_choice

__all__ = ["DeepSeek"]


class DeepSeek(Animal):
    """DeepSeek's API in thinking mode."""

    name = "deepseek"
    validates = False
    serves = frozenset({"chat", "models"})
    reasoning_key = "reasoning_content"
    sources = (
        # The message that is refused without its thoughts, and the words of the refusal.
        "https://api-docs.deepseek.com/guides/thinking_mode",
        "https://github.com/deepseek-ai/DeepSeek-V3/issues/1053",
        "https://github.com/langchain-ai/langchain/issues/34166",
        # What of the prompt was cached is told in fields of its own.
        "https://api-docs.deepseek.com/guides/kv_cache",
    )

    def __init__(self) -> None:
        self._thought: set[str] = set()

    def admit(self, asked: Asked) -> None:
        """Refuse calls that came with thoughts and come back without.

        Raises:
            RefusedError: A message lacks its ``reasoning_content``.
        """
        for place, message in enumerate(asked.body["messages"]):
            ids = {call.get("id") for call in message.get("tool_calls") or ()}
            if ids & self._thought and not message.get("reasoning_content"):
                raise RefusedError(
                    "Missing `reasoning_content` field in the assistant message at message index "
                    f"{place}. For more information, please refer to "
                    "https://api-docs.deepseek.com/guides/thinking_mode#tool-calls",
                    code="invalid_request_error",
                )

    def whole(self, payload: dict[str, Any], asked: Asked) -> dict[str, Any]:
        """Remember which calls had thoughts, and tell of the cache."""
        message = first_choice(payload)
        if message.get("reasoning_content"):
            self._thought |= {call["id"] for call in message.get("tool_calls") or ()}
        return _cached(payload)

    def chunks(self, payloads: list[dict[str, Any]], asked: Asked) -> list[dict[str, Any]]:
        """Do the same to a stream; the last chunk that has a choice holds the usage."""
        deltas = [first_choice(payload) for payload in payloads]
        if any(delta.get("reasoning_content") for delta in deltas):
            calls = [call for delta in deltas for call in delta.get("tool_calls") or ()]
            self._thought |= {call["id"] for call in calls if "id" in call}
        return [_cached(payload) for payload in payloads]

    def headers(self, asked: Asked) -> dict[str, str]:
        """Send none of OpenAI's."""
        return {}


def _cached(payload: dict[str, Any]) -> dict[str, Any]:
    usage = payload.get("usage")
    if not usage:
        return payload
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    told = {
        "prompt_cache_hit_tokens": cached,
        "prompt_cache_miss_tokens": usage["prompt_tokens"] - cached,
    }
    return {**payload, "usage": {**usage, **told}}
