"""Ollama: every call of a stream has index 0, and parameters it does not know are ignored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentinfra.testing.outcome import Asked, RefusedError
from agentinfra.testing.zoo.animal import Animal, first_choice

__all__ = ["Ollama"]


class Ollama(Animal):
    """Ollama's OpenAI-compatible endpoints."""

    name = "ollama"
    validates = False
    serves = frozenset({"chat", "responses", "embeddings", "models"})
    reasoning_key = "reasoning"
    sources = (
        # Calls without an index of their own: each has 0.
        "https://github.com/ollama/ollama/issues/7881",
        "https://github.com/Gitlawb/openclaude/pull/1394",
        # What it takes and ignores, tool_choice among it.
        "https://docs.ollama.com/api/openai-compatibility",
    )

    def admit(self, asked: Asked) -> None:
        """Ignore what it does not know."""
        asked.body = {**asked.body}
        asked.body.pop("tool_choice", None)
        asked.body.pop("n", None)

    def whole(self, payload: dict[str, Any], asked: Asked) -> dict[str, Any]:
        """Add its fingerprint."""
        return {**payload, "system_fingerprint": "fp_ollama"}

    def chunks(self, payloads: list[dict[str, Any]], asked: Asked) -> list[dict[str, Any]]:
        """Send each call whole in one delta, all with index 0."""
        sent: list[dict[str, Any]] = []
        last: dict[str, Any] = {}
        for payload in payloads:
            piece = first_choice(payload).get("tool_calls")
            if piece and "id" not in piece[0]:
                last["function"]["arguments"] += piece[0]["function"]["arguments"]
                continue
            if piece:
                last = piece[0]
                last["index"] = 0
            sent.append({**payload, "system_fingerprint": "fp_ollama"})
        return sent

    def error(self, refusal: RefusedError) -> tuple[int, Mapping[str, Any] | Sequence[Any]]:
        """Write errors without parameter and code."""
        error = {"message": str(refusal), "type": "api_error", "param": None, "code": None}
        return refusal.status, {"error": error}

    def headers(self, asked: Asked) -> dict[str, str]:
        """Send none of OpenAI's."""
        return {}
