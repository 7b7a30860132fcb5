"""What a text dialect is: a body to send, and one way to read what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from agentinfra.llm.dialects.answer import Answer, Assembly
    from agentinfra.llm.dialects.request import Api, TextRequest
    from agentinfra.llm.dialects.speech import Speech

__all__ = ["Dialect"]


class Dialect(Protocol):
    """An API that gives texts. Both take the same messages and end in the same answer."""

    name: Api
    """Which API it is of."""

    def body(self, request: TextRequest, model: str, speech: Speech) -> bytes:
        """Return the body of a request.

        Raises:
            ConfigurationError: It cannot be said in this dialect, or not to this model.
        """
        ...

    def read(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Return an answer.

        Raises:
            LLMStatusError: It is an error, wherever that hides.
            LLMResponseError: It is not an answer.
        """
        ...

    def assembly(self, request: TextRequest) -> Assembly:
        """Return what puts the events of a stream together."""
        ...
