"""The router: decides who answers, and remembers what it decided."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentinfra.demo.prompts import ROUTER, choose_agent
from agentinfra.demo.state import AGENTS, Agent, State, Update, history
from agentinfra.errors import StructuredOutputError
from agentinfra.observability import semconv

if TYPE_CHECKING:
    from agentinfra.cache.caches import RoutingCache
    from agentinfra.demo.library import Library
    from agentinfra.observability.tracing import Span
    from agentinfra.runtime import InfraRuntime

__all__ = ["Router"]


class Router:
    """Chooses an agent by a function call of the model.

    Args:
        rt: The runtime.
        decisions: Remembers choices by the question's text.
        library: The documents.
        edition: Who chooses; what another one has chosen is not found.
    """

    def __init__(
        self, rt: InfraRuntime, decisions: RoutingCache, library: Library, *, edition: str
    ) -> None:
        self._rt = rt
        self._decisions = decisions
        self._edition = f"{edition}, {library.edition}"
        self._function = choose_agent(library.subjects)

    async def route(self, state: State) -> Update:
        """Choose who answers, and say the question so that it stands alone."""
        with self._rt.node("route", agent="router") as span:
            # The same words can mean something else after other questions.
            place = "in a conversation" if state["turns"] else "at the start"
            key = f"{self._edition}, {place}: {state['question']}"
            known = await self._decisions.get(key)
            span.set(semconv.CACHE_HIT, known is not None)
            if known is not None:
                return _chosen(known, state, cache="hit")
            return await self._decide(key, state, span)

    async def _decide(self, key: str, state: State, span: Span) -> Update:
        question = state["question"]
        messages: list[dict[str, Any]] = [
            {"role": "system", "content": ROUTER},
            *history(state["turns"]),
            {"role": "user", "content": question},
        ]
        try:
            reply = await self._rt.llm.chat_completion_with_tools(messages, [self._function])
        except StructuredOutputError as error:
            span.set(semconv.DEGRADED, str(error))
            guess = _chosen({"agent": "knowledge", "question": question}, state, cache="miss")
            guess["degraded"] = [
                "the router's choice could not be read: the knowledge agent was asked"
            ]
            return guess
        choice = {"agent": reply.parsed["agent"], "question": question}
        if state["turns"]:
            choice["question"] = reply.parsed["question"].strip() or question
        if not state["turns"] or choice["question"] == question:
            await self._decisions.set(key, choice)
        made = _chosen(choice, state, cache="miss")
        if reply.degraded:
            made["degraded"] = [reply.degraded]
        return made


def _chosen(choice: dict[str, str], state: State, *, cache: str) -> Update:
    agent: Agent = "analytics" if choice["agent"] == AGENTS[0] else "knowledge"
    return {
        "agent": agent,
        "standalone": choice["question"],
        "tried": [agent],
        "cache": {**state["cache"], "routing": cache},
        "next": "recall",
    }
