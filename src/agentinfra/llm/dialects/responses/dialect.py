"""The Responses API as a dialect."""

from __future__ import annotations

from collections.abc import Mapping

from agentinfra.llm.dialects.answer import Answer
from agentinfra.llm.dialects.encoding import encode
from agentinfra.llm.dialects.request import Api, TextRequest
from agentinfra.llm.dialects.responses.body import response_payload
from agentinfra.llm.dialects.responses.reading import read_response
from agentinfra.llm.dialects.responses.stream import ResponseAssembly
from agentinfra.llm.dialects.speech import Speech

__all__ = ["ResponsesDialect"]


class ResponsesDialect:
    """What ``/responses`` takes and gives."""

    name: Api = "responses"

    def body(self, request: TextRequest, model: str, speech: Speech) -> bytes:
        """Return the body of a request; see ``Dialect``."""
        return encode(response_payload(request, model, speech))

    def read(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Return an answer; see ``Dialect``."""
        return read_response(body, headers)

    def assembly(self, request: TextRequest) -> ResponseAssembly:
        """Return what puts a stream together; see ``Dialect``."""
        del request
        return ResponseAssembly()
