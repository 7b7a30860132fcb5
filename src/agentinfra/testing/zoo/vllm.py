"""vLLM: flat errors, thoughts in a field of their own, fields nobody asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from agentinfra.testing.outcome import Asked, RefusedError
from agentinfra.testing.zoo.animal import Animal

__all__ = ["VLLM"]

_KINDS = {400: "BadRequestError", 401: "Unauthorized", 404: "NotFoundError"}


class VLLM(Animal):
    """vLLM's OpenAI-compatible server."""

    name = "vllm"
    validates = False
    serves = frozenset({"chat", "responses", "embeddings", "models"})
    reasoning_key = "reasoning_content"
    sources = (
        # Errors are flat, and their code is a number.
        "https://github.com/vllm-project/vllm/issues/4667",
        # The words for a context that is too long.
        "https://github.com/vllm-project/vllm/issues/20409",
        "https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html",
        "https://docs.vllm.ai/en/latest/features/reasoning_outputs.html",
    )

    def whole(self, payload: dict[str, Any], asked: Asked) -> dict[str, Any]:
        """Add its own fields, and details of the prompt's tokens as null."""
        for choice in payload["choices"]:
            choice["stop_reason"] = None
        return {**payload, **_plain(payload), "prompt_logprobs": None}

    def chunks(self, payloads: list[dict[str, Any]], asked: Asked) -> list[dict[str, Any]]:
        """Do the same in a stream."""
        return [{**payload, **_plain(payload)} for payload in payloads]

    def error(self, refusal: RefusedError) -> tuple[int, Mapping[str, Any] | Sequence[Any]]:
        """Write a flat error."""
        return refusal.status, _flat(str(refusal), refusal.status, refusal.error["param"])

    def stream_error(self, error: Mapping[str, Any], asked: Asked) -> bytes:
        """Send the flat error as an event."""
        told = orjson.dumps(_flat(str(error["message"]), 400, None))
        return b"data: " + told + b"\n\n"

    def headers(self, asked: Asked) -> dict[str, str]:
        """Send none of OpenAI's."""
        return {}


def _flat(message: str, status: int, param: Any) -> dict[str, Any]:
    kind = _KINDS.get(status, "InternalServerError")
    return {"object": "error", "message": message, "type": kind, "param": param, "code": status}


def _plain(payload: Mapping[str, Any]) -> dict[str, Any]:
    usage = payload.get("usage")
    if not usage:
        return {}
    counts = {name: usage[name] for name in ("prompt_tokens", "total_tokens", "completion_tokens")}
    return {"usage": {**counts, "prompt_tokens_details": None}}
