"""Runs of agents, of their nodes and of their tools: spans by the conventions, and series."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from agentinfra._mechanics.clock import SYSTEM_CLOCK, Clock
from agentinfra.observability import semconv
from agentinfra.observability.logging import bind_context
from agentinfra.observability.tracing import Span, start_span

if TYPE_CHECKING:
    from agentinfra.observability.metrics import Metrics

__all__ = ["Nodes", "agent_span", "tool_span"]


class Nodes:
    """Records runs of nodes: ``requests_total``, ``node_latency_ms``, a span, and log context."""

    def __init__(self, metrics: Metrics, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._metrics = metrics
        self._clock = clock

    @contextmanager
    def run(self, node: str, *, agent: str, **attributes: Any) -> Iterator[Span]:
        """Record what happens inside as one run of a node.

        Args:
            node: The node, as in the graph.
            agent: The agent it belongs to.
            attributes: More about this run, for its span.
        """
        self._metrics.counter(semconv.REQUESTS, agent, node).inc()
        began = self._clock.now()
        names = {semconv.AGENT_NAME: agent, semconv.NODE: node}
        try:
            with (
                bind_context(agent=agent, node=node),
                start_span(f"{semconv.SPAN_NODE} {node}", {**names, **attributes}) as span,
            ):
                yield span
        finally:
            milliseconds = (self._clock.now() - began) * 1000
            self._metrics.histogram(semconv.NODE_LATENCY, node).observe(milliseconds)

    @contextmanager
    def tool(self, tool: str, *, agent: str, call: str) -> Iterator[Callable[[str], None]]:
        """Record what happens inside as one run of a tool.

        Args:
            tool: The tool's name; never one that a model has made up.
            agent: The agent it belongs to.
            call: The id of the model's call.

        Yields:
            What to call with a reason, where the tool failed and its graph goes on.
        """
        began, outcome = self._clock.now(), "ok"

        def failed(reason: str) -> None:
            nonlocal outcome
            outcome = "error"
            span.fail(reason)

        try:
            with (
                bind_context(agent=agent, tool=tool),
                tool_span(tool, call_id=call) as span,
            ):
                span.set(semconv.AGENT_NAME, agent)
                yield failed
        except BaseException as error:
            outcome = type(error).__name__
            raise
        finally:
            seconds = self._metrics.histogram(semconv.TOOL_SECONDS, tool, outcome)
            seconds.observe(self._clock.now() - began)

    def routing_fallback(self, from_agent: str, to_agent: str) -> None:
        """Count a question that one agent handed to another."""
        self._metrics.counter(semconv.ROUTING_FALLBACKS, from_agent, to_agent).inc()


def agent_span(
    agent: str,
    *,
    conversation: str | None = None,
    model: str | None = None,
    provider: str = "openai",
) -> Span:
    """Start the span of one run of an agent, as OpenTelemetry's conventions have it.

    Use it as `start_span`. What the agent does inside stands under it: nodes, model calls, tools.

    Args:
        agent: The agent's name.
        conversation: The conversation it belongs to: the thread of a graph.
        model: The model it asks, where it asks one.
        provider: Whose model that is, by the conventions' names.
    """
    attributes = {
        semconv.OPERATION: semconv.INVOKE_AGENT,
        semconv.AGENT_NAME: agent,
        semconv.PROVIDER: provider,
        semconv.CONVERSATION_ID: conversation,
        semconv.REQUEST_MODEL: model,
    }
    return start_span(f"{semconv.INVOKE_AGENT} {agent}", attributes)


def tool_span(tool: str, *, call_id: str | None = None, kind: str = "function") -> Span:
    """Start the span of one run of a tool, as OpenTelemetry's conventions have it.

    Args:
        tool: The tool's name.
        call_id: The id the model gave the call.
        kind: ``function``, ``extension`` or ``datastore``.
    """
    attributes = {
        semconv.OPERATION: semconv.EXECUTE_TOOL,
        semconv.TOOL_NAME: tool,
        semconv.TOOL_TYPE: kind,
        semconv.TOOL_CALL_ID: call_id,
    }
    return start_span(f"{semconv.EXECUTE_TOOL} {tool}", attributes)
