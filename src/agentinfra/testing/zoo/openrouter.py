"""OpenRouter: a router that answers 200 first and fails later, and says what it cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from agentinfra.testing.outcome import Asked, RefusedError
from agentinfra.testing.zoo.animal import Animal, first_choice

__all__ = ["OpenRouter"]

_PROCESSING = b": OPENROUTER PROCESSING\n\n"
_PER_TOKEN = 1e-6


class OpenRouter(Animal):
    """OpenRouter's API."""

    name = "openrouter"
    validates = False
    serves = frozenset({"chat", "responses", "embeddings", "models"})
    reasoning_key = "reasoning"
    sources = (
        # Errors after the first byte: a chunk with an error, status 200, finish reason "error".
        "https://openrouter.ai/docs/api-reference/errors",
        "https://github.com/damianvtran/local-operator/pull/223",
        # The same with no choices beside the error.
        "https://github.com/dcdpr/jp/pull/978",
        # Comments keep the connection alive; usage holds the cost.
        "https://openrouter.ai/docs/api-reference/streaming",
        "https://openrouter.ai/docs/use-cases/usage-accounting",
    )

    def whole(self, payload: dict[str, Any], asked: Asked) -> dict[str, Any]:
        """Add the provider, the reasons in its own words, and the cost."""
        for choice in payload["choices"]:
            choice["native_finish_reason"] = choice["finish_reason"]
        if text := first_choice(payload).get("reasoning"):
            first_choice(payload)["reasoning_details"] = [_detail(text)]
        return {**payload, "provider": "Stand-in", **_costed(payload)}

    def chunks(self, payloads: list[dict[str, Any]], asked: Asked) -> list[dict[str, Any]]:
        """Do the same to each chunk."""
        for payload in payloads:
            for choice in payload["choices"]:
                choice["native_finish_reason"] = choice["finish_reason"]
                if text := choice["delta"].get("reasoning"):
                    choice["delta"]["reasoning_details"] = [_detail(text)]
        return [{**payload, "provider": "Stand-in", **_costed(payload)} for payload in payloads]

    def events(self, events: list[bytes], asked: Asked) -> list[bytes]:
        """Begin with a comment."""
        return [_PROCESSING + events[0], *events[1:]]

    def error(self, refusal: RefusedError) -> tuple[int, Mapping[str, Any] | Sequence[Any]]:
        """Write the status into the error as its code."""
        error = {"message": str(refusal), "code": refusal.status}
        return refusal.status, {"error": error, "user_id": "user_standin"}

    def failed(self, message: str) -> tuple[int, Mapping[str, Any] | Sequence[Any]]:
        """Tell of a provider's failure under status 200."""
        error = {
            "message": "Provider returned error",
            "code": 502,
            "metadata": {"raw": message, "provider_name": "Stand-in"},
        }
        return 200, {"error": error, "user_id": "user_standin"}

    def stream_error(self, error: Mapping[str, Any], asked: Asked) -> bytes:
        """End the stream with a chunk that has an error and a choice."""
        told = {
            "id": f"gen-{asked.exchange.index:024d}",
            "object": "chat.completion.chunk",
            "created": 0,
            "model": asked.exchange.model,
            "provider": "Stand-in",
            "error": {
                "code": 502,
                "message": error["message"],
                "metadata": {"error_type": "provider_unavailable"},
            },
            "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}],
        }
        return b"data: " + orjson.dumps(told) + b"\n\n"

    def headers(self, asked: Asked) -> dict[str, str]:
        """Send none of OpenAI's."""
        return {}


def _detail(text: str) -> dict[str, Any]:
    return {"type": "reasoning.text", "text": text, "format": "unknown", "index": 0}


def _costed(payload: Mapping[str, Any]) -> dict[str, Any]:
    usage = payload.get("usage")
    if not usage:
        return {}
    cost = usage["total_tokens"] * _PER_TOKEN
    details = {"upstream_inference_cost": None}
    return {"usage": {**usage, "cost": cost, "is_byok": False, "cost_details": details}}
