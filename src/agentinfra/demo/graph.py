"""The team as a LangGraph graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentinfra.demo.state import State

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph

    from agentinfra.demo.analytics import Analytics
    from agentinfra.demo.desk import Desk
    from agentinfra.demo.knowledge import Knowledge
    from agentinfra.demo.router import Router

__all__ = ["build_graph"]


def build_graph(
    router: Router, desk: Desk, analytics: Analytics, knowledge: Knowledge, *, checkpointer: Any
) -> CompiledStateGraph[State]:
    """Return the compiled graph.

    A question is routed, looked up, and answered by one of the agents:

        route -> recall -> plan -> query -> explain -> remember
                        -> retrieve -> quote ------->

    A statement the database refuses goes back to ``plan`` once. An agent that finds nothing goes
    to ``hand_over``, and from there to ``recall`` for the other agent.
    """
    from langgraph.graph import END, START, StateGraph

    builder = StateGraph(State)
    ways: dict[str, tuple[Any, tuple[str, ...]]] = {
        "route": (router.route, ("recall",)),
        "recall": (desk.recall, ("plan", "retrieve", "remember")),
        "plan": (analytics.plan, ("query", "hand_over", "remember")),
        "query": (analytics.query, ("plan", "explain", "remember")),
        "explain": (analytics.explain, ("remember",)),
        "retrieve": (knowledge.retrieve, ("quote", "hand_over")),
        "quote": (knowledge.quote, ("remember", "hand_over")),
        "hand_over": (desk.hand_over, ("recall", "remember")),
        "remember": (desk.remember, ()),
    }
    for name, (node, ends) in ways.items():
        builder.add_node(name, node, input_schema=State)
        if ends:
            builder.add_conditional_edges(name, _next, list(ends))
    builder.add_edge(START, "route")
    builder.add_edge("remember", END)
    return builder.compile(checkpointer=checkpointer)


def _next(state: State) -> str:
    return state["next"]
