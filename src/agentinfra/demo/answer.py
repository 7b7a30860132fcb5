"""What comes back for a question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agentinfra.demo.accounts import total

if TYPE_CHECKING:
    from agentinfra.demo.state import State
    from agentinfra.observability.tracing import FinishedSpan
    from agentinfra.results import Usage

__all__ = ["Answer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answered question.

    Attributes:
        question: As it was asked.
        agent: Who answered.
        answer: The answer, or why there is none.
        answered: Whether it is one.
        sources: The passages it quotes, as ``path#heading``.
        sql: The statement it comes from, None where there is none.
        columns: The result's columns.
        rows: The result's rows.
        truncated: Whether there are more rows.
        usage: The tokens of all calls.
        cost_usd: What they cost in USD, None where a price is unknown.
        cache: What each cache said: ``hit``, ``miss`` or None where it was not asked.
        degraded: In what it is less than it should be, None where it is not.
        trace_id: The trace.
        thread_id: The conversation.
        latency: Seconds.
        spans: The trace's spans.
    """

    question: str
    agent: str
    answer: str
    answered: bool
    sources: tuple[str, ...]
    sql: str | None
    columns: tuple[str, ...]
    rows: tuple[dict[str, Any], ...]
    truncated: bool
    usage: Usage
    cost_usd: float | None
    cache: dict[str, str | None]
    degraded: str | None
    trace_id: str
    thread_id: str
    latency: float
    spans: tuple[FinishedSpan, ...]

    @classmethod
    def of(
        cls,
        state: State,
        spans: tuple[FinishedSpan, ...],
        *,
        embedding: str | None,
        thread_id: str,
        caveat: str = "",
    ) -> Answer:
        """Return the answer in a graph's last state.

        Args:
            state: The state.
            spans: The spans of its trace, the outermost last.
            embedding: What the embedding cache said.
            thread_id: The conversation.
            caveat: In what every answer is less than it should be; such an answer has no cost.
        """
        usage, cost = total(spans)
        cache = state["cache"]
        return cls(
            question=state["question"],
            agent=state["agent"],
            answer=state["answer"],
            answered=state["answered"] and bool(state["answer"]),
            sources=tuple(state["sources"]),
            sql=state["sql"] or None,
            columns=tuple(state["columns"]),
            rows=tuple(state["rows"]),
            truncated=state["truncated"],
            usage=usage,
            cost_usd=None if caveat else cost,
            cache={
                "routing": cache.get("routing"),
                "response": cache.get("response"),
                "embedding": embedding,
            },
            degraded="; ".join(dict.fromkeys(filter(None, (caveat, *state["degraded"])))) or None,
            trace_id=spans[-1].trace_id,
            thread_id=thread_id,
            latency=spans[-1].duration,
            spans=spans,
        )

    def as_json(self) -> dict[str, Any]:
        """Return the object ``agentinfra demo --json`` prints."""
        return {
            "question": self.question,
            "agent": self.agent,
            "answer": self.answer,
            "sources": list(self.sources),
            "sql": self.sql,
            "rows": list(self.rows),
            "usage": {
                "prompt_tokens": self.usage.prompt_tokens,
                "completion_tokens": self.usage.completion_tokens,
                "total_tokens": self.usage.total_tokens,
            },
            "cost_usd": None if self.cost_usd is None else round(self.cost_usd, 9),
            "cache": self.cache,
            "degraded": self.degraded,
            "trace_id": self.trace_id,
            "thread_id": self.thread_id,
            "latency": round(self.latency, 4),
        }
