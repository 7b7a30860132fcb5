"""The knowledge agent: finds passages in the documents and answers from them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from agentinfra.demo.prompts import KNOWLEDGE, NOT_FOUND, with_documents
from agentinfra.demo.speaking import speak
from agentinfra.demo.state import State, Update
from agentinfra.observability import semconv

if TYPE_CHECKING:
    from langgraph.types import StreamWriter

    from agentinfra.demo.library import Library
    from agentinfra.runtime import InfraRuntime

__all__ = ["Knowledge"]

NAME = "knowledge"

_CITED = re.compile(r"\[([^\[\]\n]+)\]")


class Knowledge:
    """Answers from the documents, with their names.

    Args:
        rt: The runtime.
        library: The documents.
    """

    def __init__(self, rt: InfraRuntime, library: Library) -> None:
        self._rt = rt
        self._library = library

    async def retrieve(self, state: State) -> Update:
        """Find passages about the question."""
        with self._rt.node("retrieve", agent=NAME) as span:
            found = await self._library.search(state["standalone"])
            if found.degraded:
                span.set(semconv.DEGRADED, found.degraded)
            degraded = [*state["degraded"], *([found.degraded] if found.degraded else [])]
            passages = [{"source": p.source, "text": p.text} for p in found.passages]
            return {
                "passages": passages,
                "degraded": degraded,
                "next": "quote" if passages else "hand_over",
            }

    async def quote(self, state: State, writer: StreamWriter) -> Update:
        """Answer from the passages, or find that they do not say."""
        with self._rt.node("quote", agent=NAME):
            messages: list[dict[str, Any]] = [
                {"role": "system", "content": KNOWLEDGE},
                {"role": "user", "content": with_documents(state["standalone"], state["passages"])},
            ]
            reply = await speak(self._rt.llm, messages, writer, unless=NOT_FOUND)
            answer = reply.text.strip()
            if answer == NOT_FOUND:
                return {"passages": [], "next": "hand_over"}
            degraded = [*state["degraded"], *([reply.degraded] if reply.degraded else [])]
            sources = _cited(answer, [passage["source"] for passage in state["passages"]])
            return {
                "answer": answer,
                "sources": sources,
                "degraded": degraded,
                "next": "remember",
            }


def _cited(answer: str, offered: list[str]) -> list[str]:
    """Return the sources an answer names, in its order; all of them where it names none."""
    named = (name.strip() for group in _CITED.findall(answer) for name in re.split(r"[,;]", group))
    cited = dict.fromkeys(name for name in named if name in offered)
    return list(cited or dict.fromkeys(offered))
