"""What one server's manners can differ in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from agentinfra.testing.outcome import Asked, RefusedError

__all__ = ["EVERY", "Animal", "first_choice"]

EVERY = frozenset({"chat", "responses", "embeddings", "models", "files", "batches"})


class Animal:
    """A server as OpenAI's is; others override what they do otherwise.

    One instance serves every request of a server, on the server's thread.
    """

    name = "openai"
    serves = EVERY
    """The endpoints it has; the others are a 404."""
    validates = True
    """Whether it refuses what OpenAI's own parameter types do not hold."""
    reasoning_key: str | None = None
    """The field of a message that holds what the model thought; None: it is not sent."""
    reports_usage = False
    """Whether the usage of a stream comes unasked."""
    sources: Sequence[str] = ("https://platform.openai.com/docs/api-reference",)
    """Where each of its manners is described."""

    def admit(self, asked: Asked) -> None:
        """Look at a valid request before it is answered; what is ignored may be taken out.

        Raises:
            RefusedError: This server would refuse it.
        """

    def whole(self, payload: dict[str, Any], asked: Asked) -> dict[str, Any]:
        """Return a whole chat completion as this server sends it."""
        return payload

    def chunks(self, payloads: list[dict[str, Any]], asked: Asked) -> list[dict[str, Any]]:
        """Return the chunks of a streamed one as this server sends them."""
        return payloads

    def events(self, events: list[bytes], asked: Asked) -> list[bytes]:
        """Return the events of a chat stream as this server writes them."""
        return events

    def embeddings(self, payload: dict[str, Any], asked: Asked) -> dict[str, Any]:
        """Return an embeddings response as this server sends it."""
        return payload

    def error(self, refusal: RefusedError) -> tuple[int, Mapping[str, Any] | Sequence[Any]]:
        """Return the status and the body of a refusal."""
        return refusal.status, {"error": refusal.error}

    def failed(self, message: str) -> tuple[int, Mapping[str, Any] | Sequence[Any]]:
        """Return the status and the body of a model that fails before it streams."""
        error = {"message": message, "type": "server_error", "param": None, "code": None}
        return 500, {"error": error}

    def stream_error(self, error: Mapping[str, Any], asked: Asked) -> bytes:
        """Return the event of an error in a chat stream."""
        return b"data: " + orjson.dumps({"error": dict(error)}) + b"\n\n"

    def headers(self, asked: Asked) -> dict[str, str]:
        """Return the headers it sends with every answer."""
        return {"openai-version": "2020-10-01"}


def first_choice(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return the message, or the delta, of the first choice; empty where there is none."""
    for choice in payload.get("choices") or ():
        found = choice.get("message", choice.get("delta"))
        if isinstance(found, dict):
            return found
    return {}
