"""Azure OpenAI: content filters in every answer, limits of -1, deployments for models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentinfra.testing.outcome import Asked, RefusedError
from agentinfra.testing.zoo.animal import Animal

__all__ = ["Azure"]

_SAFE = {
    name: {"filtered": False, "severity": "safe"}
    for name in ("hate", "self_harm", "sexual", "violence")
}
_PROMPT = [{"prompt_index": 0, "content_filter_results": _SAFE}]


class Azure(Animal):
    """Azure's API in front of OpenAI's models."""

    name = "azure"
    sources = (
        # A first chunk without choices and with empty names, filter results in each choice.
        "https://github.com/sashabaranov/go-openai/pull/448",
        "https://github.com/AbanteAI/archive-old-cli-mentat/issues/429",
        # Chunks of filter results that have no delta.
        "https://github.com/microsoft/autogen/issues/6465",
        # The codes of its errors are texts.
        "https://learn.microsoft.com/azure/ai-services/openai/reference",
    )

    def whole(self, payload: dict[str, Any], asked: Asked) -> dict[str, Any]:
        """Add the filters' results for the prompt and for each choice."""
        for choice in payload["choices"]:
            choice["content_filter_results"] = _SAFE
        return {**payload, "prompt_filter_results": _PROMPT}

    def chunks(self, payloads: list[dict[str, Any]], asked: Asked) -> list[dict[str, Any]]:
        """Begin with a chunk that is about the prompt, and end the text with one about it."""
        first = {
            "id": "",
            "object": "",
            "created": 0,
            "model": "",
            "choices": [],
            "prompt_filter_results": _PROMPT,
        }
        sent = [first]
        for payload in payloads:
            for choice in payload["choices"]:
                choice["content_filter_results"] = {} if choice["finish_reason"] else _SAFE
                if choice["finish_reason"]:
                    filtered = {
                        "index": choice["index"],
                        "finish_reason": None,
                        "content_filter_results": _SAFE,
                        "content_filter_offsets": {
                            "check_offset": 0,
                            "start_offset": 0,
                            "end_offset": 0,
                        },
                    }
                    sent.append({**first, "choices": [filtered]})
            sent.append(payload)
        return sent

    def error(self, refusal: RefusedError) -> tuple[int, Mapping[str, Any] | Sequence[Any]]:
        """Write codes as texts, and name a missing deployment as one."""
        error = dict(refusal.error)
        if error["code"] == "model_not_found":
            error = {
                "code": "DeploymentNotFound",
                "message": "The API deployment for this resource does not exist.",
            }
        elif error["code"] is None or refusal.status == 401:
            error["code"] = str(refusal.status)
        return refusal.status, {"error": error}

    def headers(self, asked: Asked) -> dict[str, str]:
        """Send limits of -1, which say nothing."""
        return {
            "x-ratelimit-limit-tokens": "-1",
            "x-ratelimit-remaining-tokens": "-1",
            "x-ratelimit-remaining-requests": "99",
            "x-ms-region": "West Europe",
            "apim-request-id": f"{asked.exchange.index:032x}",
        }
