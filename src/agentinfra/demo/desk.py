"""What every question passes, whoever answers it: known answers, hand-overs, the record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from agentinfra.demo.state import AGENTS, State, Turn, Update
from agentinfra.observability import semconv

if TYPE_CHECKING:
    from agentinfra.cache.caches import ResponseCache
    from agentinfra.runtime import InfraRuntime

__all__ = ["Desk"]

_KEPT = ("answer", "sources", "sql", "columns", "rows", "truncated")

NOBODY = "Neither the sales data nor the documents answer this."


class Desk:
    """Looks answers up, hands questions over, and writes them down.

    Args:
        rt: The runtime.
        answers: Remembers what agents answered.
        editions: What each agent answers from; answers made from something else are not found.
    """

    def __init__(
        self, rt: InfraRuntime, answers: ResponseCache, *, editions: Mapping[str, str]
    ) -> None:
        self._rt = rt
        self._answers = answers
        self._editions = editions

    async def recall(self, state: State) -> Update:
        """Look for an answer of this agent to the same question."""
        agent = state["agent"]
        with self._rt.node("recall", agent=agent) as span:
            known: Update | None = await self._answers.get(
                state["standalone"], agent, context=self._editions[agent]
            )
            span.set(semconv.CACHE_HIT, known is not None)
            cache = {**state["cache"], "response": "miss" if known is None else "hit"}
            if known is not None:
                return {**known, "cache": cache, "next": "remember"}
            return {"cache": cache, "next": "plan" if agent == "analytics" else "retrieve"}

    async def hand_over(self, state: State) -> Update:
        """Give the question to the agent that has not seen it, if there is one."""
        before = state["agent"]
        with self._rt.node("hand_over", agent=before):
            others = [agent for agent in AGENTS if agent not in state["tried"]]
            if not others:
                return {"answer": NOBODY, "answered": False, "next": "remember"}
            self._rt.nodes.routing_fallback(before, others[0])
            return {"agent": others[0], "tried": [*state["tried"], others[0]], "next": "recall"}

    async def remember(self, state: State) -> Update:
        """Keep the answer for whoever asks the same, and as a turn of the conversation."""
        agent = state["agent"]
        with self._rt.node("remember", agent=agent):
            fresh = state["cache"].get("response") == "miss"
            if fresh and state["answered"] and not state["degraded"]:
                kept = {name: value for name, value in state.items() if name in _KEPT}
                await self._answers.set(
                    state["standalone"], agent, kept, context=self._editions[agent]
                )
            return {"turns": [Turn(question=state["question"], answer=state["answer"])]}
