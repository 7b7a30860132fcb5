"""llama.cpp's server: arguments as objects, a context with a size of its own, plain vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from agentinfra.testing.apis.tokens import count_prompt
from agentinfra.testing.outcome import Asked, RefusedError
from agentinfra.testing.zoo.animal import Animal, first_choice

__all__ = ["LlamaCpp"]

_CONTEXT = 8192
_KINDS = {400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error"}


class LlamaCpp(Animal):
    """llama.cpp's OpenAI-compatible server with a context of 8,192 tokens."""

    name = "llama.cpp"
    validates = False
    serves = frozenset({"chat", "responses", "embeddings", "models"})
    reasoning_key = "reasoning_content"
    sources = (
        # A prompt that is too long: its type, its words, its counts.
        "https://github.com/ggml-org/llama.cpp/pull/15780",
        "https://github.com/ggml-org/llama.cpp/issues/17284",
        # Arguments that are no text, vectors at full length, timings beside the usage.
        "https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md",
    )

    def admit(self, asked: Asked) -> None:
        """Refuse what does not fit the context; ignore how vectors were wanted.

        Raises:
            RefusedError: The prompt is too long.
        """
        if asked.endpoint == "embeddings":
            kept = asked.body.items()
            asked.body = {k: v for k, v in kept if k not in ("dimensions", "encoding_format")}
            return
        if asked.endpoint == "chat" and count_prompt(asked.body) > _CONTEXT:
            raise RefusedError(
                "the request exceeds the available context size, try increasing it",
                kind="exceed_context_size_error",
            )

    def whole(self, payload: dict[str, Any], asked: Asked) -> dict[str, Any]:
        """Send arguments as the objects they are."""
        for call in first_choice(payload).get("tool_calls") or ():
            call["function"]["arguments"] = _parsed(call["function"]["arguments"])
        return {**payload, "timings": {"prompt_n": 1, "predicted_n": 1, "predicted_ms": 1.0}}

    def error(self, refusal: RefusedError) -> tuple[int, Mapping[str, Any] | Sequence[Any]]:
        """Write the status as the code, and the counts of a prompt that is too long."""
        kind = refusal.error["type"]
        counts = {}
        if kind == "exceed_context_size_error":
            counts = {"n_prompt_tokens": _CONTEXT + 1, "n_ctx": _CONTEXT}
        else:
            kind = _KINDS.get(refusal.status, "server_error")
        error = {"code": refusal.status, "message": str(refusal), "type": kind, **counts}
        return refusal.status, {"error": error}

    def headers(self, asked: Asked) -> dict[str, str]:
        """Send none of OpenAI's."""
        return {"Server": "llama.cpp"}


def _parsed(arguments: str) -> Any:
    try:
        return orjson.loads(arguments)
    except orjson.JSONDecodeError:
        return arguments
