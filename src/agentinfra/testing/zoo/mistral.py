"""Mistral: content as a list of parts, short call ids, strict bodies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentinfra.testing.outcome import Asked, RefusedError
from agentinfra.testing.zoo.animal import Animal, first_choice

__all__ = ["Mistral"]

_ID_LENGTH = 9
_EXTRA = "extra_forbidden"
_UNKNOWN = ("max_completion_tokens", "stream_options")


class Mistral(Animal):
    """Mistral's API with a model that thinks."""

    name = "mistral"
    validates = False
    serves = frozenset({"chat", "embeddings", "models"})
    reasoning_key = "thinking"
    reports_usage = True
    sources = (
        # Thinking and text are parts of the content.
        "https://docs.mistral.ai/capabilities/reasoning",
        "https://github.com/architects-toolkit/SmartHopper/issues/223",
        # What it does not know is a 422 with pydantic's list of errors in the message; the usage
        # of a stream comes unasked.
        "https://github.com/editor-code-assistant/eca/issues/231",
        "https://github.com/dnakov/anon-kode/issues/53",
        "https://github.com/charmbracelet/crush/issues/1590",
        # Ids of tool calls have nine characters.
        "https://github.com/mistralai/mistral-common",
    )

    def admit(self, asked: Asked) -> None:
        """Refuse what it does not know, and call ids that are not its own.

        Raises:
            RefusedError: A parameter is OpenAI's alone, or an id of a tool call does not have
                nine letters or digits.
        """
        for name in _UNKNOWN:
            if name in asked.body:
                raise _extra(name)
        for place, message in enumerate(asked.body.get("messages") or ()):
            if "reasoning_content" in message:
                raise _extra(f"messages.{place}.{message['role']}.reasoning_content")
            for call in message.get("tool_calls") or ():
                given = str(call.get("id") or "")
                if len(given) != _ID_LENGTH or not given.isalnum():
                    raise RefusedError(
                        f"Tool call id was {given} but must be a-z, A-Z, 0-9, with a length of 9.",
                        kind="invalid_request_message_order",
                        code="3280",
                    )

    def whole(self, payload: dict[str, Any], asked: Asked) -> dict[str, Any]:
        """Put text and thoughts into parts."""
        message = first_choice(payload)
        _in_parts(message)
        _short_ids(message)
        return payload

    def chunks(self, payloads: list[dict[str, Any]], asked: Asked) -> list[dict[str, Any]]:
        """Do the same to each delta."""
        for payload in payloads:
            delta = first_choice(payload)
            if delta.get("content") or delta.get("thinking"):
                _in_parts(delta)
            _short_ids(delta)
        return payloads

    def error(self, refusal: RefusedError) -> tuple[int, Mapping[str, Any] | Sequence[Any]]:
        """Write pydantic's list of errors, or a flat object."""
        error = dict(refusal.error)
        if refusal.status == 400 and error["param"]:
            where = ["body", *str(error["param"]).split(".")]
            kind = error["code"] if error["code"] == _EXTRA else "value_error"
            detail = [{"type": kind, "loc": where, "msg": str(refusal)}]
            error |= {"message": {"detail": detail}, "param": None, "code": None}
            return 422, {"object": "error", **error}
        return refusal.status, {"object": "error", **error}

    def headers(self, asked: Asked) -> dict[str, str]:
        """Send none of OpenAI's."""
        return {}


def _extra(where: str) -> RefusedError:
    return RefusedError("Extra inputs are not permitted", param=where, code=_EXTRA)


def _in_parts(message: dict[str, Any]) -> None:
    parts: list[dict[str, Any]] = []
    if thought := message.pop("thinking", None):
        parts.append({"type": "thinking", "thinking": [{"type": "text", "text": thought}]})
    if text := message.get("content"):
        parts.append({"type": "text", "text": text})
    if parts:
        message["content"] = parts


def _short_ids(message: dict[str, Any]) -> None:
    for call in message.get("tool_calls") or ():
        if "id" in call:
            call["id"] = call["id"].replace("_", "")[-_ID_LENGTH:].rjust(_ID_LENGTH, "0")
