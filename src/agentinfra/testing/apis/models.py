"""The models there are."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import orjson

from agentinfra.testing.outcome import Asked, Outcome, RefusedError

__all__ = ["Models"]

_SAMPLES = (
    "gpt-4o",
    "gpt-4o-mini",
    "gpt-4.1-mini",
    "text-embedding-3-small",
    "text-embedding-3-large",
)
_CREATED = 1_735_689_600


class Models:
    """Lists and shows models; ``known`` is None where every name is one."""

    def __init__(self, known: Collection[str] | None) -> None:
        self.known = known

    def answer(self, asked: Asked) -> Outcome:
        """Answer a request for the list, or for one.

        Raises:
            RefusedError: There is no such model.
        """
        if asked.endpoint == "models":
            names = _SAMPLES if self.known is None else self.known
            return Outcome(
                body=orjson.dumps({"object": "list", "data": [_model(name) for name in names]})
            )
        name = asked.argument
        if self.known is not None and name not in self.known:
            raise RefusedError(
                f"The model '{name}' does not exist",
                status=404,
                param="model",
                code="model_not_found",
            )
        return Outcome(body=orjson.dumps(_model(name)))


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": _CREATED, "owned_by": "agentinfra"}
