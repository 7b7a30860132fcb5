"""Chat Completions as a dialect."""

from __future__ import annotations

from collections.abc import Mapping

from agentinfra.llm.dialects.answer import Answer
from agentinfra.llm.dialects.chat.body import chat_payload
from agentinfra.llm.dialects.chat.reading import read_chat
from agentinfra.llm.dialects.chat.stream import ChatAssembly
from agentinfra.llm.dialects.encoding import encode
from agentinfra.llm.dialects.request import Api, TextRequest
from agentinfra.llm.dialects.speech import Speech

__all__ = ["ChatDialect"]


class ChatDialect:
    """What ``/chat/completions`` takes and gives."""

    name: Api = "chat"

    def body(self, request: TextRequest, model: str, speech: Speech) -> bytes:
        """Return the body of a request; see ``Dialect``."""
        return encode(chat_payload(request, model, speech))

    def read(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Return an answer; see ``Dialect``."""
        return read_chat(body, headers)

    def assembly(self, request: TextRequest) -> ChatAssembly:
        """Return what puts a stream together; see ``Dialect``."""
        return ChatAssembly(int(request.options.get("n") or 1))
