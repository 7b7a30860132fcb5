"""Gemini behind Google's OpenAI-compatible endpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentinfra.testing.outcome import Asked, RefusedError
from agentinfra.testing.zoo.animal import Animal, first_choice

__all__ = ["Gemini"]

_MOST_INPUTS = 100
_STATUSES = {400: "INVALID_ARGUMENT", 404: "NOT_FOUND"}
_WRONG_KEY = {
    "code": 400,
    "message": "API key not valid. Please pass a valid API key.",
    "status": "INVALID_ARGUMENT",
}


class Gemini(Animal):
    """Gemini 3, which signs its thoughts and wants the signatures back."""

    name = "gemini"
    validates = False
    serves = frozenset({"chat", "embeddings", "models"})
    sources = (
        # Deltas of tool calls without an index, finish reason "stop", signatures to send back.
        "https://github.com/open-webui/computer/issues/224",
        "https://github.com/noho/dayu-agent/issues/45",
        # Only the first of several calls is signed.
        "https://ai.google.dev/gemini-api/docs/thought-signatures",
        "https://github.com/prism-php/prism/issues/830",
        # A wrong key is a bad argument.
        "https://ai.google.dev/gemini-api/docs/troubleshooting",
        # Errors in a list; at most 100 texts in a request for embeddings.
        "https://ai.google.dev/gemini-api/docs/openai",
    )

    def __init__(self) -> None:
        self._signed: set[str] = set()

    def admit(self, asked: Asked) -> None:
        """Refuse too many texts, and signed calls that come back without their signature.

        Raises:
            RefusedError: It is one of these.
        """
        if asked.endpoint == "embeddings":
            given = asked.body["input"]
            if isinstance(given, list) and len(given) > _MOST_INPUTS:
                raise RefusedError(
                    "* BatchEmbedContentsRequest.requests: at most 100 requests can be in one batch"
                )
            return
        for place, message in enumerate(asked.body["messages"]):
            for call in message.get("tool_calls") or ():
                extra = call.get("extra_content") or {}
                signature = (extra.get("google") or {}).get("thought_signature")
                if call.get("id") in self._signed and not signature:
                    raise RefusedError(
                        "Function call is missing a thought_signature in functionCall parts. This "
                        "is required for tools to work correctly, and missing thought_signature "
                        "may lead to degraded model performance. Additional data, function call "
                        f"`default_api:{call['function']['name']}`, position {place}."
                    )

    def whole(self, payload: dict[str, Any], asked: Asked) -> dict[str, Any]:
        """Sign the first call, and stop for calls as for texts."""
        for choice in payload["choices"]:
            if choice["finish_reason"] == "tool_calls":
                choice["finish_reason"] = "stop"
        if calls := first_choice(payload).get("tool_calls"):
            self._sign(calls[0])
        return payload

    def chunks(self, payloads: list[dict[str, Any]], asked: Asked) -> list[dict[str, Any]]:
        """Send each call whole in one delta, without an index."""
        sent: list[dict[str, Any]] = []
        calls: list[dict[str, Any]] = []
        for payload in payloads:
            delta = first_choice(payload)
            if piece := delta.get("tool_calls"):
                if "id" in piece[0]:
                    calls.append(piece[0])
                    sent.append(payload)
                else:
                    calls[-1]["function"]["arguments"] += piece[0]["function"]["arguments"]
                continue
            for choice in payload["choices"]:
                if choice["finish_reason"] == "tool_calls":
                    choice["finish_reason"] = "stop"
            sent.append(payload)
        for call in calls:
            call.pop("index", None)
        if calls:
            self._sign(calls[0])
        return sent

    def error(self, refusal: RefusedError) -> tuple[int, Mapping[str, Any] | Sequence[Any]]:
        """Write the error in Google's words, in a list."""
        if refusal.status == 401:
            return 400, [{"error": _WRONG_KEY}]
        error = {
            "code": refusal.status,
            "message": str(refusal),
            "status": _STATUSES.get(refusal.status, "UNKNOWN"),
        }
        return refusal.status, [{"error": error}]

    def headers(self, asked: Asked) -> dict[str, str]:
        """Send none of OpenAI's."""
        return {}

    def _sign(self, call: dict[str, Any]) -> None:
        call["extra_content"] = {"google": {"thought_signature": f"c2lnbmVk{call['id'][-8:]}"}}
        self._signed.add(call["id"])
